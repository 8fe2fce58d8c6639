package main

import (
	"bufio"
	"context"
	_ "embed" // for the driver
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// restoreSource is the C side of restoreDriver: a process that gets guest memory and
// touches it, as fast as can be. userfaultfd needs pointers, which Go here has none
// of.
//
//go:embed restore/driver.c
var restoreSource string

// The ways in which the driver gets memory.
const (
	restoreReap      = "reap"       // O_DIRECT reads, then UFFDIO_COPY
	restoreReapAhead = "reap-ahead" // the same, reading ahead
	restoreMap       = "map"        // a private mapping of a file
)

// restoreDriver is the path of the compiled driver.
type restoreDriver string

func buildRestoreDriver(ctx context.Context, dir string) (restoreDriver, error) {
	path := filepath.Join(dir, "restore-driver")
	if err := compileC(ctx, restoreSource, path, "-lpthread"); err != nil {
		return "", fmt.Errorf("the driver that touches memory needs a C compiler (apt-get install gcc libc6-dev): %w", err)
	}
	return restoreDriver(path), nil
}

// restoreTimes are the phases of one restore.
type restoreTimes struct {
	Prepare time.Duration // opening, mapping, and reading where that comes first
	Install time.Duration
	Touch   time.Duration
	CRC32   uint32 // of the touched pages, in order
}

func (t restoreTimes) total() time.Duration { return t.Prepare + t.Install + t.Touch }

// restoreJob is what one driver process does.
type restoreJob struct {
	mode        string
	path        string // of the set for the reap modes, of the memory otherwise
	memoryBytes int64
	pagesPath   string // page numbers in the order of touching
}

// runningRestore is a driver that waits for its start.
type runningRestore struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start returns once the driver waits.
func (d restoreDriver) start(ctx context.Context, job restoreJob) (*runningRestore, error) {
	cmd := exec.CommandContext(ctx, string(d), job.mode, job.path, strconv.FormatInt(job.memoryBytes, 10), job.pagesPath)
	cmd.Stderr = os.Stderr
	in, out, err := startPiped(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting the driver that touches memory: %w", err)
	}
	r := &runningRestore{cmd: cmd, in: in, out: out}
	line, err := r.readLine()
	if err == nil && line != "ready" {
		err = fmt.Errorf("the driver that touches memory says %q", line)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *runningRestore) readLine() (string, error) {
	line, err := r.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("driver that touches memory: %w", err)
	}
	line = strings.TrimSpace(line)
	if problem, isError := strings.CutPrefix(line, "error "); isError {
		return "", fmt.Errorf("driver that touches memory: %s", problem)
	}
	return line, nil
}

// release lets the driver go; wait returns what it measured.
func (r *runningRestore) release() error {
	_, err := io.WriteString(r.in, "go\n")
	return err
}

func (r *runningRestore) wait() (restoreTimes, error) {
	line, err := r.readLine()
	if err != nil {
		return restoreTimes{}, errors.Join(err, r.close())
	}
	times, err := parseRestoreTimes(line)
	return times, errors.Join(err, r.close())
}

func (r *runningRestore) close() error { return errors.Join(r.in.Close(), r.cmd.Wait()) }

func parseRestoreTimes(line string) (restoreTimes, error) {
	var t restoreTimes
	if _, err := fmt.Sscanf(line, "%d %d %d %d", &t.Prepare, &t.Install, &t.Touch, &t.CRC32); err != nil {
		return t, fmt.Errorf("driver that touches memory: output %q: %w", line, err)
	}
	return t, nil
}

// run does one restore.
func (d restoreDriver) run(ctx context.Context, job restoreJob) (restoreTimes, error) {
	r, err := d.start(ctx, job)
	if err != nil {
		return restoreTimes{}, err
	}
	if err := r.release(); err != nil {
		return restoreTimes{}, errors.Join(err, r.close())
	}
	return r.wait()
}

// writeWorkingSet writes what the driver needs: the pages of the memory file in
// ascending order, uncompressed, and their numbers in the order of touching.
func writeWorkingSet(memPath, setPath, pagesPath string, pages []uint32) (err error) {
	const ownerOnly = 0o600
	if err := os.WriteFile(pagesPath, encodePageNumbers(pages), ownerOnly); err != nil {
		return err
	}
	memory, err := os.Open(memPath)
	if err != nil {
		return err
	}
	defer memory.Close()
	set, err := os.Create(setPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	out := bufio.NewWriterSize(set, 1<<20)
	page := make([]byte, pageBytes)
	for _, number := range slices.Sorted(slices.Values(pages)) {
		if _, err := memory.ReadAt(page, int64(number)*pageBytes); err != nil {
			return fmt.Errorf("%s: page %d: %w", memPath, number, err)
		}
		if _, err := out.Write(page); err != nil {
			return err
		}
	}
	return errors.Join(out.Flush(), set.Sync())
}
