//go:build linux && amd64

package vmm

import (
	"io"
	"sync/atomic"
	"time"
)

// Timings say when a machine got how far, each since New or Restore was called.
// What has not happened is zero.
type Timings struct {
	// Open is when all files that are needed were open and checked.
	Open time.Duration `json:"open_ns"`
	// Map is when guest memory was mapped.
	Map time.Duration `json:"map_ns"`
	// State is when the guest's state was in place: it could run.
	State time.Duration `json:"state_ns"`
	// FirstInstruction is when the first vCPU was handed to the processor.
	FirstInstruction time.Duration `json:"first_instruction_ns"`
	// FirstOutput is when the guest wrote to its console.
	FirstOutput time.Duration `json:"first_output_ns"`

	// KVM is no point in time: it is how long the kernel took to make the
	// machine and its vCPUs, which nobody can do without. A restore opens and
	// maps its files meanwhile.
	KVM time.Duration `json:"kvm_ns"`
	// Waiting is how long the machine was ready and waited to be told to run,
	// also a part of FirstInstruction.
	Waiting time.Duration `json:"waiting_ns"`
}

// stopwatch takes the timings of a machine, from any goroutine.
type stopwatch struct {
	began                                                         time.Time
	open, mapped, state, told, firstInstruction, firstOutput, kvm atomic.Int64
}

func startWatch() *stopwatch { return &stopwatch{began: time.Now()} }

// mark notes the time once; later calls change nothing.
func (w *stopwatch) mark(at *atomic.Int64) {
	if at.Load() == 0 {
		at.CompareAndSwap(0, max(1, int64(time.Since(w.began))))
	}
}

// inKVM times work of the kernel.
func (w *stopwatch) inKVM(work func() error) error {
	began := time.Now()
	defer func() { w.kvm.Add(int64(time.Since(began))) }()
	return work()
}

func (w *stopwatch) timings() Timings {
	d := func(at *atomic.Int64) time.Duration { return time.Duration(at.Load()) }
	t := Timings{
		Open: d(&w.open), Map: d(&w.mapped), State: d(&w.state),
		FirstInstruction: d(&w.firstInstruction), FirstOutput: d(&w.firstOutput), KVM: d(&w.kvm),
	}
	if told := d(&w.told); told != 0 {
		t.Waiting = told - t.State
	}
	return t
}

// timedWriter notes when it is written to first.
type timedWriter struct {
	io.Writer
	watch *stopwatch
}

func (w timedWriter) Write(b []byte) (int, error) {
	w.watch.mark(&w.watch.firstOutput)
	return w.Writer.Write(b)
}
