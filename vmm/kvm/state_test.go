//go:build linux && amd64

package kvm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
)

// saved is a machine as it travels: encoded.
type saved struct {
	ram   []byte
	vm    []byte
	vcpus [][]byte
}

// save stops a machine whose vCPU has just exited, and takes everything.
func (m *testMachine) save(t *testing.T, vcpus ...*VCPU) saved {
	t.Helper()
	wantNoError(t, m.vcpu.Kick())
	m.run(t, Interrupted)
	wantNoError(t, m.vcpu.NotifyPaused())
	vm, err := m.vm.State()
	wantNoError(t, err)
	s := saved{ram: bytes.Clone(m.ram)}
	s.vm, err = vm.MarshalBinary()
	wantNoError(t, err)
	for _, c := range append([]*VCPU{m.vcpu}, vcpus...) {
		state, err := c.State()
		wantNoError(t, err)
		s.vcpus = append(s.vcpus, marshalVCPU(t, state))
	}
	return s
}

// restore makes another machine of it.
func restore(t *testing.T, s saved) (m *testMachine, vcpus []*VCPU) {
	t.Helper()
	m = newBareMachine(t)
	copy(m.ram, s.ram)
	vcpus = []*VCPU{m.vcpu}
	for id, b := range s.vcpus {
		if id > 0 {
			c, err := m.vm.CreateVCPU(id)
			wantNoError(t, err)
			vcpus = append(vcpus, c)
		}
		state := decodeVCPU(t, b)
		supported, err := m.system.SupportedCPUID()
		wantNoError(t, err)
		wantNoError(t, CheckCPUID(state.CPUID, supported))
		wantNoError(t, vcpus[id].SetState(state))
	}
	var vm VMState
	wantNoError(t, vm.UnmarshalBinary(s.vm))
	wantNoError(t, m.vm.SetState(vm))
	return m, vcpus
}

func decodeVCPU(t *testing.T, b []byte) (s VCPUState) {
	t.Helper()
	wantNoError(t, s.UnmarshalBinary(b))
	return s
}

// Where the 64-bit guests of these tests have their things.
const (
	pml4At, pdptAt, pdLowAt, pdHighAt = 0x2000, 0x3000, 0x4000, 0x5000
	dataAt, resultAt                  = 0x6000, 0x6100
	idtAt                             = 0x7000
	handlerAt                         = 0x1800
	timerVector                       = 0x30
)

// newLongMachine makes a machine whose vCPU runs 64-bit code, with the first
// 2 MiB mapped and the local APIC, and a handler of interrupt 0x30 that writes to
// port 0x82.
func newLongMachine(t *testing.T, code ...byte) *testMachine {
	t.Helper()
	m := newMachine(t, code...)
	put64 := func(at int, value uint64) { binary.LittleEndian.PutUint64(m.ram[at:], value) }
	const present, large = 3, 0x80
	put64(pml4At, pdptAt|present)
	put64(pdptAt, pdLowAt|present)
	put64(pdptAt+3*8, pdHighAt|present)
	put64(pdLowAt, 0|present|large)
	put64(pdHighAt+(0xfee00000>>21&511)*8, 0xfee00000|present|large)
	put64(idtAt+16*timerVector, 8<<16|handlerAt|0x8e00<<32)
	copy(m.ram[handlerAt:], []byte{0xe6, 0x82, 0xeb, 0xfe}) // out %al, $0x82; jmp .

	s, err := m.vcpu.Sregs()
	wantNoError(t, err)
	s.CR0, s.CR3, s.CR4, s.EFER = 0x80000031, pml4At, 0x40620, 0x500 // OSXSAVE, OSFXSR, OSXMMEXCPT, PAE; LME, LMA
	s.CS = Segment{Limit: 0xffffffff, Selector: 8, Type: 11, Present: 1, S: 1, L: 1, G: 1}
	data := Segment{Limit: 0xffffffff, Selector: 16, Type: 3, Present: 1, S: 1, DB: 1, G: 1}
	s.DS, s.ES, s.FS, s.GS, s.SS = data, data, data, data, data
	s.IDT = Table{Base: idtAt, Limit: 0xfff}
	put64(0x500+8, 0x00af9b000000ffff) // the code segment once more: IRET and gates read it
	s.GDT = Table{Base: 0x500, Limit: 0xf}
	wantNoError(t, m.vcpu.SetSregs(s))
	// XCR0 is set from outside: not every emulated processor tells KVM of XSETBV.
	wantNoError(t, m.vcpu.putXCRs(&VCPUState{XCRs: XCRs{Count: 1, XCRs: [16]XCR{{Value: 7}}}})) // x87, SSE, AVX
	return m
}

// setUp leaves something in registers of every sort.
var setUp = []byte{
	0xc5, 0xfe, 0x6f, 0x2c, 0x25, 0x00, 0x60, 0, 0, // vmovdqu 0x6000, %ymm5
	0xb9, 0x02, 0x01, 0x00, 0xc0, // mov $0xc0000102, %ecx: kernel's GS base
	0xb8, 0x88, 0x77, 0x66, 0x55, // mov $0x55667788, %eax
	0xba, 0x44, 0x33, 0x00, 0x00, // mov $0x3344, %edx
	0x0f, 0x30, // wrmsr
	0x48, 0xc7, 0xc0, 0x78, 0x56, 0x34, 0x12, // mov $0x12345678, %rax
	0x0f, 0x23, 0xc0, // mov %rax, %dr0
	0x49, 0xbf, 8, 7, 6, 5, 4, 3, 2, 1, // movabs $0x0102030405060708, %r15
}

// checkpoint is where a machine is saved.
var checkpoint = []byte{0xe6, 0x80} // out %al, $0x80

// tell writes what setUp left to memory, and then to port 0x81.
var tell = []byte{
	0xc5, 0xfe, 0x7f, 0x2c, 0x25, 0x00, 0x61, 0, 0, // vmovdqu %ymm5, 0x6100
	0xb9, 0x02, 0x01, 0x00, 0xc0, // mov $0xc0000102, %ecx
	0x0f, 0x32, // rdmsr
	0x89, 0x04, 0x25, 0x20, 0x61, 0, 0, // mov %eax, 0x6120
	0x89, 0x14, 0x25, 0x24, 0x61, 0, 0, // mov %edx, 0x6124
	0x0f, 0x21, 0xc0, // mov %dr0, %rax
	0x48, 0x89, 0x04, 0x25, 0x28, 0x61, 0, 0, // mov %rax, 0x6128
	0x4c, 0x89, 0x3c, 0x25, 0x30, 0x61, 0, 0, // mov %r15, 0x6130
	0xe6, 0x81, // out %al, $0x81
}

// waitForever is interrupted by the timer.
var waitForever = []byte{0xfb, 0xf4, 0xeb, 0xfd} // sti; hlt; jmp to the hlt

// wantTold checks that the guest still had what setUp left.
func wantTold(t *testing.T, ram []byte) {
	t.Helper()
	want := bytes.Clone(ram[dataAt : dataAt+32])
	for _, n := range []uint64{0x334455667788, 0x12345678, 0x0102030405060708} {
		want = binary.LittleEndian.AppendUint64(want, n)
	}
	if got := ram[resultAt : resultAt+len(want)]; !bytes.Equal(got, want) {
		t.Errorf("got  % x\nwant % x", got, want)
	}
}

func guest(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func wantPort(t *testing.T, m *testMachine, port uint16) {
	t.Helper()
	if exit := m.run(t, IO); exit.Port != port {
		t.Fatalf("%v, want port %#x", exit, port)
	}
}

// testTimer runs a guest that has armed a timer, moves it to another machine, and
// waits there for the interrupt.
func testTimer(t *testing.T, arm []byte) saved {
	t.Helper()
	m := newLongMachine(t, guest(setUp, arm, checkpoint, tell, waitForever)...)
	for i := range 32 {
		m.ram[dataAt+i] = byte(0xa0 + i)
	}
	wantPort(t, m, 0x80)
	s := m.save(t)
	n, _ := restore(t, s)
	wantPort(t, n, 0x81)
	wantTold(t, n.ram)
	wantPort(t, n, 0x82)
	return s
}

func TestKVMStateWithOneShotTimer(t *testing.T) {
	testTimer(t, []byte{
		0xbb, 0x00, 0x00, 0xe0, 0xfe, // mov $0xfee00000, %ebx
		0xc7, 0x83, 0xf0, 0x00, 0, 0, 0xff, 0x01, 0, 0, // movl $0x1ff, 0xf0(%rbx): enable the APIC
		0xc7, 0x83, 0xe0, 0x03, 0, 0, 0x0b, 0, 0, 0, // movl $0xb, 0x3e0(%rbx): divide by 1
		0xc7, 0x83, 0x20, 0x03, 0, 0, 0x30, 0, 0, 0, // movl $0x30, 0x320(%rbx): once, vector 0x30
		0xc7, 0x83, 0x80, 0x03, 0, 0, 0, 0, 0, 0x10, // movl $0x10000000, 0x380(%rbx): 268 ms
	})
}

func TestKVMStateWithDeadlineTimer(t *testing.T) {
	s := testTimer(t, []byte{
		0xbb, 0x00, 0x00, 0xe0, 0xfe, // mov $0xfee00000, %ebx
		0xc7, 0x83, 0xf0, 0x00, 0, 0, 0xff, 0x01, 0, 0, // movl $0x1ff, 0xf0(%rbx)
		0xc7, 0x83, 0x20, 0x03, 0, 0, 0x30, 0, 0x04, 0, // movl $0x40030, 0x320(%rbx): deadline mode
		0x0f, 0x31, // rdtsc
		0x05, 0, 0, 0, 0x70, // add $0x70000000, %eax
		0x83, 0xd2, 0x00, // adc $0, %edx
		0xb9, 0xe0, 0x06, 0, 0, // mov $0x6e0, %ecx
		0x0f, 0x30, // wrmsr
	})
	for _, m := range decodeVCPU(t, s.vcpus[0]).MSRs {
		if m.Index == msrTSCDeadline {
			return
		}
	}
	t.Error("the deadline is not part of the state")
}

// The PIT ticks on in another machine, through PIC and local APIC.
func TestKVMStateWithPIT(t *testing.T) {
	m := newMachine(t,
		0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, // PIC: vectors from 0x20
		0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21,
		0xb0, 0x00, 0xe6, 0x21,
		0xb0, 0x34, 0xe6, 0x43, // PIT: channel 0, mode 2
		0xb0, 0x00, 0xe6, 0x40, 0xb0, 0x00, 0xe6, 0x40, // every 0x10000, 55 ms
		0xfb, 0xf4, 0xeb, 0xfd, // sti; hlt; jmp to the hlt
	)
	copy(m.ram[4*0x20:], []byte{0x00, 0x30, 0, 0}) // IRQ 0 at 0:0x3000
	copy(m.ram[0x3000:], []byte{
		0xb0, 0x20, 0xe6, 0x20, // mov $0x20, %al; out %al, $0x20: end of interrupt
		0xe6, 0x83, // out %al, $0x83
		0xcf, // iret
	})
	// Often, because a tick may be half done when the state is taken.
	for range 10 {
		wantPort(t, m, 0x83)
		m, _ = restore(t, m.save(t))
	}
	wantPort(t, m, 0x83)
}

// A state that was put into a machine comes out of it the same.
func TestKVMStateIsStable(t *testing.T) {
	m := newLongMachine(t, guest(setUp, checkpoint, tell)...)
	copy(m.ram[dataAt:], "0123456789abcdefghijklmnopqrstuv")
	wantPort(t, m, 0x80)
	s := m.save(t)
	n, _ := restore(t, s)
	again := n.stateNow(t)
	want, got := decodeVCPU(t, s.vcpus[0]), decodeVCPU(t, again.vcpus[0])
	got.MSRs, want.MSRs = withoutClocks(got.MSRs), withoutClocks(want.MSRs)
	got.TSCOffset = want.TSCOffset
	for field, value := range reflect.ValueOf(got).Fields() {
		if before := reflect.ValueOf(want).FieldByName(field.Name); !reflect.DeepEqual(value.Interface(), before.Interface()) {
			t.Errorf("%s is\n%v, was\n%v", field.Name, value, before)
		}
	}
	if ymm := want.XSAVE[576+5*16 : 576+6*16]; !bytes.Equal(ymm, m.ram[dataAt+16:dataAt+32]) {
		t.Errorf("upper half of YMM5 is % x", ymm)
	}
}

// stateNow saves a machine that has not run yet.
func (m *testMachine) stateNow(t *testing.T) (s saved) {
	t.Helper()
	state, err := m.vcpu.State()
	wantNoError(t, err)
	s.vcpus = [][]byte{marshalVCPU(t, state)}
	return s
}

func withoutClocks(msrs []MSR) (rest []MSR) {
	for _, m := range msrs {
		if m.Index != msrTSC {
			rest = append(rest, m)
		}
	}
	return rest
}

// TSCs of several vCPUs keep their distance, and a vCPU that waits to be started
// still waits.
func TestKVMStateOfTwoVCPUs(t *testing.T) {
	m := newMachine(t, checkpoint...)
	second, err := m.vm.CreateVCPU(1)
	wantNoError(t, err)
	supported, err := m.system.SupportedCPUID()
	wantNoError(t, err)
	wantNoError(t, second.SetCPUID(BootCPUID(supported, 1, 2)))
	const distance = 123456789
	first, known, err := m.vcpu.tscOffset()
	wantNoError(t, err)
	if known {
		wantNoError(t, second.setTSCOffset(first+distance))
	}
	wantPort(t, m, 0x80)
	_, vcpus := restore(t, m.save(t, second))
	state, err := vcpus[1].State()
	wantNoError(t, err)
	const uninitialized = 1 // KVM_MP_STATE_UNINITIALIZED
	if state.MPState != uninitialized {
		t.Errorf("MP state of the second vCPU is %d", state.MPState)
	}
	a, _, err := vcpus[0].tscOffset()
	wantNoError(t, err)
	b, _, err := vcpus[1].tscOffset()
	wantNoError(t, err)
	if known && b-a != distance {
		t.Errorf("TSCs are %d apart, were %d", b-a, distance)
	}
}

func TestKVMStateInTheMiddleOfAnInstruction(t *testing.T) {
	m := newMachine(t, checkpoint...)
	wantPort(t, m, 0x80)
	if _, err := m.vcpu.State(); !errors.Is(err, ErrUnfinished) {
		t.Errorf("got %v", err)
	}
}

func TestKVMStateThatIsRefused(t *testing.T) {
	m := newMachine(t, checkpoint...)
	state, err := m.vcpu.State()
	wantNoError(t, err)
	for name, test := range map[string]struct {
		change func(*VCPUState)
		class  error
	}{
		"vectors": {func(s *VCPUState) { s.XSAVE = make([]byte, maxXSAVEBytes) }, ErrXSAVE},
		"MSR":     {func(s *VCPUState) { s.MSRs = []MSR{{Index: 0xdead0000, Value: 1}} }, ErrMSR},
		"CPUID":   {func(s *VCPUState) { s.CPUID = make([]CPUIDEntry, 257) }, errTooMany},
	} {
		changed := state
		test.change(&changed)
		n := newBareMachine(t)
		if err := n.vcpu.SetState(changed); !errors.Is(err, test.class) {
			t.Errorf("%s: %v, want %v", name, err, test.class)
		}
	}
}

func TestKVMBootCPUIDIsAccepted(t *testing.T) {
	m := newBareMachine(t)
	supported, err := m.system.SupportedCPUID()
	wantNoError(t, err)
	want := BootCPUID(supported, 0, 4)
	wantNoError(t, m.vcpu.SetCPUID(want))
	got, err := m.vcpu.CPUID()
	wantNoError(t, err)
	wantNoError(t, CheckCPUID(got, supported))
	if len(got) != len(want) {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
	for _, e := range want {
		if e.Function != leafTopology {
			continue
		}
		if has, found := findCPUID(got, e.Function, e.Index); !found || has != e {
			t.Errorf("topology %+v, want %+v", has, e)
		}
	}
}

func TestKVMDirtyLog(t *testing.T) {
	m := newMachine(t,
		0xa2, 0x00, 0x50, // mov %al, 0x5000
		0xe6, 0x80, // out %al, $0x80
	)
	if _, err := m.vm.DirtyLog(0, testRAMBytes/pageBytes); err != nil {
		t.Fatal(err)
	}
	wantPort(t, m, 0x80)
	log, err := m.vm.DirtyLog(0, testRAMBytes/pageBytes)
	wantNoError(t, err)
	if len(log) != testRAMBytes/pageBytes/64 || log[0]&(1<<5) == 0 || log[0]&^(1<<1|1<<5) != 0 { // the code's page may be written, too
		t.Errorf("dirty: %#x", log)
	}
	log, err = m.vm.DirtyLog(0, testRAMBytes/pageBytes)
	wantNoError(t, err)
	if log[0] != 0 {
		t.Errorf("still dirty: %#x", log)
	}
}

func TestKVMMemoryThatIsRefused(t *testing.T) {
	m := newBareMachine(t)
	for name, err := range map[string]error{
		"size":    m.vm.SetMemory(1, 1<<30, m.ram[:100], false),
		"address": m.vm.SetMemory(1, 1<<30+1, m.ram, false),
	} {
		if !errors.Is(err, ErrMemory) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, pages := range []int{0, 1, testRAMBytes/pageBytes + 64} {
		if _, err := m.vm.DirtyLog(0, pages); !errors.Is(err, ErrMemory) {
			t.Errorf("log of %d pages: %v", pages, err)
		}
	}
	if _, err := m.vm.DirtyLog(9, 1); !errors.Is(err, ErrMemory) {
		t.Errorf("log of no slot: %v", err)
	}
}
