package main

import (
	"fmt"
	"strconv"

	"github.com/docker/go-units"
)

// byteSize is a flag value in bytes that is written with binary units: 4K is
// 4096.
type byteSize int64

// String returns the shortest exact notation.
func (s *byteSize) String() string {
	n := int64(*s)
	for _, unit := range []struct {
		bytes  int64
		suffix string
	}{{units.GiB, "G"}, {units.MiB, "M"}, {units.KiB, "K"}} {
		if n != 0 && n%unit.bytes == 0 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// maxByteSize is far beyond any machine, and far from an overflow.
const maxByteSize = units.PiB

// Set parses 4096, 4K, 4KiB, 256M and the like.
func (s *byteSize) Set(text string) error {
	n, err := units.RAMInBytes(text)
	if err != nil || n < 0 || n > maxByteSize {
		return fmt.Errorf("%q is not a size such as 64K or 256M", text)
	}
	*s = byteSize(n)
	return nil
}

// Type names the value in help texts.
func (s *byteSize) Type() string { return "SIZE" }

// humanBytes returns a size for people, with three digits.
func humanBytes(n int64) string { return units.BytesSize(float64(n)) }
