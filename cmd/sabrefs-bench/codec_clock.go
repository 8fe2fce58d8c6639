package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// clock is a time that goes on.
type clock func() time.Duration

// threadClock is the CPU time of the calling thread: what other processes do in
// between does not count. It is for work that one thread does and never waits for.
func threadClock() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		return wallClock() // there is no Linux without the other
	}
	return time.Duration(now.Nano())
}

var started = time.Now()

// wallClock is for work that is waited for.
func wallClock() time.Duration { return time.Since(started) }

// onOneCPU keeps measure, and the processes that it starts, on one thread and one
// CPU. The other threads of this program stay as they are.
func onOneCPU[T any](log io.Writer, measure func() (T, error)) (result T, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return result, fmt.Errorf("asking for the CPUs of this thread: %w", err)
	}
	cpu := 0
	for i := range len(before) * 64 {
		if before.IsSet(i) {
			cpu = i
		}
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		fmt.Fprintf(log, "note: not bound to one CPU: %v\n", err)
		return measure()
	}
	defer func() { err = errors.Join(err, unix.SchedSetaffinity(0, &before)) }()
	return measure()
}
