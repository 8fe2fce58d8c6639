package model

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// checksums are those of a job's raw bytes, whichever side they are on.
type checksums struct {
	table *crc32.Table
	crc   uint32
	xor   uint16
	odd   bool // the bytes so far are no whole words
}

// castagnoli is RFC 3720's polynomial, which a flag selects.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// reset continues from a CRC and an XOR checksum; both are 0 at the start.
func (c *checksums) reset(useCastagnoli bool, crc uint32, xor uint16) {
	*c = checksums{table: crc32.IEEETable, crc: crc, xor: xor}
	if useCastagnoli {
		c.table = castagnoli
	}
}

func (c *checksums) update(p []byte) {
	c.crc = crc32.Update(c.crc, c.table, p)
	if c.odd && len(p) > 0 {
		c.xor ^= uint16(p[0]) << 8
		p = p[1:]
		c.odd = false
	}
	c.xor ^= xorWords(p)
	if len(p)%2 != 0 {
		c.odd = true
	}
}

// xorWords is the exclusive or of the bytes as little-endian words of 16 bits,
// the last one filled up with zeros.
func xorWords(p []byte) uint16 {
	var wide uint64
	for ; len(p) >= 8; p = p[8:] {
		wide ^= binary.LittleEndian.Uint64(p)
	}
	var last [8]byte
	copy(last[:], p)
	wide ^= binary.LittleEndian.Uint64(last[:])
	wide ^= wide >> 32
	wide ^= wide >> 16
	return uint16(wide)
}

// Flags of CRC64, in the field of the operation's own flags.
const (
	crc64Reflected = 1 << 15
	crc64Inverted  = 1 << 14
	crc64ModeFlags = crc64Reflected | crc64Inverted
)

// crc64Of is the CRC of 64 bits with the polynomial in its normal form (highest
// power first, x^64 left out). Reflected is the bit order of hash/crc64.
func crc64Of(p []byte, polynomial uint64, mode uint16) uint64 {
	var crc uint64
	if mode&crc64Inverted != 0 {
		crc = ^crc
	}
	if mode&crc64Reflected != 0 {
		crc = crc64LowestFirst(p, bits.Reverse64(polynomial), crc)
	} else {
		crc = crc64HighestFirst(p, polynomial, crc)
	}
	if mode&crc64Inverted != 0 {
		crc = ^crc
	}
	return crc
}

func crc64LowestFirst(p []byte, reversed, crc uint64) uint64 {
	for _, b := range p {
		crc ^= uint64(b)
		for range 8 {
			crc = crc>>1 ^ reversed&-(crc&1)
		}
	}
	return crc
}

func crc64HighestFirst(p []byte, polynomial, crc uint64) uint64 {
	for _, b := range p {
		crc ^= uint64(b) << 56
		for range 8 {
			crc = crc<<1 ^ polynomial&-(crc>>63)
		}
	}
	return crc
}
