package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"sabrefs/cmd/sabrefs-bench/qemu"
	"sabrefs/tests/guest"
)

// ordinaryRequests are asked before the first layer: a service at work, which does
// nothing that changes its memory for good.
var ordinaryRequests = []string{
	"ping", "lookup customer-000007", "lookup import", "fib 300", "template 50",
	"digest 0 65536", "predict 0 4096", "image 5 64", "template 400", "matmul 200", "series 0 500000", "stats",
}

// chainRequests are asked one at a time, each before another layer.
var chainRequests = []string{
	"ping", "fib 90", "lookup self", "template 3", "digest 0 4096", "rnn 7 16", "lookup nosuchword",
	"predict 0 4096", "bfs 500", "dna 0 4096", "list 3", "fib 2000", "series 0 10000", "image 5 64",
	"lookup customer-000000", "template 50", "matmul 32", "train 64", "ingest 50",
}

// liveGuest is a guest that runs on from the snapshot, in memory of its own, and has
// later snapshots taken.
type liveGuest struct {
	vm       *guest.VM
	machine  qemu.Config
	requests []qemu.Answer
	memPath  string
	dir      string // of the snapshots
	store    string
}

// newLiveGuest resumes the guest, and begins a store with its first snapshot.
func newLiveGuest(ctx context.Context, t *testing.T) *liveGuest {
	t.Helper()
	original := guestSnapshot(t)
	g := &liveGuest{memPath: filepath.Join(t.TempDir(), "live_mem"), dir: t.TempDir(), store: storeWithTheGuest(t)}
	copyTree(t, original.MemPath(), g.memPath)
	var err error
	if g.machine, err = original.Config(); err != nil {
		t.Fatal(err)
	}
	if g.requests, err = original.Answers(); err != nil {
		t.Fatal(err)
	}
	if g.vm, err = guest.ResumeWriting(ctx, original, g.memPath); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.vm.Close(); err != nil {
			t.Errorf("end QEMU: %v", err)
		}
	})
	return g
}

// storeWithTheGuest is a store that has the packed guest, and belongs to the test.
func storeWithTheGuest(t *testing.T) (storeDir string) {
	t.Helper()
	packed := filepath.Join(packedStore(t), snapshotName)
	storeDir = t.TempDir()
	copyTree(t, packed, filepath.Join(storeDir, snapshotName))
	return storeDir
}

func copyTree(t *testing.T, source, target string) {
	t.Helper()
	if output, err := exec.CommandContext(t.Context(), "cp", "-r", "--sparse=always", source, target).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v: %s", source, err, output)
	}
}

// halt takes a snapshot. Its memory file is the guest's, and hence right until the
// guest goes on.
func (g *liveGuest) halt(ctx context.Context, t *testing.T, name string) guest.Snapshot {
	t.Helper()
	snapshot := guest.Snapshot{Dir: filepath.Join(g.dir, name)}
	err := errors.Join(os.Mkdir(snapshot.Dir, 0o755), os.Link(g.memPath, snapshot.MemPath()))
	if err != nil {
		t.Fatal(err)
	}
	// What it answers is not known yet: these are requests for whoever resumes it.
	err = errors.Join(g.vm.SaveState(ctx, snapshot, g.machine), snapshot.WriteAnswers(g.requests))
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// goOn lets the guest run again.
func (g *liveGuest) goOn(ctx context.Context, t *testing.T, halted guest.Snapshot) {
	t.Helper()
	if err := errors.Join(os.Remove(halted.MemPath()), g.vm.Continue(ctx)); err != nil {
		t.Fatal(err)
	}
}

// layer takes a snapshot, packs it against the parent, and lets the guest go on. It
// returns the digest of the memory, if it is to be compared.
func (g *liveGuest) layer(ctx context.Context, t *testing.T, parent, name string, compared bool) (digest string) {
	t.Helper()
	halted := g.halt(ctx, t, name)
	if compared {
		digest = fileDigest(t, halted.MemPath())
	}
	mustRunSabrefs(t, "pack", "--parent", filepath.Join(g.store, parent), halted.Dir, filepath.Join(g.store, name))
	g.goOn(ctx, t, halted)
	return digest
}

// questions are the requests whose answers tell guests apart.
func (g *liveGuest) questions() (requests []string) {
	for _, recorded := range g.requests {
		requests = append(requests, recorded.Request)
	}
	return requests
}

func (g *liveGuest) ask(ctx context.Context, t *testing.T, requests []string) map[string]string {
	t.Helper()
	answers, err := g.vm.AskAll(ctx, requests)
	if err != nil {
		t.Fatal(err)
	}
	byRequest := make(map[string]string, len(answers))
	for _, answer := range answers {
		byRequest[answer.Request] = answer.Answer
	}
	return byRequest
}

// TestLaterSnapshotsOfALiveGuest makes a chain of twenty layers on the packed snapshot of
// a guest that goes on serving. The first of them, after some requests, is at most a
// twentieth of a full image; the first, one in the middle and the last are mounted byte
// for byte; and from the last one the guest resumes and answers as the live one does.
func TestLaterSnapshotsOfALiveGuest(t *testing.T) {
	ctx := deadlineContext(t)
	g := newLiveGuest(ctx, t)
	g.ask(ctx, t, ordinaryRequests)
	depth := 1
	compared := []int{1, 10, 1 + len(chainRequests)} // reading one takes seconds
	digests := map[string]string{layerName(depth): g.layer(ctx, t, snapshotName, layerName(depth), true)}
	full, later := imageBytes(t, g.store, snapshotName), imageBytes(t, g.store, layerName(depth))
	if later*20 > full {
		t.Errorf("the later snapshot takes %d bytes, a full image %d: want at most 5 %%", later, full)
	}
	for _, request := range chainRequests {
		g.ask(ctx, t, []string{request})
		name, parent, isCompared := layerName(depth+1), layerName(depth), slices.Contains(compared, depth+1)
		if digest := g.layer(ctx, t, parent, name, isCompared); isCompared {
			digests[name] = digest
		}
		depth++
	}
	t.Logf("%d layers; full image %d bytes, first layer %d, store %d", depth, full, later, directoryBytes(t, g.store))
	live := g.ask(ctx, t, g.questions())

	mountPoint := mountStore(t, g.store)
	digests[snapshotName] = fileDigest(t, guestSnapshot(t).MemPath())
	compareMountedMemory(t, mountPoint, digests)
	last := guest.Snapshot{Dir: filepath.Join(mountPoint, layerName(depth))}
	compareAnswers(t, resumedAnswers(ctx, t, last, last.MemPath()), live)
	if original := recordedAnswers(t, guestSnapshot(t)); maps.Equal(live, original) {
		t.Error("the live guest answers as the first snapshot does, so that nothing was tested")
	}
}

func layerName(depth int) string { return fmt.Sprintf("layer-%02d", depth) }

func imageBytes(t *testing.T, storeDir, name string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(storeDir, name, "mem_file.sabre"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// compareMountedMemory compares the memory files of snapshots with the digests of what
// was packed.
func compareMountedMemory(t *testing.T, mountPoint string, digests map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		if got := fileDigest(t, guest.Snapshot{Dir: filepath.Join(mountPoint, name)}.MemPath()); got != digests[name] {
			t.Errorf("the memory of %s has digest %s when it is mounted, %s when it was packed", name, got, digests[name])
		}
	}
}

// TestDiffAsAVMMWritesIt packs the later one of two real snapshots as what a VMM writes
// that keeps track of pages: a sparse file that has the pages which changed, and holes.
func TestDiffAsAVMMWritesIt(t *testing.T) {
	first := guestSnapshot(t)
	later := guest.Later(first)
	diff := guest.Snapshot{Dir: filepath.Join(t.TempDir(), "diff")}
	copySnapshotFiles(t, later, diff)
	changed := writeDiff(t, first.MemPath(), later.MemPath(), diff.MemPath())
	storeDir := storeWithTheGuest(t)
	mustRunSabrefs(t, "pack", "--diff", "--parent", filepath.Join(storeDir, snapshotName), diff.Dir, filepath.Join(storeDir, "later"))
	t.Logf("%d pages differ; full image %d bytes, diff packed %d", changed, imageBytes(t, storeDir, snapshotName), imageBytes(t, storeDir, "later"))

	mountPoint := mountStore(t, storeDir)
	compareMountedMemory(t, mountPoint, map[string]string{
		snapshotName: fileDigest(t, first.MemPath()), "later": fileDigest(t, later.MemPath()),
	})
	mounted := guest.Snapshot{Dir: filepath.Join(mountPoint, "later")}
	compareAnswers(t, resumedAnswers(deadlineContext(t), t, mounted, mounted.MemPath()), recordedAnswers(t, later))
}

// copySnapshotFiles copies all of a snapshot but its memory.
func copySnapshotFiles(t *testing.T, source, target guest.Snapshot) {
	t.Helper()
	if err := os.Mkdir(target.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	copyTree(t, source.StatePath(), target.StatePath())
	copyTree(t, source.ConfigPath(), target.ConfigPath())
	copyTree(t, source.AnswersPath(), target.AnswersPath())
}

// writeDiff makes a file of the size of after that has only the pages that differ from
// before, and counts them.
func writeDiff(t *testing.T, before, after, target string) (changed int) {
	t.Helper()
	const pageBytes = 4096
	old, young, diff := openFile(t, before, os.O_RDONLY), openFile(t, after, os.O_RDONLY), openFile(t, target, os.O_RDWR|os.O_CREATE)
	defer old.Close()
	defer young.Close()
	defer diff.Close()
	oldPages, youngPages := make([]byte, 256*pageBytes), make([]byte, 256*pageBytes)
	for rawOff := int64(0); ; rawOff += int64(len(youngPages)) {
		_, err := io.ReadFull(young, youngPages)
		if errors.Is(err, io.EOF) {
			if err := diff.Truncate(rawOff); err != nil {
				t.Fatal(err)
			}
			return changed
		}
		if _, oldErr := io.ReadFull(old, oldPages); errors.Join(err, oldErr) != nil {
			t.Fatal(errors.Join(err, oldErr))
		}
		for i := 0; i < len(youngPages); i += pageBytes {
			page := youngPages[i:][:pageBytes]
			if bytes.Equal(page, oldPages[i:][:pageBytes]) {
				continue
			}
			changed++
			if _, err := diff.WriteAt(page, rawOff+int64(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func openFile(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	const ownerOnly = 0o600
	file, err := os.OpenFile(path, flags, ownerOnly)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
