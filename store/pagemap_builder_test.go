package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"sabrefs/tests/seedtest"
)

// entriesOf reads what a builder wrote back into one entry per page.
func entriesOf(t *testing.T, directory, chunks []byte, pageCount int64) map[int64]uint32 {
	t.Helper()
	got := make(map[int64]uint32)
	for page := range pageCount {
		d, err := decodeDirEntry(directory[page/chunkPages*dirEntryBytes:], int64(len(chunks)/chunkBytes), 0)
		wantNoError(t, err)
		if d.kind != chunkStored {
			continue
		}
		if v := binary.LittleEndian.Uint32(chunks[int64(d.stored)*chunkBytes+page%chunkPages*mapEntryBytes:]); v != zeroPageEntry {
			got[page] = v
		}
	}
	return got
}

func TestPageMapBuilderAgainstMap(t *testing.T) {
	for _, inOrder := range []bool{true, false} {
		r := seedtest.Rand(t)
		const pageCount = 9*chunkPages + 17
		b, err := newPageMapBuilder(t.TempDir(), pageCount)
		wantNoError(t, err)
		want := make(map[int64]uint32)
		for i := range int64(3000) {
			page := i * 11
			if !inOrder {
				page = r.Int64N(pageCount)
			}
			if page/chunkPages == 3 { // a chunk that stays zero
				continue
			}
			want[page] = r.Uint32N(1 << 31)
			wantNoError(t, b.set(page, want[page]))
		}
		var chunks bytes.Buffer
		directory, stored, err := b.writeTo(&chunks, nil)
		wantNoError(t, err)
		wantNoError(t, b.close())
		wantEqual(t, "bytes written", int64(chunks.Len()), stored*chunkBytes)
		got := entriesOf(t, directory, chunks.Bytes(), pageCount)
		wantEqual(t, "pages set", len(got), len(want))
		for page, v := range want {
			wantEqual(t, "entry", got[page], v)
		}
		wantEqual(t, "kind of the untouched chunk", chunkKind(directory[3*dirEntryBytes]), chunkZero)
	}
}

// TestPageMapBuilderUnset checks that pages set to zeros again take no chunk.
func TestPageMapBuilderUnset(t *testing.T) {
	b, err := newPageMapBuilder(t.TempDir(), 3*chunkPages)
	wantNoError(t, err)
	wantNoError(t, b.set(chunkPages+5, 7))
	wantNoError(t, b.set(2*chunkPages, 8))
	wantNoError(t, b.set(chunkPages+5, zeroPageEntry))
	var chunks bytes.Buffer
	_, stored, err := b.writeTo(&chunks, nil)
	wantNoError(t, err)
	wantNoError(t, b.close())
	wantEqual(t, "stored chunks", stored, 1)
}

var errDisk = errors.New("injected")

// brokenDisk fails after a number of bytes.
type brokenDisk struct{ left int }

func (d *brokenDisk) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestPageMapBuilderReportsErrors(t *testing.T) {
	b, err := newPageMapBuilder(t.TempDir(), 3*chunkPages)
	wantNoError(t, err)
	for chunk := range int64(3) {
		wantNoError(t, b.set(chunk*chunkPages, 7))
	}
	_, _, err = b.writeTo(&brokenDisk{left: 2 * chunkBytes}, nil)
	wantClass(t, err, errDisk)
	wantNoError(t, b.spool.Truncate(0)) // what waits is lost
	_, _, err = b.writeTo(&brokenDisk{left: 9 * chunkBytes}, nil)
	wantEqual(t, "lost entries are noticed", err != nil, true)
	wantNoError(t, b.close())
	wantEqual(t, "a closed spool is noticed", b.set(0, 1) != nil || b.set(2*chunkPages, 1) != nil, true)
}

func TestIsZero(t *testing.T) {
	for _, lenBytes := range []int{1, 2, 7, PageBytes} {
		b := make([]byte, lenBytes)
		wantEqual(t, "zeros are zero", isZero(b), true)
		for i := range b {
			b[i] = 1
			wantEqual(t, "a byte is not", isZero(b), false)
			b[i] = 0
		}
		for i := range b {
			b[i] = 0xff
		}
		wantEqual(t, "equal bytes are not", isZero(b), false)
	}
}
