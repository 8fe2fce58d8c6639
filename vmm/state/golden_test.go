package state

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.txt from what the code writes")

const (
	goldenPath   = "testdata/golden.txt"
	documentPath = "../../docs/FORMAT-VMSTATE.md"
)

// goldenSections have one of everything: every kind, a name, padding and none,
// and no data at all.
func goldenSections() []Section {
	return []Section{
		{Kind: KindMachine, Data: []byte(`{"version":1}`)},
		{Kind: KindVM, Data: []byte("\x01vm.....")},
		{Kind: KindVCPU, Index: 0, Data: []byte("\x01bsp")},
		{Kind: KindVCPU, Index: 1, Data: []byte("\x01ap")},
		{Kind: KindDevice, Index: 7, Name: "rootfs", Data: []byte("\x01disk")},
		{Kind: KindMemory, Data: []byte{}},
	}
}

func wantNoError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func encode(tb testing.TB, sections []Section) []byte {
	tb.Helper()
	file, err := Encode(sections)
	wantNoError(tb, err)
	return file
}

func readFile(tb testing.TB, path string) string {
	tb.Helper()
	b, err := os.ReadFile(path)
	wantNoError(tb, err)
	return string(b)
}

// A field is a row of a table in the document and, when an example of it is
// written, a line of the golden file.
type field struct {
	name      string
	sizeBytes int
	meaning   func([]byte) string
}

func number(b []byte) string {
	return fmt.Sprint(binary.LittleEndian.Uint64(append(append([]byte(nil), b...), make([]byte, 8-len(b))...)))
}

func quoted(b []byte) string { return fmt.Sprintf("%q", b) }

func checksum(b []byte) string { return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(b)) }

func zeros([]byte) string { return "zeros" }

func kindName(b []byte) string {
	return number(b) + ": " + Kind(binary.LittleEndian.Uint32(b)).String()
}

func headerFields() []field {
	return []field{
		{"magic", 8, quoted},
		{"version", 4, number},
		{"arch", 4, number},
		{"file_bytes", 8, number},
		{"section_count", 4, number},
		{"reserved", 32, zeros},
		{"header_crc32c", 4, checksum},
	}
}

func sectionFields() []field {
	return []field{
		{"kind", 4, kindName},
		{"index", 4, number},
		{"data_bytes", 4, number},
		{"name_bytes", 4, number},
		{"reserved", 4, zeros},
		{"section_crc32c", 4, checksum},
	}
}

func trailerFields() []field {
	return []field{
		{"trailer_magic", 8, quoted},
		{"reserved", 4, zeros},
		{"file_crc32c", 4, checksum},
	}
}

// annotate writes a file as text: offset, bytes, field and meaning. It knows the
// layout from the tables above, not from the code.
func annotate(file []byte, sections []Section) string {
	var b strings.Builder
	off := 0
	line := func(f field) {
		part := file[off : off+f.sizeBytes]
		fmt.Fprintf(&b, "%04x  %x  # %s: %s\n", off, part, f.name, f.meaning(part))
		off += f.sizeBytes
	}
	for _, f := range headerFields() {
		line(f)
	}
	for _, s := range sections {
		for _, f := range sectionFields() {
			line(f)
		}
		for _, f := range []field{{"name", len(s.Name), quoted}, {"data", len(s.Data), quoted}, {"padding", (8 - off - len(s.Name) - len(s.Data)) & 7, zeros}} {
			if f.sizeBytes > 0 {
				line(f)
			}
		}
	}
	for _, f := range trailerFields() {
		line(f)
	}
	return b.String()
}

func parseAnnotated(tb testing.TB, text string) (file []byte) {
	tb.Helper()
	for line := range strings.Lines(text) {
		b, err := hex.DecodeString(strings.Fields(line)[1])
		wantNoError(tb, err)
		file = append(file, b...)
	}
	return file
}

func TestGoldenIsWhatIsWritten(t *testing.T) {
	text := annotate(encode(t, goldenSections()), goldenSections())
	if *update {
		wantNoError(t, os.WriteFile(goldenPath, []byte(text), 0o644))
	}
	if want := readFile(t, goldenPath); text != want {
		t.Fatalf("if the format is meant to change, run with -update and change %s\nwritten:\n%s\ngolden:\n%s", documentPath, text, want)
	}
}

func TestGoldenReads(t *testing.T) {
	got, err := Decode(parseAnnotated(t, readFile(t, goldenPath)))
	wantNoError(t, err)
	if want := goldenSections(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// TestFormatDocument keeps the tables of the document equal to those of the test.
func TestFormatDocument(t *testing.T) {
	text := readFile(t, documentPath)
	for title, fields := range map[string][]field{"### Header": headerFields(), "### Section": sectionFields(), "### Trailer": trailerFields()} {
		_, chapter, found := strings.Cut(text, title+"\n")
		chapter, _, _ = strings.Cut(chapter, "\n##")
		if !found {
			t.Fatalf("no chapter %q", title)
		}
		off := 0
		for _, f := range fields {
			if row := fmt.Sprintf("| %d | %d | `%s` |", off, f.sizeBytes, f.name); !strings.Contains(chapter, row) {
				t.Errorf("%q has no row %q", title, row)
			}
			off += f.sizeBytes
		}
		if rows := len(regexp.MustCompile(`(?m)^\| \d+ \| \d+ \|`).FindAllString(chapter, -1)); rows != len(fields) {
			t.Errorf("%q has %d rows, want %d", title, rows, len(fields))
		}
	}
	for kind := KindMachine; kind <= KindMemory; kind++ {
		if row := fmt.Sprintf("| %d | %v |", kind, kind); !strings.Contains(text, row) {
			t.Errorf("no row %q", row)
		}
	}
}

func TestFormatDocumentQuotesGolden(t *testing.T) {
	quote := "    " + strings.ReplaceAll(strings.TrimSpace(readFile(t, goldenPath)), "\n", "\n    ")
	if !strings.Contains(readFile(t, documentPath), quote) {
		t.Errorf("%s does not quote %s whole", documentPath, goldenPath)
	}
}
