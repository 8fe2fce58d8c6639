package iaa

import (
	"encoding/hex"
	"strings"
	"testing"
)

// fromHex joins annotated lines: what follows a "|" is a comment.
func fromHex(tb testing.TB, annotated string) []byte {
	tb.Helper()
	var digits strings.Builder
	for line := range strings.Lines(annotated) {
		bytes, _, _ := strings.Cut(line, "|")
		digits.WriteString(strings.Join(strings.Fields(bytes), ""))
	}
	b, err := hex.DecodeString(digits.String())
	wantNoError(tb, err)
	return b
}

// TestDescriptorBytes has whole descriptors, made by hand from the layout.
func TestDescriptorBytes(t *testing.T) {
	const queueFlags = flagBlockOnFault | flagCacheControl
	for name, c := range map[string]struct {
		descriptor
		want string
	}{
		"decompress": {
			descriptor{
				operation: opcodeDecompress, flags: flagsRecord, modeFlags: decompressOneShot,
				record: 0x7f0000000040, source: 0x7f0000001000, sourceBytes: 0x31,
				destination: 0x7f0000003000, roomBytes: 4096,
			}, `
			00000000 0e010042  | no PASID; record wanted, block on fault, to the cache; decompress
			40000000 007f0000  | completion record
			00100000 007f0000  | source
			00300000 007f0000  | destination
			31000000 00001f00  | bytes of source; no interrupt, flags: one whole stream
			00000000 00000000  | no AECS
			00100000 00000000  | room at the destination; no AECS
			00000000 00000000  | no filter`,
		},
		"compress with the codes of an AECS": {
			descriptor{
				operation: opcodeCompress, flags: flagsRecord | flagReadSource2, modeFlags: compressFlush | compressEndOfBlock,
				record: 0x7f0000000080, source: 0x7f0000001000, sourceBytes: 4096,
				destination: 0x7f0000003000, roomBytes: 4096,
				source2: 0x7f0000005000, source2Bytes: aecsBytes,
			}, `
			00000000 0e010143  | the AECS is read; compress
			80000000 007f0000
			00100000 007f0000
			00300000 007f0000
			00100000 00000600  | flags: flush, end of block
			00500000 007f0000  | AECS
			00100000 20060000  | bytes of the AECS: 1568
			00000000 00000000`,
		},
		"statistics": {
			descriptor{
				operation: opcodeCompress, flags: flagsRecord, modeFlags: compressStatistics | compressEndOfBlock,
				record: 0x7f0000000080, source: 0x7f0000001000, sourceBytes: 4096,
				destination: 0x7f0000006000, roomBytes: histogramBytes,
			}, `
			00000000 0e010043
			80000000 007f0000
			00100000 007f0000
			00600000 007f0000  | where the histogram goes
			00100000 00000500  | flags: count, with the end of the block
			00000000 00000000
			00050000 00000000  | bytes of a histogram: 1280
			00000000 00000000`,
		},
	} {
		var got [descriptorBytes]byte
		for i := range got {
			got[i] = 0xff // encode must write every byte
		}
		c.encode(&got)
		addDescriptorFlags(&got, queueFlags, queueFlags)
		if want := fromHex(t, c.want); hex.EncodeToString(got[:]) != hex.EncodeToString(want) {
			t.Errorf("%s:\n%x, want\n%x", name, got, want)
		}
		// Another queue, which has none of the features.
		addDescriptorFlags(&got, queueFlags, 0)
		if got[4]&flagBlockOnFault != 0 || got[5]&(flagCacheControl>>8) != 0 || got[4]&flagsRecord != flagsRecord {
			t.Errorf("%s: flags are % x after the change of queue", name, got[4:8])
		}
	}
}

// TestStagedDescriptors checks that jobs become the descriptors above, with the
// addresses of their slot.
func TestStagedDescriptors(t *testing.T) {
	a, err := newArena([slotClasses]int{smallSlot: 2, largeSlot: 1})
	wantNoError(t, err)
	defer func() { wantNoError(t, a.release()) }()
	s := &a.slots[smallSlot][1]
	raw := text(1, 4096)
	for name, c := range map[string]struct {
		op      Op
		job     Job
		onePass bool
		want    descriptor
	}{
		"decompress": {OpDecompress, Job{Src: raw[:49], Dst: make([]byte, 4096)}, false, descriptor{
			operation: 0x42, flags: 0x0c, modeFlags: 0x001f, sourceBytes: 49, roomBytes: 4096,
			destination: addressOf(&s.output[0]),
		}},
		"decompress with a table": {OpDecompress, Job{
			Src: raw[:49], Dst: make([]byte, 4096), Table: &Table{prefix: []byte("prefix")},
		}, false, descriptor{
			operation: 0x42, flags: 0x0c, modeFlags: 0x001f, sourceBytes: 49 + 6, roomBytes: 4096,
			destination: addressOf(&s.output[0]),
		}},
		"compress, level 1": {OpCompress, Job{Src: raw, Dst: make([]byte, 4000), Level: 1}, false, descriptor{
			operation: 0x43, flags: 0x1000c, modeFlags: 0x0006, sourceBytes: 4096, roomBytes: 4000,
			destination: addressOf(&s.output[0]), source2: addressOf(&a.fixedCodes[0]), source2Bytes: 1568,
		}},
		"compress, level 1, device makes the codes": {OpCompress, Job{Src: raw, Dst: make([]byte, 4000), Level: 1}, true, descriptor{
			operation: 0x43, flags: 0x0c, modeFlags: 0x3006, sourceBytes: 4096, roomBytes: 4000,
			destination: addressOf(&s.output[0]),
		}},
		"compress, level 2": {OpCompress, Job{Src: raw, Dst: make([]byte, 4000), Level: 2}, true, descriptor{
			operation: 0x43, flags: 0x0c, modeFlags: 0x0005, sourceBytes: 4096, roomBytes: 1280,
			destination: addressOf(&s.aecs[288]),
		}},
		"more room than a slot has": {OpCompress, Job{Src: raw, Dst: make([]byte, 1<<20), Level: 1}, false, descriptor{
			operation: 0x43, flags: 0x1000c, modeFlags: 0x0006, sourceBytes: 4096, roomBytes: 17 << 10,
			destination: addressOf(&s.output[0]), source2: addressOf(&a.fixedCodes[0]), source2Bytes: 1568,
		}},
	} {
		d := &device{arena: a, onePass: c.onePass}
		d.stage(s, c.op, &c.job, 7)
		var want [descriptorBytes]byte
		c.want.record, c.want.source = addressOf(&s.record[0]), addressOf(&s.source[0])
		c.want.encode(&want)
		if *s.descriptor != want || s.job != 7 {
			t.Errorf("%s: job %d is\n%x, want\n%x", name, s.job, s.descriptor[:], want)
		}
		wantSource := string(c.job.Src)
		if c.job.Table != nil {
			wantSource = "prefix" + wantSource
		}
		if got := string(s.source[:s.inputBytes]); got != wantSource {
			t.Errorf("%s: the source is %q", name, got)
		}
	}
}
