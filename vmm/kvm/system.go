//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// ErrNoKVM is returned when this host cannot run guests: there is no /dev/kvm,
// or it lacks something, which the message names.
var ErrNoKVM = errors.New("no usable KVM")

// ErrPermission is returned when /dev/kvm is there and may not be opened.
var ErrPermission = errors.New("no permission to use KVM")

const devicePath = "/dev/kvm"

// needed is what a guest cannot do without, or its state.
var needed = []struct {
	capability int
	name       string
}{
	{CapIRQChip, "KVM_CAP_IRQCHIP"},
	{CapUserMemory, "KVM_CAP_USER_MEMORY"},
	{CapSetTSSAddress, "KVM_CAP_SET_TSS_ADDR"},
	{CapExtendedCPUID, "KVM_CAP_EXT_CPUID"},
	{CapMPState, "KVM_CAP_MP_STATE"},
	{CapPIT2, "KVM_CAP_PIT2"},
	{CapPITState2, "KVM_CAP_PIT_STATE2"},
	{CapSetIdentityMap, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
	{CapAdjustClock, "KVM_CAP_ADJUST_CLOCK"},
	{CapVCPUEvents, "KVM_CAP_VCPU_EVENTS"},
	{CapDebugRegs, "KVM_CAP_DEBUGREGS"},
	{CapXSAVE, "KVM_CAP_XSAVE"},
	{CapXCRS, "KVM_CAP_XCRS"},
	{CapImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"},
}

// System is the open device.
type System struct {
	fd       int
	runBytes int // of the page, or pages, that a vCPU shares with us
}

// Open opens /dev/kvm and checks that it can do what this package needs. It
// returns ErrNoKVM or ErrPermission.
func Open() (*System, error) {
	fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, openError(err)
	}
	s := &System{fd: fd}
	if err := s.check(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func openError(err error) error {
	class := ErrNoKVM
	if errors.Is(err, fs.ErrPermission) {
		class = ErrPermission
	}
	return fmt.Errorf("%w: open %s: %w", class, devicePath, err)
}

func (s *System) check() error {
	version, err := ioctl(s.fd, getAPIVersion, 0)
	if err != nil {
		return fmt.Errorf("%w: %s: ask for the API version: %w", ErrNoKVM, devicePath, err)
	}
	if version != apiVersion {
		return fmt.Errorf("%w: %s has API version %d, want %d", ErrNoKVM, devicePath, version, apiVersion)
	}
	for _, need := range needed {
		n, err := s.Capability(need.capability)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: %s lacks %s", ErrNoKVM, devicePath, need.name)
		}
	}
	return s.askRunBytes()
}

func (s *System) askRunBytes() error {
	n, err := ioctl(s.fd, getVCPUMmapSize, 0)
	if err != nil {
		return fmt.Errorf("kvm: ask for the size of a vCPU's page: %w", err)
	}
	if n < runPageBytes {
		return fmt.Errorf("%w: %s: a vCPU's page has %d bytes, want %d or more", ErrNoKVM, devicePath, n, runPageBytes)
	}
	s.runBytes = n
	return nil
}

// Capability asks what the kernel says about one capability: 0 if it has not got
// it, otherwise 1 or a number that the capability gives a meaning to.
func (s *System) Capability(number int) (int, error) {
	n, err := ioctl(s.fd, checkExtension, uintptr(number))
	if err != nil {
		return 0, fmt.Errorf("kvm: ask for capability %d: %w", number, err)
	}
	return n, nil
}

// SupportedCPUID is what this processor and this kernel can offer to guests. A
// machine has a kernel's local APIC, so the TSC deadline timer is offered too; older
// kernels say that they have it by a capability only.
func (s *System) SupportedCPUID() ([]CPUIDEntry, error) {
	list := cpuidList{count: maxCPUIDEntries}
	if err := transfer(s.fd, getSupportedCPU, &list, "ask for the supported CPUID"); err != nil {
		return nil, err
	}
	entries := list.get()
	deadline, err := s.Capability(CapTSCDeadlineTimer)
	if err != nil {
		return nil, err
	}
	for i := range entries {
		if entries[i].Function == leafFeatures && deadline != 0 {
			entries[i].ECX |= featuresTSCDeadline
		}
	}
	return entries, nil
}

// MSRIndexList is the MSRs that make up a guest's state on this host.
func (s *System) MSRIndexList() ([]uint32, error) {
	list := msrIndexList{count: maxMSRIndices}
	if err := transfer(s.fd, getMSRIndexList, &list, "ask for the list of MSRs"); err != nil {
		return nil, err
	}
	return append([]uint32(nil), list.indices[:min(list.count, maxMSRIndices)]...), nil
}

// CreateVM makes a machine without memory, chips and vCPUs.
func (s *System) CreateVM() (*VM, error) {
	fd, err := ioctl(s.fd, createVM, 0)
	if err != nil {
		return nil, fmt.Errorf("kvm: create a VM: %w", err)
	}
	return &VM{fd: fd, system: s, slotPages: map[uint32]int{}}, nil
}

// Close closes the device. Its machines live on.
func (s *System) Close() error {
	if err := unix.Close(s.fd); err != nil {
		return fmt.Errorf("kvm: close %s: %w", devicePath, err)
	}
	return nil
}
