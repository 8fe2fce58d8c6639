//go:build linux && amd64

package kvm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"
)

// ErrDamagedState is returned for bytes that are no encoded state.
var ErrDamagedState = errors.New("damaged state of a virtual machine")

// Versions of the encodings, their first four bytes. Version 1 is the first.
const (
	vcpuVersion = 1
	vmVersion   = 1
)

// Limits of a decoded vCPU. XSAVE is 11 KiB with AMX.
const (
	maxXSAVEBytes = 64 << 10
	maxSavedMSRs  = maxMSRIndices
)

// vcpuFixed is the first part of an encoded vCPU, docs/FORMAT-VMSTATE.md. The
// local APIC, the vector registers, CPUID and MSRs follow.
type vcpuFixed struct {
	Version      uint32
	XSAVEBytes   uint32
	CPUIDCount   uint32
	MSRCount     uint32
	TSCKHz       uint32
	MPState      uint32
	HasTSCOffset uint64
	TSCOffset    uint64
	Regs         Regs
	Sregs        Sregs
	Events       VCPUEvents
	DebugRegs    DebugRegs
	XCRs         XCRs
}

const vcpuFixedBytes = int(unsafe.Sizeof(vcpuFixed{}))

const (
	cpuidEntryBytes = int(unsafe.Sizeof(CPUIDEntry{}))
	msrBytes        = int(unsafe.Sizeof(MSR{}))
)

// MarshalBinary encodes the state. It never fails for a state that came from
// [VCPU.State].
func (s *VCPUState) MarshalBinary() ([]byte, error) {
	fixed := vcpuFixed{
		Version: vcpuVersion, XSAVEBytes: uint32(len(s.XSAVE)), CPUIDCount: uint32(len(s.CPUID)), MSRCount: uint32(len(s.MSRs)),
		TSCKHz: s.TSCKHz, MPState: s.MPState, TSCOffset: s.TSCOffset,
		Regs: s.Regs, Sregs: s.Sregs, Events: s.Events, DebugRegs: s.DebugRegs, XCRs: s.XCRs,
	}
	if s.HasTSCOffset {
		fixed.HasTSCOffset = 1
	}
	size, err := fixed.encodedBytes()
	if err != nil {
		return nil, err
	}
	b, err := binary.Append(make([]byte, 0, size), binary.LittleEndian, &fixed)
	if err != nil {
		return nil, fmt.Errorf("kvm: encode a vCPU: %w", err)
	}
	b = append(b, s.LAPIC[:]...)
	b = append(b, s.XSAVE...)
	if b, err = binary.Append(b, binary.LittleEndian, s.CPUID); err != nil {
		return nil, fmt.Errorf("kvm: encode CPUID: %w", err)
	}
	if b, err = binary.Append(b, binary.LittleEndian, s.MSRs); err != nil {
		return nil, fmt.Errorf("kvm: encode MSRs: %w", err)
	}
	return b, nil
}

// encodedBytes checks the counts and returns what they add up to.
func (f *vcpuFixed) encodedBytes() (int, error) {
	switch {
	case f.XSAVEBytes < minXSAVEBytes || f.XSAVEBytes > maxXSAVEBytes || f.XSAVEBytes%8 != 0:
		return 0, fmt.Errorf("%w: vCPU: %d bytes of vector registers", ErrDamagedState, f.XSAVEBytes)
	case f.CPUIDCount > maxCPUIDEntries:
		return 0, fmt.Errorf("%w: vCPU: %d CPUID entries, at most %d are possible", ErrDamagedState, f.CPUIDCount, maxCPUIDEntries)
	case f.MSRCount > maxSavedMSRs:
		return 0, fmt.Errorf("%w: vCPU: %d MSRs, at most %d are possible", ErrDamagedState, f.MSRCount, maxSavedMSRs)
	case f.XCRs.Count > uint32(len(f.XCRs.XCRs)):
		return 0, fmt.Errorf("%w: vCPU: %d extended control registers", ErrDamagedState, f.XCRs.Count)
	case f.HasTSCOffset > 1:
		return 0, fmt.Errorf("%w: vCPU: flag of the TSC's offset is %d", ErrDamagedState, f.HasTSCOffset)
	}
	return vcpuFixedBytes + lapicBytes + int(f.XSAVEBytes) + int(f.CPUIDCount)*cpuidEntryBytes + int(f.MSRCount)*msrBytes, nil
}

// UnmarshalBinary decodes a state. It returns ErrDamagedState, and has the kernel
// judge the values of registers.
func (s *VCPUState) UnmarshalBinary(b []byte) error {
	var fixed vcpuFixed
	used, err := binary.Decode(b, binary.LittleEndian, &fixed)
	if err != nil {
		return fmt.Errorf("%w: vCPU: %d bytes, want %d or more", ErrDamagedState, len(b), vcpuFixedBytes)
	}
	if fixed.Version != vcpuVersion {
		return fmt.Errorf("%w: vCPU: version %d, want %d", ErrDamagedState, fixed.Version, vcpuVersion)
	}
	want, err := fixed.encodedBytes()
	if err != nil {
		return err
	}
	if want != len(b) {
		return fmt.Errorf("%w: vCPU: %d bytes, its counts add up to %d", ErrDamagedState, len(b), want)
	}
	*s = VCPUState{
		TSCKHz: fixed.TSCKHz, MPState: fixed.MPState, HasTSCOffset: fixed.HasTSCOffset != 0, TSCOffset: fixed.TSCOffset,
		Regs: fixed.Regs, Sregs: fixed.Sregs, Events: fixed.Events, DebugRegs: fixed.DebugRegs, XCRs: fixed.XCRs,
	}
	return s.decodeLists(b[used:], &fixed)
}

// decodeLists decodes what follows the fixed part, whose length is right.
func (s *VCPUState) decodeLists(b []byte, fixed *vcpuFixed) error {
	b = b[copy(s.LAPIC[:], b):]
	s.XSAVE = append([]byte(nil), b[:fixed.XSAVEBytes]...)
	s.CPUID = make([]CPUIDEntry, fixed.CPUIDCount)
	s.MSRs = make([]MSR, fixed.MSRCount)
	used, err := binary.Decode(b[fixed.XSAVEBytes:], binary.LittleEndian, s.CPUID)
	if err != nil {
		return fmt.Errorf("%w: CPUID: %w", ErrDamagedState, err)
	}
	if _, err := binary.Decode(b[int(fixed.XSAVEBytes)+used:], binary.LittleEndian, s.MSRs); err != nil {
		return fmt.Errorf("%w: MSRs: %w", ErrDamagedState, err)
	}
	return nil
}

// vmEncoded is an encoded VM.
type vmEncoded struct {
	Version  uint32
	Reserved uint32
	State    VMState
}

// MarshalBinary encodes the state.
func (s *VMState) MarshalBinary() ([]byte, error) {
	b, err := binary.Append(nil, binary.LittleEndian, &vmEncoded{Version: vmVersion, State: *s})
	if err != nil {
		return nil, fmt.Errorf("kvm: encode a VM: %w", err)
	}
	return b, nil
}

// UnmarshalBinary decodes a state. It returns ErrDamagedState.
func (s *VMState) UnmarshalBinary(b []byte) error {
	var encoded vmEncoded
	used, err := binary.Decode(b, binary.LittleEndian, &encoded)
	switch {
	case err != nil || used != len(b):
		return fmt.Errorf("%w: VM: %d bytes, want %d", ErrDamagedState, len(b), binary.Size(&encoded))
	case encoded.Version != vmVersion || encoded.Reserved != 0:
		return fmt.Errorf("%w: VM: version %d, want %d", ErrDamagedState, encoded.Version, vmVersion)
	}
	*s = encoded.State
	return nil
}
