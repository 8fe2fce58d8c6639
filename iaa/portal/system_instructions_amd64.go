package portal

import "unsafe"

// Feature bits. Source: Intel SDM, volume 2, CPUID.
const (
	featureLeaf         = 7
	featureMOVDIR64B    = 1 << 28 // of ECX
	featureENQCMD       = 1 << 29 // of ECX
	extendedLeafMax     = 0x80000000
	extendedFeatureLeaf = 0x80000001
	featureRDTSCP       = 1 << 27 // of EDX
)

// enqcmd stores 64 bytes to a portal and reports whether the queue took them.
//
//go:noescape
func enqcmd(destination, descriptor unsafe.Pointer) (accepted bool)

// movdir64b stores 64 bytes to a portal in one piece.
//
//go:noescape
func movdir64b(destination, descriptor unsafe.Pointer)

//go:noescape
func pause(count uint32)

//go:noescape
func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// rdtscp returns IA32_TSC_AUX, which Linux sets on each processor to its number
// and node. Source: Linux, arch/x86/include/asm/segment.h, vdso_read_cpunode.
//
//go:noescape
func rdtscp() (aux uint32)

// Pause spins for count turns (none counts as one) of the instruction that
// tells the processor so, about 40 to 140 cycles each.
func Pause(count uint32) { pause(count) }

func instructions() Instructions {
	if maxLeaf, _, _, _ := cpuid(0, 0); maxLeaf < featureLeaf {
		return Instructions{}
	}
	_, _, ecx, _ := cpuid(featureLeaf, 0)
	return Instructions{ENQCMD: ecx&featureENQCMD != 0, MOVDIR64B: ecx&featureMOVDIR64B != 0}
}

func hasRDTSCP() bool {
	if maxLeaf, _, _, _ := cpuid(extendedLeafMax, 0); maxLeaf < extendedFeatureLeaf {
		return false
	}
	_, _, _, edx := cpuid(extendedFeatureLeaf, 0)
	return edx&featureRDTSCP != 0
}
