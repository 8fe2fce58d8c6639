package iaa

import (
	"strings"
	"testing"
)

func TestParseRecord(t *testing.T) {
	var record [recordBytes]byte
	copy(record[:], fromHex(t, `
		83 11 07 00 80000000  | page fault on a write, error code 17; bytes consumed
		0010ad0b 007f0000     | fault address
		ffffff00 00000000     | invalid flags
		00100000 03 00 0262   | bytes of output, bits of the last, XOR checksum
		c2412435 00000000     | CRC-32
		ffffffffffffffffffffffffffffffffffffffffffffffff`))
	word := pollRecord(&record)
	if !isDone(word) {
		t.Error("not done")
	}
	want := completion{
		status: statusPageFault, writeFault: true, errorCode: 17,
		faultAddress: 0x7f000bad1000, outputBytes: 4096, crc32: 0x352441c2,
	}
	if got := parseRecord(word, &record); got != want {
		t.Errorf("record is %+v, want %+v", got, want)
	}
}

func TestRecordIsDone(t *testing.T) {
	for status := range 256 {
		record := [recordBytes]byte{0: byte(status), 1: 0xff, 4: 0xff}
		word := pollRecord(&record)
		if isDone(word) != (status != 0) {
			t.Errorf("status %#02x: done is %v", status, isDone(word))
		}
		c := parseRecord(word, &record)
		// No bit but the highest may be lost: 0x23 is not 0x03.
		if int(c.status) != status&0x7f || c.writeFault != (status >= 0x80) {
			t.Errorf("status %#02x is parsed as %#02x, write %v", status, c.status, c.writeFault)
		}
	}
}

// TestNames checks that every code has a name of its own, fit for a counter.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	add := func(name string) {
		if seen[name] || name == "" || strings.ContainsAny(name, " _\"\n") || name != strings.ToLower(name) {
			t.Errorf("name %q is not fit or not the only one", name)
		}
		seen[name] = true
	}
	for status := range 128 {
		add(statusName(uint8(status)))
	}
	for code := range 256 {
		add(errorName(uint8(code)))
	}
	for _, name := range fallbackNames {
		add(name)
	}
	if name := statusName(0x7e); name != "status-0x7e" {
		t.Errorf("unknown status is %q", name)
	}
	if name := errorName(200); name != "error-200" {
		t.Errorf("unknown error is %q", name)
	}
}
