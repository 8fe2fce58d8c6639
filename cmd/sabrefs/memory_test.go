package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"sabrefs/store"
)

// guestMemory is memory as guests have it: zero pages, text, equal pages and
// noise. The last page is a partial one.
func guestMemory(pages int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	b := make([]byte, pages*store.PageBytes-100)
	for page := range pages {
		content := b[page*store.PageBytes : min((page+1)*store.PageBytes, len(b))]
		switch page % 8 {
		case 0, 1, 2: // stays zero
		case 3:
			copy(content, "the same on many pages")
		case 4:
			_, _ = random.Read(content) // documented never to fail
		default:
			fillText(content, page)
		}
	}
	return b
}

// textMemory shrinks, but takes time.
func textMemory(pages int) []byte {
	b := make([]byte, pages*store.PageBytes)
	for page := range pages {
		fillText(b[page*store.PageBytes:][:store.PageBytes], page)
	}
	return b
}

func fillText(b []byte, seed int) {
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	for i := 0; i < len(b); {
		i += copy(b[i:], fmt.Sprintf("object %d at %#x; ", random.IntN(1000), random.IntN(1<<20)))
	}
}

const samplePages = 200

// writeSnapshot makes a snapshot directory and returns the memory.
func writeSnapshot(t *testing.T, dir string) (memory []byte) {
	t.Helper()
	memory = guestMemory(samplePages)
	makeDir(t, dir)
	writeFile(t, filepath.Join(dir, "mem_file"), memory)
	writeFile(t, filepath.Join(dir, "snapshot_file"), []byte("state of the devices"))
	return memory
}

// packedImage packs a sample and returns the path of the image.
func packedImage(t *testing.T, flags ...string) (image string, memory []byte) {
	t.Helper()
	dir := realTempDir(t)
	memory = guestMemory(samplePages)
	source := writeFile(t, filepath.Join(dir, "mem_file"), memory)
	image = filepath.Join(dir, "mem_file.sabre")
	sabrefs(t, append([]string{"pack", source, image}, flags...)...)
	return image, memory
}

// packedStore packs a snapshot into a new store, as STORE/guest.
func packedStore(t *testing.T) (storeDir string, memory []byte) {
	t.Helper()
	dir := realTempDir(t)
	memory = writeSnapshot(t, filepath.Join(dir, "snapshot"))
	storeDir = makeDir(t, filepath.Join(dir, "store"))
	sabrefs(t, "pack", filepath.Join(dir, "snapshot"), filepath.Join(storeDir, "guest"))
	return storeDir, memory
}

// Places in the header of an image, see docs/FORMAT.md.
const (
	versionOff  = 8
	incompatOff = 32
	headerBytes = 4096
	crcOff      = headerBytes - 4
)

// editHeader changes an image and makes the checksum of its header fit again.
func editHeader(edit func(header []byte)) func(t *testing.T, image string) {
	return func(t *testing.T, image string) {
		t.Helper()
		b := readFile(t, image)
		edit(b[:headerBytes])
		binary.LittleEndian.PutUint32(b[crcOff:], crc32.ChecksumIEEE(b[:crcOff]))
		writeFile(t, image, b)
	}
}

func appendByte(t *testing.T, image string) {
	t.Helper()
	writeFile(t, image, append(readFile(t, image), 0))
}

// badImage is a way in which an image is not one.
type badImage struct {
	name  string
	spoil func(t *testing.T, image string)
	code  int
	words []string
	// intact says that the header and all tables are.
	intact bool
}

func badImages() []badImage {
	return []badImage{
		{name: "empty", code: exitDamaged, words: []string{"at offset 0", "not a sabrefs image"}, spoil: cutTo(0)},
		{name: "five bytes", code: exitDamaged, words: []string{"at offset 0"}, spoil: cutTo(5)},
		{name: "half a header", code: exitDamaged, words: []string{"at offset 2000", "truncated"}, spoil: cutTo(2000)},
		{name: "header only", code: exitDamaged, words: []string{"at offset 4096", "truncated"}, spoil: cutTo(headerBytes)},
		{name: "longer", code: exitDamaged, words: []string{"at offset", "1 bytes more"}, spoil: appendByte},
		{name: "wrong magic", code: exitDamaged, words: []string{"at offset 0", "not a sabrefs image"}, spoil: flip(3)},
		{name: "header flipped", code: exitDamaged, words: []string{"at offset 4092", "corrupt"}, spoil: flip(90)},
		{name: "frame flipped", code: exitDamaged, words: []string{"at offset", "corrupt"}, spoil: flip(headerBytes + 10), intact: true},
		{name: "trailer flipped", code: exitDamaged, words: []string{"at offset", "corrupt"}, spoil: flip(-10)},
		{name: "newer version", code: exitUnsupported, words: []string{"at offset 8", "version 2"}, spoil: editHeader(func(h []byte) { h[versionOff] = 2 })},
		{name: "unknown feature", code: exitUnsupported, words: []string{"at offset 32", "0x8000000000"}, spoil: editHeader(func(h []byte) { h[incompatOff+4] |= 0x80 })},
		{name: "without its parent", code: exitParent, words: []string{"parent", "gone.sabre", "not there"}, spoil: takeParentAway, intact: true},
	}
}

// takeParentAway makes an image the child of another one, which is then removed.
func takeParentAway(t *testing.T, image string) {
	t.Helper()
	parent, _ := packedImage(t)
	raw := filepath.Join(realTempDir(t), "raw")
	sabrefs(t, "unpack", image, raw)
	gone := filepath.Join(filepath.Dir(parent), "gone.sabre")
	noError(t, os.Rename(parent, gone))
	sabrefs(t, "pack", "--force", "--parent", gone, raw, image)
	noError(t, os.Remove(gone))
}

func cutTo(size int64) func(t *testing.T, image string) {
	return func(t *testing.T, image string) {
		t.Helper()
		noError(t, os.Truncate(image, size))
	}
}

// flip inverts a byte; a negative offset counts from the end.
func flip(off int) func(t *testing.T, image string) {
	return func(t *testing.T, image string) {
		t.Helper()
		b := readFile(t, image)
		if off < 0 {
			off += len(b)
		}
		b[off] ^= 0xff
		writeFile(t, image, b)
	}
}
