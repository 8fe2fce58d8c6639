package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"sabrefs/tests/seedtest"
)

// damageSamples are small images of every codec, with the memory they hold.
func damageSamples(t *testing.T, r *rand.Rand) map[string]damageSample {
	t.Helper()
	samples := map[string]damageSample{"golden": {goldenImage(t), goldenMemory()}}
	for _, codec := range allCodecs {
		raw := guestMemory(r, 60*PageBytes+r.IntN(PageBytes))
		path, _ := packBytes(t, raw, PackOptions{Codec: codec, Raw: codec == CodecRaw, FramePages: 4})
		samples[codec.String()] = damageSample{readFile(t, path), raw}
	}
	raw := guestMemory(r, 60*PageBytes)
	path, _ := packBytes(t, raw, PackOptions{WorkingSet: []PageRun{{30, 20}, {2, 3}}, HotFramePages: 8, FramePages: 4})
	samples["laid out"] = damageSample{readFile(t, path), raw}
	return samples
}

type damageSample struct{ image, raw []byte }

// damages are ways in which bytes of an image change; each returns the new
// image and what it did.
var damages = []func(r *rand.Rand, b []byte) ([]byte, string){
	func(r *rand.Rand, b []byte) ([]byte, string) {
		bit := r.IntN(len(b) * 8)
		b[bit/8] ^= 1 << (bit % 8)
		return b, fmt.Sprintf("bit %d of byte %d flipped", bit%8, bit/8)
	},
	func(r *rand.Rand, b []byte) ([]byte, string) {
		i := placeOfInterest(r, b)
		b[i] ^= byte(1 + r.IntN(255))
		return b, fmt.Sprintf("byte %d set to %02x", i, b[i])
	},
	func(r *rand.Rand, b []byte) ([]byte, string) {
		i := placeOfInterest(r, b)
		n := 1 + r.IntN(min(8192, len(b)-i))
		clear(b[i : i+n])
		return b, fmt.Sprintf("%d bytes at %d zeroed", n, i)
	},
	func(r *rand.Rand, b []byte) ([]byte, string) {
		from, to := r.IntN(len(b)), r.IntN(len(b))
		n := copy(b[to:], bytes.Clone(b[from:min(len(b), from+1+r.IntN(4096))]))
		return b, fmt.Sprintf("%d bytes copied from %d to %d", n, from, to)
	},
	func(r *rand.Rand, b []byte) ([]byte, string) {
		n := r.IntN(len(b))
		return b[:n], fmt.Sprintf("cut to %d bytes", n)
	},
	func(r *rand.Rand, b []byte) ([]byte, string) {
		n := 1 + r.IntN(5000)
		return append(b, make([]byte, n)...), fmt.Sprintf("%d zeros appended", n)
	},
}

// placeOfInterest is any byte, or more often one that is not filling.
func placeOfInterest(r *rand.Rand, b []byte) int {
	for range 20 {
		if i := r.IntN(len(b)); b[i] != 0 {
			return i
		}
	}
	return r.IntN(len(b))
}

// TestFlipAndCut damages real images: each is refused or yields exactly what
// was packed, when it is read and when it is verified.
func TestFlipAndCut(t *testing.T) {
	const rounds = 180
	r := seedtest.Rand(t)
	dir := t.TempDir()
	for name, sample := range damageSamples(t, r) {
		for round := range rounds {
			image, what := damages[round%len(damages)](r, bytes.Clone(sample.image))
			what = name + ": " + what
			path := writeFile(t, filepath.Join(dir, "image.sabre"), image)
			wantRefusedOrRight(t, what, path, sample.raw)
			if len(image) != len(sample.image) {
				_, err := ReadHeader(path)
				wantEqual(t, what+": the length alone refuses it", refused(err), true)
			}
		}
	}
}

// wantRefusedOrRight accepts no third outcome.
func wantRefusedOrRight(t *testing.T, what, path string, raw []byte) {
	t.Helper()
	img, err := Open(path, OpenOptions{})
	if err != nil {
		wantEqual(t, fmt.Sprintf("%s: open refuses it as damage (%v)", what, err), refused(err), true)
		return
	}
	defer img.Close()
	got, err := readAll(img)
	switch {
	case err != nil:
		wantEqual(t, fmt.Sprintf("%s: read refuses it as damage (%v)", what, err), refused(err), true)
	case !bytes.Equal(got, raw):
		t.Fatalf("%s: other bytes were read without an error", what)
	}
	if _, err := img.Verify(context.Background(), nil); err != nil {
		wantEqual(t, fmt.Sprintf("%s: Verify refuses it as damage (%v)", what, err), refused(err), true)
	} else if !bytes.Equal(got, raw) {
		t.Fatalf("%s: Verify accepts what is not read right", what)
	}
}

// TestFlipAndReseal damages images and fits the checksums again, as a hostile
// writer does. Nothing but the content digest speaks for the content then: what
// Verify accepts is what was packed.
func TestFlipAndReseal(t *testing.T) {
	const rounds = 100
	r := seedtest.Rand(t)
	path := filepath.Join(t.TempDir(), "image.sabre")
	for name, sample := range damageSamples(t, r) {
		for range rounds {
			image := bytes.Clone(sample.image)
			what := name + ": " + changeClaim(r, image)
			reseal(image)
			wantVerifiedIsRight(t, what, writeFile(t, path, image), sample.raw)
		}
	}
}

// changeClaim changes a byte of the header or of a table.
func changeClaim(r *rand.Rand, image []byte) string {
	for {
		part := image[hdrCompat : hdrSectionTable+8*sectionEntryBytes]
		if kind := SectionType(r.IntN(int(SectionChunkDigests) + 1)); kind != 0 {
			part = sectionBytes(image, kind)
		}
		if len(part) == 0 {
			continue
		}
		i := r.IntN(min(len(part), 400))
		part[i] ^= 1 << r.IntN(8)
		at := len(image) - cap(part[:0:cap(part)]) + i
		return fmt.Sprintf("byte %d set to %02x", at, part[i])
	}
}

func wantVerifiedIsRight(t *testing.T, what, path string, raw []byte) {
	t.Helper()
	img, err := Open(path, OpenOptions{})
	if err != nil {
		wantEqual(t, fmt.Sprintf("%s: open refuses it as damage (%v)", what, err), refused(err), true)
		return
	}
	defer img.Close()
	if img.RawBytes() > 1<<30 {
		return // it would be refused, after minutes
	}
	if _, err := img.Verify(context.Background(), nil); err != nil {
		wantEqual(t, fmt.Sprintf("%s: Verify refuses it as damage (%v)", what, err), refused(err), true)
		return
	}
	got, err := readAll(img)
	wantNoError(t, err)
	wantBytes(t, what, got, raw)
}

// TestEveryCutOfTheHeader cuts an image to every length that splits a field of
// the header, and to the lengths around the end.
func TestEveryCutOfTheHeader(t *testing.T) {
	image := goldenImage(t)
	path := writeFile(t, filepath.Join(t.TempDir(), "image.sabre"), image)
	for n := len(image) - 1; n >= 0; n-- {
		if n == headerBytes+1000 {
			n = headerBytes + 1
		}
		if n > headerBytes+1 && n < len(image)-200 {
			n -= 200
		}
		wantNoError(t, os.Truncate(path, int64(n)))
		_, err := Open(path, OpenOptions{})
		if n < len(magic) {
			wantClass(t, err, ErrNotImage)
		} else {
			wantClass(t, err, ErrTruncated)
		}
	}
}

// TestTruncatedWhileOpen cuts an image that is open: the mapped tables then
// fault, which must be an error and not the end of the process.
func TestTruncatedWhileOpen(t *testing.T) {
	r := seedtest.Rand(t)
	for name, sample := range damageSamples(t, r) {
		for range 15 {
			n := r.Int64N(int64(len(sample.image)))
			path := writeFile(t, filepath.Join(t.TempDir(), "image.sabre"), sample.image)
			img := openImage(t, path)
			if r.IntN(2) == 0 { // all tables are checked and in use
				wantContentOf(t, img, sample.raw)
			}
			wantNoError(t, os.Truncate(path, n))
			what := fmt.Sprintf("%s: cut to %d of %d bytes", name, n, len(sample.image))
			wantNoWrongBytes(t, what, img, sample.raw)
		}
	}
}

func wantContentOf(t *testing.T, img *Image, raw []byte) {
	t.Helper()
	got, err := readAll(img)
	wantNoError(t, err)
	wantBytes(t, "content", got, raw)
}

// wantNoWrongBytes uses an open image in every way.
func wantNoWrongBytes(t *testing.T, what string, img *Image, raw []byte) {
	t.Helper()
	check := func(way string, err error) {
		if err != nil && !refused(err) {
			t.Fatalf("%s: %s: %v", what, way, err)
		}
	}
	got, err := readAll(img)
	check("reading", err)
	if err == nil && !bytes.Equal(got, raw) {
		t.Fatalf("%s: other bytes were read without an error", what)
	}
	_, err = img.NextData(0)
	check("seeking", err)
	_, err = img.WorkingSet()
	check("working set", err)
	_, err = img.Frame(0)
	check("frame", err)
	_, err = img.Verify(context.Background(), nil)
	check("verifying", err)
}

// TestTruncatedTables cuts where the fault is certain.
func TestTruncatedTables(t *testing.T) {
	image := goldenImage(t)
	path := writeFile(t, filepath.Join(t.TempDir(), "image.sabre"), image)
	img := openImage(t, path)
	wantNoError(t, os.Truncate(path, headerBytes))
	_, err := img.Frame(0)
	wantClass(t, err, ErrTruncated)
	wantClass(t, img.Pages(0, make([]PageRef, 1)), ErrTruncated)
	_, err = img.NextHole(0)
	wantClass(t, err, ErrTruncated)
	wantClass(t, img.ReadFrame(t.Context(), FrameEntry{PackedOff: headerBytes, PackedLen: PageBytes, Pages: 1}, make([]byte, PageBytes)), ErrTruncated)
}

// TestHostileClaims makes images whose checksums are right and whose claims are
// absurd. They are refused before anything is allocated by them.
func TestHostileClaims(t *testing.T) {
	size := uint64(len(goldenImage(t)))
	claims := func(changes ...func([]byte)) func([]byte) {
		return func(image []byte) {
			for _, change := range changes {
				change(image)
			}
		}
	}
	for name, spoil := range map[string]func([]byte){
		"4 TiB of memory":             put64(hdrRawBytes, uint64(MaxRawBytes)),
		"8 EiB of memory":             put64(hdrRawBytes, 1<<63-1),
		"2^30 frames":                 claims(put64(hdrRawBytes, uint64(MaxRawBytes)), put64(hdrFrameCount, 1<<29)),
		"2^63 frames":                 put64(hdrFrameCount, 1<<63-1),
		"an exabyte of frames":        put64(hdrFramesBytes, 1<<60),
		"a petabyte of directory":     claims(put64(hdrRawBytes, uint64(MaxRawBytes)), changeSection(SectionPageDirectory, sectionLenField, 1<<50)),
		"a directory beyond the file": claims(put64(hdrRawBytes, uint64(MaxRawBytes)), changeSection(SectionPageDirectory, sectionLenField, 4<<20)),
		"a map beyond the file":       claims(put64(hdrRawBytes, uint64(MaxRawBytes)), changeSection(SectionPageMap, sectionLenField, 4<<30)),
		"checksums beyond the file":   changeSection(SectionFrameChecksums, sectionLenField, 1<<40),
		"a table beyond the file":     changeSection(SectionFrameTable, sectionLenField, 1<<40),
		"a working set of the file":   changeSection(SectionWorkingSet, sectionLenField, size),
		"2^32 sections":               put32(hdrSections, 1<<32-1),
	} {
		t.Run(name, func(t *testing.T) {
			image := goldenImage(t)
			spoil(image)
			reseal(image)
			path := writeFile(t, filepath.Join(t.TempDir(), "bad.sabre"), image)
			var err error
			allocated := allocatedBy(func() {
				var img *Image
				if img, err = Open(path, OpenOptions{}); err == nil {
					err = img.Close()
				}
			})
			wantEqual(t, fmt.Sprintf("it is refused (%v)", err), refused(err), true)
			if allocated > 256<<10 {
				t.Errorf("opening it allocated %d bytes", allocated)
			}
		})
	}
}

// TestHostileFrames makes frame entries with absurd claims in an image whose
// checksums are right.
func TestHostileFrames(t *testing.T) {
	for name, spoil := range map[string]func(entry []byte){
		"behind the end":       func(e []byte) { binary.LittleEndian.PutUint32(e, 1<<31) },
		"far behind the end":   func(e []byte) { e[5] = 0xff },
		"in the header":        func(e []byte) { binary.LittleEndian.PutUint32(e, 0) },
		"over the end":         func(e []byte) { binary.LittleEndian.PutUint32(e, 0x4000) },
		"16 MiB":               func(e []byte) { e[8], e[9], e[10] = 0xff, 0xff, 0xff },
		"255 pages":            func(e []byte) { e[6] = 255 },
		"codec 255":            func(e []byte) { e[7] = 255 },
		"deflate that is none": func(e []byte) { e[7], e[8], e[9] = byte(CodecDeflate), 0xff, 0x1f },
		"zstd that is none":    func(e []byte) { e[7], e[8], e[9] = byte(CodecZstd), 0xff, 0x1f },
		"lz4 that is none":     func(e []byte) { e[7], e[8], e[9] = byte(CodecLZ4), 0xff, 0x1f },
		"shared table":         func(e []byte) { e[11] = 1 },
		"another frame's":      func(e []byte) { copy(e[:12], e[16:28]) },
	} {
		t.Run(name, func(t *testing.T) {
			image := goldenImage(t)
			spoil(sectionBytes(image, SectionFrameTable))
			reseal(image)
			img := openImage(t, writeFile(t, filepath.Join(t.TempDir(), "bad.sabre"), image))
			_, err := readAll(img)
			wantClass(t, err, ErrCorrupt)
			_, err = img.Verify(t.Context(), nil)
			wantClass(t, err, ErrCorrupt)
		})
	}
}
