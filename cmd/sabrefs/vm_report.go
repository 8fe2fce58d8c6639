//go:build amd64

package main

import (
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/vmm"
)

// vmReport is what run and restore say of a machine, as JSON at its end. Times are in
// milliseconds. Those of the phases are points in time, since the machine was begun to
// be made; zero is what was not reached.
type vmReport struct {
	// MountMillis is how long mounting a packed snapshot took, before the rest.
	MountMillis            float64 `json:"mount_millis,omitempty"`
	OpenMillis             float64 `json:"open_millis"`
	MapMillis              float64 `json:"map_millis"`
	StateMillis            float64 `json:"state_millis"`
	FirstInstructionMillis float64 `json:"first_instruction_millis"`
	FirstOutputMillis      float64 `json:"first_output_millis"`
	// KVMMillis is how long the kernel took to make the machine and its processors,
	// a part of StateMillis that nobody can do without.
	KVMMillis float64 `json:"kvm_millis"`
	// WaitingMillis is how long the machine was ready and waited to be told to run.
	WaitingMillis float64 `json:"waiting_millis"`
	Ended         string  `json:"ended"`
}

// report says how the machine of a session went.
func (s *vmSession) report(ended error) vmReport {
	r := vmReport{Ended: "in order"}
	if ended != nil {
		r.Ended = oneLine(ended)
	}
	if s.mount != nil {
		r.MountMillis = millis(s.mount.took)
	}
	if m := s.made(); m != nil {
		r.setTimes(m.Timings())
	}
	return r
}

func (r *vmReport) setTimes(t vmm.Timings) {
	r.OpenMillis, r.MapMillis, r.StateMillis = millis(t.Open), millis(t.Map), millis(t.State)
	r.FirstInstructionMillis, r.FirstOutputMillis = millis(t.FirstInstruction), millis(t.FirstOutput)
	r.KVMMillis, r.WaitingMillis = millis(t.KVM), millis(t.Waiting)
}

// print writes one line of JSON: a console may be on the same stream.
func (r *vmReport) print(out io.Writer) error { return printJSONLine(out, r) }

// millis is a time in milliseconds.
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// fileSizes returns what a file claims and what it takes.
func fileSizes(path string) (raw, allocated int64, err error) {
	const blockBytes = 512 // of st_blocks, whatever the filesystem's
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", path, err)
	}
	return stat.Size, stat.Blocks * blockBytes, nil
}
