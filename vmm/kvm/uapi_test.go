//go:build linux && amd64

package kvm

import (
	"encoding/binary"
	"testing"
	"unsafe"
)

// What a C compiler says about linux/kvm.h of Linux 6.1 on x86-64.
func TestRequestNumbers(t *testing.T) {
	for name, pair := range map[string][2]uintptr{
		"KVM_GET_API_VERSION":        {getAPIVersion, 0xae00},
		"KVM_CREATE_VM":              {createVM, 0xae01},
		"KVM_GET_MSR_INDEX_LIST":     {getMSRIndexList, 0xc004ae02},
		"KVM_CHECK_EXTENSION":        {checkExtension, 0xae03},
		"KVM_GET_VCPU_MMAP_SIZE":     {getVCPUMmapSize, 0xae04},
		"KVM_GET_SUPPORTED_CPUID":    {getSupportedCPU, 0xc008ae05},
		"KVM_CREATE_VCPU":            {createVCPU, 0xae41},
		"KVM_GET_DIRTY_LOG":          {getDirtyLog, 0x4010ae42},
		"KVM_SET_USER_MEMORY_REGION": {setMemoryRegion, 0x4020ae46},
		"KVM_SET_TSS_ADDR":           {setTSSAddress, 0xae47},
		"KVM_SET_IDENTITY_MAP_ADDR":  {setIdentityMap, 0x4008ae48},
		"KVM_CREATE_IRQCHIP":         {createIRQChip, 0xae60},
		"KVM_IRQ_LINE":               {irqLine, 0x4008ae61},
		"KVM_GET_IRQCHIP":            {getIRQChip, 0xc208ae62},
		"KVM_SET_IRQCHIP":            {setIRQChip, 0x8208ae63},
		"KVM_IRQFD":                  {setIRQFD, 0x4020ae76},
		"KVM_CREATE_PIT2":            {createPIT2, 0x4040ae77},
		"KVM_SET_CLOCK":              {setClock, 0x4030ae7b},
		"KVM_GET_CLOCK":              {getClock, 0x8030ae7c},
		"KVM_RUN":                    {runGuest, 0xae80},
		"KVM_GET_REGS":               {getRegs, 0x8090ae81},
		"KVM_SET_REGS":               {setRegs, 0x4090ae82},
		"KVM_GET_SREGS":              {getSregs, 0x8138ae83},
		"KVM_SET_SREGS":              {setSregs, 0x4138ae84},
		"KVM_GET_MSRS":               {getMSRs, 0xc008ae88},
		"KVM_SET_MSRS":               {setMSRs, 0x4008ae89},
		"KVM_GET_LAPIC":              {getLAPIC, 0x8400ae8e},
		"KVM_SET_LAPIC":              {setLAPIC, 0x4400ae8f},
		"KVM_SET_CPUID2":             {setCPUID2, 0x4008ae90},
		"KVM_GET_CPUID2":             {getCPUID2, 0xc008ae91},
		"KVM_GET_MP_STATE":           {getMPState, 0x8004ae98},
		"KVM_SET_MP_STATE":           {setMPState, 0x4004ae99},
		"KVM_GET_VCPU_EVENTS":        {getVCPUEvents, 0x8040ae9f},
		"KVM_SET_VCPU_EVENTS":        {setVCPUEvents, 0x4040aea0},
		"KVM_GET_PIT2":               {getPIT2, 0x8070ae9f},
		"KVM_SET_PIT2":               {setPIT2, 0x4070aea0},
		"KVM_GET_DEBUGREGS":          {getDebugRegs, 0x8080aea1},
		"KVM_SET_DEBUGREGS":          {setDebugRegs, 0x4080aea2},
		"KVM_SET_TSC_KHZ":            {setTSCKHz, 0xaea2},
		"KVM_GET_TSC_KHZ":            {getTSCKHz, 0xaea3},
		"KVM_GET_XSAVE":              {getXSAVE, 0x9000aea4},
		"KVM_SET_XSAVE":              {setXSAVE, 0x5000aea5},
		"KVM_GET_XCRS":               {getXCRs, 0x8188aea6},
		"KVM_SET_XCRS":               {setXCRs, 0x4188aea7},
		"KVM_KVMCLOCK_CTRL":          {kvmclockCtrl, 0xaead},
		"KVM_GET_XSAVE2":             {getXSAVE2, 0x9000aecf},
		"KVM_SET_DEVICE_ATTR":        {setDeviceAttr, 0x4018aee1},
		"KVM_GET_DEVICE_ATTR":        {getDeviceAttr, 0x4018aee2},
		"KVM_HAS_DEVICE_ATTR":        {hasDeviceAttr, 0x4018aee3},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %#x, want %#x", name, pair[0], pair[1])
		}
	}
}

// wantSize checks a structure's size, and that it has no gaps: then what
// encoding/binary writes is what the kernel reads.
func wantSize[T any](t *testing.T, name string, want int, exported bool) {
	t.Helper()
	var v T
	if got := int(unsafe.Sizeof(v)); got != want {
		t.Errorf("struct %s has %d bytes, want %d", name, got, want)
	}
	if got := binary.Size(&v); exported && got != want {
		t.Errorf("struct %s encodes to %d bytes, want %d", name, got, want)
	}
}

func TestStructureSizes(t *testing.T) {
	wantSize[memoryRegion](t, "kvm_userspace_memory_region", 32, false)
	wantSize[dirtyLog](t, "kvm_dirty_log", 16, false)
	wantSize[irqLevel](t, "kvm_irq_level", 8, false)
	wantSize[irqFD](t, "kvm_irqfd", 32, false)
	wantSize[pitConfig](t, "kvm_pit_config", 64, false)
	wantSize[irqChip](t, "kvm_irqchip", 520, false)
	wantSize[clockData](t, "kvm_clock_data", 48, false)
	wantSize[deviceAttr](t, "kvm_device_attr", 24, false)
	wantSize[Regs](t, "kvm_regs", 144, true)
	wantSize[Segment](t, "kvm_segment", 24, true)
	wantSize[Table](t, "kvm_dtable", 16, true)
	wantSize[Sregs](t, "kvm_sregs", 312, true)
	wantSize[CPUIDEntry](t, "kvm_cpuid_entry2", 40, true)
	wantSize[MSR](t, "kvm_msr_entry", 16, true)
	wantSize[VCPUEvents](t, "kvm_vcpu_events", 64, true)
	wantSize[DebugRegs](t, "kvm_debugregs", 128, true)
	wantSize[XCR](t, "kvm_xcr", 16, true)
	wantSize[XCRs](t, "kvm_xcrs", 392, true)
	wantSize[PITChannel](t, "kvm_pit_channel_state", 24, true)
	wantSize[PITState](t, "kvm_pit_state2", 112, true)
	wantSize[PIC](t, "kvm_pic_state", 16, true)
	wantSize[IOAPIC](t, "kvm_ioapic_state", 216, true)
	wantSize[LAPIC](t, "kvm_lapic_state", 1024, true)
	wantSize[vcpuFixed](t, "encoded vCPU, fixed part", 1080, true)
	wantSize[vmEncoded](t, "encoded VM", 376, true)
}

func TestRunPageLayout(t *testing.T) {
	var page runPage
	for name, pair := range map[string][2]uintptr{
		"exit_reason":       {unsafe.Offsetof(page.exitReason), 8},
		"the union":         {unsafe.Offsetof(page.detail), 32},
		"io.data_offset":    {unsafe.Offsetof(exitDetailIO{}.dataOff), 8},
		"mmio.data":         {unsafe.Offsetof(exitDetailMMIO{}.data), 8},
		"mmio.is_write":     {unsafe.Offsetof(exitDetailMMIO{}.isWrite), 20},
		"internal.data":     {unsafe.Offsetof(exitDetailInternal{}.data), 8},
		"size of the whole": {unsafe.Sizeof(page), 2352},
		"exception_payload": {unsafe.Offsetof(VCPUEvents{}.ExceptionPayload), 56},
		"chip":              {unsafe.Offsetof(irqChip{}.data), 8},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is at %d, want %d", name, pair[0], pair[1])
		}
	}
}
