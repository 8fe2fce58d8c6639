package prefetch

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

const goldenPath = "testdata/golden.txt"

// field is a row of a byte table of the format.
type field struct {
	off, size int
	name      string
	meaning   func(b []byte) string
}

func asNumber(b []byte) string {
	var wide [8]byte
	copy(wide[:], b)
	return strconv.FormatUint(binary.LittleEndian.Uint64(wide[:]), 10)
}

func asCRC(b []byte) string { return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(b)) }

func asUUID(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func says(meaning string) func([]byte) string { return func([]byte) string { return meaning } }

func headerFields() []field {
	return []field{
		{hdrMagic, 8, "magic", says(strconv.Quote(magic))},
		{hdrVersion, 4, "version", asNumber},
		{hdrBytes, 4, "header_bytes", asNumber},
		{hdrUUID, 16, "uuid", asUUID},
		{hdrDigest, 32, "digest", says("digest of the content")},
		{hdrRawBytes, 8, "raw_bytes", asNumber},
		{hdrPageBytes, 4, "page_bytes", asNumber},
		{hdrRuns, 4, "runs", asNumber},
		{hdrTouches, 4, "touch_count", asNumber},
		{hdrTouches + 4, 4, "reserved", says("zeros")},
		{hdrCreated, 8, "created", asNumber},
		{hdrCreated + 8, hdrCRC - hdrCreated - 8, "reserved", says("zeros")},
		{hdrCRC, 4, "header_crc32", asCRC},
	}
}

func touchFields() []field {
	return []field{
		{touchPage, 4, "page", asNumber}, {touchAt, 4, "at_us", asNumber}, {touchRuns, 4, "seen_in_runs", asNumber},
	}
}

// annotate turns a trace into text that parseAnnotated turns back: one field a
// line.
func annotate(b []byte) string {
	var out strings.Builder
	out.WriteString("# The golden trace, written by `go test ./prefetch -run Golden -update`.\n" +
		"# offset: bytes  # field = meaning\n\n# header\n")
	at := 0
	write := func(fields ...field) {
		for _, f := range fields {
			fmt.Fprintf(&out, "%06x: % x  # %s = %s\n", at, b[at:at+f.size], f.name, f.meaning(b[at:at+f.size]))
			at += f.size
		}
	}
	write(headerFields()...)
	for at < len(b)-crcBytes {
		fmt.Fprintf(&out, "\n# touch %d\n", (at-headerBytes)/touchBytes)
		write(touchFields()...)
	}
	out.WriteString("\n# end\n")
	write(field{0, crcBytes, "touches_crc32", asCRC})
	return out.String()
}

func parseAnnotated(t *testing.T, text string) (b []byte) {
	t.Helper()
	for line := range strings.Lines(text) {
		data, _, _ := strings.Cut(line, "#")
		if strings.TrimSpace(data) == "" {
			continue
		}
		off, bytesOfLine, found := strings.Cut(data, ":")
		if at, err := strconv.ParseInt(off, 16, 64); !found || err != nil || at != int64(len(b)) {
			t.Fatalf("line %q begins at %d", line, len(b))
		}
		more, err := hex.DecodeString(strings.Join(strings.Fields(bytesOfLine), ""))
		wantNoError(t, err)
		b = append(b, more...)
	}
	return b
}

func TestGoldenIsWhatIsWritten(t *testing.T) {
	b := encoded(t, smallTrace())
	text := annotate(b)
	if *update {
		wantNoError(t, os.WriteFile(goldenPath, []byte(text), 0o644))
	}
	golden := string(readFile(t, goldenPath))
	wantBytes(t, "trace", b, parseAnnotated(t, golden))
	if text != golden {
		t.Fatalf("the trace is not the golden one; if the format is meant to change, run with -update and change docs/WORKING-SETS.md\n%s", text)
	}
}

func TestGoldenReads(t *testing.T) {
	got, err := Decode(parseAnnotated(t, string(readFile(t, goldenPath))))
	wantNoError(t, err)
	if !reflect.DeepEqual(got, smallTrace()) {
		t.Fatalf("the golden trace is %+v", got)
	}
}

// TestFormatDocument keeps docs/WORKING-SETS.md equal to the constants of the
// code and to the golden trace.
func TestFormatDocument(t *testing.T) {
	text := string(readFile(t, "../docs/WORKING-SETS.md"))
	for _, f := range append(headerFields(), touchFields()...) {
		if row := fmt.Sprintf("| %d | %d | `%s` |", f.off, f.size, f.name); !strings.Contains(text, row) {
			t.Errorf("docs/WORKING-SETS.md has no row %q", row)
		}
	}
	golden := string(readFile(t, goldenPath))
	quoted := 0
	for line := range strings.Lines(text) {
		if quote := strings.TrimPrefix(line, "    "); quote != line && strings.Contains(quote, ": ") && strings.HasPrefix(quote, "0000") {
			quoted++
			if !strings.Contains(golden, quote) {
				t.Errorf("docs/WORKING-SETS.md quotes a line that %s does not have: %s", goldenPath, quote)
			}
		}
	}
	if want := len(headerFields()) + 3*len(touchFields()) + 1; quoted != want {
		t.Errorf("docs/WORKING-SETS.md quotes %d lines of the golden trace, want %d", quoted, want)
	}
}
