package rtc

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"sabrefs/vmm/bus"
)

var (
	_ bus.Device = (*Clock)(nil)
	_ bus.Saver  = (*Clock)(nil)
)

func at(when time.Time) *Clock { return New(func() time.Time { return when }) }

// afternoon is a Thursday in another zone; in UTC it is 23:59:58.
var afternoon = time.Date(2026, time.November, 26, 18, 59, 58, 999e6, time.FixedZone("west", -5*3600))

func (c *Clock) get(index byte) byte {
	c.Write(0, []byte{index})
	data := make([]byte, 1)
	c.Read(1, data)
	return data[0]
}

func (c *Clock) set(index, value byte) { c.Write(0, []byte{index, value}) }

func (c *Clock) times() (got []byte) {
	for _, index := range []byte{0, 2, 4, 6, 7, 8, 9, 0x32} {
		got = append(got, c.get(index))
	}
	return got
}

func TestFormats(t *testing.T) {
	for name, c := range map[string]struct {
		registerB byte
		want      []byte
	}{
		"decimal":           {0x02, []byte{0x58, 0x59, 0x23, 0x05, 0x26, 0x11, 0x26, 0x20}},
		"binary":            {0x06, []byte{58, 59, 23, 5, 26, 11, 26, 20}},
		"decimal, 12 hours": {0x00, []byte{0x58, 0x59, 0x91, 0x05, 0x26, 0x11, 0x26, 0x20}},
		"binary, 12 hours":  {0x04, []byte{58, 59, 0x8b, 5, 26, 11, 26, 20}},
	} {
		clock := at(afternoon)
		clock.set(0x0b, c.registerB)
		if got := clock.times(); !bytes.Equal(got, c.want) {
			t.Errorf("%s: %x, expected %x", name, got, c.want)
		}
	}
}

func TestTwelveHours(t *testing.T) {
	for hour, want := range map[int]byte{0: 0x12, 1: 0x01, 11: 0x11, 12: 0x92, 13: 0x81, 23: 0x91} {
		clock := at(time.Date(2000, 1, 1, hour, 0, 0, 0, time.UTC))
		clock.set(0x0b, 0)
		if got := clock.get(4); got != want {
			t.Errorf("hour %d is %#x, expected %#x", hour, got, want)
		}
	}
}

// The four registers about the chip: no update in progress, no interrupt, power
// never lost.
func TestChip(t *testing.T) {
	clock := at(afternoon)
	clock.set(0x0a, 0xff)
	clock.set(0x0b, 0x7a)
	clock.set(0x0c, 0xff)
	clock.set(0x0d, 0x00)
	for index, want := range map[byte]byte{0x0a: 0x26, 0x0b: 0x02, 0x0c: 0, 0x0d: 0x80} {
		if got := clock.get(index); got != want {
			t.Errorf("register %#x is %#x, expected %#x", index, got, want)
		}
	}
}

func TestCannotBeSet(t *testing.T) {
	clock := at(afternoon)
	before := clock.times()
	for _, index := range []byte{0, 2, 4, 6, 7, 8, 9, 0x32} {
		clock.set(index, 0x01)
	}
	if after := clock.times(); !bytes.Equal(before, after) {
		t.Errorf("was %x, is %x", before, after)
	}
}

func TestMemory(t *testing.T) {
	clock := at(afternoon)
	clock.set(0x40|0x80, 0x99) // with NMIs masked
	if got := clock.get(0x40); got != 0x99 {
		t.Errorf("kept %#x", got)
	}
	data := []byte{0, 0}
	clock.Read(0, data)
	if !bytes.Equal(data, []byte{0xff, 0x99}) {
		t.Errorf("both ports: %x", data)
	}
}

func TestState(t *testing.T) {
	clock := at(afternoon)
	clock.set(0x0b, 0x86)
	clock.set(0x01, 0x30)
	clock.set(0x7f, 0x77)
	clock.Write(0, []byte{0x05})
	saved, err := clock.Save()
	if err != nil {
		t.Fatal(err)
	}
	later := at(afternoon.Add(time.Hour))
	if err := later.Load(saved); err != nil {
		t.Fatal(err)
	}
	if again, err := later.Save(); err != nil || !bytes.Equal(again, saved) {
		t.Errorf("saved %x, then %x, %v", saved, again, err)
	}
	if later.get(0x7f) != 0x77 || later.get(1) != 0x30 || later.get(4) != 0 || later.get(7) != 27 {
		t.Errorf("memory %#x %#x, hour %d of day %d", later.get(0x7f), later.get(1), later.get(4), later.get(7))
	}
	change := func(i int, value byte) []byte {
		b := bytes.Clone(saved)
		b[i] = value
		return b
	}
	for name, data := range map[string][]byte{
		"nothing":        nil,
		"cut off":        saved[:len(saved)-1],
		"more behind":    append(bytes.Clone(saved), 0),
		"version 0":      change(0, 0),
		"version 2":      change(0, 2),
		"index":          change(1, 0x80),
		"register B":     change(2+0x0b, 0x40),
		"stored time":    change(2+0x04, 1),
		"stored fixed":   change(2+0x0d, 1),
		"stored century": change(2+0x32, 1),
	} {
		if err := at(afternoon).Load(data); !errors.Is(err, bus.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	saved, err := at(afternoon).Save()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(saved)
	f.Fuzz(func(t *testing.T, data []byte) {
		clock := at(afternoon)
		if clock.Load(data) != nil {
			return
		}
		if again, err := clock.Save(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("loaded %x, saved %x, %v", data, again, err)
		}
	})
}
