package memory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Occupied tells which pages may be other than zero, without touching them. To
// touch a page that the guest never did costs a page fault, and where a file is
// behind it perhaps a page of a disk. It is for one goroutine, and while the guest
// does not run.
type Occupied struct {
	m       *Memory
	pagemap *os.File // nil if the system does not tell: then all pages may be

	entries   []byte // of the page map, from firstPage on
	firstPage int64
	lookedAt  int64  // offset in the file, and the next
	data      extent // data from there on
}

// extent is a part of the memory file, in bytes.
type extent struct{ start, end int64 }

const (
	pagemapEntryBytes = 8
	// pagemapPages are asked about at once.
	pagemapPages = 4096

	// A page is somewhere if it is in memory or swapped out; see
	// Documentation/admin-guide/mm/pagemap.rst.
	pagePresent = 1 << 63
	pageSwapped = 1 << 62
)

// Occupied returns what there is to know about the memory as it is now. Close it.
func (m *Memory) Occupied() *Occupied {
	o := &Occupied{m: m}
	// Not every container has it, and nothing depends on it.
	o.pagemap, _ = os.Open("/proc/self/pagemap")
	return o
}

// Close frees what it needed.
func (o *Occupied) Close() error {
	if o.pagemap == nil {
		return nil
	}
	return o.pagemap.Close()
}

// Page says whether a page of the memory file may be other than zero. It is fast
// if pages come in ascending order.
func (o *Occupied) Page(page int64) (bool, error) {
	touched, err := o.touched(page)
	if touched || err != nil {
		return touched, err
	}
	return o.inFile(page * PageBytes), nil
}

// touched says whether the page has memory of its own, or a part of the file's
// page cache.
func (o *Occupied) touched(page int64) (bool, error) {
	if o.pagemap == nil {
		return true, nil
	}
	at := (page - o.firstPage) * pagemapEntryBytes
	if at < 0 || at >= int64(len(o.entries)) {
		if err := o.read(page); err != nil {
			return false, err
		}
		at = 0
	}
	entry := binary.LittleEndian.Uint64(o.entries[at:])
	return entry&(pagePresent|pageSwapped) != 0, nil
}

// read asks about pages from page on.
func (o *Occupied) read(page int64) error {
	if o.entries == nil {
		o.entries = make([]byte, pagemapPages*pagemapEntryBytes)
	}
	count := min(pagemapPages, o.m.SizeBytes()/PageBytes-page)
	address := uintptr(unsafe.Pointer(unsafe.SliceData(o.m.mapping))) //nolint:gosec // memory outside the Go heap, which does not move
	o.entries = o.entries[:count*pagemapEntryBytes]
	if _, err := o.pagemap.ReadAt(o.entries, (int64(address)/PageBytes+page)*pagemapEntryBytes); err != nil {
		return fmt.Errorf("asking which pages of guest memory are in use: %w", err)
	}
	o.firstPage = page
	return nil
}

// inFile says whether the file behind the memory has data there.
func (o *Occupied) inFile(fileOff int64) bool {
	if o.m.file == nil {
		return false
	}
	if fileOff < o.lookedAt || fileOff >= o.data.end {
		o.lookedAt, o.data = fileOff, nextData(o.m.file, fileOff, o.m.SizeBytes())
	}
	return fileOff+PageBytes > o.data.start
}

// nextData finds the first data of the file from fileOff on. A file that does not
// tell is all data.
func nextData(f *os.File, fileOff, sizeBytes int64) extent {
	start, err := f.Seek(fileOff, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return extent{sizeBytes, sizeBytes}
	}
	if err != nil {
		return extent{fileOff, sizeBytes}
	}
	end, err := f.Seek(start, unix.SEEK_HOLE)
	if err != nil {
		end = sizeBytes
	}
	return extent{start, end}
}
