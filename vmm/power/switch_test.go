package power

import (
	"bytes"
	"testing"

	"sabrefs/vmm/bus"
)

var _ bus.Device = (*Switch)(nil)

func TestOff(t *testing.T) {
	for _, c := range []struct {
		offset uint64
		data   []byte
		off    bool
	}{
		{0, []byte{0x34}, true},
		{0, []byte{0x34, 0}, true},
		{0, []byte{0x14}, false}, // not yet
		{0, []byte{0x20}, false}, // another sleep
		{0, []byte{0xb4}, true},  // reserved bits
		{1, []byte{0x34}, false}, // clears a status
		{0, nil, false},
	} {
		count := 0
		New(func() { count++ }).Write(c.offset, c.data)
		if (count == 1) != c.off {
			t.Errorf("%x at %d: off %d times", c.data, c.offset, count)
		}
	}
}

func TestReadsZero(t *testing.T) {
	data := []byte{0xff, 0xff}
	New(func() { t.Error("off") }).Read(0, data)
	if !bytes.Equal(data, []byte{0, 0}) {
		t.Errorf("read %x", data)
	}
}
