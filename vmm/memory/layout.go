package memory

import "fmt"

const (
	// PageBytes is the size of a page.
	PageBytes = 4096
	// MaxBytes is the most memory that a guest can have.
	MaxBytes = 512 << 30

	// HoleStart is the first guest physical address that belongs to devices.
	HoleStart = 3 << 30
	// HoleEnd is the first one behind those: memory continues there.
	HoleEnd = 4 << 30
)

// Region is a stretch of guest memory without holes.
type Region struct {
	GuestPhysical uint64
	FileOff       int64 // where it is in the memory file
	Bytes         []byte
}

// CheckSize says whether a guest may have that much memory.
func CheckSize(sizeBytes int64) error {
	switch {
	case sizeBytes <= 0:
		return fmt.Errorf("%w: %d bytes", ErrSize, sizeBytes)
	case sizeBytes%PageBytes != 0:
		return fmt.Errorf("%w: %d bytes are no whole number of pages (%d bytes)", ErrSize, sizeBytes, PageBytes)
	case sizeBytes > MaxBytes:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrSize, sizeBytes, int64(MaxBytes))
	}
	return nil
}

// fileOffOf returns where lenBytes bytes at gpa are in a memory of sizeBytes
// bytes. They must lie in one region.
func fileOffOf(gpa uint64, lenBytes int, sizeBytes int64) (fileOff int64, ok bool) {
	if lenBytes < 0 {
		return 0, false
	}
	start, end, shift := uint64(0), min(uint64(sizeBytes), HoleStart), uint64(0)
	if gpa >= HoleEnd {
		shift = HoleEnd - HoleStart
		start, end = HoleEnd, uint64(sizeBytes)+shift
	}
	if gpa < start || gpa > end || uint64(lenBytes) > end-gpa {
		return 0, false
	}
	return int64(gpa - shift), true
}

// regionsOf cuts a mapping of all memory at the hole.
func regionsOf(mapping []byte) []Region {
	if len(mapping) <= HoleStart {
		return []Region{{Bytes: mapping}}
	}
	return []Region{
		{Bytes: mapping[:HoleStart:HoleStart]},
		{GuestPhysical: HoleEnd, FileOff: HoleStart, Bytes: mapping[HoleStart:]},
	}
}
