//go:build linux && amd64

package kvm

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"sabrefs/tests/kvmtest"
)

func wantNoError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

const (
	testRAMBytes = 1 << 20
	codeAt       = 0x1000
)

// testMachine is a machine with 1 MiB of RAM and one vCPU, which is to run
// 16-bit code.
type testMachine struct {
	system *System
	vm     *VM
	vcpu   *VCPU
	ram    []byte
}

// newMachine makes a machine that has code at 0x1000 and starts there. It ends
// with the test, whose thread it takes.
func newMachine(t *testing.T, code ...byte) *testMachine {
	t.Helper()
	m := newBareMachine(t)
	copy(m.ram[codeAt:], code)
	cpuid, err := m.system.SupportedCPUID()
	wantNoError(t, err)
	wantNoError(t, m.vcpu.SetCPUID(cpuid))
	sregs, err := m.vcpu.Sregs()
	wantNoError(t, err)
	sregs.CS.Base, sregs.CS.Selector = 0, 0
	wantNoError(t, m.vcpu.SetSregs(sregs))
	wantNoError(t, m.vcpu.SetRegs(Regs{RIP: codeAt, RSP: 0x8000, RFLAGS: 2}))
	return m
}

// newBareMachine makes one whose vCPU is as it comes out of the kernel.
func newBareMachine(t *testing.T) *testMachine {
	t.Helper()
	kvmtest.Need(t)
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	m := &testMachine{}
	var err error
	m.system, err = Open()
	wantNoError(t, err)
	t.Cleanup(func() { wantNoError(t, m.system.Close()) })
	m.vm, err = m.system.CreateVM()
	wantNoError(t, err)
	t.Cleanup(func() { wantNoError(t, m.vm.Close()) })
	m.ram, err = unix.Mmap(-1, 0, testRAMBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	wantNoError(t, err)
	t.Cleanup(func() { wantNoError(t, unix.Munmap(m.ram)) })
	wantNoError(t, m.vm.SetTSSAddress(0xfffbd000))
	wantNoError(t, m.vm.SetIdentityMap(0xfffbc000))
	wantNoError(t, m.vm.CreateIRQChip())
	wantNoError(t, m.vm.CreatePIT())
	wantNoError(t, m.vm.SetMemory(0, 0, m.ram, true))
	m.vcpu, err = m.vm.CreateVCPU(0)
	wantNoError(t, err)
	return m
}

// run runs to the next exit, which has to be of this kind.
func (m *testMachine) run(t *testing.T, want Reason) Exit {
	t.Helper()
	exit, err := m.vcpu.Run()
	wantNoError(t, err)
	if exit.Reason != want {
		t.Fatalf("exit is %v, want %v", exit, want)
	}
	return exit
}
