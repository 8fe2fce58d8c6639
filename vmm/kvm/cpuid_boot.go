//go:build linux && amd64

package kvm

import (
	"math/bits"
	"slices"
)

// Functions of CPUID. Sources: Intel SDM, volume 2, CPUID; AMD APM, volume 3,
// appendix E; Linux, Documentation/virt/kvm/x86/cpuid.rst.
const (
	leafVendor       = 0
	leafFeatures     = 1
	leafCaches       = 4
	leafPower        = 6
	leafExtended     = 7
	leafPMU          = 0xa
	leafTopology     = 0xb
	leafXSAVE        = 0xd
	leafSGX          = 0x12
	leafTopologyV2   = 0x1f
	leafKVM          = 0x40000001
	leafAMDFeatures  = 0x80000001
	leafAMDPower     = 0x80000007
	leafAddressSizes = 0x80000008
	leafSVM          = 0x8000000a
	leafAMDCaches    = 0x8000001d
	leafAMDTopology  = 0x8000001e
	leafAMDExtended  = 0x80000021
	leafAMDPMU       = 0x80000022
)

// Bits of those functions that depend on the machine and not on the processor.
const (
	featuresVMX         = 1 << 5  // leafFeatures, ECX
	featuresPDCM        = 1 << 15 // the same: performance counters
	featuresTSCDeadline = 1 << 24 // the same
	featuresOSXSAVE     = 1 << 27 // the same; follows CR4
	featuresHypervisor  = 1 << 31 // the same
	featuresAPIC        = 1 << 9  // leafFeatures, EDX; follows the APIC's base
	featuresHTT         = 1 << 28 // the same
	extendedSGX         = 1 << 2  // leafExtended, EBX
	extendedOSPKE       = 1 << 4  // leafExtended, ECX; follows CR4
	extendedSGXLC       = 1 << 30 // the same
	amdCmpLegacy        = 1 << 1  // leafAMDFeatures, ECX
	amdSVM              = 1 << 2  // the same
	amdPerfCtrCore      = 1 << 23 // the same
)

// hidden leaves answer zeros: performance counters and nested guests, whose state
// is not saved, SGX, which needs memory of its own, and a second description of
// the topology.
var hidden = []uint32{leafPMU, leafSGX, leafTopologyV2, leafSVM, leafAMDPMU}

// BootCPUID turns what this host supports into what vCPU number vcpu of count tells
// its guest: one package of single-threaded cores, each with its own number,
// under a hypervisor.
func BootCPUID(supported []CPUIDEntry, vcpu, count int) []CPUIDEntry {
	entries := make([]CPUIDEntry, 0, len(supported)+3)
	for _, e := range supported {
		switch {
		case e.Function == leafTopology, slices.Contains(hidden, e.Function):
		default:
			entries = append(entries, bootEntry(e, uint32(vcpu), uint32(count)))
		}
	}
	if vendor, found := findCPUID(supported, leafVendor, 0); found && vendor.EAX >= leafTopology {
		entries = append(entries, topology(uint32(vcpu), uint32(count))...)
	}
	return entries
}

// bootEntry adapts one entry.
func bootEntry(e CPUIDEntry, vcpu, count uint32) CPUIDEntry {
	switch e.Function {
	case leafFeatures:
		e.EBX = e.EBX&0xffff | min(count, 255)<<16 | vcpu<<24
		e.ECX = e.ECX&^(featuresVMX|featuresPDCM|featuresOSXSAVE) | featuresHypervisor
		e.EDX = withBit(e.EDX, featuresHTT, count > 1)
	case leafExtended:
		if e.Index == 0 {
			e.EBX &^= extendedSGX
			e.ECX &^= extendedSGXLC | extendedOSPKE
		}
	case leafCaches:
		e.EAX = bootCache(e.EAX, count)
		if e.EAX&0x1f != 0 {
			e.EAX = e.EAX&^(0x3f<<26) | min(count-1, 0x3f)<<26
		}
	case leafAMDCaches:
		e.EAX = bootCache(e.EAX, count)
	case leafAMDFeatures:
		e.ECX = withBit(e.ECX&^(amdSVM|amdPerfCtrCore), amdCmpLegacy, count > 1 && e.ECX&amdCmpLegacy != 0)
	case leafAddressSizes:
		e.ECX = e.ECX&^0xf0ff | min(count-1, 0xff) | idBits(count)<<12
	case leafAMDTopology: // number, core with one thread, node 0
		e.EAX, e.EBX, e.ECX = vcpu, vcpu&0xff, 0
	}
	return e
}

// bootCache says who shares a cache: all cores that of level 3, nobody the others.
func bootCache(eax, count uint32) uint32 {
	const typeMask, levelShift, levelMask, sharingShift, sharingMask = 0x1f, 5, 0x7, 14, 0xfff
	if eax&typeMask == 0 {
		return eax // the end of the list
	}
	sharing := uint32(0)
	if eax>>levelShift&levelMask >= 3 {
		sharing = count - 1
	}
	return eax&^(sharingMask<<sharingShift) | min(sharing, sharingMask)<<sharingShift
}

// topology is the three answers of leaf 0xb: one thread in a core, all cores in
// the package, and the end.
func topology(vcpu, count uint32) []CPUIDEntry {
	const thread, core = 1 << 8, 2 << 8
	level := func(index, shift, number, kind uint32) CPUIDEntry {
		return CPUIDEntry{
			Function: leafTopology, Index: index, Flags: CPUIDSignificantIndex,
			EAX: shift, EBX: number, ECX: kind | index, EDX: vcpu,
		}
	}
	return []CPUIDEntry{level(0, 0, 1, thread), level(1, idBits(count), count, core), level(2, 0, 0, 0)}
}

// idBits is how many bits the numbers of count cores take.
func idBits(count uint32) uint32 { return uint32(bits.Len32(count - 1)) }

func withBit(register, bit uint32, set bool) uint32 {
	if set {
		return register | bit
	}
	return register &^ bit
}

func findCPUID(entries []CPUIDEntry, function, index uint32) (CPUIDEntry, bool) {
	for _, e := range entries {
		if e.Function == function && (e.Index == index || e.Flags&CPUIDSignificantIndex == 0) {
			return e, true
		}
	}
	return CPUIDEntry{}, false
}
