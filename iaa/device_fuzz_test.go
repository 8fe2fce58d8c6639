package iaa

import (
	"bytes"
	"compress/flate"
	"fmt"
	"hash/crc32"
	"io"
	"testing"

	"sabrefs/iaa/model"
)

// FuzzDeviceDecode compares the device engine with software: the same bytes and
// the same errors, but for bytes behind the end of a stream, which the device
// does not see.
func FuzzDeviceDecode(f *testing.F) {
	raw := text(1, 3000)
	packed := compressed(f, raw)
	f.Add(packed, uint16(3000))
	f.Add(packed, uint16(2999))
	f.Add(packed, uint16(3001))
	f.Add(packed[:len(packed)-1], uint16(3000))
	f.Add(append(bytes.Clone(packed), 0), uint16(3000))
	f.Add(compressedFar(f, append(noise(1, 6000), noise(1, 6000)...)), uint16(12000))
	f.Add(fromHex(f, "edfdb5b56ddbb66ddbfa6f758c9ec46888"), uint16(1))
	f.Add([]byte{0x07}, uint16(1))
	f.Add([]byte{}, uint16(0))
	_, d, _ := openModel(f, model.Config{}, DeviceOptions{SmallSlots: 2, LargeSlots: 2})
	f.Fuzz(func(t *testing.T, packed []byte, rawBytes uint16) {
		onDevice := []Job{{Src: packed, Dst: make([]byte, rawBytes)}}
		inSoftware := []Job{{Src: packed, Dst: make([]byte, rawBytes)}}
		wantNoError(t, d.Decompress(t.Context(), onDevice))
		wantNoError(t, Software().Decompress(t.Context(), inSoftware))
		got, want := onDevice[0], inSoftware[0]
		if got.Err == nil && want.Err != nil {
			wantBytesBehind(t, packed, got)
			return
		}
		if fmt.Sprint(got.Err) != fmt.Sprint(want.Err) || got.N != want.N {
			t.Fatalf("%d bytes, %v; in software %d bytes, %v", got.N, got.Err, want.N, want.Err)
		}
		if got.Err == nil && (got.CRC32 != want.CRC32 || !bytes.Equal(got.Dst, want.Dst)) {
			t.Fatal("other bytes than in software")
		}
	})
}

// wantBytesBehind checks with the standard library that a stream is right and
// only goes on behind its end.
func wantBytesBehind(t *testing.T, packed []byte, got Job) {
	t.Helper()
	in := bytes.NewReader(packed)
	raw, err := io.ReadAll(flate.NewReader(in))
	if err != nil || in.Len() == 0 || !bytes.Equal(raw, got.Dst) || got.CRC32 != crc32.ChecksumIEEE(raw) {
		t.Fatalf("the device decodes %d bytes, the standard library %d, %v, with %d bytes behind", got.N, len(raw), err, in.Len())
	}
}
