package model

import (
	"errors"
	"math"
	"sync"
)

// errTooLarge is a buffer that no descriptor can name.
var errTooLarge = errors.New("buffer is too large for a job")

// Decompression flags. Source: Intel IAA Architecture Specification,
// "Decompression Flags"; QPL agrees. (Linux and SPDK have stop and check the
// other way round, and always set both.)
const (
	decompressEnable     = 1 << 0
	decompressFlush      = 1 << 1
	decompressStop       = 1 << 2 // at an end-of-block
	decompressCheck      = 1 << 3 // that an end-of-block was the last symbol
	decompressFinalOnly  = 1 << 4 // stop and check mean that of a final block
	decompressIgnoreBits = 7 << 6 // how many bits at the end of the input are not data
	decompressSuppress   = 1 << 9 // yield checksums and no output
	decompressIgnoreHigh = 1 << 14

	// decompressWhole is for one stream that is complete.
	decompressWhole = decompressEnable | decompressFlush | decompressStop | decompressCheck | decompressFinalOnly
)

// ignoredBits is how many bits at the end of the input are not data. The fourth
// bit of the number is far away from the others.
func ignoredBits(mode uint16) uint {
	return uint(mode&decompressIgnoreBits)>>6 | uint(mode&decompressIgnoreHigh)>>11
}

// Result is what decoding one stream gave.
type Result struct {
	OutputBytes int
	CRC32       uint32 // of the output, gzip polynomial
	XOR         uint16 // of the output as little-endian 16-bit words
	Status      Status
	ErrorCode   ErrorCode // has a meaning with StatusAnalyticsError only
}

// decoders keeps the tables and windows of Decode.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

// Decode decodes one complete stream as the device would, without a device: it
// accepts the streams that a device accepts, as far as is known. An error is of
// class ErrStatus; the result is filled in then too.
func Decode(dst, src []byte) (Result, error) {
	if len(src) > math.MaxInt32 || len(dst) > math.MaxInt32 {
		return Result{}, errTooLarge
	}
	if len(src) == 0 || len(dst) == 0 {
		end := outcome{status: StatusInvalidSize}
		return Result{Status: end.status}, end.err()
	}
	d, ok := decoders.Get().(*decoder)
	if !ok {
		d = new(decoder)
	}
	defer decoders.Put(d)
	d.begin(src, dst, len(dst), decompressWhole)
	end := d.run()
	return Result{
		OutputBytes: d.out.total,
		CRC32:       d.out.sums.crc,
		XOR:         d.out.sums.xor,
		Status:      end.status,
		ErrorCode:   end.code,
	}, end.err()
}
