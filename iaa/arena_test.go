package iaa

import (
	"testing"
)

func TestFits(t *testing.T) {
	small, large := slotRoomBytes[smallSlot], slotRoomBytes[largeSlot]
	for _, c := range []struct {
		source, output int
		class          slotClass
		ok             bool
	}{
		{1, 1, smallSlot, true},
		{16 << 10, 16 << 10, smallSlot, true},
		{small, small, smallSlot, true},
		{small + 1, 1, largeSlot, true},
		{1, small + 1, largeSlot, true},
		{256 << 10, 256 << 10, largeSlot, true},
		{large, large, largeSlot, true},
		{large + 1, 1, 0, false},
		{1, large + 1, 0, false},
	} {
		if class, ok := fits(c.source, c.output); class != c.class || ok != c.ok {
			t.Errorf("%d and %d bytes: class %d, %v", c.source, c.output, class, ok)
		}
	}
}

func TestTouch(t *testing.T) {
	a, err := newArena([slotClasses]int{smallSlot: 3, largeSlot: 1})
	wantNoError(t, err)
	defer func() { wantNoError(t, a.release()) }()
	s := &a.slots[smallSlot][1]
	for i := range s.output {
		s.output[i] = byte(i)
	}
	last := len(s.output) - 1
	for name, c := range map[string]struct {
		address uint64
		want    bool
	}{
		"first byte of the output":    {addressOf(&s.output[0]), true},
		"last byte of the output":     {addressOf(&s.output[last]), true},
		"an odd byte of the source":   {addressOf(&s.source[4097]), true},
		"a page of the output":        {addressOf(&s.output[9000]) &^ 4095, true},
		"the AECS":                    {addressOf(&s.aecs[1567]), true},
		"the record":                  {addressOf(&s.record[0]), true},
		"nothing":                     {0, false},
		"the end of the address room": {^uint64(0), false},
		"memory of another slot":      {addressOf(&a.slots[largeSlot][0].output[100000]), false},
		"memory before the arena":     {addressOf(&a.mem[0]) - 1, false},
	} {
		for _, write := range []bool{false, true} {
			if got := s.touch(c.address, write); got != c.want {
				t.Errorf("%s (write: %v): %v", name, write, got)
			}
		}
	}
	for i, b := range s.output {
		if b != byte(i) {
			t.Fatalf("byte %d of the output has changed", i)
		}
	}
}

func TestSlotPool(t *testing.T) {
	slots := make([]slot, 5)
	p := &slotPool{}
	for i := range slots {
		p.give(&slots[i])
	}
	taken := p.take(nil, 3)
	if len(taken) != 3 || len(p.free) != 2 {
		t.Fatalf("took %d, %d are left", len(taken), len(p.free))
	}
	taken = p.take(taken, 3)
	if len(taken) != 5 || len(p.free) != 0 {
		t.Fatalf("took %d, %d are left", len(taken), len(p.free))
	}
	seen := map[*slot]bool{}
	for _, s := range taken {
		seen[s] = true
	}
	if len(seen) != 5 {
		t.Error("a slot was given twice")
	}
	if more := p.take(nil, 1); len(more) != 0 {
		t.Error("took one from an empty pool")
	}
	p.give(taken...)
	p.give()
	if len(p.free) != 5 {
		t.Errorf("%d are back", len(p.free))
	}
}

func TestSlotPoolLine(t *testing.T) {
	slots := make([]slot, 3)
	p := &slotPool{}
	var first, second, third slotWaiter
	p.join(&first)
	p.join(&second)
	p.join(&third)
	if p.waiting.Load() != 3 {
		t.Errorf("%d are in line", p.waiting.Load())
	}
	if s := p.leave(&second); s != nil {
		t.Error("who leaves has got a slot from nowhere")
	}
	p.give(&slots[0])
	if first.granted.Load() != &slots[0] || third.granted.Load() != nil || len(p.free) != 0 {
		t.Error("the first in line did not get the slot")
	}
	p.give(&slots[1], &slots[2])
	if third.granted.Load() != &slots[1] || len(p.free) != 1 || p.waiting.Load() != 0 {
		t.Error("the next in line did not get one slot, the pool the other")
	}
	if s := p.leave(&third); s != &slots[1] {
		t.Error("the slot that came in the last moment is lost")
	}
	if s := p.leave(&third); s != nil {
		t.Error("a slot was got twice")
	}
	p.join(&second)
	if second.granted.Load() != &slots[2] || p.waiting.Load() != 0 || len(p.free) != 0 {
		t.Error("a free slot was not had at once")
	}
}
