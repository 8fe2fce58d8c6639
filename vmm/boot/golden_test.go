package boot

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// readGolden reads an annotated golden: lines of an offset, bytes in hexadecimal
// and, behind two spaces, what they are.
func readGolden(t *testing.T, name string, lenBytes int) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, lenBytes)
	for line := range strings.Lines(string(text)) {
		offset, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if offset == "#" || offset == "" {
			continue
		}
		at, err := strconv.ParseUint(offset, 16, 16)
		if err != nil {
			t.Fatalf("%s: %q: %v", name, line, err)
		}
		var digits string
		for word := range strings.FieldsSeq(rest) {
			if _, err := hex.DecodeString(word); err != nil {
				break // from here on it is a comment
			}
			digits += word
		}
		data, err := hex.DecodeString(digits)
		if err != nil || len(data) == 0 || int(at)+len(data) > lenBytes {
			t.Fatalf("%s: %q: no bytes, or too many, %v", name, line, err)
		}
		copy(b[at:], data)
	}
	return b
}

func wantGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	want := readGolden(t, name, len(got))
	if bytes.Equal(got, want) {
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: byte %#x is %#02x, expected %#02x", name, i, got[i], want[i])
		}
	}
}

func TestMPTableGolden(t *testing.T) {
	table := encodeMPTable(2)
	if len(table) != 0x144 {
		t.Errorf("%#x bytes", len(table))
	}
	wantGolden(t, "mptable.txt", table)
	if sum(table[:16]) != 0 || sum(table[16:]) != 0 {
		t.Errorf("sums %#x and %#x", sum(table[:16]), sum(table[16:]))
	}
}

// sum is what the checksum of a table makes zero.
func sum(b []byte) (total byte) {
	for _, v := range b {
		total += v
	}
	return total
}
