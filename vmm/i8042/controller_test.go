package i8042

import (
	"bytes"
	"testing"

	"sabrefs/vmm/bus"
)

var (
	_ bus.Device = (*Controller)(nil)
	_ bus.Saver  = (*Controller)(nil)
)

// bench is a controller with how often it interrupted and reset.
type bench struct {
	*Controller
	edges, resets int
}

func newBench() *bench {
	b := &bench{}
	b.Controller = New(func() { b.edges++ }, func() { b.resets++ })
	return b
}

func (b *bench) in(offset uint64) byte {
	data := make([]byte, 1)
	b.Read(offset, data)
	return data[0]
}

func (b *bench) out(offset uint64, value byte) { b.Write(offset, []byte{value}) }

// drain reads as long as there is something.
func (b *bench) drain() []byte {
	got := []byte{}
	for b.in(offCommand)&statusFull != 0 {
		got = append(got, b.in(offData))
	}
	return got
}

// command sends a command, its arguments, and returns the answers.
func (b *bench) ask(command byte, arguments ...byte) []byte {
	b.out(offCommand, command)
	for _, a := range arguments {
		b.out(offData, a)
	}
	return b.drain()
}

func (b *bench) askKeyboard(bytes ...byte) []byte {
	for _, v := range bytes {
		b.out(offData, v)
	}
	return b.drain()
}

func wantBytes(t *testing.T, what string, got []byte, want ...byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %x, expected %x", what, got, want)
	}
}

// What Linux' drivers/input/serio/i8042.c does when it starts, and makes of it.
func TestProbedByLinux(t *testing.T) {
	b := newBench()
	wantBytes(t, "flush", b.drain())
	wantBytes(t, "self test", b.ask(0xaa), 0x55)
	wantBytes(t, "mode", b.ask(0x20), 0x65)
	b.edges = 0
	wantBytes(t, "write mode, all off", b.ask(0x60, 0x74))
	wantBytes(t, "mode", b.ask(0x20), 0x74)
	wantBytes(t, "keyboard test", b.ask(0xab), 0)

	b.out(offCommand, 0xd3)
	b.out(offData, 0x5a)
	if status := b.in(offCommand); status&0x21 != 0x01 {
		t.Errorf("status %#x after looping a mouse's byte: it must not be the mouse's", status)
	}
	wantBytes(t, "looped", b.drain(), 0x5a)
	wantBytes(t, "mouse test", b.ask(0xa9), 1)
	wantBytes(t, "mouse off", b.ask(0xa7))
	wantBytes(t, "to no mouse", b.ask(0xd4, 0xff))
	if b.edges != 0 {
		t.Errorf("%d interrupts with interrupts off", b.edges)
	}

	wantBytes(t, "write mode, keyboard on", b.ask(0x60, 0x65))
	wantBytes(t, "identify", b.askKeyboard(0xf2), 0xfa, 0xab, 0x41)
	wantBytes(t, "LEDs", b.askKeyboard(0xed, 0x00), 0xfa, 0xfa)
	wantBytes(t, "scan set", b.askKeyboard(0xf0, 0x02), 0xfa, 0xfa)
	wantBytes(t, "which scan set", b.askKeyboard(0xf0, 0x00), 0xfa, 0xfa, 2)
	wantBytes(t, "no scan set", b.askKeyboard(0xf0, 0x07), 0xfa, 0xfe)
	wantBytes(t, "repeat", b.askKeyboard(0xf3, 0x00), 0xfa, 0xfa)
	wantBytes(t, "scan", b.askKeyboard(0xf4), 0xfa)
	wantBytes(t, "reset", b.askKeyboard(0xff), 0xfa, 0xaa)
	wantBytes(t, "echo", b.askKeyboard(0xee), 0xee)
	wantBytes(t, "all keys repeat", b.askKeyboard(0xf7), 0xfa)
	wantBytes(t, "nonsense", b.askKeyboard(0x77), 0xfe)
	wantBytes(t, "a command where an argument belongs", b.askKeyboard(0xed, 0xf4), 0xfa, 0xfa)
	if b.edges != 22 {
		t.Errorf("%d interrupts for 22 bytes", b.edges)
	}
	if b.resets != 0 {
		t.Error("reset")
	}
}

func TestPorts(t *testing.T) {
	b := newBench()
	wantBytes(t, "input port", b.ask(0xc0), 0xb0)
	wantBytes(t, "output port", b.ask(0xd0), 0xcf)
	wantBytes(t, "keyboard's byte by command", b.ask(0xd2, 0x33), 0x33)
	b.out(offData, 0xee)
	if status := b.in(offCommand); status != 0x15 {
		t.Errorf("status %#x after data", status)
	}
	b.out(offCommand, 0xad)
	if status := b.in(offCommand); status != 0x1d {
		t.Errorf("status %#x after a command", status)
	}
	b.drain()
	if got := b.in(offData); got != 0xee {
		t.Errorf("an empty buffer has %#x, expected what was last there", got)
	}
	if got := b.in(2); got != 0xff {
		t.Errorf("nobody's port has %#x", got)
	}
}

// Loops that wait for timer 2 or for the refresh of memory end.
func TestTimerPort(t *testing.T) {
	b := newBench()
	b.out(offTimer, 0xff)
	one, two := b.in(offTimer), b.in(offTimer)
	if one&^0x10 != 0x23 || one^two != 0x10 {
		t.Errorf("read %#x, then %#x", one, two)
	}
}

func TestReset(t *testing.T) {
	for _, c := range []struct {
		name   string
		writes [][2]byte // offset, value
		resets int
	}{
		{"pulse reset", [][2]byte{{4, 0xfe}}, 1},
		{"pulse all", [][2]byte{{4, 0xf0}}, 1},
		{"pulse none", [][2]byte{{4, 0xff}}, 0},
		{"output port without reset", [][2]byte{{4, 0xd1}, {0, 0xdf}}, 0},
		{"output port with reset", [][2]byte{{4, 0xd1}, {0, 0xde}}, 1},
		{"data only", [][2]byte{{0, 0xfe}}, 0},
	} {
		b := newBench()
		for _, w := range c.writes {
			b.out(uint64(w[0]), w[1])
		}
		if b.resets != c.resets {
			t.Errorf("%s: %d resets", c.name, b.resets)
		}
	}
}

// A guest that never spoke to the controller gets the keys at IRQ 1.
func TestCtrlAltDel(t *testing.T) {
	b := newBench()
	b.PressCtrlAltDel()
	if b.edges != 1 {
		t.Errorf("%d interrupts for the first scancode", b.edges)
	}
	wantBytes(t, "scancodes", b.drain(), 0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d)
	if b.edges != 8 {
		t.Errorf("%d interrupts for 8 scancodes", b.edges)
	}
	b.ask(0x60, 0x21)
	b.PressCtrlAltDel()
	wantBytes(t, "not translated", b.drain(), 0x14, 0x11, 0xe0, 0x71, 0xe0, 0xf0, 0x71, 0xf0, 0x11, 0xf0, 0x14)
	wantBytes(t, "identify, not translated", b.askKeyboard(0xf2), 0xfa, 0xab, 0x83)
	wantBytes(t, "stop", b.askKeyboard(0xf5), 0xfa)
	b.PressCtrlAltDel()
	wantBytes(t, "not scanning", b.drain())
}

// Keys wait while the guest has the keyboard off, and answers overtake them.
func TestKeyboardOff(t *testing.T) {
	b := newBench()
	b.ask(0xad)
	b.edges = 0
	b.PressCtrlAltDel()
	wantBytes(t, "while off", b.drain())
	wantBytes(t, "answer", b.ask(0xab), 0)
	if b.edges != 1 {
		t.Errorf("%d interrupts", b.edges)
	}
	if got := b.ask(0xae); len(got) != 8 {
		t.Errorf("after switching on: %x", got)
	}
	// Interrupts that are enabled late tell of what is there.
	b.ask(0x60, 0x64)
	b.PressCtrlAltDel()
	b.edges = 0
	b.out(offCommand, 0x60)
	b.out(offData, 0x65)
	if b.edges != 1 {
		t.Errorf("%d interrupts when enabled late", b.edges)
	}
}

// Keys nobody reads are dropped in whole.
func TestManyKeys(t *testing.T) {
	b := newBench()
	for range 100 {
		b.PressCtrlAltDel()
	}
	got := b.drain()
	if len(got) > queueBytes+1 || len(got)%8 != 0 {
		t.Errorf("%d scancodes", len(got))
	}
	for range 100 {
		b.out(offCommand, 0x20)
	}
	if got := b.drain(); len(got) != queueBytes+1 {
		t.Errorf("%d answers", len(got))
	}
}
