//go:build linux && amd64

package kvm

import (
	"sync/atomic"
	"unsafe"
)

// Requests, structures and numbers of Linux, include/uapi/linux/kvm.h and
// arch/x86/include/uapi/asm/kvm.h. The structures have no implicit padding, so
// that their bytes in memory are also their encoding.

// apiVersion has been 12 since Linux 2.6.22 and never changes (api.rst, 4.1).
const apiVersion = 12

// Bits of a request: direction, size of the argument, type 0xae, number. Source:
// include/uapi/asm-generic/ioctl.h.
const (
	requestNone      = 0xae00
	requestWrite     = 1<<30 | 0xae00 // to the kernel
	requestRead      = 2<<30 | 0xae00 // from the kernel
	requestSizeShift = 16
)

const (
	getAPIVersion   = requestNone
	createVM        = requestNone | 0x01
	getMSRIndexList = requestRead | requestWrite | 4<<requestSizeShift | 0x02
	checkExtension  = requestNone | 0x03
	getVCPUMmapSize = requestNone | 0x04
	getSupportedCPU = requestRead | requestWrite | 8<<requestSizeShift | 0x05
	createVCPU      = requestNone | 0x41
	getDirtyLog     = requestWrite | unsafe.Sizeof(dirtyLog{})<<requestSizeShift | 0x42
	setMemoryRegion = requestWrite | unsafe.Sizeof(memoryRegion{})<<requestSizeShift | 0x46
	setTSSAddress   = requestNone | 0x47
	setIdentityMap  = requestWrite | 8<<requestSizeShift | 0x48
	createIRQChip   = requestNone | 0x60
	irqLine         = requestWrite | unsafe.Sizeof(irqLevel{})<<requestSizeShift | 0x61
	setIRQFD        = requestWrite | unsafe.Sizeof(irqFD{})<<requestSizeShift | 0x76
	createPIT2      = requestWrite | unsafe.Sizeof(pitConfig{})<<requestSizeShift | 0x77
	runGuest        = requestNone | 0x80
	getRegs         = requestRead | unsafe.Sizeof(Regs{})<<requestSizeShift | 0x81
	setRegs         = requestWrite | unsafe.Sizeof(Regs{})<<requestSizeShift | 0x82
	getSregs        = requestRead | unsafe.Sizeof(Sregs{})<<requestSizeShift | 0x83
	setSregs        = requestWrite | unsafe.Sizeof(Sregs{})<<requestSizeShift | 0x84
	getMSRs         = requestRead | requestWrite | 8<<requestSizeShift | 0x88
	setMSRs         = requestWrite | 8<<requestSizeShift | 0x89
	getIRQChip      = requestRead | requestWrite | unsafe.Sizeof(irqChip{})<<requestSizeShift | 0x62
	setIRQChip      = requestRead | unsafe.Sizeof(irqChip{})<<requestSizeShift | 0x63 // sic, it is declared to read
	setClock        = requestWrite | unsafe.Sizeof(clockData{})<<requestSizeShift | 0x7b
	getClock        = requestRead | unsafe.Sizeof(clockData{})<<requestSizeShift | 0x7c
	getLAPIC        = requestRead | unsafe.Sizeof([lapicBytes]byte{})<<requestSizeShift | 0x8e
	setLAPIC        = requestWrite | unsafe.Sizeof([lapicBytes]byte{})<<requestSizeShift | 0x8f
	getMPState      = requestRead | 4<<requestSizeShift | 0x98
	setMPState      = requestWrite | 4<<requestSizeShift | 0x99
	getVCPUEvents   = requestRead | unsafe.Sizeof(VCPUEvents{})<<requestSizeShift | 0x9f
	setVCPUEvents   = requestWrite | unsafe.Sizeof(VCPUEvents{})<<requestSizeShift | 0xa0
	getPIT2         = requestRead | unsafe.Sizeof(PITState{})<<requestSizeShift | 0x9f
	setPIT2         = requestWrite | unsafe.Sizeof(PITState{})<<requestSizeShift | 0xa0
	getDebugRegs    = requestRead | unsafe.Sizeof(DebugRegs{})<<requestSizeShift | 0xa1
	setDebugRegs    = requestWrite | unsafe.Sizeof(DebugRegs{})<<requestSizeShift | 0xa2
	setTSCKHz       = requestNone | 0xa2
	getTSCKHz       = requestNone | 0xa3
	getXSAVE        = requestRead | minXSAVEBytes<<requestSizeShift | 0xa4
	setXSAVE        = requestWrite | minXSAVEBytes<<requestSizeShift | 0xa5
	getXCRs         = requestRead | unsafe.Sizeof(XCRs{})<<requestSizeShift | 0xa6
	setXCRs         = requestWrite | unsafe.Sizeof(XCRs{})<<requestSizeShift | 0xa7
	kvmclockCtrl    = requestNone | 0xad
	getXSAVE2       = requestRead | minXSAVEBytes<<requestSizeShift | 0xcf
	setDeviceAttr   = requestWrite | unsafe.Sizeof(deviceAttr{})<<requestSizeShift | 0xe1
	getDeviceAttr   = requestWrite | unsafe.Sizeof(deviceAttr{})<<requestSizeShift | 0xe2
	hasDeviceAttr   = requestWrite | unsafe.Sizeof(deviceAttr{})<<requestSizeShift | 0xe3
	setCPUID2       = requestWrite | 8<<requestSizeShift | 0x90
	getCPUID2       = requestRead | requestWrite | 8<<requestSizeShift | 0x91
)

// Exit reasons, struct kvm_run.
const (
	exitIO            = 2
	exitHLT           = 5
	exitMMIO          = 6
	exitShutdown      = 8
	exitFailEntry     = 9
	exitInternalError = 17
	exitSystemEvent   = 24
)

// Capability numbers, for [System.Capability].
const (
	CapIRQChip          = 0
	CapUserMemory       = 3
	CapSetTSSAddress    = 4
	CapExtendedCPUID    = 7
	CapNrVCPUs          = 9
	CapNrMemorySlots    = 10
	CapMPState          = 14
	CapIRQFD            = 32
	CapPIT2             = 33
	CapPITState2        = 35
	CapSetIdentityMap   = 37
	CapAdjustClock      = 39
	CapVCPUEvents       = 41
	CapDebugRegs        = 50
	CapXSAVE            = 55
	CapXCRS             = 56
	CapTSCControl       = 60
	CapGetTSCKHz        = 61
	CapMaxVCPUs         = 66
	CapTSCDeadlineTimer = 72
	CapKVMClockCtrl     = 76
	CapImmediateExit    = 136
	CapXSAVE2           = 208
)

// runPage is the beginning of struct kvm_run, which the kernel shares with us.
type runPage struct {
	// request has request_interrupt_window in byte 0, which stays 0, and
	// immediate_exit in byte 1. One word, so that it can be set atomically.
	request       atomic.Uint32
	_             uint32
	exitReason    uint32
	readyIF       uint8
	ifFlag        uint8
	flags         uint16
	cr8           uint64
	apicBase      uint64
	detail        [256]byte
	kvmValidRegs  uint64
	kvmDirtyRegs  uint64
	syncRegisters [2048]byte
}

const immediateExit = 1 << 8 // in runPage.request

type exitDetailIO struct {
	direction uint8
	size      uint8
	port      uint16
	count     uint32
	dataOff   uint64
}

type exitDetailMMIO struct {
	gpa     uint64
	data    [8]byte
	len     uint32
	isWrite uint8
}

type exitDetailFailEntry struct {
	reason uint64
	cpu    uint32
}

type exitDetailInternal struct {
	suberror uint32
	ndata    uint32
	data     [16]uint64
}

type memoryRegion struct {
	slot        uint32
	flags       uint32
	gpa         uint64
	memoryBytes uint64
	userAddress uint64
}

const memoryLogDirty = 1 << 0

type dirtyLog struct {
	slot   uint32
	_      uint32
	bitmap unsafe.Pointer
}

type irqLevel struct {
	gsi   uint32
	level uint32
}

type irqFD struct {
	fd  uint32
	gsi uint32
	_   [24]uint8 // flags, resamplefd, pad
}

type pitConfig struct {
	flags uint32
	_     [15]uint32
}

// pitSpeakerDummy makes the kernel answer port 0x61, which Linux uses to
// measure the TSC with the PIT.
const pitSpeakerDummy = 1

// Regs is struct kvm_regs.
type Regs struct {
	RAX, RBX, RCX, RDX uint64
	RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11   uint64
	R12, R13, R14, R15 uint64
	RIP, RFLAGS        uint64
}

// Segment is struct kvm_segment.
type Segment struct {
	Base     uint64
	Limit    uint32
	Selector uint16
	Type     uint8
	Present  uint8
	DPL      uint8
	DB       uint8
	S        uint8
	L        uint8
	G        uint8
	AVL      uint8
	Unusable uint8
	Padding  uint8
}

// Table is struct kvm_dtable: where the GDT or the IDT is.
type Table struct {
	Base    uint64
	Limit   uint16
	Padding [3]uint16
}

// Sregs is struct kvm_sregs.
type Sregs struct {
	CS, DS, ES, FS, GS, SS  Segment
	TR, LDT                 Segment
	GDT, IDT                Table
	CR0, CR2, CR3, CR4, CR8 uint64
	EFER                    uint64
	APICBase                uint64
	InterruptBitmap         [4]uint64
}

// CPUIDEntry is struct kvm_cpuid_entry2: what CPUID answers to one function,
// and one index of it when Flags has [CPUIDSignificantIndex].
type CPUIDEntry struct {
	Function           uint32
	Index              uint32
	Flags              uint32
	EAX, EBX, ECX, EDX uint32
	Padding            [3]uint32
}

// CPUIDSignificantIndex says that the answer depends on ECX.
const CPUIDSignificantIndex = 1 << 0

// MSR is struct kvm_msr_entry.
type MSR struct {
	Index    uint32
	Reserved uint32
	Value    uint64
}

// VCPUEvents is struct kvm_vcpu_events: what is about to be delivered.
type VCPUEvents struct {
	ExceptionInjected     uint8
	ExceptionNumber       uint8
	ExceptionHasErrorCode uint8
	ExceptionPending      uint8
	ExceptionErrorCode    uint32
	InterruptInjected     uint8
	InterruptNumber       uint8
	InterruptSoft         uint8
	InterruptShadow       uint8
	NMIInjected           uint8
	NMIPending            uint8
	NMIMasked             uint8
	NMIPad                uint8
	SIPIVector            uint32
	Flags                 uint32
	SMIInSMM              uint8
	SMIPending            uint8
	SMIInsideNMI          uint8
	SMILatchedInit        uint8
	TripleFaultPending    uint8
	Reserved              [26]uint8
	ExceptionHasPayload   uint8
	ExceptionPayload      uint64
}

// DebugRegs is struct kvm_debugregs.
type DebugRegs struct {
	DB       [4]uint64
	DR6, DR7 uint64
	Flags    uint64
	Reserved [9]uint64
}

// XCR is struct kvm_xcr.
type XCR struct {
	Number   uint32
	Reserved uint32
	Value    uint64
}

// XCRs is struct kvm_xcrs: the extended control registers, Count of them.
type XCRs struct {
	Count   uint32
	Flags   uint32
	XCRs    [16]XCR
	Padding [16]uint64
}

// PITChannel is struct kvm_pit_channel_state.
type PITChannel struct {
	Count         uint32
	LatchedCount  uint16
	CountLatched  uint8
	StatusLatched uint8
	Status        uint8
	ReadState     uint8
	WriteState    uint8
	WriteLatch    uint8
	RWMode        uint8
	Mode          uint8
	BCD           uint8
	Gate          uint8
	CountLoadTime int64
}

// PITState is struct kvm_pit_state2.
type PITState struct {
	Channels [3]PITChannel
	Flags    uint32
	Reserved [9]uint32
}

// PIC is struct kvm_pic_state.
type PIC [16]byte

// IOAPIC is struct kvm_ioapic_state.
type IOAPIC [216]byte

// LAPIC is struct kvm_lapic_state: the registers as the guest sees them, one in 16
// bytes.
type LAPIC [lapicBytes]byte

const lapicBytes = 0x400

// minXSAVEBytes is the size of struct kvm_xsave for all but dynamic features.
const minXSAVEBytes = 4096

// Numbers of the chips, struct kvm_irqchip.
const (
	chipPICMaster = 0
	chipPICSlave  = 1
	chipIOAPIC    = 2
)

type irqChip struct {
	chip uint32
	_    uint32
	data [512]byte
}

type clockData struct {
	clock uint64
	_     [40]uint8 // flags, realtime, host_tsc, pad
}

// deviceAttr names an attribute of a vCPU. Group 0, attribute 0 is the difference
// of the guest's TSC and the host's (Linux, Documentation/virt/kvm/devices/vcpu.rst).
type deviceAttr struct {
	_    [16]uint8 // flags, group, attr
	addr unsafe.Pointer
}
