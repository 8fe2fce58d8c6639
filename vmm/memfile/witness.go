package memfile

import (
	"fmt"
	"hash/crc32"
	"os"

	"sabrefs/vmm/memory"
)

// maxWitnesses of either kind are kept: pages that a diff lacks, and pages that
// it has as zeros.
const maxWitnesses = 4

// MaxWitnesses bounds how many witnesses a diff has.
const MaxWitnesses = 2 * maxWitnesses

// Witness is a page as it must be in a memory file that lacks nothing.
type Witness struct {
	Page int64  `json:"page"`
	CRC  uint32 `json:"crc32c"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// findWitnesses looks for a witness of each kind in each quarter of the memory,
// so that they do not all lie in one piece that happened to be copied.
func findWitnesses(regions []memory.Region, sizeBytes int64, sel Selection) ([]Witness, error) {
	absent := func(page int64) (bool, error) {
		if has(sel.Pages, page) {
			return false, nil
		}
		occupied, err := sel.mayBeData(page)
		return occupied && !isZero(pageAt(regions, page)), err
	}
	zeroInDiff := func(page int64) (bool, error) {
		return has(sel.Pages, page) && isZero(pageAt(regions, page)), nil
	}
	pageCount := sizeBytes / pageBytes
	var found []Witness
	for q := range int64(maxWitnesses) {
		for _, fits := range []func(int64) (bool, error){absent, zeroInDiff} {
			page, err := firstPage(pageCount*q/maxWitnesses, pageCount*(q+1)/maxWitnesses, fits)
			if err != nil {
				return nil, err
			}
			if page >= 0 {
				found = append(found, Witness{page, crc32.Checksum(pageAt(regions, page), castagnoli)})
			}
		}
	}
	return found, nil
}

// firstPage returns the first page that fits, or -1.
func firstPage(page, end int64, fits func(int64) (bool, error)) (int64, error) {
	for ; page < end; page++ {
		if ok, err := fits(page); ok || err != nil {
			return page, err
		}
	}
	return -1, nil
}

func pageAt(regions []memory.Region, page int64) []byte {
	fileOff := page * pageBytes
	r := regions[0]
	for _, next := range regions[1:] {
		if fileOff >= next.FileOff {
			r = next
		}
	}
	at := fileOff - r.FileOff
	return r.Bytes[at : at+pageBytes]
}

// CheckWitnesses returns ErrIncomplete if a page of the memory file is not what
// its witness says.
func CheckWitnesses(file *os.File, witnesses []Witness) error {
	var page [pageBytes]byte
	for _, w := range witnesses {
		fileOff := w.Page * pageBytes
		if _, err := file.ReadAt(page[:], fileOff); err != nil {
			return fmt.Errorf("memory file %s: reading a page at offset %d: %w", file.Name(), fileOff, err)
		}
		if crc32.Checksum(page[:], castagnoli) != w.CRC {
			return fmt.Errorf("memory file %s: %w: the page at offset %d is not the guest's; merge the diff with the memory file it is based on", file.Name(), ErrIncomplete, fileOff)
		}
	}
	return nil
}
