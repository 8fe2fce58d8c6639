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
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Go program cannot fork, so the daemon is this program started again with the
// same arguments, in a session of its own. It tells through a pipe, whose number
// is in the environment, that the mount is ready or why it is not.
const readyFDVariable = "SABREFS_READY_FD"

// readyFD is where the child finds the pipe: the first of exec.Cmd.ExtraFiles.
const readyFD = 3

// readyMessage is what the child writes.
type readyMessage struct {
	Error string `json:"error,omitempty"`
	Code  int    `json:"code"`
}

// childError is the failure of the daemon, with the exit code that it chose.
type childError struct{ readyMessage }

func (e childError) Error() string { return e.readyMessage.Error }

// startDaemon starts this program with other arguments in the background and
// returns when the mount is ready. With a lifeline (see lifeline.go) the daemon
// lives no longer than who holds the other end.
func startDaemon(ctx context.Context, args []string, lifeline *os.File) (*os.Process, error) {
	ready, childEnd, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer ready.Close()
	if err := keepFromChildren(); err != nil {
		return nil, errors.Join(err, childEnd.Close())
	}
	var said bytes.Buffer // what fusermount3 and a crash write to standard error
	cmd := daemonCommand(args, childEnd, lifeline)
	cmd.Stderr = &said
	err = errors.Join(cmd.Start(), childEnd.Close())
	if err != nil {
		return nil, fmt.Errorf("starting the daemon: %w", err)
	}
	return cmd.Process, awaitReady(ctx, cmd, ready, &said)
}

// daemonCommand is not yet started.
func daemonCommand(args []string, ready, lifeline *os.File) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", readyFDVariable, readyFD))
	cmd.ExtraFiles = []*os.File{ready}
	if lifeline != nil {
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", lifelineFDVariable, lifelineFD))
		cmd.ExtraFiles = append(cmd.ExtraFiles, lifeline)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// awaitReady returns what the daemon says of its mount. Where it returns an error,
// the daemon has ended or is about to.
func awaitReady(ctx context.Context, cmd *exec.Cmd, ready io.Reader, said *bytes.Buffer) error {
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	var message readyMessage
	err := json.NewDecoder(ready).Decode(&message)
	interrupted := !stop()
	switch {
	case err != nil:
		err = fmt.Errorf("the daemon ended before the mount was ready: %w", errors.Join(cmd.Wait(), err))
		return withOutput(err, said.String())
	case message.Error != "":
		_ = cmd.Wait() // its message says more than its exit status
		message.Error = withOutput(errors.New(message.Error), said.String()).Error()
		return childError{message}
	case interrupted: // too late to be told so by the daemon, which unmounts
		return ctx.Err()
	}
	return nil
}

// withOutput adds what a child said, if it said anything.
func withOutput(err error, said string) error {
	if said = strings.TrimSpace(said); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// keepFromChildren closes every file that this process was given, but the
// standard streams, in processes that it starts: a daemon must not hold its
// caller's locks and pipes.
func keepFromChildren() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("listing open files: %w", err)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > unix.Stderr {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// inBackground reports whether this process was started by startDaemon.
func inBackground() bool { return os.Getenv(readyFDVariable) != "" }

// reportReady tells the process that started this one, if there is one, how
// mounting went, and lets go of what it shares with it: the pipe, standard
// error and the working directory. It returns an error if nobody listens.
func reportReady(mountErr error) error {
	if !inBackground() {
		return nil
	}
	message := readyMessage{Code: exitCode(mountErr)}
	if mountErr != nil {
		message.Error = oneLine(mountErr)
	}
	pipe := os.NewFile(readyFD, "ready")
	return errors.Join(os.Unsetenv(readyFDVariable), os.Chdir("/"), silenceStderr(),
		json.NewEncoder(pipe).Encode(message), pipe.Close())
}

func silenceStderr() error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.Dup3(int(null.Fd()), unix.Stderr, 0), null.Close())
}

// crashesTo makes a crash of this process leave its trace in the log.
func crashesTo(log *os.File) error {
	if err := debug.SetCrashOutput(log, debug.CrashOptions{}); err != nil {
		return fmt.Errorf("%s: %w", log.Name(), err)
	}
	return nil
}
