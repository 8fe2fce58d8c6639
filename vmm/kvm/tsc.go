//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
	"unsafe"
)

// ErrTSC is returned when this host cannot give a guest a TSC of the speed that
// it was started with.
var ErrTSC = errors.New("TSC of another speed")

// tscTolerancePPM is how far off a TSC may be, in millionths. Linux treats such
// TSCs as equal, too (tsc_tolerance_ppm in arch/x86/kvm/x86.c).
const tscTolerancePPM = 250

// tscKHz is the speed of the guest's TSC.
func (c *VCPU) tscKHz() (uint32, error) {
	n, err := ioctl(c.fd, getTSCKHz, 0)
	if err != nil {
		return 0, fmt.Errorf("kvm: %s: %w", c.doing("get the speed of the TSC"), err)
	}
	return uint32(n), nil
}

// setTSCKHz sets the speed, which takes hardware if it is not the host's.
func (c *VCPU) setTSCKHz(want uint32) error {
	have, err := c.tscKHz()
	if err != nil {
		return err
	}
	if sameSpeed(have, want) {
		return nil
	}
	if _, err := ioctl(c.fd, setTSCKHz, uintptr(want)); err != nil {
		return fmt.Errorf("kvm: vCPU %d: %w: %d kHz, here %d kHz: %w", c.id, ErrTSC, want, have, err)
	}
	return nil
}

func sameSpeed(a, b uint32) bool {
	difference := max(a, b) - min(a, b)
	return uint64(difference)*1_000_000 <= uint64(max(a, b))*tscTolerancePPM
}

// tscShift keeps the TSCs of a machine's vCPUs together. Each is set to its own
// saved value, at its own moment, so that they would drift apart by the time in
// between; the kernel corrects that only if it believes that they belong
// together. So the first vCPU decides how far its TSC went, and the others are
// shifted as far.
type tscShift struct {
	known bool
	shift uint64 // of the difference to the host's TSC, modulo 2^64
}

// tscOffset is the difference to the host's TSC; ok=false if the kernel does not
// tell (before Linux 5.16).
func (c *VCPU) tscOffset() (offset uint64, ok bool, err error) {
	attr := deviceAttr{addr: unsafe.Pointer(&offset)}                                   //nolint:gosec // G103: the kernel takes addresses
	if _, err := ioctlPointer(c.fd, hasDeviceAttr, unsafe.Pointer(&attr)); err != nil { //nolint:gosec // G103: an ioctl takes a pointer
		return 0, false, nil //nolint:nilerr // the error is the answer
	}
	if err := transfer(c.fd, getDeviceAttr, &attr, c.doing("get the offset of the TSC")); err != nil {
		return 0, false, err
	}
	return offset, true, nil
}

func (c *VCPU) setTSCOffset(offset uint64) error {
	attr := deviceAttr{addr: unsafe.Pointer(&offset)} //nolint:gosec // G103: the kernel takes addresses
	return transfer(c.fd, setDeviceAttr, &attr, c.doing("set the offset of the TSC"))
}

// alignTSC moves the TSC, which was just set, to where it was relative to those
// of the other vCPUs when they were saved.
func (c *VCPU) alignTSC(saved uint64) error {
	now, ok, err := c.tscOffset()
	if err != nil || !ok {
		return err
	}
	c.vm.mu.Lock()
	defer c.vm.mu.Unlock()
	if !c.vm.tsc.known {
		c.vm.tsc = tscShift{known: true, shift: now - saved}
	}
	if want := saved + c.vm.tsc.shift; want != now {
		return c.setTSCOffset(want)
	}
	return nil
}
