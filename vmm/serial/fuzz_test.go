package serial

import (
	"bytes"
	"testing"
)

// step does one thing that a guest or a user can do; op says which. It returns
// what the guest saw.
func (b *bench) step(op, value byte) byte {
	switch {
	case op < 0x40:
		return b.in(uint64(op & 7))
	case op < 0xc0:
		b.outb(uint64(op&7), value)
		return 0
	default:
		return byte(b.Input(bytes.Repeat([]byte{value}, int(op&0x3f)+1)))
	}
}

func (b *bench) check(t *testing.T) {
	t.Helper()
	if len(b.fifo) > b.regs.fifoDepth() || len(b.queue) > QueueBytes {
		t.Fatalf("%d bytes in the FIFO, %d in the queue", len(b.fifo), len(b.queue))
	}
	if len(b.fifo) == 0 && len(b.queue) > 0 && !b.regs.loopback() {
		t.Fatal("input waits although the FIFO is empty")
	}
	if b.line != (b.regs.interruptID(len(b.fifo)) != iirNone) {
		t.Fatalf("interrupt line %v with %+v", b.line, b.regs)
	}
	if err := b.regs.check(); err != nil {
		t.Fatal(err)
	}
}

// Whatever a guest writes and reads: the registers stay those of a chip, and a
// port that was saved and loaded half way answers like the one that was not.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte{0x42, 0xc1, 0x41, 0x0f, 0xc5, 'x', 0x02, 0, 0x00, 0})
	f.Add([]byte{0x44, 0x10, 0x40, 'a', 0x40, 'b', 0x05, 0, 0x00, 0, 0x44, 0x00})
	f.Add([]byte{0x43, 0x80, 0x40, 0x01, 0x41, 0x00, 0x43, 0x03, 0x40, 'z'})
	f.Fuzz(func(t *testing.T, ops []byte) {
		one := newBench()
		half := len(ops) / 4 * 2
		var two *bench
		for i := 0; i+1 < len(ops); i += 2 {
			if i == half {
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
		if two != nil && !bytes.HasSuffix(one.out.Bytes(), two.out.Bytes()) {
			t.Fatalf("the one sent %q, the loaded one %q", one.out.Bytes(), two.out.Bytes())
		}
	})
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

// A state is refused, or is what the port then saves.
func FuzzLoad(f *testing.F) {
	f.Add(saved(f))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBench()
		if b.Load(data) != nil {
			return
		}
		b.check(t)
		other := reloaded(t, b)
		other.check(t)
		one, _ := b.Save()
		two, _ := other.Save()
		if !bytes.Equal(one, two) {
			t.Fatalf("saved %x, then %x", one, two)
		}
	})
}
