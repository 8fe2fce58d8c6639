//go:build linux && amd64

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Processes that are on their way out get some time.
const (
	leftoverPolls        = 50
	leftoverPollInterval = 100 * time.Millisecond
)

// leftovers names the processes and mounts that tests have left, and removes
// them, so that they are held against one package only.
func leftovers() error {
	for range leftoverPolls {
		if processes, mounts := strangers(), fuseMounts(); len(processes)+len(mounts) == 0 {
			return nil
		}
		time.Sleep(leftoverPollInterval)
	}
	var left []error
	for pid, name := range strangers() {
		left = append(left, fmt.Errorf("process %d (%s) was left", pid, name), syscall.Kill(pid, syscall.SIGKILL))
	}
	for _, mountPoint := range fuseMounts() {
		left = append(left, fmt.Errorf("mount %s was left", mountPoint), syscall.Unmount(mountPoint, syscall.MNT_DETACH))
	}
	return errors.Join(left...)
}

// strangers are all processes but the first and this one. The kernel's own have
// no command line, nor have the dead.
func strangers() map[int]string {
	found := map[int]string{}
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is right
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || pid == 1 || pid == os.Getpid() {
			continue
		}
		line, err := os.ReadFile(path)
		if err != nil || len(line) == 0 {
			continue // ended meanwhile
		}
		found[pid] = string(bytes.ReplaceAll(bytes.TrimRight(line, "\x00"), []byte{0}, []byte{' '}))
	}
	return found
}

func fuseMounts() (mountPoints []string) {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return []string{err.Error()}
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && strings.HasPrefix(fields[2], "fuse") {
			mountPoints = append(mountPoints, fields[1])
		}
	}
	return mountPoints
}
