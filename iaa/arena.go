package iaa

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// The arena is memory outside the Go heap, present and locked, in which all
// jobs of a device lie. The device never touches memory of a caller:
//
//   - A job that is given up (its deadline has passed, its context has ended)
//     may still be written to by the device at any time. Its slot is set aside;
//     memory of a caller could not be.
//   - The pages are there and stay there, so that neither the completion record
//     (of whose fault nobody would learn) nor data cause page faults, which cost
//     the device more than a job does.
//   - The garbage collector need not know.
//
// The price is two copies, of a few kilobytes each, in the cache.

// slotClass is one of the sizes that slots have.
type slotClass uint8

const (
	smallSlot slotClass = iota
	largeSlot
	slotClasses
)

// slotRoomBytes is what each of source and output have: pages and some more,
// for the prefix of a shared table and for streams that are longer than what
// they decode to.
var slotRoomBytes = [slotClasses]int{smallSlot: 17 << 10, largeSlot: 257 << 10}

// usualSlots are few enough for 8 MiB, the usual limit of locked memory. Six
// large slots are few; the frames of an image made for a device are small.
var usualSlots = [slotClasses]int{smallSlot: 128, largeSlot: 6}

const (
	lineBytes = 64 // of a cache, and the alignment of everything here
	// controlBytes is a descriptor and its completion record. Those of all
	// slots lie side by side: in the slots, whose size is a multiple of large
	// powers of two, they would compete for few lines of the cache.
	controlBytes = descriptorBytes + recordBytes
	// aecsSpaceBytes is the room of an AECS.
	aecsSpaceBytes = (aecsBytes + lineBytes - 1) / lineBytes * lineBytes
)

// slot is the memory of one job. Its fields belong to whoever took it from the
// pool.
type slot struct {
	descriptor *[descriptorBytes]byte
	record     *[recordBytes]byte
	aecs       *[aecsBytes]byte
	source     []byte
	output     []byte
	class      slotClass

	job        int32 // index in its batch
	phase      jobPhase
	faults     uint8 // page faults that were reported and mended
	prolonged  bool  // the deadline was moved once
	queue      *queue
	deadline   int64 // in nanoseconds of the engine's clock
	inputBytes int
	roomBytes  int // at the output

	// Of the pass before, for jobs that take several:
	crc32       uint32
	outputBytes int
}

// arena owns the memory and the slots in it.
type arena struct {
	mem   []byte
	free  []byte // of mem, not given to anything yet
	slots [slotClasses][]slot
	pools [slotClasses]slotPool
	// fixedCodes is what every compression with the fixed codes reads and
	// none writes.
	fixedCodes *[aecsBytes]byte
}

// newArena makes an arena with so many slots of each class.
func newArena(counts [slotClasses]int) (*arena, error) {
	total := arenaBytes(counts)
	mem, err := lockedMemory(total)
	if err != nil {
		return nil, fmt.Errorf("locking %d KiB of memory: %w", total>>10, err)
	}
	a := &arena{mem: mem, free: mem}
	a.fixedCodes = (*[aecsBytes]byte)(a.carve(aecsSpaceBytes))
	putFixedCodes(a.fixedCodes)
	for class, count := range counts {
		a.slots[class] = make([]slot, count)
	}
	for class := range slotClasses {
		a.addControls(class)
	}
	for class := range slotClasses {
		a.addBuffers(class)
	}
	return a, nil
}

func arenaBytes(counts [slotClasses]int) int {
	total := aecsSpaceBytes
	for class, count := range counts {
		total += count * (controlBytes + aecsSpaceBytes + 2*slotSpaceBytes(slotClass(class)))
	}
	return total
}

// slotSpaceBytes is the room of one buffer and a line more, so that not all
// buffers begin in the same line of the cache.
func slotSpaceBytes(class slotClass) int { return slotRoomBytes[class] + lineBytes }

func (a *arena) carve(lenBytes int) []byte {
	b := a.free[:lenBytes:lenBytes]
	a.free = a.free[lenBytes:]
	return b
}

func (a *arena) addControls(class slotClass) {
	for i := range a.slots[class] {
		s := &a.slots[class][i]
		s.class = class
		s.descriptor = (*[descriptorBytes]byte)(a.carve(descriptorBytes))
		s.record = (*[recordBytes]byte)(a.carve(recordBytes))
	}
}

func (a *arena) addBuffers(class slotClass) {
	count := len(a.slots[class])
	free := make([]*slot, count)
	for i := range a.slots[class] {
		s := &a.slots[class][i]
		s.aecs = (*[aecsBytes]byte)(a.carve(aecsSpaceBytes))
		s.source = a.carve(slotSpaceBytes(class))[:slotRoomBytes[class]]
		s.output = a.carve(slotSpaceBytes(class))[:slotRoomBytes[class]]
		free[count-1-i] = s // the first is taken first
	}
	a.pools[class].free = free
}

// release unmaps the memory. No device may know it any longer.
func (a *arena) release() error {
	for class := range a.slots {
		// A batch may keep a slot that it does not use; the pointers in it must
		// not outlive the memory, because the Go heap may get the addresses.
		clear(a.slots[class])
		a.slots[class], a.pools[class].free = nil, nil
	}
	mem := a.mem
	a.mem, a.free, a.fixedCodes = nil, nil, nil
	return unlockMemory(mem)
}

// fits returns the smallest class that has the room.
func fits(sourceBytes, outputBytes int) (slotClass, bool) {
	for class := range slotClasses {
		if max(sourceBytes, outputBytes) <= slotRoomBytes[class] {
			return class, true
		}
	}
	return 0, false
}

// touch makes the page at an address present again, writable if write is set.
// It refuses addresses on pages where the slot has nothing.
func (s *slot) touch(address uint64, write bool) bool {
	for _, part := range [...][]byte{s.output, s.source, s.aecs[:], s.record[:], s.descriptor[:]} {
		if touchPart(part, address, write) {
			return true
		}
	}
	return false
}

// touchPart accesses the word at the address, or the nearest in the part that
// is on the same page: a device may report the page only.
func touchPart(part []byte, address uint64, write bool) bool {
	const pageBytes = 4096
	first := addressOf(&part[0])
	last := first + uint64(len(part)) - 4
	if address/pageBytes < first/pageBytes || address/pageBytes > last/pageBytes {
		return false
	}
	off := (min(max(address, first), last) - first) &^ 3
	word := (*uint32)(unsafe.Pointer(&part[off])) //nolint:gosec // off is at most len(part)-4 and aligned as the part is
	if write {
		atomic.AddUint32(word, 0) // a write that loses no other one
	} else {
		atomic.LoadUint32(word)
	}
	return true
}

// addressOf is what a descriptor calls an element of the arena.
func addressOf(b *byte) uint64 {
	return uint64(uintptr(unsafe.Pointer(b))) //nolint:gosec // memory outside the Go heap, which does not move
}
