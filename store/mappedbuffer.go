package store

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePageBytes is what x86-64 and arm64 processors with 4 KiB pages map at once.
const hugePageBytes = 2 << 20

// aheadBuffer is the memory of an AheadReader: one huge page if the system gives
// one, for each page fault of ours makes a guest wait longer.
type aheadBuffer struct {
	packed  []byte
	raw     []byte // decoded frames
	scratch []byte // see AheadReader.Scratch

	mapping []byte
}

const (
	aheadPackedBytes  = 1 << 20
	aheadScratchBytes = 256 << 10
	aheadRawBytes     = hugePageBytes - aheadPackedBytes - aheadScratchBytes
)

// mapAheadBuffer maps a buffer. Its memory is not there before it is touched.
func mapAheadBuffer() (*aheadBuffer, error) {
	mapping, err := unix.Mmap(-1, 0, 2*hugePageBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("mapping a buffer: %w", err)
	}
	// Only the address says where a huge page may begin.
	address := uintptr(unsafe.Pointer(unsafe.SliceData(mapping))) //nolint:gosec // memory outside the Go heap, which does not move
	skip := int(-address & (hugePageBytes - 1))
	page := mapping[skip : skip+hugePageBytes]
	_ = unix.Madvise(page, unix.MADV_HUGEPAGE) // a wish: small pages do as well
	b := &aheadBuffer{mapping: mapping}
	b.packed, page = page[:aheadPackedBytes:aheadPackedBytes], page[aheadPackedBytes:]
	b.raw, b.scratch = page[:aheadRawBytes:aheadRawBytes], page[aheadRawBytes:]
	return b, nil
}

// prepare has the system give the memory now.
func (b *aheadBuffer) prepare() {
	for _, part := range [][]byte{b.packed, b.raw, b.scratch} {
		for i := 0; i < len(part); i += PageBytes {
			part[i] = 0
		}
	}
}

func (b *aheadBuffer) unmap() error { return unix.Munmap(b.mapping) }

// aheadBuffers keeps buffers that are not in use: memory that is there already
// spares a guest that resumes hundreds of page faults of ours.
type aheadBuffers struct {
	mu     sync.Mutex
	free   []*aheadBuffer // guarded by mu
	closed bool           // guarded by mu
}

// keptAheadBuffers is how many are kept.
const keptAheadBuffers = 16

// take returns a buffer, a new one if none is free.
func (p *aheadBuffers) take() (*aheadBuffer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b, nil
	}
	return mapAheadBuffer()
}

// give takes a buffer back.
func (p *aheadBuffers) give(b *aheadBuffer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.free) >= keptAheadBuffers {
		return b.unmap()
	}
	p.free = append(p.free, b)
	return nil
}

// close frees what is not in use; what is, when it is given back.
func (p *aheadBuffers) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var err error
	for _, b := range p.free {
		err = errors.Join(err, b.unmap())
	}
	p.free = nil
	return err
}
