package fs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"sabrefs/store"
)

// sampleBytes is more than one chunk of the page map (16 MiB) and ends within
// a page.
const sampleBytes = 17<<20 + 777

var sampleSeed = [2]uint64{2026, 11}

// samples keeps what sampleMemory made. Tests do not run in parallel.
var samples = make(map[[2]uint64][]byte)

// sampleMemory makes something like guest memory: zero pages and longer holes,
// duplicates, text, noise. Equal numbers give equal bytes, which nobody may
// change.
func sampleMemory(number uint64, lenBytes int) []byte {
	key := [2]uint64{number, uint64(lenBytes)}
	if samples[key] == nil {
		samples[key] = makeSample(number, lenBytes)
	}
	return samples[key]
}

func makeSample(number uint64, lenBytes int) []byte {
	random := rand.New(rand.NewPCG(sampleSeed[0]+number, sampleSeed[1]))
	raw := make([]byte, lenBytes)
	for off := 0; off < lenBytes; off += store.PageBytes {
		page := raw[off:min(lenBytes, off+store.PageBytes)]
		switch kind := random.IntN(100); {
		case kind < 2: // a longer hole
			off += random.IntN(64) * store.PageBytes
		case kind < 15:
		case kind < 30 && off > 0:
			copy(page, raw[random.IntN(off/store.PageBytes)*store.PageBytes:])
		case kind < 40:
			fillNoise(random, page)
		default:
			fillText(random, page)
		}
	}
	return raw
}

func fillNoise(random *rand.Rand, page []byte) {
	for i := 0; i+8 <= len(page); i += 8 {
		binary.LittleEndian.PutUint64(page[i:], random.Uint64())
	}
}

func fillText(random *rand.Rand, page []byte) {
	words := strings.Fields("fault page frame guest memory snapshot kernel queue vector descriptor resume cache")
	for n := 0; n < len(page); {
		n += copy(page[n:], words[random.IntN(len(words))])
		if n < len(page) {
			page[n] = byte(random.IntN(256))
			n++
		}
	}
}

// packSample packs memory into dir/name.sabre.
func packSample(t *testing.T, dir, name string, raw []byte, options store.PackOptions) {
	t.Helper()
	src := filepath.Join(t.TempDir(), "raw")
	if err := os.WriteFile(src, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	options.Overwrite = true
	if _, err := store.PackFile(context.Background(), src, filepath.Join(dir, name+imageSuffix), options); err != nil {
		t.Fatalf("packing: %v", err)
	}
}

var defaultPack = store.PackOptions{Codec: store.CodecLZ4}

// sampleImage is the packed form of the first sample.
var sampleImage = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "sabrefs-sample")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	src, dst := filepath.Join(dir, "raw"), filepath.Join(dir, "packed")
	if err := os.WriteFile(src, sampleMemory(1, sampleBytes), 0o644); err != nil {
		return nil, err
	}
	if _, err := store.PackFile(context.Background(), src, dst, defaultPack); err != nil {
		return nil, err
	}
	return os.ReadFile(dst)
})

// sampleStore is a store with one snapshot: snap/mem_file and snap/vmstate.
func sampleStore(t *testing.T) (dir string, raw []byte) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "snap"), 0o755); err != nil {
		t.Fatal(err)
	}
	raw = sampleMemory(1, sampleBytes)
	packed, err := sampleImage()
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "snap", "mem_file"+imageSuffix), packed)
	writeFile(t, filepath.Join(dir, "snap", "vmstate"), []byte("state of the devices"))
	return dir, raw
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// overwrite changes bytes of a file in place.
func overwrite(t *testing.T, path string, off int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// wantContent reads a file whole.
func wantContent(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	wantEqual(t, path, got, want)
}

func wantEqual(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d bytes, want %d", what, len(got), len(want))
		return
	}
	if !bytes.Equal(got, want) {
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: differs from byte %d on", what, i)
				return
			}
		}
	}
}

func errnoIn(err error) (syscall.Errno, bool) {
	return errors.AsType[syscall.Errno](err)
}
