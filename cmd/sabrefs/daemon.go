package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// A Go program cannot fork, so the daemon is this program started again with
// --foreground, in a session of its own. It tells through a pipe, whose number
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

// startDaemon starts the same command line in the background and returns when
// the mount is ready.
func startDaemon(ctx context.Context) error {
	ready, childEnd, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	defer ready.Close()
	cmd := exec.Command("/proc/self/exe", append(os.Args[1:], "--foreground")...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", readyFDVariable, readyFD))
	cmd.ExtraFiles = []*os.File{childEnd}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = errors.Join(cmd.Start(), childEnd.Close())
	if err != nil {
		return fmt.Errorf("starting the daemon: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	return waitReady(ready, cmd)
}

func waitReady(ready io.Reader, cmd *exec.Cmd) error {
	var message readyMessage
	if err := json.NewDecoder(ready).Decode(&message); err != nil {
		return fmt.Errorf("the daemon ended before the mount was ready: %w", errors.Join(cmd.Wait(), err))
	}
	if message.Error != "" {
		_ = cmd.Wait() // its message says more than its exit status
		return childError{message}
	}
	return cmd.Process.Release()
}

// reportReady tells the process that started this one, if there is one, how
// mounting went, and closes the pipe. It returns an error if nobody listens.
func reportReady(mountErr error) error {
	if os.Getenv(readyFDVariable) == "" {
		return nil
	}
	if err := os.Unsetenv(readyFDVariable); err != nil {
		return err
	}
	message := readyMessage{Code: exitCode(mountErr)}
	if mountErr != nil {
		message.Error = oneLine(mountErr)
	}
	pipe := os.NewFile(readyFD, "ready")
	return errors.Join(json.NewEncoder(pipe).Encode(message), pipe.Close())
}
