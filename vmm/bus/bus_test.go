package bus

import (
	"errors"
	"fmt"
	"testing"

	"sabrefs/tests/seedtest"
)

// tape is a device that remembers what it was asked.
type tape struct{ asked []string }

func (d *tape) Read(offset uint64, data []byte) {
	d.asked = append(d.asked, fmt.Sprintf("r%d+%d", offset, len(data)))
	for i := range data {
		data[i] = byte(offset) + byte(i)
	}
}

func (d *tape) Write(offset uint64, data []byte) {
	d.asked = append(d.asked, fmt.Sprintf("w%d=%x", offset, data))
}

func TestDispatch(t *testing.T) {
	var b Bus
	serial, keyboard := &tape{}, &tape{}
	for _, err := range []error{b.Add("serial", 0x3f8, 8, serial), b.Add("keyboard", 0x60, 5, keyboard)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	data := []byte{0xee, 0xee}
	if !b.Read(0x3f9, data) || data[0] != 1 || data[1] != 2 {
		t.Errorf("read %x, expected 0102", data)
	}
	if !b.Write(0x64, []byte{0xfe}) {
		t.Error("nobody at 0x64")
	}
	if got := fmt.Sprint(serial.asked, keyboard.asked); got != "[r1+2] [w4=fe]" {
		t.Errorf("devices were asked %s", got)
	}
}

func TestNobodyThere(t *testing.T) {
	var b Bus
	dev := &tape{}
	if err := b.Add("serial", 0x3f8, 8, dev); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr     uint64
		lenBytes int
	}{
		{0x3f7, 1},
		{0x3f7, 2}, // begins before the window
		{0x400, 1},
		{0x3ff, 2}, // ends behind it
		{0x3fc, 8},
		{0x3f8, 0},
		{^uint64(0), 1},
	} {
		data := make([]byte, c.lenBytes)
		if b.Read(c.addr, data) || b.Write(c.addr, data) {
			t.Errorf("%d bytes at %#x were answered", c.lenBytes, c.addr)
		}
	}
	if len(dev.asked) != 0 {
		t.Errorf("the device was asked %v", dev.asked)
	}
}

func TestAddRefuses(t *testing.T) {
	var b Bus
	if err := b.Add("disk", 0x1000, 0x1000, &tape{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		base, size uint64
		want       error
	}{
		{0x1000, 0x1000, ErrOverlap},
		{0x1fff, 1, ErrOverlap},
		{0xfff, 2, ErrOverlap},
		{0, 0x10000, ErrOverlap},
		{0, ^uint64(0), ErrOverlap},
		{0x3000, 0, ErrWindow},
		{^uint64(0), 2, ErrWindow},
		{0x2000, ^uint64(0), ErrWindow},
		{0x2000, 1, nil},
		{0xfff, 1, nil},
		{^uint64(0), 1, nil}, // the last address of all
	} {
		if err := b.Add("other", c.base, c.size, &tape{}); !errors.Is(err, c.want) {
			t.Errorf("adding %#x+%#x: %v, expected %v", c.base, c.size, err, c.want)
		}
	}
	if !b.Read(^uint64(0), make([]byte, 1)) {
		t.Error("nobody at the last address")
	}
}

// Whatever is added in whatever order: an address belongs to the device whose
// window has it, as a walk over all of them says.
func TestLikeAWalkOverAll(t *testing.T) {
	random := seedtest.Rand(t)
	for range 200 {
		var b Bus
		type claim struct{ base, size uint64 }
		var claims []claim
		for range 20 {
			c := claim{random.Uint64N(200), random.Uint64N(12) + 1}
			free := true
			for _, other := range claims {
				free = free && (c.base+c.size <= other.base || other.base+other.size <= c.base)
			}
			err := b.Add("device", c.base, c.size, &tape{})
			if (err == nil) != free {
				t.Fatalf("adding %+v to %+v: %v", c, claims, err)
			}
			if free {
				claims = append(claims, c)
			}
		}
		for addr := range uint64(220) {
			there := false
			for _, c := range claims {
				there = there || c.base <= addr && addr < c.base+c.size
			}
			if b.Write(addr, []byte{1}) != there {
				t.Fatalf("address %d of %+v: answered is %v", addr, claims, !there)
			}
		}
	}
}
