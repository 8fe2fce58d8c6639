package bus

import (
	"errors"
	"fmt"
	"sort"
)

var (
	// ErrOverlap is returned when two devices would answer the same address.
	ErrOverlap = errors.New("devices overlap")
	// ErrWindow is returned when a window is empty or goes beyond the last
	// address.
	ErrWindow = errors.New("invalid window of addresses")
	// ErrState is returned by devices whose saved state is truncated, of another
	// version, or none that a device could have been in.
	ErrState = errors.New("saved state of a device is invalid")
)

// Device answers accesses of a guest. The offset counts from the device's base;
// data has 1, 2, 4 or 8 bytes, little-endian. Read fills all of it. Calls come
// from any thread that runs a virtual CPU, several at once.
type Device interface {
	Read(offset uint64, data []byte)
	Write(offset uint64, data []byte)
}

// Saver is a device whose state belongs into a snapshot. What Save returned,
// Load takes: a device that loaded it answers exactly as the one that saved it.
// Load trusts nothing: it refuses what it does not know or what no device could
// have saved (ErrState), and then leaves the device as it was.
//
// A device saves no edge of its interrupt, which is for the interrupt controller
// to keep; but one that has something to say raises its interrupt once more in
// Load: a guest takes one interrupt too many in its stride, and waits forever for
// one too few. So devices are saved before the interrupt controllers, and loaded
// after them.
type Saver interface {
	Save() ([]byte, error)
	Load(data []byte) error
}

// window is where a device answers.
type window struct {
	name string
	base uint64
	size uint64
	dev  Device
}

// last is the last address of the window; an end may not fit in 64 bits.
func (w *window) last() uint64 { return w.base + (w.size - 1) }

// Bus is an address space with devices. The zero value is empty and ready.
type Bus struct {
	windows []window // by base
}

// Add puts a device on the bus, at size addresses from base on. The name is for
// errors.
func (b *Bus) Add(name string, base, size uint64, dev Device) error {
	added := window{name: name, base: base, size: size, dev: dev}
	if size == 0 || added.last() < base {
		return fmt.Errorf("adding %s at %#x, %#x long: %w", name, base, size, ErrWindow)
	}
	i := b.after(base)
	for _, other := range b.windows[max(i-1, 0):min(i+1, len(b.windows))] {
		if other.base <= added.last() && base <= other.last() {
			return fmt.Errorf("adding %s at %#x to %#x where %s is, at %#x to %#x: %w",
				name, base, added.last(), other.name, other.base, other.last(), ErrOverlap)
		}
	}
	b.windows = append(b.windows, window{})
	copy(b.windows[i+1:], b.windows[i:])
	b.windows[i] = added
	return nil
}

// Read has the device at addr fill data. It returns false, and leaves data
// alone, if nobody is there.
func (b *Bus) Read(addr uint64, data []byte) bool {
	w := b.find(addr, len(data))
	if w == nil {
		return false
	}
	w.dev.Read(addr-w.base, data)
	return true
}

// Write hands data to the device at addr. It returns false if nobody is there.
func (b *Bus) Write(addr uint64, data []byte) bool {
	w := b.find(addr, len(data))
	if w == nil {
		return false
	}
	w.dev.Write(addr-w.base, data)
	return true
}

// after is the number of windows that begin at addr or before.
func (b *Bus) after(addr uint64) int {
	return sort.Search(len(b.windows), func(i int) bool { return b.windows[i].base > addr })
}

// find returns the window that has all of the lenBytes bytes at addr, or nil.
func (b *Bus) find(addr uint64, lenBytes int) *window {
	i := b.after(addr)
	if i == 0 || lenBytes <= 0 {
		return nil
	}
	w := &b.windows[i-1]
	inside := addr - w.base
	if inside >= w.size || uint64(lenBytes) > w.size-inside {
		return nil
	}
	return w
}
