package i8042

import (
	"bytes"
	"errors"
	"testing"

	"sabrefs/vmm/bus"
)

func saved(tb testing.TB) []byte {
	tb.Helper()
	b := newBench()
	b.out(offTimer, 1)
	b.in(offTimer)
	b.PressCtrlAltDel()
	b.in(offData)
	b.out(offCommand, 0x20)
	b.out(offData, 0xed)
	b.out(offCommand, 0xd1)
	data, err := b.Save()
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestStateGolden(t *testing.T) {
	want := []byte("\x01" + // version
		"\x65" + // mode
		"\x0d" + // status: full, self test passed, last was a command
		"\x38" + // output buffer: Alt
		"\xd1" + // write output port, waits for the byte
		"\xed" + // LEDs, wait for the byte
		"\x01\x02" + // scanning, set 2
		"\x01\x01" + // port 0x61
		"\x01\x07" + // lengths
		"\x65" + // answer: mode
		"\xe0\x53\xe0\xd3\xb8\x9d\xfa") // keys, acknowledgment
	if got := saved(t); !bytes.Equal(got, want) {
		t.Errorf("saved\n%x, expected\n%x", got, want)
	}
}

func TestLoadGoesOn(t *testing.T) {
	b := newBench()
	if err := b.Load(saved(t)); err != nil {
		t.Fatal(err)
	}
	if b.edges != 1 {
		t.Errorf("%d interrupts when loaded with a full buffer", b.edges)
	}
	wantBytes(t, "what waited", b.drain(), 0x38, 0x65, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d, 0xfa)
	b.out(offData, 0xfe)
	if b.resets != 1 {
		t.Error("the command that waited for its byte is lost")
	}
}

func TestLoadRefuses(t *testing.T) {
	good := saved(t)
	change := func(i int, value byte) []byte {
		b := bytes.Clone(good)
		b[i] = value
		return b
	}
	for name, data := range map[string][]byte{
		"nothing":              nil,
		"registers cut off":    good[:9],
		"queues cut off":       good[:len(good)-1],
		"more behind":          append(bytes.Clone(good), 0),
		"version 0":            change(0, 0),
		"version 2":            change(0, 2),
		"status bits":          change(2, 0x80),
		"empty but waiting":    change(2, 0x0c),
		"unknown command":      change(4, 0x20),
		"unknown of keyboard":  change(5, 0xf2),
		"scanning twice":       change(6, 2),
		"scan set 0":           change(7, 0),
		"scan set 4":           change(7, 4),
		"timer bits":           change(8, 4),
		"refresh 2":            change(9, 2),
		"lengths do not match": change(10, 2),
		"long queue":           append(change(11, queueBytes+1), make([]byte, queueBytes+1-7)...),
	} {
		b := newBench()
		if err := b.Load(data); !errors.Is(err, bus.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
		wantBytes(t, "a controller that refused", b.ask(0x20), 0x65)
	}
}

func (b *bench) check(t *testing.T) {
	t.Helper()
	if len(b.answers) > queueBytes || len(b.keys) > queueBytes {
		t.Fatalf("%d answers, %d keys", len(b.answers), len(b.keys))
	}
	if err := b.regs.check(len(b.answers), len(b.keys)); err != nil {
		t.Fatal(err)
	}
}

func reloaded(t *testing.T, b *bench) *bench {
	t.Helper()
	data, err := b.Save()
	if err != nil {
		t.Fatal(err)
	}
	other := newBench()
	if err := other.Load(data); err != nil {
		t.Fatal(err)
	}
	return other
}

// Whatever a guest writes and reads, the controller can be saved, and one that was
// loaded half way answers like the one that was not.
func FuzzPorts(f *testing.F) {
	f.Add([]byte{0x84, 0xaa, 0, 0, 0x84, 0x20, 0, 0, 0x84, 0x60, 0x80, 0x21, 0xff, 0})
	f.Add([]byte{0xff, 0, 4, 0, 0, 0, 0x80, 0xff, 0, 0, 0x84, 0xd1, 0x80, 0xfe})
	f.Fuzz(func(t *testing.T, ops []byte) {
		one := newBench()
		var two *bench
		for i := 0; i+1 < len(ops); i += 2 {
			if i == len(ops)/4*2 {
				two = reloaded(t, one)
			}
			saw := one.step(ops[i], ops[i+1])
			one.check(t)
			if two == nil {
				continue
			}
			if again := two.step(ops[i], ops[i+1]); again != saw {
				t.Fatalf("operation %d, %x: the one saw %#x, the loaded one %#x", i, ops[i:i+2], saw, again)
			}
		}
	})
}

func (b *bench) step(op, value byte) byte {
	switch {
	case op == 0xff:
		b.PressCtrlAltDel()
	case op < 0x80:
		return b.in(uint64(op % windowBytes))
	default:
		before := b.resets
		b.out(uint64(op%0x80%windowBytes), value)
		return byte(b.resets - before)
	}
	return 0
}

// A state is refused, or is what the controller then saves.
func FuzzLoad(f *testing.F) {
	f.Add(saved(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBench()
		if b.Load(data) != nil {
			return
		}
		b.check(t)
		if again, err := b.Save(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("loaded %x, saved %x, %v", data, again, err)
		}
	})
}
