package inflate

import (
	"bytes"
	"encoding/hex"
	"hash/crc32"
	"strings"
	"testing"
)

// goldens are streams whose every bit is known, and what must become of them.
// Their bytes and checksums come from zlib.
var goldens = []struct {
	name   string
	packed string // hexadecimal
	raw    string // if it is valid
	crc    uint32 // of raw, not checked if 0
	// rawBytes is the length of the destination of a stream that is not valid.
	rawBytes int
	err      string
}{
	{
		// 1 00 and padding: the last block, stored. Length 0, and its complement.
		name: "nothing, stored", packed: "01 0000 ffff",
	},
	{
		// 1 10, then the end of the block, 0000000.
		name: "nothing, fixed codes", packed: "03 00",
	},
	{
		// 1 10, the codes of 8 bits of a, b and c, the end of the block.
		name: "three literals, fixed codes", packed: "4b4c4a0600", raw: "abc", crc: 0x352441c2,
	},
	{
		// A dynamic block whose header has 202 bits: 17 literal and length codes
		// more than 257, 12 distance codes, and no run that crosses from those to
		// these: what an accelerator of the second generation writes. The second
		// half is a match.
		name: "written by an accelerator",
		packed: "85cac10900200805d055fe3c6e2164d845210dd7b726e8f8e0912fc3099817d8" +
			"0642790b5205e133eb813ee5a201",
		raw: "Join us now and share the software Join us now and share the software ",
	},
	{
		// A dynamic block with a run of zeros that begins in the literal/length
		// lengths and ends in those of the distances. It is valid, but the
		// accelerator does not take it.
		name: "run across both lists", packed: "edfdb5b56ddbb66ddbfa6f758c9ec46888", raw: "\xff",
	},
	{
		// 1 11.
		name: "block type 3", packed: "07", rawBytes: 3,
		err: "invalid DEFLATE stream: block type 3, at byte 0",
	},
	{
		// "abc" again, without its last three bytes.
		name: "truncated", packed: "4b4c", rawBytes: 3,
		err: "invalid DEFLATE stream: truncated after 2 bytes",
	},
	{
		// Stored, five bytes long, with the length itself for its complement.
		name: "stored length not confirmed", packed: "01 0500 0500 0102030405", rawBytes: 5,
		err: "invalid DEFLATE stream: stored block whose length is not confirmed, at byte 0",
	},
	{
		// Fixed codes: 0000001 is a length of 3, 00000 a distance of 1, of nothing.
		name: "match before the start", packed: "03 02 00", rawBytes: 3,
		err: "invalid DEFLATE stream: distance reaches before the start, at byte 1",
	},
	{
		name: "one byte too many", packed: "4b4c4a0600", rawBytes: 2,
		err: "DEFLATE stream has another length than expected: more than 2 bytes",
	},
	{
		name: "one byte too few", packed: "4b4c4a0600", rawBytes: 4,
		err: "DEFLATE stream has another length than expected: 3 bytes, expected 4",
	},
	{
		name: "a byte behind the end", packed: "4b4c4a0600 00", rawBytes: 3,
		err: "invalid DEFLATE stream: 1 bytes behind its end",
	},
}

func TestGolden(t *testing.T) {
	b := newBench(t)
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			packed, err := hex.DecodeString(strings.ReplaceAll(g.packed, " ", ""))
			wantNoError(t, err)
			got := b.decodeEverywhere(t, everySetup(), packed, max(len(g.raw), g.rawBytes), nil)
			switch {
			case g.err != "":
				if got.err == nil || got.err.Error() != g.err {
					t.Errorf("error is %v, want %s", got.err, g.err)
				}
			case got.err != nil || string(got.raw) != g.raw:
				t.Errorf("%s, %q", got, got.raw)
			case g.crc != 0 && crc32.ChecksumIEEE(got.raw) != g.crc:
				t.Errorf("checksum is %08x", crc32.ChecksumIEEE(got.raw))
			}
		})
	}
}

// TestGoldenWindow builds the streams on either side of the accelerator's window
// of 4096 bytes: one literal, runs of it, others up to the distance, and a match
// of 3 bytes that reaches back to the first. Here both are valid.
func TestGoldenWindow(t *testing.T) {
	b, oracles := newBench(t), newOracles()
	for _, test := range []struct {
		distance int
		crc      uint32
	}{{4096, 0x47585655}, {4097, 0xda2acc48}} {
		h := newHandmade(1 << 13)
		c := h.fixedHeader(true)
		h.literals(c, 'A')
		for len(h.raw)+258 <= test.distance {
			h.match(c, 258, 1)
		}
		h.literals(c, bytes.Repeat([]byte{'B'}, test.distance-len(h.raw))...)
		h.match(c, 3, test.distance)
		h.end(c)
		got := checkAgreement(t, b, oracles, everySetup(), h.packed(), test.distance+3, nil)
		if got.err != nil || crc32.ChecksumIEEE(got.raw) != test.crc {
			t.Errorf("distance %d: %s, checksum %08x", test.distance, got, crc32.ChecksumIEEE(got.raw))
		}
	}
}
