//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
	"strconv"
	"unsafe"
)

// ErrExit is returned when the kernel describes an exit in a way that cannot be
// true.
var ErrExit = errors.New("exit makes no sense")

// Reason is why Run returned.
type Reason uint8

// Reasons of an exit.
const (
	// Other is an exit that a machine of ours does not have; Detail is
	// KVM's number of it.
	Other Reason = iota
	// Interrupted is the answer to Kick. No instruction is half done.
	Interrupted
	// IO is a read or write of Port: Count times Size bytes, all in Data.
	IO
	// MMIO is a read or write of the guest physical address GPA.
	MMIO
	// Halt is HLT without an interrupt controller of the kernel.
	Halt
	// Shutdown is a triple fault.
	Shutdown
	// FailEntry is a vCPU whose state the processor refuses; Detail is the
	// processor's reason.
	FailEntry
	// InternalError is a guest that KVM cannot run; Detail is KVM's suberror.
	InternalError
	// SystemEvent is a request of the guest by a hypercall; Detail is its type.
	SystemEvent
)

func (r Reason) String() string {
	names := [...]string{
		"other", "interrupted", "io", "mmio", "halt", "shutdown", "fail entry", "internal error", "system event",
	}
	if int(r) < len(names) {
		return names[r]
	}
	return strconv.Itoa(int(r))
}

// Exit is what a guest did that is for us to carry on. Its Data lies in memory
// shared with the kernel: what a device reads is in it, the answer to a guest's
// read goes into it, before the next Run.
type Exit struct {
	Reason Reason
	Write  bool   // the guest writes (IO and MMIO)
	Port   uint16 // IO
	Size   int    // IO: bytes of each access
	Count  int    // IO: accesses, more than one for string instructions
	GPA    uint64 // MMIO
	Data   []byte // IO and MMIO
	Detail uint64 // see Reason
	Extra  []uint64
}

// String describes the exit for people.
func (e Exit) String() string {
	switch e.Reason {
	case IO:
		return fmt.Sprintf("%s of port %#x: %d times %d bytes", direction(e.Write), e.Port, e.Count, e.Size)
	case MMIO:
		return fmt.Sprintf("%s of address %#x: %d bytes", direction(e.Write), e.GPA, len(e.Data))
	case InternalError:
		return fmt.Sprintf("internal error of KVM: %s, data %#x", suberror(e.Detail), e.Extra)
	case FailEntry, SystemEvent, Other:
		return fmt.Sprintf("%s %#x", e.Reason, e.Detail)
	default:
		return e.Reason.String()
	}
}

func direction(write bool) string {
	if write {
		return "write"
	}
	return "read"
}

// suberror names the numbers KVM_INTERNAL_ERROR_*.
func suberror(number uint64) string {
	names := [...]string{1: "emulation failed", 2: "simultaneous exceptions", 3: "delivery of an event", 4: "unexpected exit"}
	if number > 0 && number < uint64(len(names)) {
		return names[number]
	}
	return "suberror " + strconv.FormatUint(number, 10)
}

// exit translates what the kernel has written into the shared page.
func (c *VCPU) exit() (Exit, error) {
	run := c.run()
	detail := unsafe.Pointer(&run.detail) //nolint:gosec // G103: a union of C structures
	switch run.exitReason {
	case exitIO:
		c.unfinished = true
		return c.exitIO((*exitDetailIO)(detail))
	case exitMMIO:
		c.unfinished = true
		return exitFromMMIO((*exitDetailMMIO)(detail))
	case exitHLT:
		return Exit{Reason: Halt}, nil
	case exitShutdown:
		return Exit{Reason: Shutdown}, nil
	case exitFailEntry:
		return Exit{Reason: FailEntry, Detail: (*exitDetailFailEntry)(detail).reason}, nil
	case exitInternalError, exitSystemEvent: // both are a number, a count, and data
		return exitWithData(run.exitReason, (*exitDetailInternal)(detail)), nil
	default:
		return Exit{Reason: Other, Detail: uint64(run.exitReason)}, nil
	}
}

func (c *VCPU) exitIO(d *exitDetailIO) (Exit, error) {
	lenBytes := uint64(d.size) * uint64(d.count)
	if d.dataOff > uint64(len(c.page)) || lenBytes > uint64(len(c.page))-d.dataOff {
		return Exit{}, fmt.Errorf("kvm: vCPU %d: port %#x: %w: %d bytes at %d of the page", c.id, d.port, ErrExit, lenBytes, d.dataOff)
	}
	return Exit{
		Reason: IO, Write: d.direction != 0, Port: d.port, Size: int(d.size), Count: int(d.count),
		Data: c.page[d.dataOff : d.dataOff+lenBytes : d.dataOff+lenBytes],
	}, nil
}

func exitFromMMIO(d *exitDetailMMIO) (Exit, error) {
	if d.len > uint32(len(d.data)) {
		return Exit{}, fmt.Errorf("kvm: address %#x: %w: %d bytes", d.gpa, ErrExit, d.len)
	}
	return Exit{Reason: MMIO, Write: d.isWrite != 0, GPA: d.gpa, Data: d.data[:d.len:d.len]}, nil
}

func exitWithData(number uint32, d *exitDetailInternal) Exit {
	exit := Exit{Reason: InternalError, Detail: uint64(d.suberror)}
	if number == exitSystemEvent {
		exit.Reason = SystemEvent
	}
	exit.Extra = append(exit.Extra, d.data[:min(int(d.ndata), len(d.data))]...)
	return exit
}
