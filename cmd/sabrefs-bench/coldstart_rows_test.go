package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sabrefs/cmd/sabrefs-bench/qemu"
)

func TestFillOverheads(t *testing.T) {
	rows := []coldSideRow{
		{Side: sideRawCold, TotalMS: 500, AfterStartMS: 400},
		{Side: sideRawWarm, TotalMS: 300, AfterStartMS: 200},
		{Side: sideLaidOut, TotalMS: 350, AfterStartMS: 210},
	}
	fillOverheads(rows)
	for i, want := range []struct{ overhead, left, after float64 }{{200, 1, 1}, {0, 0, 0}, {50, 0.25, 0.05}} {
		r := rows[i]
		if *r.OverheadMS != want.overhead || *r.LeftShare != want.left || *r.AfterStartLeft != want.after {
			t.Errorf("%s: overhead %v, left %v and %v, want %+v", r.Side, *r.OverheadMS, *r.LeftShare, *r.AfterStartLeft, want)
		}
	}
	backwards := []coldSideRow{{Side: sideRawCold, TotalMS: 300}, {Side: sideRawWarm, TotalMS: 310}}
	fillOverheads(backwards)
	if backwards[0].LeftShare != nil {
		t.Errorf("of no overhead %v is left", *backwards[0].LeftShare)
	}
	alone := []coldSideRow{{Side: sideMount, TotalMS: 300}}
	fillOverheads(alone)
	if alone[0].OverheadMS != nil || orDash(alone[0].OverheadMS, "%f") != "-" {
		t.Errorf("an overhead over nothing: %+v", alone[0])
	}
}

func TestSavedPercent(t *testing.T) {
	rows := []restoreSideRow{{Side: restoreReap, TotalMS: 200}, {Side: sideMount, TotalMS: 500}, {Side: sideLaidOut, TotalMS: 80}}
	if got := savedPercent(rows); got != 60 {
		t.Errorf("80 ms in place of 200 save %v %%", got)
	}
	if got := savedPercent(rows[1:]); got != 0 {
		t.Errorf("without reap %v %% are saved", got)
	}
}

func TestColdSideRow(t *testing.T) {
	run := func(totalMillis, startMillis int64) coldTimes {
		return coldTimes{
			total: time.Duration(totalMillis * 1e6),
			qemu:  qemu.Timings{QEMUStart: time.Duration(startMillis * 1e6), Incoming: time.Millisecond, FirstAnswer: 2 * time.Millisecond},
		}
	}
	row := newColdSideRow("x", []coldTimes{run(300, 30), run(100, 50), run(200, 40)},
		[]mountStats{{Reads: 9, ReadBytes: 3e6, PushedBytes: 5e6, LatePages: 2}})
	want := coldSideRow{
		Side: "x", TotalMS: 200, TotalMinMS: 100, TotalMaxMS: 300, AfterStartMS: 160, AfterMinMS: 50, AfterMaxMS: 270,
		QEMUStartMS: 40, IncomingMS: 1, FirstAnswerMS: 2,
		Reads: 9, ReadMB: 3, PushedMB: 5, LatePages: 2,
	}
	if row != want {
		t.Errorf("got %+v, want %+v", row, want)
	}
}

func TestPrintColdstart(t *testing.T) {
	overhead, left := 12.5, 0.125
	row := coldRow{
		Function: "matmul", Guest: "python", ThrottleMBPerS: 550, WorkingSetMB: 40, PackedMB: 16, Ratio: 2.5, ImageMB: 120, GrowthPercent: 3.25, RestoreSavedPct: 60,
		ColdStarts: []coldSideRow{{Side: sideLaidOut, TotalMS: 312.5, OverheadMS: &overhead, LeftShare: &left}, {Side: sideMount}},
		Restores:   []restoreSideRow{{Side: restoreReap, TotalMS: 99.5}},
	}
	var out bytes.Buffer
	noError(t, printColdstart(&out, []coldRow{row}))
	for _, want := range []string{"matmul (guest python), reads held to 550 MB/s", "ratio 2.50", "+3.2 %", "312.5", "0.12", " - ", "99.5", "60 % faster than reap"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestWrapNames(t *testing.T) {
	if got, want := wrapNames([]string{"one", "two", "three"}, 9), "one, two,\nthree"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := wrapNames(nil, 9); got != "" {
		t.Errorf("nothing is %q", got)
	}
	for line := range strings.Lines(wrapNames(functionNames(), 78)) {
		if len(strings.TrimSpace(line)) > 78 {
			t.Errorf("too long: %q", line)
		}
	}
}

// snapshotDir is a snapshot with a memory of that size, and a machine of another.
func snapshotDir(t *testing.T, name string, memoryBytes int, config string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	noError(t, os.Mkdir(dir, 0o755))
	noError(t, os.WriteFile(filepath.Join(dir, "mem_file"), make([]byte, memoryBytes), 0o600))
	noError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600))
	return dir
}

func TestOpenGuest(t *testing.T) {
	dir := snapshotDir(t, "python", 4096, `{"memory_bytes": 4096}`)
	for argument, name := range map[string]string{dir: "python", dir + "/": "python", "node=" + dir: "node"} {
		guest, err := openGuest(argument)
		if err != nil || guest.name != name || filepath.Clean(guest.snapshot.Dir) != dir || guest.machine.MemoryBytes != 4096 {
			t.Errorf("%s: %+v, %v", argument, guest, err)
		}
	}
	if _, err := openGuest(snapshotDir(t, "python", 8192, `{"memory_bytes": 4096}`)); err == nil || !strings.Contains(err.Error(), "8192") {
		t.Errorf("memory of another size: %v", err)
	}
	if _, err := openGuest(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory without a snapshot: %v", err)
	}
}

// TestColdstartRefuses: what makes no sense is refused before any work.
func TestColdstartRefuses(t *testing.T) {
	python := snapshotDir(t, "python", 4096, `{"memory_bytes": 4096}`)
	dir := t.TempDir()
	trace := filepath.Join(t.TempDir(), "no.ws")
	noError(t, os.WriteFile(trace, []byte("no trace"), 0o600))
	input := writeMemory(t, memory(8))
	for _, test := range []struct {
		args []string
		word string
	}{
		{[]string{"coldstart"}, "guest"},
		{[]string{"coldstart", "--guest", python + "x"}, "pythonx"},
		{[]string{"coldstart", "--guest", python, "--runs", "0"}, "at least one"},
		{[]string{"coldstart", "--guest", python, "--recordings", "0"}, "at least one"},
		{[]string{"coldstart", "--guest", python, "--sides", "hot"}, `"hot"`},
		{[]string{"coldstart", "--guest", python, "--throttle", "-5"}, "-5"},
		{[]string{"coldstart", "--guest", python, "--functions", "nonsense"}, `"nonsense"`},
		{[]string{"coldstart", "--guest", python, "--functions", "node"}, "node"},
		{[]string{"coldstart", "--guest", "perl=" + python}, "perl"},
		{[]string{"fault", "--trace", trace}, "input"},
		{[]string{"fault", "--trace", trace, "--input", input}, trace},
		{[]string{"fault", "--trace", trace, "--input", input, "--advice", "bad"}, `"bad"`},
		{[]string{"fault", "--trace", trace, "--input", input, "--runs", "0"}, "at least one"},
		{[]string{"prefetch"}, "image"},
		{[]string{"prefetch", "--image", input, "--clones", "2"}, "--trace"},
		{[]string{"prefetch", "--image", input, "--runs", "0"}, "at least one"},
		{[]string{"prefetch", "--image", input}, "not a sabrefs image"},
	} {
		o := bench(t, append(test.args, "--sabrefs", "/bin/false", "--work-dir", dir)...)
		if o.code != 1 || !strings.HasPrefix(o.stderr, "sabrefs-bench: ") || strings.Count(o.stderr, "\n") != 1 || !strings.Contains(o.stderr, test.word) {
			t.Errorf("%v: exit code %d, standard error %q", test.args, o.code, o.stderr)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
