//go:build amd64

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"sabrefs/vmm/guest"
)

// guestProcess is a running `sabrefs vm` with the built-in guest in it.
type guestProcess struct {
	cmd    *exec.Cmd
	client *guest.Client
	in     io.Closer
	out    io.Closer
	stderr bytes.Buffer
}

// startGuest starts a sabrefs command whose console is the built-in guest's.
func (b *vmBench) startGuest(ctx context.Context, args ...string) (*guestProcess, error) {
	m := &guestProcess{cmd: exec.CommandContext(ctx, string(b.sabrefs), args...)}
	m.cmd.Stderr = &m.stderr
	in, err := m.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, child, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	m.cmd.Stdout = child
	if err := errors.Join(m.cmd.Start(), child.Close()); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	m.in, m.out, m.client = in, out, guest.NewClient(out, in)
	return m, nil
}

// stop ends the guest in order and waits for the process.
func (m *guestProcess) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := m.client.Quit(ctx)
	if err != nil {
		err = errors.Join(err, m.cmd.Process.Kill())
	}
	err = errors.Join(err, m.cmd.Wait(), m.out.Close())
	m.client.Close()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(m.cmd.Args, " "), err, strings.TrimSpace(m.stderr.String()))
	}
	return nil
}

// vmTimes is what --json prints, as far as it is used here.
type vmTimes struct {
	FirstInstructionMillis float64 `json:"first_instruction_millis"`
	WaitingMillis          float64 `json:"waiting_millis"`
}

// restore is the time to the first instruction. The machine does not wait for anybody
// who would tell it to run.
func (t vmTimes) restore() time.Duration {
	return time.Duration(t.FirstInstructionMillis * float64(time.Millisecond))
}

// times reads what a process that was started with --json has printed at its end.
func (m *guestProcess) times() (vmTimes, error) {
	var t vmTimes
	if err := json.Unmarshal(m.stderr.Bytes(), &t); err != nil {
		return t, fmt.Errorf("standard error of sabrefs vm: %w: %s", err, m.stderr.String())
	}
	if t.FirstInstructionMillis <= 0 {
		return t, fmt.Errorf("no instruction was run: %s", m.stderr.String())
	}
	return t, nil
}
