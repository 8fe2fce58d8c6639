package store

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"sabrefs/tests/seedtest"
)

// randomOptions leaves out nothing but what must be the same in all packs.
func randomOptions(r *rand.Rand) PackOptions {
	codec := allCodecs[r.IntN(len(allCodecs))]
	return PackOptions{
		Codec: codec, Raw: codec == CodecRaw, Level: allLevels[r.IntN(len(allLevels))],
		FramePages: 1 << r.IntN(7), Workers: 1 + r.IntN(5), UUID: fixedUUID, CreatedAt: fixedTime,
	}
}

// TestPackMetamorphic packs random memory with random options. Whatever the
// options, the content and its digest are the same; whatever the number of
// workers, so is every byte of the image.
func TestPackMetamorphic(t *testing.T) {
	const memories, packs = 4, 5
	r := seedtest.Rand(t)
	for range memories {
		raw := guestMemory(r, r.IntN(2<<20))
		src := writeFile(t, filepath.Join(t.TempDir(), "mem_file"), raw)
		want := naiveDigest(raw).String()
		for range packs {
			opt := randomOptions(r)
			what := fmt.Sprintf("%d bytes, %v at %v, %d pages a frame, %d workers", len(raw), opt.Codec, opt.Level, opt.FramePages, opt.Workers)
			image := filepath.Join(t.TempDir(), "image.sabre")
			result, err := PackFile(t.Context(), src, image, opt)
			wantNoError(t, err)
			wantEqual(t, what+": digest", result.Digest, want)
			wantContent(t, image, raw)
			wantUnpacked(t, image, raw)

			opt.Workers, opt.Overwrite = 1+r.IntN(5), true
			again := filepath.Join(t.TempDir(), "again.sabre")
			_, err = PackFile(t.Context(), src, again, opt)
			wantNoError(t, err)
			wantBytes(t, fmt.Sprintf("%s: image packed by %d workers", what, opt.Workers), readFile(t, again), readFile(t, image))
		}
	}
}
