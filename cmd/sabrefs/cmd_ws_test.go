package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"sabrefs/prefetch"
	"sabrefs/store"
)

// sampleTrace is a run of a guest of 1 MiB; pagesAndTimes are pages and times in
// microseconds in turn.
func sampleTrace(pagesAndTimes ...uint32) *prefetch.Trace {
	t := &prefetch.Trace{
		Image:    store.Identity{UUID: uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff"), Digest: store.Digest{0xd1}},
		RawBytes: 1 << 20, CreatedAt: time.Unix(1700000000, 0).UTC(), Runs: 1,
	}
	for i := 0; i < len(pagesAndTimes); i += 2 {
		t.Touches = append(t.Touches, prefetch.Touch{Page: pagesAndTimes[i], AtMicros: pagesAndTimes[i+1], Runs: 1})
	}
	return t
}

// writeTrace writes a trace file, with its directories.
func writeTrace(t *testing.T, path string, trace *prefetch.Trace) string {
	t.Helper()
	makeDir(t, filepath.Dir(path))
	noError(t, trace.WriteFile(path))
	return path
}

// threeRuns writes three recordings of one image.
func threeRuns(t *testing.T) (paths []string) {
	t.Helper()
	dir := realTempDir(t)
	for i, trace := range []*prefetch.Trace{
		sampleTrace(10, 100, 11, 200, 12, 300, 200, 1500000),
		sampleTrace(11, 50, 10, 150, 40, 900),
		sampleTrace(10, 120, 40, 500, 12, 800),
	} {
		paths = append(paths, writeTrace(t, filepath.Join(dir, fmt.Sprintf("run%d.ws", i+1)), trace))
	}
	return paths
}

func readTrace(t *testing.T, path string) *prefetch.Trace {
	t.Helper()
	trace, err := prefetch.ReadFile(path)
	noError(t, err)
	return trace
}

type infoReport struct {
	Traces []traceRow `json:"traces"`
}

func TestTraceInfo(t *testing.T) {
	paths := threeRuns(t)
	said := sabrefs(t, "ws", "info", paths[0], paths[1])
	for _, want := range []string{
		"00112233-4455-6677-8899-aabbccddeeff", "d100000000", "2023-11-14T22:13:20Z", "1MiB (1048576)",
		"4, 0.02 MB, 1.56 % of the guest", "1.500000 s", "75 %", "3 pages by 0.000300 s", "\n\ntrace ", paths[1],
	} {
		if !strings.Contains(said, want) {
			t.Errorf("ws info does not say %q:\n%s", want, said)
		}
	}
	report := decodeJSON[infoReport](t, sabrefs(t, "ws", "info", "--json", paths[0]))
	created := time.Unix(1700000000, 0).UTC()
	want := &TraceSummary{
		ImageUUID: "00112233-4455-6677-8899-aabbccddeeff", Digest: "d1" + strings.Repeat("00", 31), RawBytes: 1 << 20,
		CreatedAt: &created, Runs: 1, Pages: 4, TouchedBytes: 16384, GuestFraction: 1. / 64, AddressRuns: 2,
		PagesInAllRuns: 4, LastTouchMicros: 1500000,
		TouchedBy: []touchedByRow{{10, 1, 100}, {25, 1, 100}, {50, 2, 200}, {75, 3, 300}, {90, 4, 1500000}, {99, 4, 1500000}, {100, 4, 1500000}},
	}
	if len(report.Traces) != 1 || !reflect.DeepEqual(report.Traces[0], traceRow{Path: paths[0], TraceSummary: want}) {
		t.Errorf("ws info --json says %+v", report)
	}
}

// TestTraceInfoOfNothing shows a trace without pages, time or memory.
func TestTraceInfoOfNothing(t *testing.T) {
	path := writeTrace(t, filepath.Join(realTempDir(t), "mem_file.ws"), &prefetch.Trace{Runs: 1})
	if said := sabrefs(t, "ws", "info", path); !strings.Contains(said, "unknown") || !strings.Contains(said, "0, 0.00 MB, 0.00 %") {
		t.Errorf("ws info says %q", said)
	}
	if said := sabrefs(t, "ws", "info", "--json", path); !strings.Contains(said, `"created_at": null`) || !strings.Contains(said, `"touched_by": []`) {
		t.Errorf("ws info --json says %q", said)
	}
}

func TestTraceInfoOfDirectory(t *testing.T) {
	dir := realTempDir(t)
	for _, name := range []string{"redis/mem_file.ws", "python/mem_file.ws"} {
		writeTrace(t, filepath.Join(dir, name), sampleTrace(1, 1))
	}
	writeFile(t, filepath.Join(dir, "python", "config.json"), nil)
	bad := writeFile(t, filepath.Join(dir, "python", "bad.ws"), []byte("no trace"))
	said := refused(t, exitDamaged, []string{"ws", "info", "--json", dir}, bad, "offset 0")
	report := decodeJSON[infoReport](t, said)
	var names []string
	for _, row := range report.Traces {
		names = append(names, strings.TrimPrefix(row.Path, dir))
		if (row.Error != "") != (row.Path == bad) || (row.TraceSummary == nil) != (row.Path == bad) {
			t.Errorf("ws info --json says %+v", row)
		}
	}
	if want := []string{"/python/bad.ws", "/python/mem_file.ws", "/redis/mem_file.ws"}; !slices.Equal(names, want) {
		t.Errorf("ws info shows %q, want %q", names, want)
	}
	if said := refused(t, exitDamaged, []string{"ws", "info", dir}, bad); strings.Count(said, "content digest") != 2 || strings.HasPrefix(said, "\n") {
		t.Errorf("ws info says %q", said)
	}
	empty := realTempDir(t)
	refused(t, exitDamaged, []string{"ws", "info", empty}, empty, "*.ws")
}

func TestTraceDump(t *testing.T) {
	path := threeRuns(t)[0]
	lines := strings.Split(sabrefs(t, "ws", "dump", path), "\n")
	if len(lines) != 6 || !slices.Equal(strings.Fields(lines[4]), []string{"200", "0xc8000", "1.500000", "1"}) {
		t.Errorf("ws dump says %q", lines)
	}
	dump := decodeJSON[struct {
		Path    string     `json:"path"`
		Touches []touchRow `json:"touches"`
	}](t, sabrefs(t, "ws", "dump", "--json", path))
	want := []touchRow{{10, 0xa000, 100, 1}, {11, 0xb000, 200, 1}, {12, 0xc000, 300, 1}, {200, 0xc8000, 1500000, 1}}
	if dump.Path != path || !slices.Equal(dump.Touches, want) {
		t.Errorf("ws dump --json says %+v", dump)
	}
}

func TestTraceDumpRuns(t *testing.T) {
	trace := sampleTrace(10, 100, 11, 200, 12, 300, 9, 400, 10+200, 500)
	trace.Runs = 3
	for i := range trace.Touches {
		trace.Touches[i].Runs = uint32(3 - i%2)
	}
	path := writeTrace(t, filepath.Join(realTempDir(t), "mem_file.ws"), trace)
	dump := decodeJSON[struct {
		Path     string       `json:"path"`
		PageRuns []pageRunRow `json:"page_runs"`
	}](t, sabrefs(t, "ws", "dump", "--runs", "--json", path))
	if want := []pageRunRow{{10, 3, 0xa000, 100, 2}, {9, 1, 0x9000, 400, 2}, {210, 1, 0xd2000, 500, 3}}; !slices.Equal(dump.PageRuns, want) {
		t.Errorf("ws dump --runs --json says %+v, want %+v", dump.PageRuns, want)
	}
	lines := strings.Split(sabrefs(t, "ws", "dump", "--runs", path), "\n")
	if len(lines) != 5 || !slices.Equal(strings.Fields(lines[1]), []string{"10", "3", "0xa000", "0.000100", "2"}) {
		t.Errorf("ws dump --runs says %q", lines)
	}
}

func TestTraceMerge(t *testing.T) {
	paths := threeRuns(t)
	out := filepath.Join(filepath.Dir(paths[0]), "out.ws")
	for _, c := range []struct {
		flags   []string
		minRuns int
		want    []prefetch.Touch
	}{
		{nil, 1, []prefetch.Touch{{Page: 11, AtMicros: 50, Runs: 2}, {Page: 10, AtMicros: 120, Runs: 3}, {Page: 12, AtMicros: 300, Runs: 2}, {Page: 40, AtMicros: 500, Runs: 2}, {Page: 200, AtMicros: 1500000, Runs: 1}}},
		{[]string{"--min-runs", "2"}, 2, []prefetch.Touch{{Page: 11, AtMicros: 50, Runs: 2}, {Page: 10, AtMicros: 120, Runs: 3}, {Page: 12, AtMicros: 300, Runs: 2}, {Page: 40, AtMicros: 500, Runs: 2}}},
		{[]string{"--intersection"}, 3, []prefetch.Touch{{Page: 10, AtMicros: 120, Runs: 3}}},
	} {
		args := append([]string{"ws", "merge", "--force", "--json", "--out", out}, append(c.flags, paths...)...)
		row := decodeJSON[mergeRow](t, sabrefs(t, args...))
		if want := (mergeRow{out, 3, c.minRuns, len(c.want), 3}); row != want {
			t.Errorf("%q says %+v, want %+v", args, row, want)
		}
		if got := readTrace(t, out); got.Runs != 3 || !slices.Equal(got.Touches, c.want) {
			t.Errorf("%q: merged to %+v, want %+v", args, got, c.want)
		}
	}
	sabrefs(t, "ws", "merge", "--union", "--force", "--out", out, paths[0], paths[1])
	said := sabrefs(t, "ws", "merge", "--force", "--out", out, out, paths[2]) // in place
	if !strings.HasPrefix(said, out+": 5 pages, 20KiB, seen in at least 1 of 3 runs") {
		t.Errorf("ws merge says %q", said)
	}
}

func TestTraceMergeKeepsWhatIsThere(t *testing.T) {
	paths := threeRuns(t)
	before := readFile(t, paths[1])
	refused(t, exitExists, []string{"ws", "merge", "--out", paths[1], paths[0]}, paths[1], "--force")
	other := sampleTrace(1, 1)
	other.Image.Digest[0]++
	otherPath := writeTrace(t, filepath.Join(realTempDir(t), "other.ws"), other)
	refused(t, exitParent, []string{"ws", "merge", "--force", "--out", paths[1], paths[0], paths[2], otherPath}, paths[0], otherPath, "another image")
	refused(t, exitUsage, []string{"ws", "merge", "--force", "--out", paths[1], "--min-runs", "4", paths[0], paths[2]}, "at least 4 runs")
	wantContent(t, paths[1], before)
	wantNames(t, filepath.Dir(paths[1]), "run1.ws", "run2.ws", "run3.ws")
}

func TestTraceDiff(t *testing.T) {
	paths := threeRuns(t)
	said := sabrefs(t, "ws", "diff", paths[0], paths[1])
	for _, want := range []string{"4 pages", "3 pages", "2 pages", paths[0], paths[1], "0.4000", "-1.0000"} {
		if !strings.Contains(said, want) {
			t.Errorf("ws diff does not say %q:\n%s", want, said)
		}
	}
	row := decodeJSON[diffRow](t, sabrefs(t, "ws", "diff", "--json", paths[0], paths[1]))
	want := diffRow{A: paths[0], B: paths[1], PagesA: 4, PagesB: 3, Common: 2, OnlyA: 2, OnlyB: 1, Jaccard: 0.4, OrderCorrelation: -1}
	if row != want {
		t.Errorf("ws diff --json says %+v, want %+v", row, want)
	}
	other := sampleTrace(1, 1)
	other.RawBytes++
	otherPath := writeTrace(t, filepath.Join(realTempDir(t), "other.ws"), other)
	refused(t, exitParent, []string{"ws", "diff", paths[0], otherPath}, paths[0], otherPath)
}

func TestTracePlotSVG(t *testing.T) {
	paths := threeRuns(t)
	// names of files become text of a picture, whatever is in them
	odd := writeTrace(t, filepath.Join(realTempDir(t), "a<b>&\"'\x01\xff.ws"), sampleTrace(3, 3))
	out := filepath.Join(realTempDir(t), "ws.SVG")
	sabrefs(t, append([]string{"ws", "plot", "--out", out, odd}, paths...)...)
	picture := readFile(t, out)
	text := textOfXML(t, picture)
	for _, want := range []string{"run1: 4 pages", "run3: 3 pages", "time of first touch [s]", "offset in guest memory [KiB]", "pages touched per 8KiB", "1024"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture does not have %q: %q", want, text)
		}
	}
	refused(t, exitExists, []string{"ws", "plot", "--out", out, paths[0]}, out, "--force")
	wantContent(t, out, picture)
	sabrefs(t, "ws", "plot", "--force", "--out", out, paths[0])
	if bytes.Equal(readFile(t, out), picture) {
		t.Error("--force did not replace the picture")
	}
}

// textOfXML returns what is between the tags of a document that must be well-formed.
func textOfXML(t *testing.T, document []byte) string {
	t.Helper()
	var text strings.Builder
	decoder := xml.NewDecoder(bytes.NewReader(document))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return text.String()
		}
		noError(t, err)
		if data, ok := token.(xml.CharData); ok {
			text.Write(data)
			text.WriteByte('\n')
		}
	}
}

// TestTracePlotPNG looks for the dots of two traces where they must be: one has
// the lower half of the memory late, the other the upper half early.
func TestTracePlotPNG(t *testing.T) {
	dir := realTempDir(t)
	late, early := sampleTrace(), sampleTrace()
	for page := range uint32(128) {
		late.Touches = append(late.Touches, prefetch.Touch{Page: page, AtMicros: 900000 + page, Runs: 1})
		early.Touches = append(early.Touches, prefetch.Touch{Page: 128 + page, AtMicros: 100000 + page, Runs: 1})
	}
	out := filepath.Join(dir, "ws.png")
	sabrefs(t, "ws", "plot", "--out", out, writeTrace(t, filepath.Join(dir, "late", "mem_file.ws"), late), writeTrace(t, filepath.Join(dir, "early", "mem_file.ws"), early))
	picture, err := png.Decode(bytes.NewReader(readFile(t, out)))
	noError(t, err)
	lateAt, earlyAt := centerOf(t, picture, traceColors[0]), centerOf(t, picture, traceColors[1])
	if lateAt.X-earlyAt.X < 400 || lateAt.Y-earlyAt.Y < 200 {
		t.Errorf("the late trace in the lower half is around %v, the early one in the upper half around %v", lateAt, earlyAt)
	}
}

// centerOf returns where a color is on average in the panel of the dots.
func centerOf(t *testing.T, picture image.Image, c color.NRGBA) image.Point {
	t.Helper()
	var sum image.Point
	n := 0
	area := picture.Bounds()
	for y := area.Min.Y + area.Dy()/8; y < area.Max.Y; y++ { // below the legend
		for x := area.Min.X; x < area.Min.X+area.Dx()*74/100; x++ {
			if color.NRGBAModel.Convert(picture.At(x, y)) == c {
				sum = sum.Add(image.Pt(x, y))
				n++
			}
		}
	}
	if n == 0 {
		t.Fatalf("nothing has the color %v", c)
	}
	return sum.Div(n)
}

// TestTracePlotOfNothing draws traces that give the axes nothing to go by.
func TestTracePlotOfNothing(t *testing.T) {
	dir := realTempDir(t)
	for name, trace := range map[string]*prefetch.Trace{
		"no memory": {Runs: 1}, "no pages": {Runs: 1, RawBytes: 4 << 30}, "one page": {Runs: 1, RawBytes: 1, Touches: []prefetch.Touch{{Runs: 1}}},
		"largest": {Runs: 1, RawBytes: store.MaxRawBytes, Touches: []prefetch.Touch{{Page: 1<<30 - 1, AtMicros: 1<<32 - 1, Runs: 1}}},
	} {
		for _, ending := range []string{".svg", ".png"} {
			out := filepath.Join(dir, name+ending)
			sabrefs(t, "ws", "plot", "--out", out, writeTrace(t, filepath.Join(dir, name+".ws"), trace))
			if n := len(readFile(t, out)); n < 1000 || n > 1<<20 {
				t.Errorf("%s has %d bytes", out, n)
			}
		}
	}
}

// TestPlotOfManyPagesIsSmall: what cannot be seen is not drawn.
func TestPlotOfManyPagesIsSmall(t *testing.T) {
	trace := sampleTrace()
	trace.RawBytes = 4 << 30
	for page := range uint32(1 << 20) { // all of it, as md5sum reads it
		trace.Touches = append(trace.Touches, prefetch.Touch{Page: page, AtMicros: page, Runs: 1})
	}
	picture, err := drawTraces([]*prefetch.Trace{trace}, []string{"all"}, pictureFormats[".svg"]())
	noError(t, err)
	if len(picture) > 1<<20 {
		t.Errorf("the picture has %d bytes", len(picture))
	}
}

// TestPlotsAreTheSame: pictures can be compared by their bytes.
func TestPlotsAreTheSame(t *testing.T) {
	trace := sampleTrace(10, 100, 11, 200, 200, 1500000)
	for ending, newPicture := range pictureFormats {
		var pictures [2][]byte
		for i := range pictures {
			picture, err := drawTraces([]*prefetch.Trace{trace, trace}, []string{"a", "b"}, newPicture())
			noError(t, err)
			pictures[i] = picture
		}
		if !bytes.Equal(pictures[0], pictures[1]) {
			t.Errorf("%s: another picture of the same traces", ending)
		}
	}
}

// TestPlotPanelsLineUp looks at the lines of the grid: both panels have the same
// heights, and the right one begins where the left one has ended.
func TestPlotPanelsLineUp(t *testing.T) {
	for _, memory := range []int64{1 << 20, 3 << 30, 1300<<20 + 1, store.MaxRawBytes} {
		trace := sampleTrace(10, 100, 11, 200, 200, 1500000)
		trace.RawBytes = memory
		picture, err := drawTraces([]*prefetch.Trace{trace}, []string{"a"}, pictureFormats[".svg"]())
		noError(t, err)
		if !bytes.HasPrefix(picture, []byte(`<svg width="26cm" height="16cm" `)) {
			t.Errorf("the picture begins with %.60q", picture)
		}
		lines := horizontalGrid(t, picture)
		n := len(lines) / 2
		if n < 4 || n*2 != len(lines) {
			t.Fatalf("memory of %d bytes: the grid has %v", memory, lines)
		}
		for i, left := range lines[:n] {
			if right := lines[n+i]; right.Min.Y != left.Min.Y || right.Min.X <= left.Max.X || right.Max.X > pictureWidth {
				t.Errorf("memory of %d bytes: the panels have the lines %v and %v", memory, left, right)
			}
		}
	}
}

// horizontalGrid returns the pale lines from left to right, in the order of the file.
func horizontalGrid(t *testing.T, picture []byte) (lines []image.Rectangle) {
	t.Helper()
	pale := regexp.MustCompile(`d="M (\d+) (\d+)\nL (\d+) (\d+)" style="stroke-width:1;stroke:rgb\(228,228,228\)`)
	for _, match := range pale.FindAllSubmatch(picture, -1) {
		var at [4]int
		for i := range at {
			var err error
			at[i], err = strconv.Atoi(string(match[i+1]))
			noError(t, err)
		}
		if line := (image.Rectangle{image.Pt(at[0], at[1]), image.Pt(at[2], at[3])}); line.Dy() == 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestRoundTicks(t *testing.T) {
	for _, c := range []struct {
		end, most, least float64
		want             string
	}{
		{740, 8, 0, "0 100 200 300 400 500 600 700"}, {1.6, 8, 0, "0 0.2 0.4 0.6 0.8 1 1.2 1.4 1.6"}, {0.001, 8, 0, "0 0.0002 0.0004 0.0006 0.0008 0.001"},
		{0.3, 8, 0, "0 0.05 0.1 0.15 0.2 0.25 0.3"}, {4294.967295, 8, 0, "0 1000 2000 3000 4000"}, {1, 4, 1, "0 1"}, {8, 4, 1, "0 2 4 6 8"}, {8388608, 4, 1, "0 5000000"},
	} {
		var labels []string
		for _, tick := range roundTicks(c.end, c.most, c.least) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("up to %v at most %v ticks: %s, want %s", c.end, c.most, got, c.want)
		}
	}
}

// TestBadTraces gives every command that reads traces what is not one.
func TestBadTraces(t *testing.T) {
	paths := threeRuns(t)
	dir := realTempDir(t)
	whole := readFile(t, paths[0])
	flipped := bytes.Clone(whole)
	flipped[130]++
	newer := bytes.Clone(whole)
	newer[8] = 9
	tests := map[string]struct {
		code int
		word string
	}{
		writeFile(t, filepath.Join(dir, "text"), []byte("this is not a trace")): {exitDamaged, "offset 0"},
		writeFile(t, filepath.Join(dir, "empty"), nil):                          {exitDamaged, "offset 0"},
		writeFile(t, filepath.Join(dir, "cut"), whole[:140]):                    {exitDamaged, "offset 140"},
		writeFile(t, filepath.Join(dir, "flipped"), flipped):                    {exitDamaged, "checksum"},
		writeFile(t, filepath.Join(dir, "newer"), newer):                        {exitUnsupported, "version 9"},
		os.DevNull:                     {exitDamaged, "regular"},
		filepath.Join(dir, "missing"):  {exitNotFound, "no such file"},
		filepath.Join(paths[0], "sub"): {exitFailure, "not a directory"},
	}
	out := filepath.Join(dir, "out.svg")
	for path, c := range tests {
		for _, args := range [][]string{
			{"info", path}, {"dump", path}, {"dump", "--json", path}, {"merge", "--out", out, paths[0], path},
			{"diff", paths[0], path}, {"diff", path, paths[0]}, {"plot", "--out", out, paths[0], path},
		} {
			refused(t, c.code, append([]string{"ws"}, args...), path, c.word)
		}
	}
	wantNames(t, dir, "cut", "empty", "flipped", "newer", "text")
}

func TestTraceUsage(t *testing.T) {
	path := threeRuns(t)[0]
	out := filepath.Join(realTempDir(t), "out.ws")
	for word, args := range map[string][]string{
		`"frobnicate"`:             {"frobnicate"},
		"ws info TRACE...":         {"info"},
		"ws dump TRACE":            {"dump"},
		"expected 1 arguments":     {"dump", path, path},
		"ws diff A B":              {"diff", path},
		"at least 1 argument":      {"merge", "--out", out},
		"--out is missing":         {"merge", path},
		"--min-runs 0":             {"merge", "--out", out, "--min-runs", "0", path},
		"only one of":              {"merge", "--out", out, "--union", "--intersection", path},
		"not .svg or .png":         {"plot", "--out", out, path},
		"at most 8":                {"plot", "--out", out + ".svg", path, path, path, path, path, path, path, path, path},
		"usage: sabrefs ws plot -": {"plot", path},
	} {
		if printed := refused(t, exitUsage, append([]string{"ws"}, args...), word); printed != "" {
			t.Errorf("%q printed %q", args, printed)
		}
	}
	if said := sabrefs(t, "ws"); !strings.Contains(said, "merge") || !strings.Contains(said, "Usage:") {
		t.Errorf("ws says %q", said)
	}
}
