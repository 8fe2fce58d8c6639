package model

import (
	"bytes"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"
)

// FuzzDecode compares the device's decoder with the standard library's. What
// the device accepts, the library accepts with the same bytes, unless there was
// an incomplete code, which the library refuses. What only the device refuses,
// it refuses for one of its own rules.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 0))
	for _, level := range []int{-2, 0, 1, 9} {
		f.Add(standardCompress(f, text(r, 300), level))
	}
	far, _ := atDistance(4097)
	f.Add(far)
	f.Add([]byte("\xed\xfd\xb5\xb5\x6d\xdb\xb6\x6d\xdb\xfa\x6f\x75\x8c\x9e\xc4\x68\x88"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		const limitBytes, guardBytes = 1 << 16, 300
		if len(packed) == 0 {
			return
		}
		buf := bytes.Repeat([]byte{0xa5}, limitBytes+guardBytes)
		d := new(decoder)
		d.begin(packed, buf[:limitBytes], limitBytes, decompressWhole)
		end := d.run()
		for i, b := range buf[limitBytes:] {
			if b != 0xa5 {
				t.Fatalf("byte %d behind the destination was written", i)
			}
		}
		want, _, err := standardDecompress(packed, limitBytes+1)
		wantCRC := crc32.ChecksumIEEE(buf[:d.out.total])
		switch {
		case end.status == StatusSuccess && err != nil:
			if !d.sawIncomplete {
				t.Fatalf("%d bytes were accepted; the standard library: %v", d.out.total, err)
			}
		case end.status == StatusSuccess, end.status == StatusOutputOverflow && err == nil:
			wantBytes(t, "output", buf[:d.out.total], want[:min(len(want), limitBytes)])
			wantEqual(t, "CRC", d.out.sums.crc, wantCRC)
			wantEqual(t, "XOR", d.out.sums.xor, slowXOR(buf[:d.out.total]))
		case end.status == StatusAnalyticsError && err == nil && len(want) <= limitBytes:
			if !slices.Contains(stricter, end.code) {
				t.Fatalf("%v; the standard library decodes %d bytes", end.err(), len(want))
			}
		}
	})
}
