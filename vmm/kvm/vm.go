//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrMemory is returned for a memory slot that cannot be: not made of whole
// pages, or unknown.
var ErrMemory = errors.New("not a memory slot")

const pageBytes = 4096

// VM is one virtual machine.
type VM struct {
	fd     int
	system *System

	mu        sync.Mutex
	slotPages map[uint32]int // guarded by mu: the kernel writes a bitmap of this size
	vcpus     []*VCPU        // guarded by mu
	tsc       tscShift       // guarded by mu
}

// Capability is [System.Capability], for those that depend on the machine.
func (v *VM) Capability(number int) (int, error) {
	n, err := ioctl(v.fd, checkExtension, uintptr(number))
	if err != nil {
		return 0, fmt.Errorf("kvm: ask for capability %d: %w", number, err)
	}
	return n, nil
}

// SetMemory shows ram to the guest at gpa. ram must be a mapping, whole pages,
// and stay where it is until the slot is removed, by an empty ram, or the machine
// closed. With logDirty the kernel remembers which pages the guest writes.
func (v *VM) SetMemory(slot uint32, gpa uint64, ram []byte, logDirty bool) error {
	region := memoryRegion{slot: slot, gpa: gpa, memoryBytes: uint64(len(ram))}
	if len(ram) > 0 {
		region.userAddress = uint64(uintptr(unsafe.Pointer(&ram[0]))) //nolint:gosec // G103: the kernel takes addresses
	}
	if (region.userAddress|gpa|region.memoryBytes)%pageBytes != 0 {
		return fmt.Errorf("kvm: slot %d, %d bytes at %#x: %w: not whole pages", slot, len(ram), gpa, ErrMemory)
	}
	if logDirty {
		region.flags = memoryLogDirty
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	doing := fmt.Sprintf("slot %d, %d bytes at %#x", slot, len(ram), gpa)
	if err := transfer(v.fd, setMemoryRegion, &region, doing); err != nil {
		return err
	}
	v.slotPages[slot] = len(ram) / pageBytes
	return nil
}

// DirtyLog returns which pages of a slot the guest has written since the last
// call, one bit each, and forgets them. The slot has that many pages.
func (v *VM) DirtyLog(slot uint32, pages int) ([]uint64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if have := v.slotPages[slot]; have != pages || pages == 0 {
		return nil, fmt.Errorf("kvm: dirty log of slot %d: %w: it has %d pages, not %d", slot, ErrMemory, have, pages)
	}
	bitmap := make([]uint64, (pages+63)/64)
	log := dirtyLog{slot: slot, bitmap: unsafe.Pointer(&bitmap[0])} //nolint:gosec // G103: the kernel takes addresses
	if err := transfer(v.fd, getDirtyLog, &log, fmt.Sprintf("dirty log of slot %d", slot)); err != nil {
		return nil, err
	}
	return bitmap, nil
}

// SetTSSAddress gives the kernel three pages that no RAM may overlap, which
// Intel's processors need to run real-mode code. Call it before CreateVCPU.
func (v *VM) SetTSSAddress(gpa uint64) error {
	if _, err := ioctl(v.fd, setTSSAddress, uintptr(gpa)); err != nil {
		return fmt.Errorf("kvm: set the TSS address %#x: %w", gpa, err)
	}
	return nil
}

// SetIdentityMap gives the kernel one more such page. Call it before CreateVCPU.
func (v *VM) SetIdentityMap(gpa uint64) error {
	return transfer(v.fd, setIdentityMap, &gpa, "set the address of the identity map")
}

// CreateIRQChip makes two PICs, an IOAPIC, and a local APIC for every vCPU that
// is created afterwards.
func (v *VM) CreateIRQChip() error {
	if _, err := ioctl(v.fd, createIRQChip, 0); err != nil {
		return fmt.Errorf("kvm: create the interrupt controllers: %w", err)
	}
	return nil
}

// CreatePIT makes the timer at ports 0x40 to 0x43, and port 0x61. Call it after
// CreateIRQChip.
func (v *VM) CreatePIT() error {
	config := pitConfig{flags: pitSpeakerDummy}
	return transfer(v.fd, createPIT2, &config, "create the PIT")
}

// SetIRQLine sets the level of an interrupt line of PIC and IOAPIC. An edge is
// two calls, true and false.
func (v *VM) SetIRQLine(gsi uint32, level bool) error {
	line := irqLevel{gsi: gsi}
	if level {
		line.level = 1
	}
	return transfer(v.fd, irqLine, &line, "set an interrupt line")
}

// IRQFD makes every write to an eventfd an edge of an interrupt line.
func (v *VM) IRQFD(fd int, gsi uint32) error {
	arg := irqFD{fd: uint32(fd), gsi: gsi}
	return transfer(v.fd, setIRQFD, &arg, fmt.Sprintf("join an eventfd to interrupt line %d", gsi))
}

// CreateVCPU makes a vCPU; its id is also that of its local APIC. It starts at the
// reset vector when its id is 0, and otherwise waits for the guest to start it.
func (v *VM) CreateVCPU(id int) (*VCPU, error) {
	fd, err := ioctl(v.fd, createVCPU, uintptr(id))
	if err != nil {
		return nil, fmt.Errorf("kvm: create vCPU %d: %w", id, err)
	}
	page, err := unix.Mmap(fd, 0, v.system.runBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kvm: map the page of vCPU %d: %w", id, err), unix.Close(fd))
	}
	c := &VCPU{id: id, fd: fd, vm: v, page: page, process: os.Getpid()}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.vcpus = append(v.vcpus, c)
	return c, nil
}

// Close frees the machine and its vCPUs, none of which may be running.
func (v *VM) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	var errs []error
	for _, c := range v.vcpus {
		errs = append(errs, c.close())
	}
	v.vcpus = nil
	if v.fd >= 0 {
		errs = append(errs, unix.Close(v.fd))
		v.fd = -1
	}
	return errors.Join(errs...)
}
