//go:build linux && amd64

package kvm

import (
	"bytes"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestKVMWriteToPort(t *testing.T) {
	m := newMachine(t,
		0xb0, 0x42, // mov $0x42, %al
		0xe6, 0x80, // out %al, $0x80
	)
	exit := m.run(t, IO)
	if !exit.Write || exit.Port != 0x80 || exit.Size != 1 || exit.Count != 1 || !bytes.Equal(exit.Data, []byte{0x42}) {
		t.Errorf("%v, data % x", exit, exit.Data)
	}
}

func TestKVMStringWriteToPort(t *testing.T) {
	m := newMachine(t,
		0xbe, 0x00, 0x20, // mov $0x2000, %si
		0xb9, 0x05, 0x00, // mov $5, %cx
		0xba, 0xf8, 0x03, // mov $0x3f8, %dx
		0xf3, 0x6e, // rep outsb
		0xe6, 0x80, // out %al, $0x80
	)
	copy(m.ram[0x2000:], "hello")
	var got []byte
	for len(got) < 5 {
		exit := m.run(t, IO)
		if exit.Port != 0x3f8 {
			t.Fatalf("%v after %q", exit, got)
		}
		got = append(got, exit.Data...)
	}
	if string(got) != "hello" {
		t.Errorf("got %q", got)
	}
	if exit := m.run(t, IO); exit.Port != 0x80 {
		t.Errorf("then %v", exit)
	}
}

func TestKVMReadFromPort(t *testing.T) {
	m := newMachine(t,
		0xe5, 0x60, // in $0x60, %ax
		0xe7, 0x80, // out %ax, $0x80
	)
	exit := m.run(t, IO)
	if exit.Write || exit.Port != 0x60 || len(exit.Data) != 2 {
		t.Fatalf("%v, data % x", exit, exit.Data)
	}
	copy(exit.Data, []byte{0x34, 0x12})
	if exit := m.run(t, IO); !exit.Write || !bytes.Equal(exit.Data, []byte{0x34, 0x12}) {
		t.Errorf("%v, data % x", exit, exit.Data)
	}
}

func TestKVMMemoryThatIsNotThere(t *testing.T) {
	m := newMachine(t,
		0x66, 0xb8, 0x00, 0x00, 0x00, 0xd0, // mov $0xd0000000, %eax
		0x67, 0x8b, 0x18, // mov (%eax), %bx
		0x67, 0x89, 0x58, 0x10, // mov %bx, 0x10(%eax)
	)
	sregs, err := m.vcpu.Sregs()
	wantNoError(t, err)
	sregs.DS.Limit, sregs.DS.G = 0xffffffff, 1
	wantNoError(t, m.vcpu.SetSregs(sregs))
	exit := m.run(t, MMIO)
	if exit.Write || exit.GPA != 0xd0000000 || len(exit.Data) != 2 {
		t.Fatalf("%v", exit)
	}
	copy(exit.Data, []byte{0xcd, 0xab})
	exit = m.run(t, MMIO)
	if !exit.Write || exit.GPA != 0xd0000010 || !bytes.Equal(exit.Data, []byte{0xcd, 0xab}) {
		t.Errorf("%v, data % x", exit, exit.Data)
	}
}

func TestKVMTripleFault(t *testing.T) {
	m := newMachine(t,
		0x0f, 0x01, 0x1e, 0x00, 0x20, // lidt 0x2000: limit 0, base 0
		0xcc, // int3
	)
	m.run(t, Shutdown)
}

func TestKVMKickEndlessLoop(t *testing.T) {
	m := newMachine(t, 0xeb, 0xfe) // jmp .
	for range 3 {
		kicker := time.AfterFunc(20*time.Millisecond, func() { _ = m.vcpu.Kick() })
		m.run(t, Interrupted)
		kicker.Stop()
	}
	regs, err := m.vcpu.Regs()
	wantNoError(t, err)
	if regs.RIP != codeAt {
		t.Errorf("loop is at %#x", regs.RIP)
	}
}

func TestKVMKickHaltedGuest(t *testing.T) {
	m := newMachine(t, 0xf4) // hlt, interrupts off
	defer time.AfterFunc(20*time.Millisecond, func() { _ = m.vcpu.Kick() }).Stop()
	m.run(t, Interrupted)
}

// A kick that comes before Run, or together with another exit, is kept; and it
// lets the kernel finish the instruction of that exit.
func TestKVMKickBeforeRun(t *testing.T) {
	m := newMachine(t,
		0xe4, 0x60, // in $0x60, %al
		0xeb, 0xfe, // jmp .
	)
	wantNoError(t, m.vcpu.Kick())
	m.run(t, Interrupted)
	exit := m.run(t, IO)
	exit.Data[0] = 0x99
	wantNoError(t, m.vcpu.Kick())
	wantNoError(t, m.vcpu.Kick())
	m.run(t, Interrupted)
	regs, err := m.vcpu.Regs()
	wantNoError(t, err)
	if regs.RIP != codeAt+2 || regs.RAX&0xff != 0x99 {
		t.Errorf("RIP %#x, RAX %#x", regs.RIP, regs.RAX)
	}
}

// newSleeper makes a machine that halts until IRQ 4, whose handler writes to port
// 0x81.
func newSleeper(t *testing.T) *testMachine {
	t.Helper()
	m := newMachine(t,
		0xb0, 0x11, 0xe6, 0x20, // mov $0x11, %al; out %al, $0x20: initialize the PIC
		0xb0, 0x20, 0xe6, 0x21, // vectors from 0x20
		0xb0, 0x04, 0xe6, 0x21,
		0xb0, 0x01, 0xe6, 0x21,
		0xb0, 0x00, 0xe6, 0x21, // nothing masked
		0xfb,       // sti
		0xf4,       // hlt
		0xeb, 0xfd, // jmp to the hlt
	)
	copy(m.ram[4*0x24:], []byte{0x00, 0x30, 0, 0}) // IRQ 4 at 0:0x3000
	copy(m.ram[0x3000:], []byte{0xe6, 0x81})       // out %al, $0x81
	return m
}

func TestKVMInterruptLineWakesGuest(t *testing.T) {
	m := newSleeper(t)
	defer time.AfterFunc(20*time.Millisecond, func() {
		_ = m.vm.SetIRQLine(4, true)
		_ = m.vm.SetIRQLine(4, false)
	}).Stop()
	if exit := m.run(t, IO); exit.Port != 0x81 {
		t.Errorf("%v", exit)
	}
}

func TestKVMEventfdWakesGuest(t *testing.T) {
	m := newSleeper(t)
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	wantNoError(t, err)
	defer func() { wantNoError(t, unix.Close(fd)) }()
	wantNoError(t, m.vm.IRQFD(fd, 4))
	defer time.AfterFunc(20*time.Millisecond, func() { _, _ = unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }).Stop()
	if exit := m.run(t, IO); exit.Port != 0x81 {
		t.Errorf("%v", exit)
	}
}
