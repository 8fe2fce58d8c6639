package iaa

import (
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

const (
	// accelerators is where the idxd driver shows devices, queues, engines and
	// groups, side by side. Source: Linux,
	// Documentation/ABI/stable/sysfs-driver-dma-idxd.
	accelerators = "bus/dsa/devices"

	// attributeBytes is how much of an attribute is read: the kernel itself
	// writes no more than a page.
	attributeBytes = 4096
	// directoryEntries is how many names of a directory are looked at.
	directoryEntries = 4096
)

// sysfs reads attributes below /sys. Every one of them may be absent: kernels
// differ, devices differ. So nothing here returns a value in place of one that
// could not be read.
type sysfs struct {
	tree fs.FS
}

// text returns an attribute without the white space around it.
func (s sysfs) text(name ...string) (string, bool) {
	file, err := s.tree.Open(path.Join(name...))
	if err != nil {
		return "", false
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, attributeBytes))
	if err != nil {
		return "", false
	}
	return strings.TrimSpace(string(content)), true
}

// word is an attribute that is one of a few words; an empty one is as good as
// none.
func (s sysfs) word(name ...string) optional[string] {
	text, ok := s.text(name...)
	return optional[string]{value: text, known: ok && text != ""}
}

// integer is a decimal attribute.
func (s sysfs) integer(name ...string) optional[int] {
	text, ok := s.text(name...)
	if !ok {
		return optional[int]{}
	}
	value, err := strconv.ParseInt(text, 10, 0)
	return optional[int]{value: int(value), known: err == nil}
}

// register is an attribute that shows a register, as hexadecimal digits with
// or without 0x.
func (s sysfs) register(name ...string) optional[uint64] {
	text, ok := s.text(name...)
	if !ok {
		return optional[uint64]{}
	}
	value, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 64)
	return optional[uint64]{value: value, known: err == nil}
}

// names lists a directory; none if there is no such directory.
func (s sysfs) names(name string) []string {
	directory, err := s.tree.Open(name)
	if err != nil {
		return nil
	}
	defer directory.Close()
	lister, ok := directory.(fs.ReadDirFile)
	if !ok {
		return nil
	}
	entries, err := lister.ReadDir(directoryEntries)
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names
}

// optional is a value that may not be known.
type optional[T comparable] struct {
	value T
	known bool
}

// is reports whether the value is known to be the one given.
func (o optional[T]) is(value T) bool { return o.known && o.value == value }

// isNot reports whether the value is known to be another one.
func (o optional[T]) isNot(value T) bool { return o.known && o.value != value }

// or returns the value, or the one given if it is not known.
func (o optional[T]) or(value T) T {
	if o.known {
		return o.value
	}
	return value
}

// numberAfter parses names such as iax1: a prefix and a number, nothing else.
func numberAfter(prefix, name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	return plainNumber(digits)
}

// pairAfter parses names such as wq1.0: a prefix and two numbers.
func pairAfter(prefix, name string) (device, index int, ok bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, 0, false
	}
	first, second, ok := strings.Cut(digits, ".")
	if !ok {
		return 0, 0, false
	}
	device, ok = plainNumber(first)
	if !ok {
		return 0, 0, false
	}
	index, ok = plainNumber(second)
	return device, index, ok
}

// plainNumber takes only what the kernel would write, so that a name made of
// the number again is the same name.
func plainNumber(digits string) (int, bool) {
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != digits {
		return 0, false
	}
	return int(n), true
}

// operations is the set of operations that a device or a queue runs.
type operations struct {
	words [8]uint32 // the least significant first
	bits  int       // how many operations are known
}

// parseOperations reads op_cap or op_config: eight words of eight hexadecimal
// digits, the most significant first; or, from older kernels, one number that
// has the first 64 operations only.
func parseOperations(text string) (o operations, ok bool) {
	if digits, old := strings.CutPrefix(text, "0x"); old {
		value, err := strconv.ParseUint(digits, 16, 64)
		o.words[0], o.words[1], o.bits = uint32(value), uint32(value>>32), 64
		return o, err == nil
	}
	words := strings.Split(text, ",")
	if len(words) > len(o.words) {
		return operations{}, false
	}
	for i, word := range words {
		value, err := strconv.ParseUint(word, 16, 32)
		if err != nil {
			return operations{}, false
		}
		o.words[len(words)-1-i] = uint32(value)
	}
	o.bits = 32 * len(o.words)
	return o, true
}

// operations reads a set of operations; without it nothing is known.
func (s sysfs) operations(name ...string) operations {
	text, ok := s.text(name...)
	if !ok {
		return operations{}
	}
	o, ok := parseOperations(text)
	if !ok {
		return operations{}
	}
	return o
}

// has tells whether the operation is in the set.
func (o *operations) has(operation uint8) Verdict {
	switch {
	case int(operation) >= o.bits:
		return Unknown
	case o.words[operation/32]>>(operation%32)&1 != 0:
		return Yes
	}
	return No
}
