package store

import (
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"sabrefs/tests/seedtest"
)

const benchBytes = 64 << 20

// benchImage packs memory as guests have it.
func benchImage(b *testing.B, opt PackOptions) (path string, raw []byte) {
	b.Helper()
	raw = guestMemory(seedtest.Fixed(1), benchBytes)
	path, result := packBytes(b, raw, opt)
	b.Logf("%v: %d bytes became %d", opt.Codec, result.RawBytes, result.PackedBytes)
	return path, raw
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	data := textMemory(4)
	for name, rawBytes := range map[string]int64{"64MiB": benchBytes, "64GiB-sparse": 64 << 30} {
		src, image := filepath.Join(dir, name), filepath.Join(dir, name+ImageSuffix)
		if rawBytes == benchBytes {
			writeFile(b, src, guestMemory(seedtest.Fixed(1), benchBytes))
		} else {
			writeSparse(b, src, rawBytes, data, []int64{0, rawBytes / 3 &^ (PageBytes - 1), rawBytes - 4*PageBytes})
		}
		_, err := PackFile(b.Context(), src, image, PackOptions{})
		wantNoError(b, err)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				img, err := Open(image, OpenOptions{})
				wantNoError(b, err)
				wantNoError(b, img.Close())
			}
		})
	}
}

// BenchmarkFaultRead reads single pages at random, without a cache: what a
// guest waits for when it touches a page first.
func BenchmarkFaultRead(b *testing.B) {
	for _, codec := range allCodecs {
		for _, framePages := range []int{1, 4, 16, 64} {
			path, raw := benchImage(b, PackOptions{Codec: codec, Raw: codec == CodecRaw, FramePages: framePages})
			b.Run(fmt.Sprintf("%v/%dKiB", codec, framePages*4), func(b *testing.B) {
				img, cache, r := openImage(b, path), newCache(b, 0), seedtest.Fixed(2)
				dst := make([]byte, PageBytes)
				b.SetBytes(PageBytes)
				b.ReportAllocs()
				for b.Loop() {
					_, err := cache.ReadAt(b.Context(), img, dst, r.Int64N(int64(len(raw))/PageBytes)*PageBytes)
					wantNoError(b, err)
				}
			})
		}
	}
}

func BenchmarkSequentialRead(b *testing.B) {
	for _, codec := range allCodecs {
		path, raw := benchImage(b, PackOptions{Codec: codec, Raw: codec == CodecRaw})
		b.Run(codec.String(), func(b *testing.B) {
			img, cache := openImage(b, path), newCache(b, 8<<20)
			dst := make([]byte, 128<<10)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				for rawOff := 0; rawOff < len(raw); rawOff += len(dst) {
					if _, err := cache.ReadAt(b.Context(), img, dst, int64(rawOff)); err != nil && err != io.EOF { //nolint:errorlint // io.EOF is documented
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkPack(b *testing.B) {
	dir := b.TempDir()
	src := writeFile(b, filepath.Join(dir, "mem_file"), guestMemory(seedtest.Fixed(1), benchBytes))
	for _, codec := range allCodecs {
		for _, level := range []Level{LevelFast, LevelDefault} {
			b.Run(fmt.Sprintf("%v/%v", codec, level), func(b *testing.B) {
				b.SetBytes(benchBytes)
				for b.Loop() {
					result, err := PackFile(b.Context(), src, filepath.Join(dir, "image.sabre"), PackOptions{
						Codec: codec, Raw: codec == CodecRaw, Level: level, Overwrite: true,
					})
					wantNoError(b, err)
					b.ReportMetric(float64(result.RawBytes)/float64(result.PackedBytes), "ratio")
				}
			})
		}
	}
}
