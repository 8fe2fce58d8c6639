package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"sabrefs/iaa/huffman"
)

// The golden image is small, deterministic and has one of everything. Its
// frames are raw, so that no other compressor changes it.
const (
	goldenPath = "testdata/golden.txt"
	// goldenChildPath is an image whose parent is the golden one.
	goldenChildPath = "testdata/golden-child.txt"
	// oldGoldenPath is the golden image as it was before there were digests of pages
	// and chunks in images.
	oldGoldenPath  = "testdata/golden-without-digests.txt"
	goldenRawBytes = 7*PageBytes + 100
)

// goldenMemory is: 11.., zeros, 22.., 11.., zeros, 33.., zeros, 100 bytes 44.
func goldenMemory() []byte {
	raw := make([]byte, goldenRawBytes)
	fill := func(page int, value byte) {
		for i := page * PageBytes; i < min((page+1)*PageBytes, len(raw)); i++ {
			raw[i] = value
		}
	}
	fill(0, 0x11)
	fill(2, 0x22)
	fill(3, 0x11)
	fill(5, 0x33)
	fill(7, 0x44)
	return raw
}

var goldenWorkingSet = []PageRun{{FirstPage: 2, PageCount: 1}, {FirstPage: 0, PageCount: 1}}

// goldenTable has the fixed Huffman codes of RFC 1951, 3.2.6.
func goldenTable() (t huffman.Lengths) {
	for i := range t.Literal {
		switch {
		case i < 144, i >= 280:
			t.Literal[i] = 8
		case i < 256:
			t.Literal[i] = 9
		default:
			t.Literal[i] = 7
		}
	}
	for i := range t.Distance {
		t.Distance[i] = 5
	}
	return t
}

// packGolden packs the golden memory as PackFile does, and adds a shared table
// that no frame needs.
func packGolden(tb testing.TB) []byte {
	tb.Helper()
	dir := tb.TempDir()
	src, err := openRawFile(writeFile(tb, filepath.Join(dir, "mem_file"), goldenMemory()))
	wantNoError(tb, err)
	defer src.Close()
	opt := PackOptions{
		Raw: true, FramePages: 2, WorkingSet: goldenWorkingSet, HotFramePages: 2,
		Workers: 2, UUID: fixedUUID, CreatedAt: fixedTime,
	}
	wantNoError(tb, opt.normalise())
	hot, err := newHotLayout(opt.WorkingSet, pagesOf(src.rawBytes()))
	wantNoError(tb, err)
	dst := filepath.Join(dir, "golden.sabre")
	p, err := newPipelineTo(src, packTarget{path: dst, like: src.opened}, opt, hot)
	wantNoError(tb, err)
	wantNoError(tb, p.fill(context.Background()))
	p.w.sharedTables = []huffman.Lengths{goldenTable()}
	_, err = p.w.finish(p.digester)
	wantNoError(tb, err)
	return readFile(tb, dst)
}

func TestGoldenIsWhatIsWritten(t *testing.T) { wantGolden(t, packGolden(t), goldenPath) }

func wantGolden(t *testing.T, image []byte, path string) {
	t.Helper()
	text := annotate(image)
	if *update {
		wantNoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want := string(readFile(t, path))
	if text != want {
		t.Fatalf("the image is not that of %s; if the format is meant to change, run with -update and change docs/FORMAT.md\n%s", path, firstDifference(text, want))
	}
	wantBytes(t, "image", image, parseAnnotated(t, want))
}

// goldenChildMemory is the golden memory, grown to 9 pages: page 2 has changed, page
// 6 is what page 5 is, and page 5 is zeros.
func goldenChildMemory() []byte {
	raw := append(goldenMemory(), make([]byte, 9*PageBytes-goldenRawBytes)...)
	copy(raw[2*PageBytes:], bytes.Repeat([]byte{0x55}, PageBytes))
	copy(raw[6*PageBytes:], raw[5*PageBytes:6*PageBytes])
	clear(raw[5*PageBytes : 6*PageBytes])
	copy(raw[8*PageBytes:], bytes.Repeat([]byte{0x66}, PageBytes))
	return raw
}

// goldenFamily writes the golden image and packs its child.
func goldenFamily(tb testing.TB) (parent, child string) {
	tb.Helper()
	dir := tb.TempDir()
	wantNoError(tb, os.MkdirAll(filepath.Join(dir, "base"), 0o755))
	parent = writeFile(tb, filepath.Join(dir, "base", "mem_file.sabre"), goldenImage(tb))
	child = filepath.Join(dir, "child.sabre")
	opt := PackOptions{Raw: true, FramePages: 2, HotFramePages: 2, Workers: 2, UUID: childUUID, CreatedAt: fixedTime, Parent: parent}
	_, err := PackFile(tb.Context(), writeFile(tb, filepath.Join(dir, "mem_file"), goldenChildMemory()), child, opt)
	wantNoError(tb, err)
	return parent, child
}

var childUUID = uuid.MustParse("c0112233-4455-6677-8899-aabbccddeeff")

func TestGoldenChildIsWhatIsWritten(t *testing.T) {
	_, child := goldenFamily(t)
	wantGolden(t, readFile(t, child), goldenChildPath)
}

func TestGoldenChildReads(t *testing.T) {
	parent, child := goldenFamily(t)
	wantNoError(t, os.WriteFile(child, parseAnnotated(t, string(readFile(t, goldenChildPath))), 0o600))
	wantContent(t, child, goldenChildMemory())
	img := openImage(t, child)
	h := img.Header()
	wantEqual(t, "depth", h.Depth, 1)
	wantEqual(t, "inherited frames", h.InheritedFrames, 2)
	wantEqual(t, "parent pages", h.ParentPages, 4)
	wantEqual(t, "frames", h.FrameCount, 2)
	wantEqual(t, "hot frames", h.HotFrames, 1)
	wantEqual(t, "parent", h.Parent.UUID, fixedUUID)
	wantEqual(t, "stale", img.IsStale(), false)
	ref, err := img.ParentRef()
	wantNoError(t, err)
	wantEqual(t, "place of the parent", ref.Path, "base/mem_file.sabre")
	moved, err := img.moved()
	wantNoError(t, err)
	wantEqual(t, "moved pages", fmt.Sprint(moved), "[{6 5}]")
	wantEqual(t, "path of the parent", img.Parent().Path(), parent)
}

// TestImagesWithoutDigests reads an image of a packer that wrote no digests, and
// makes it a parent.
func TestImagesWithoutDigests(t *testing.T) {
	dir := t.TempDir()
	parent := writeFile(t, filepath.Join(dir, "old.sabre"), parseAnnotated(t, string(readFile(t, oldGoldenPath))))
	wantContent(t, parent, goldenMemory())
	child := filepath.Join(dir, "child.sabre")
	result, err := PackFile(t.Context(), writeFile(t, filepath.Join(dir, "mem_file"), goldenChildMemory()), child, PackOptions{Parent: parent})
	wantNoError(t, err)
	wantEqual(t, "parent pages", result.ParentPages, 4)
	wantContent(t, child, goldenChildMemory())
}

func TestGoldenReads(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "golden.sabre"), parseAnnotated(t, string(readFile(t, goldenPath))))
	wantContent(t, path, goldenMemory())

	img := openImage(t, path)
	h := img.Header()
	wantEqual(t, "UUID", h.UUID, fixedUUID)
	wantEqual(t, "time", h.CreatedAt, fixedTime)
	wantEqual(t, "digest", h.Digest, naiveDigest(goldenMemory()))
	wantEqual(t, "frames", h.FrameCount, 2)
	wantEqual(t, "hot frames", h.HotFrames, 1)
	wantEqual(t, "zero pages", h.ZeroPages, 3)
	wantEqual(t, "duplicate pages", h.DuplicatePages, 1)
	runs, err := img.WorkingSet()
	wantNoError(t, err)
	wantEqual(t, "working set", fmt.Sprint(runs), fmt.Sprint(goldenWorkingSet))
	tables, err := img.SharedTables()
	wantNoError(t, err)
	wantEqual(t, "shared tables", len(tables), 1)
	wantEqual(t, "shared table", tables[0], goldenTable())
}

// TestFormatDocument keeps the byte tables of docs/FORMAT.md equal to the
// constants of the code.
func TestFormatDocument(t *testing.T) {
	text := string(readFile(t, "../docs/FORMAT.md"))
	for title, fields := range map[string][]field{
		"Header": headerFields(), "Section table": sectionFields(), "Trailer": trailerFields(),
		"Page directory": directoryFields(), "Frame table": frameFields(),
		"Working set": runFields(), "Shared tables": tableFields(),
		"Layers": layerFields(), "Moved pages": movedFields(),
	} {
		chapter := chapterOf(t, text, title)
		for _, f := range fields {
			row := fmt.Sprintf("| %d | %d | `%s` |", f.off, f.size, f.name)
			if !strings.Contains(chapter, row) {
				t.Errorf("docs/FORMAT.md, %q, has no row %q", title, row)
			}
		}
	}
}

func chapterOf(t *testing.T, text, title string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n### "+title+"\n")
	if !found {
		t.Fatalf("docs/FORMAT.md has no chapter %q", title)
	}
	chapter, _, _ := strings.Cut(rest, "\n### ")
	return chapter
}

// TestFormatDocumentExample keeps the worked example of docs/FORMAT.md equal to
// the golden image.
func TestFormatDocumentExample(t *testing.T) {
	text, golden := string(readFile(t, "../docs/FORMAT.md")), string(readFile(t, goldenPath))+string(readFile(t, goldenChildPath))
	lines := regexp.MustCompile(`(?m)^[0-9a-f]{6}: .*$`).FindAllString(text, -1)
	if len(lines) < 40 {
		t.Fatalf("docs/FORMAT.md quotes %d lines of the golden image, want all of its fields", len(lines))
	}
	for _, line := range lines {
		if !strings.Contains(golden, line+"\n") {
			t.Errorf("docs/FORMAT.md quotes a line that %s does not have: %s", goldenPath, line)
		}
	}
}

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

func asFlags(b []byte) string { return fmt.Sprintf("%#x", binary.LittleEndian.Uint64(b)) }

func asCRC(b []byte) string { return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(b)) }

func asUUID(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func says(meaning string) func([]byte) string { return func([]byte) string { return meaning } }

func asKind(b []byte) string { return SectionType(binary.LittleEndian.Uint32(b)).String() }

func headerFields() []field {
	return []field{
		{hdrMagic, 8, "magic", says(strconv.Quote(magic))},
		{hdrVersion, 4, "version", asNumber},
		{hdrBytes, 4, "header_bytes", asNumber},
		{hdrCompat, 8, "compat", asFlags},
		{hdrROCompat, 8, "ro_compat", asFlags},
		{hdrIncompat, 8, "incompat", asFlags},
		{hdrUUID, 16, "uuid", asUUID},
		{hdrDigest, 32, "digest", says("SHA-256 of the content")},
		{hdrRawBytes, 8, "raw_bytes", asNumber},
		{hdrPageBytes, 4, "page_bytes", asNumber},
		{hdrSlotBits, 1, "slot_bits", asNumber},
		{hdrSlotBits + 1, 3, "reserved", says("")},
		{hdrFrameCount, 8, "frame_count", asNumber},
		{hdrZeroPages, 8, "zero_pages", asNumber},
		{hdrDupPages, 8, "duplicate_pages", asNumber},
		{hdrParentPages, 8, "parent_pages", asNumber},
		{hdrCreated, 8, "created", asNumber},
		{hdrHotFrames, 4, "hot_frames", asNumber},
		{hdrSections, 4, "section_count", asNumber},
		{hdrFramesOff, 8, "frames_off", asNumber},
		{hdrFramesBytes, 8, "frames_bytes", asNumber},
		{hdrFileBytes, 8, "file_bytes", asNumber},
		{hdrParentUUID, 16, "parent_uuid", asUUID},
		{hdrParentDigest, 32, "parent_digest", says("")},
		{hdrInherited, 8, "inherited_frames", asNumber},
		{hdrDepth, 4, "depth", asNumber},
		{hdrDepth + 4, hdrSectionTable - hdrDepth - 4, "reserved", says("")},
		{hdrSectionTable, maxSections * sectionEntryBytes, "sections", nil},
		{hdrSectionTable + maxSections*sectionEntryBytes, hdrCRC - hdrSectionTable - maxSections*sectionEntryBytes, "reserved", says("")},
		{hdrCRC, 4, "header_crc32", asCRC},
	}
}

func sectionFields() []field {
	return []field{
		{0, 4, "kind", asKind}, {4, 4, "crc32", asCRC}, {8, 8, "packed_off", asNumber},
		{16, 8, "len_bytes", asNumber}, {24, 8, "reserved", says("")},
	}
}

func trailerFields() []field {
	return []field{
		{0, 8, "trailer_magic", says(strconv.Quote(trailerMagic))}, {8, 8, "file_bytes", asNumber},
		{16, 16, "uuid", asUUID}, {32, 4, "header_crc32", asCRC}, {36, 24, "reserved", says("")},
		{trailerBytes - 4, 4, "trailer_crc32", asCRC},
	}
}

func directoryFields() []field {
	return []field{{0, 2, "chunk_kind", asNumber}, {2, 2, "chunk_layer", asNumber}, {4, 4, "chunk_crc32", asCRC}, {8, 8, "stored_chunk", asNumber}}
}

func frameFields() []field {
	return []field{
		{0, 6, "packed_off", asNumber}, {6, 1, "pages", asNumber}, {7, 1, "codec", func(b []byte) string { return Codec(b[0]).String() }},
		{8, 3, "packed_len", asNumber}, {11, 1, "shared_table", asNumber}, {12, 4, "raw_crc32", asCRC},
	}
}

func runFields() []field {
	return []field{{0, 4, "first_page", asNumber}, {4, 4, "page_count", asNumber}}
}

func layerFields() []field {
	return []field{{0, 16, "uuid", asUUID}, {16, 8, "frame_count", asNumber}, {24, 8, "reserved", says("")}}
}

func movedFields() []field {
	return []field{{0, 4, "page", asNumber}, {4, 4, "parent_page", asNumber}}
}

func tableFields() []field {
	return []field{
		{0, 286, "literal_lengths", says("bits of each literal/length code")},
		{286, 30, "distance_lengths", says("bits of each distance code")}, {316, 4, "reserved", says("")},
	}
}

// annotator writes an image as text, one field a line.
type annotator struct {
	image []byte
	at    int
	out   strings.Builder
}

// annotate turns a whole image into text that parseAnnotated turns back.
func annotate(image []byte) string {
	a := &annotator{image: image}
	a.out.WriteString("# The golden image, written by `go test ./store -run Golden -update`.\n" +
		"# offset: bytes  # field = meaning; \"11*4096\" is a byte 4096 times.\n")
	h := decodeHeader(image)
	a.header(h, binary.LittleEndian.Uint32(image[hdrSections:]))
	a.title("frames")
	for a.at < int(h.FramesOff+h.FramesBytes) {
		a.line(PageBytes, "page", "")
	}
	a.line(SlackBytes, "slack", "")
	for i := range int(binary.LittleEndian.Uint32(image[hdrSections:])) {
		e := image[hdrSectionTable+i*sectionEntryBytes:]
		kind := SectionType(binary.LittleEndian.Uint32(e))
		a.padTo(int(binary.LittleEndian.Uint64(e[8:])))
		a.title("section " + kind.String())
		a.section(kind, int(binary.LittleEndian.Uint64(e[16:])), h)
	}
	a.padTo(len(image) - trailerBytes)
	a.title("trailer")
	a.fields(trailerFields())
	return a.out.String()
}

func (a *annotator) header(h *Header, sections uint32) {
	a.title("header")
	for _, f := range headerFields() {
		if f.meaning != nil {
			a.fields([]field{{0, f.size, f.name, f.meaning}})
			continue
		}
		for range sections {
			a.fields(sectionFields())
		}
		a.line(f.off+f.size-a.at, "unused entries", "")
	}
}

func (a *annotator) section(kind SectionType, lenBytes int, h *Header) {
	rows := map[SectionType][]field{
		SectionPageDirectory: directoryFields(), SectionFrameTable: frameFields(),
		SectionWorkingSet: runFields(), SectionSharedTables: tableFields(),
		SectionFrameChecksums: {{0, 4, "block_crc32", asCRC}},
		SectionLayers:         layerFields(), SectionMovedPages: movedFields(),
		SectionParentPath:   {{0, lenBytes, "path", func(b []byte) string { return strconv.Quote(string(b)) }}},
		SectionPageDigests:  {{0, pageDigestBytes, "page_digest", says("SHA-256 of a page")}},
		SectionChunkDigests: {{0, len(Digest{}), "chunk_digest", says("SHA-256 of the digests of a chunk's pages")}},
	}
	end := a.at + lenBytes
	if kind == SectionPageMap {
		for page := range h.PageCount() {
			ref, err := decodePageRef(binary.LittleEndian.Uint32(a.image[a.at:]), h.SlotBits, h.InheritedFrames+h.FrameCount)
			a.line(mapEntryBytes, fmt.Sprintf("page %d", page), describe(ref, err))
		}
		a.line(end-a.at, "unused entries", "")
	}
	for a.at < end {
		a.fields(rows[kind])
	}
}

func describe(ref PageRef, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case ref.Kind == PageInFrame:
		return fmt.Sprintf("frame %d slot %d", ref.Frame, ref.Slot)
	default:
		return "zeros"
	}
}

func (a *annotator) title(title string) { fmt.Fprintf(&a.out, "\n# %s\n", title) }

func (a *annotator) fields(fields []field) {
	for _, f := range fields {
		a.line(f.size, f.name, f.meaning(a.image[a.at:a.at+f.size]))
	}
}

func (a *annotator) padTo(off int) {
	if off > a.at {
		a.line(off-a.at, "padding", "")
	}
}

func (a *annotator) line(size int, name, meaning string) {
	if meaning != "" {
		name += " = " + meaning
	}
	fmt.Fprintf(&a.out, "%06x: %s  # %s\n", a.at, hexRuns(a.image[a.at:a.at+size]), name)
	a.at += size
}

// hexRuns writes bytes in hexadecimal, and longer runs of one byte, or of one
// page map entry, short.
func hexRuns(b []byte) string {
	const shortest = 8
	var tokens []string
	for len(b) > 0 {
		token, unit := fmt.Sprintf("%02x", b[0]), 1
		times := repeats(b, 1)
		if entries := repeats(b, mapEntryBytes); times < shortest && entries >= shortest {
			token, unit, times = hex.EncodeToString(b[:mapEntryBytes]), mapEntryBytes, entries
		}
		if times >= shortest {
			token += fmt.Sprintf("*%d", times)
		} else {
			times = 1
		}
		tokens = append(tokens, token)
		b = b[unit*times:]
	}
	return strings.Join(tokens, " ")
}

// repeats tells how often the first unit bytes stand one after the other.
func repeats(b []byte, unit int) int {
	n := 1
	for (n+1)*unit <= len(b) && string(b[n*unit:(n+1)*unit]) == string(b[:unit]) {
		n++
	}
	return n
}

func parseAnnotated(tb testing.TB, text string) []byte {
	tb.Helper()
	var image []byte
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		data, _, _ := strings.Cut(line, "#")
		off, tokens, found := strings.Cut(data, ":")
		if at, err := strconv.ParseInt(off, 16, 64); !found || err != nil || at != int64(len(image)) {
			tb.Fatalf("line %q begins at %d", line, len(image))
		}
		for token := range strings.FieldsSeq(tokens) {
			image = append(image, parseRun(tb, token)...)
		}
	}
	return image
}

func parseRun(tb testing.TB, token string) []byte {
	tb.Helper()
	value, times, repeated := strings.Cut(token, "*")
	b, err := hex.DecodeString(value)
	wantNoError(tb, err)
	if !repeated {
		return b
	}
	n, err := strconv.Atoi(times)
	wantNoError(tb, err)
	return bytes.Repeat(b, n)
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}
