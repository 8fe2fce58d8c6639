package virtio

import (
	"encoding/binary"
	"fmt"
)

// Descriptors (chapter 2.7.5).
const (
	descriptorBytes = 16

	flagNext     = 1 << 0
	flagWrite    = 1 << 1 // for the device to write
	flagIndirect = 1 << 2
)

type descriptor struct {
	addr     uint64
	lenBytes uint32
	flags    uint16
	next     uint16
}

func parseDescriptor(b []byte) descriptor {
	le := binary.LittleEndian
	return descriptor{le.Uint64(b), le.Uint32(b[8:]), le.Uint16(b[12:]), le.Uint16(b[14:])}
}

// Chain is the buffers of a request: what the driver wrote, and room for what
// the device answers. How bytes are spread over buffers means nothing.
type Chain struct {
	readable, writable           [][]byte
	readableBytes, writableBytes uint64
}

// walker follows a chain.
type walker struct {
	mem      Memory
	indirect bool // was negotiated
	left     int  // descriptors that may still come
	chain    Chain
}

// walk follows the chain that begins with head in a table of descriptors.
func walk(mem Memory, table []byte, head uint16, indirect bool) (*Chain, error) {
	w := walker{mem: mem, indirect: indirect, left: MaxQueueSize}
	if err := w.follow(table, head, false); err != nil {
		return nil, fmt.Errorf("chain from descriptor %d: %w", head, err)
	}
	return &w.chain, nil
}

// follow walks in one table; inside says that it is an indirect one.
func (w *walker) follow(table []byte, index uint16, inside bool) error {
	for {
		at := int(index) * descriptorBytes
		if at >= len(table) {
			return fmt.Errorf("descriptor %d of %d: %w", index, len(table)/descriptorBytes, ErrDriver)
		}
		if w.left == 0 {
			return fmt.Errorf("more than %d descriptors: %w", MaxQueueSize, ErrDriver)
		}
		w.left--
		d := parseDescriptor(table[at:])
		if d.flags&flagIndirect != 0 {
			return w.followIndirect(d, inside)
		}
		if err := w.add(d); err != nil {
			return fmt.Errorf("descriptor %d: %w", index, err)
		}
		if d.flags&flagNext == 0 {
			return nil
		}
		index = d.next
	}
}

// followIndirect goes on in the table that a descriptor points at; it can only be
// the last one.
func (w *walker) followIndirect(d descriptor, inside bool) error {
	switch {
	case !w.indirect, inside, d.flags&flagNext != 0:
		return fmt.Errorf("indirect descriptor, flags %#x, where there may be none: %w", d.flags, ErrDriver)
	case d.lenBytes == 0, d.lenBytes%descriptorBytes != 0, d.lenBytes > MaxQueueSize*descriptorBytes:
		return fmt.Errorf("indirect table of %d bytes: %w", d.lenBytes, ErrDriver)
	}
	table, err := w.mem.Slice(d.addr, int(d.lenBytes))
	if err != nil {
		return fmt.Errorf("indirect table: %w: %w", ErrDriver, err)
	}
	return w.follow(table, 0, true)
}

// add appends a buffer. Those to read come first.
func (w *walker) add(d descriptor) error {
	c := &w.chain
	if d.flags&flagWrite == 0 {
		if len(c.writable) > 0 {
			return fmt.Errorf("a buffer to read behind one to write: %w", ErrDriver)
		}
		b, err := w.mem.Slice(d.addr, int(d.lenBytes))
		if err != nil {
			return fmt.Errorf("buffer to read: %w: %w", ErrDriver, err)
		}
		c.readable, c.readableBytes = append(c.readable, b), c.readableBytes+uint64(len(b))
		return nil
	}
	b, err := w.mem.SliceForWrite(d.addr, int(d.lenBytes))
	if err != nil {
		return fmt.Errorf("buffer to write: %w: %w", ErrDriver, err)
	}
	c.writable, c.writableBytes = append(c.writable, b), c.writableBytes+uint64(len(b))
	return nil
}

// takeReadable copies the next bytes that the driver wrote, and drops them from
// the chain. It returns how many there were, at most len(b).
func (c *Chain) takeReadable(b []byte) int {
	taken := 0
	for taken < len(b) && len(c.readable) > 0 {
		count := copy(b[taken:], c.readable[0])
		taken += count
		c.readable[0] = c.readable[0][count:]
		if len(c.readable[0]) == 0 {
			c.readable = c.readable[1:]
		}
	}
	c.readableBytes -= uint64(taken)
	return taken
}

// takeLastWritable cuts the last byte off the room for the answer; nil if there
// is none.
func (c *Chain) takeLastWritable() []byte {
	for i := len(c.writable) - 1; i >= 0; i-- {
		if n := len(c.writable[i]); n > 0 {
			last := c.writable[i][n-1:]
			c.writable[i] = c.writable[i][:n-1]
			c.writable = c.writable[:i+1]
			c.writableBytes--
			return last
		}
	}
	return nil
}
