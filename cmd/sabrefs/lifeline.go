package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"sabrefs/fs"
)

// A mount that was made for one machine ends with it, even if the machine's
// process is killed: the daemon holds one end of a pipe, the process the other,
// and nobody writes. The pipe ends with the process, after its mappings.
const (
	lifelineFDVariable = "SABREFS_LIFELINE_FD"
	// lifelineFD is where the daemon finds the pipe: the second of
	// exec.Cmd.ExtraFiles.
	lifelineFD = readyFD + 1
)

// takeLifeline returns the pipe of a daemon that was started with one, once.
func takeLifeline() *os.File {
	if os.Getenv(lifelineFDVariable) == "" {
		return nil
	}
	if err := os.Unsetenv(lifelineFDVariable); err != nil {
		return nil
	}
	return os.NewFile(lifelineFD, "lifeline")
}

const (
	// firstUnmountPause grows up to lastUnmountPause.
	firstUnmountPause = 5 * time.Millisecond
	lastUnmountPause  = time.Second
)

// unmountAfter waits for the end of the pipe, and then unmounts. Whoever else looks
// at the mount meanwhile makes it busy: it is tried until it succeeds.
func unmountAfter(lifeline io.ReadCloser, server *fs.Server, logger *slog.Logger, ended <-chan struct{}) {
	_, _ = io.Copy(io.Discard, lifeline)
	_ = lifeline.Close()
	for pause := firstUnmountPause; ; pause = min(2*pause, lastUnmountPause) {
		err := server.Unmount()
		if err == nil {
			return
		}
		logger.Debug("cannot unmount yet", "err", err)
		select {
		case <-ended:
			return
		case <-time.After(pause):
		}
	}
}
