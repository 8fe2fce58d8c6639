//go:build linux && amd64

package kvm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// ErrMissingFeatures is returned for a guest that was told of more than this host
// has. The message names what is missing.
var ErrMissingFeatures = errors.New("this processor lacks what the guest was started with")

// register names one of the four that CPUID answers in.
type register string

func (r register) of(e CPUIDEntry) uint32 {
	switch r {
	case "eax":
		return e.EAX
	case "ebx":
		return e.EBX
	case "ecx":
		return e.ECX
	default:
		return e.EDX
	}
}

// features is a register whose bits are features. names has one word for each
// bit from bit 0 on, as /proc/cpuinfo calls it, and - for what has no name; ignored
// are bits that say nothing about the processor.
type features struct {
	function, index uint32
	register        register
	ignored         uint32
	names           string
}

// featureRegisters are compared bit by bit.
var featureRegisters = []features{
	{leafFeatures, 0, "ecx", featuresOSXSAVE | featuresHypervisor, "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est " +
		"tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes " +
		"xsave osxsave avx f16c rdrand hypervisor"},
	{leafFeatures, 0, "edx", featuresAPIC | featuresHTT, "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca " +
		"cmov pat pse36 pn clflush - dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe"},
	{leafPower, 0, "eax", 0, "dtherm ida arat"},
	// Bits 6 and 13 say that something is gone.
	{leafExtended, 0, "ebx", 1<<6 | 1<<13, "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx " +
		"rdt_a avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni " +
		"avx512bw avx512vl"},
	{leafExtended, 0, "ecx", extendedOSPKE, "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq " +
		"avx512_vnni avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri " +
		"movdir64b enqcmd sgx_lc pks"},
	{leafExtended, 0, "edx", 0, "- - avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect srbds_ctrl md_clear " +
		"rtm_always_abort - tsx_force_abort serialize hybrid tsxldtrk - pconfig arch_lbr ibt - amx_bf16 avx512_fp16 " +
		"amx_tile amx_int8 spec_ctrl intel_stibp flush_l1d arch_capabilities core_capabilities ssbd"},
	{leafExtended, 1, "eax", 0, "- - - - avx_vnni avx512_bf16 - cmpccxadd - - fzrm fsrs fsrc - - - - - - - - amx_fp16 - " +
		"avx_ifma"},
	{leafExtended, 1, "edx", 0, "- - - - avx_vnni_int8 avx_ne_convert - - amx_complex - - - - - prefetchiti"},
	{leafExtended, 2, "edx", 0, "intel_psfd ipred_ctrl rrsba_ctrl ddpd_u bhi_ctrl mcdt_no"},
	{leafXSAVE, 0, "eax", 0, "xstate_fp xstate_sse xstate_avx xstate_bndregs xstate_bndcsr xstate_opmask xstate_zmm_hi256 " +
		"xstate_hi16_zmm - xstate_pkru - - - - - - - xstate_tilecfg xstate_tiledata"},
	{leafXSAVE, 0, "edx", 0, ""},
	{leafXSAVE, 1, "eax", 0, "xsaveopt xsavec xgetbv1 xsaves xfd"},
	{leafXSAVE, 1, "ecx", 0, ""},
	{leafKVM, 0, "eax", 0, "kvm_clocksource kvm_nop_io_delay kvm_mmu_op kvm_clocksource2 kvm_async_pf kvm_steal_time " +
		"kvm_pv_eoi kvm_pv_unhalt - kvm_pv_tlb_flush kvm_async_pf_vmexit kvm_pv_send_ipi kvm_poll_control " +
		"kvm_pv_sched_yield kvm_async_pf_int kvm_msi_ext_dest_id kvm_hc_map_gpa_range kvm_migration_control - - - - - - " +
		"kvm_clocksource_stable"},
	{leafAMDFeatures, 0, "ecx", amdCmpLegacy, "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch " +
		"osvw ibs xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc " +
		"perfctr_llc mwaitx"},
	{leafAMDFeatures, 0, "edx", featuresAPIC, "fpu vme de pse tsc msr pae mce cx8 apic - syscall mtrr pge mca cmov pat pse36 - " +
		"mp nx - mmxext mmx fxsr fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow"},
	{leafAMDPower, 0, "edx", 0, "- - - - - - - - constant_tsc"},
	{leafAddressSizes, 0, "ebx", 0, "clzero irperf xsaveerptr - rdpru - - - - wbnoinvd - - amd_ibpb - amd_ibrs amd_stibp - " +
		"amd_stibp_always_on - - - - - amd_ppin amd_ssbd virt_ssbd amd_ssb_no cppc amd_psfd btc_no ibpb_ret"},
	{leafAMDExtended, 0, "eax", 0, "no_nested_data_bp - lfence_rdtsc - - - null_sel_clr_base - autoibrs no_smm_ctl_msr"},
}

func (f features) name(bit int) string {
	if names := strings.Fields(f.names); bit < len(names) && names[bit] != "-" {
		return names[bit]
	}
	return fmt.Sprintf("CPUID %#x.%d %s bit %d", f.function, f.index, f.register, bit)
}

// missing names the features that saved has and supported has not.
func (f features) missing(saved, supported []CPUIDEntry) (names []string) {
	want, _ := findCPUID(saved, f.function, f.index)
	have, _ := findCPUID(supported, f.function, f.index)
	lacking := f.register.of(want) &^ f.register.of(have) &^ f.ignored
	for bit := range 32 {
		if lacking>>bit&1 != 0 {
			names = append(names, f.name(bit))
		}
	}
	return names
}

// CheckCPUID compares what a guest was told about its processor with what this
// host supports. It returns ErrMissingFeatures if the guest would miss something;
// that the host has more does not matter.
func CheckCPUID(saved, supported []CPUIDEntry) error {
	var missing []string
	if want, have := vendor(saved), vendor(supported); want != have {
		missing = append(missing, fmt.Sprintf("vendor %q (here %q)", want, have))
	}
	for _, f := range featureRegisters {
		missing = append(missing, f.missing(saved, supported)...)
	}
	if want, have := addressBits(saved), addressBits(supported); want > have {
		missing = append(missing, fmt.Sprintf("%d bits of physical addresses (here %d)", want, have))
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %s", ErrMissingFeatures, strings.Join(missing, ", "))
	}
	return nil
}

// vendor is the name in leaf 0, which comes in EBX, EDX, ECX.
func vendor(entries []CPUIDEntry) string {
	e, _ := findCPUID(entries, leafVendor, 0)
	var name []byte
	for _, part := range []uint32{e.EBX, e.EDX, e.ECX} {
		name = binary.LittleEndian.AppendUint32(name, part)
	}
	return strings.TrimRight(string(name), "\x00")
}

// addressBits is the size of physical addresses, above which bits of page tables
// are reserved.
func addressBits(entries []CPUIDEntry) uint32 {
	e, _ := findCPUID(entries, leafAddressSizes, 0)
	return e.EAX & 0xff
}
