package virtio

import (
	"encoding/binary"
	"fmt"
)

// MaxQueueSize is the largest size of a queue, and of a chain.
const MaxQueueSize = 256

// Split rings (chapter 2.7).
const (
	ringHeaderBytes  = 4 // flags, index
	ringIndex        = 2
	availEntryBytes  = 2
	usedEntryBytes   = 8
	availNoInterrupt = 1 << 0
	descriptorAlign  = 16
	availAlign       = 2
	usedAlign        = 4
)

// queue is what the transport knows of a queue; the order of its fields is that
// of the saved state.
type queue struct {
	Size              uint32
	Ready             uint32 // 0 or 1
	Desc, Avail, Used uint64 // guest physical addresses
	// NextAvail is the entry of the available ring that is taken next, NextUsed
	// that of the used ring which is filled next. Both count up and wrap at 65536.
	NextAvail, NextUsed uint16
}

// rings are the three arrays in guest memory.
type rings struct{ desc, avail, used []byte }

// open finds the rings. What it accepts may be processed.
func (q *queue) open(mem Memory) (r rings, err error) {
	size := int(q.Size)
	switch {
	case size < 1 || size > MaxQueueSize || size&(size-1) != 0:
		return r, fmt.Errorf("queue of %d, not a power of two up to %d: %w", q.Size, MaxQueueSize, ErrDriver)
	case q.Desc%descriptorAlign != 0 || q.Avail%availAlign != 0 || q.Used%usedAlign != 0:
		return r, fmt.Errorf("rings at %#x, %#x and %#x are not aligned: %w", q.Desc, q.Avail, q.Used, ErrDriver)
	}
	if r.desc, err = mem.Slice(q.Desc, size*descriptorBytes); err != nil {
		return r, fmt.Errorf("descriptors: %w: %w", ErrDriver, err)
	}
	if r.avail, err = mem.Slice(q.Avail, ringHeaderBytes+size*availEntryBytes); err != nil {
		return r, fmt.Errorf("available ring: %w: %w", ErrDriver, err)
	}
	if r.used, err = mem.SliceForWrite(q.Used, ringHeaderBytes+size*usedEntryBytes); err != nil {
		return r, fmt.Errorf("used ring: %w: %w", ErrDriver, err)
	}
	return r, nil
}

// process has every request handled that is available now: not those that other
// CPUs add meanwhile, for they will notify too. It returns whether the driver is to
// be interrupted, also when it fails half way.
func (q *queue) process(mem Memory, indirect bool, handle func(*Chain) (uint32, error)) (interrupt bool, err error) {
	r, err := q.open(mem)
	if err != nil {
		return false, err
	}
	le := binary.LittleEndian
	available := le.Uint16(r.avail[ringIndex:]) - q.NextAvail
	if uint32(available) > q.Size {
		return false, fmt.Errorf("available index is %d ahead in a queue of %d: %w", available, q.Size, ErrDriver)
	}
	for done := range available {
		if err := q.processOne(mem, r, indirect, handle); err != nil {
			return done > 0 && r.wantInterrupt(), err
		}
	}
	return available > 0 && r.wantInterrupt(), nil
}

func (r rings) wantInterrupt() bool {
	return binary.LittleEndian.Uint16(r.avail)&availNoInterrupt == 0
}

func (q *queue) processOne(mem Memory, r rings, indirect bool, handle func(*Chain) (uint32, error)) error {
	slot := uint32(q.NextAvail) & (q.Size - 1)
	head := binary.LittleEndian.Uint16(r.avail[ringHeaderBytes+slot*availEntryBytes:])
	chain, err := walk(mem, r.desc, head, indirect)
	if err != nil {
		return err
	}
	writtenBytes, err := handle(chain)
	if err != nil {
		return fmt.Errorf("chain from descriptor %d: %w", head, err)
	}
	q.NextAvail++
	q.give(r, head, writtenBytes)
	return nil
}

// give hands a chain back: first the entry, then the index that makes it valid.
func (q *queue) give(r rings, head uint16, writtenBytes uint32) {
	le := binary.LittleEndian
	entry := r.used[ringHeaderBytes+uint32(q.NextUsed)&(q.Size-1)*usedEntryBytes:]
	le.PutUint32(entry, uint32(head))
	le.PutUint32(entry[4:], writtenBytes)
	q.NextUsed++
	le.PutUint16(r.used[ringIndex:], q.NextUsed)
}
