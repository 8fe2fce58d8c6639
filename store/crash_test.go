package store

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sabrefs/tests/seedtest"
)

// killAfter runs a child and kills it after delay, unless it ended before.
func killAfter(t *testing.T, cmd *exec.Cmd, delay time.Duration) {
	t.Helper()
	wantNoError(t, cmd.Start())
	timer := time.AfterFunc(delay, func() { _ = cmd.Process.Kill() }) // it may be gone
	defer timer.Stop()
	if err := cmd.Wait(); err != nil && !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child failed by itself: %v", err)
	}
}

// durationOf runs a child to its end.
func durationOf(t *testing.T, cmd *exec.Cmd) time.Duration {
	t.Helper()
	begin := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("child: %v: %s", err, out)
	}
	return time.Since(begin)
}

// TestKilledPack kills packs that replace an image, at random moments. The old
// image or the new one stands, whole; nothing else is left.
func TestKilledPack(t *testing.T) {
	r := seedtest.Rand(t)
	dir := t.TempDir()
	image := filepath.Join(dir, "image.sabre")
	contents := [][]byte{guestMemory(r, 4<<20), guestMemory(r, 4<<20)}
	sources := []string{
		writeFile(t, filepath.Join(t.TempDir(), "mem_file"), contents[0]),
		writeFile(t, filepath.Join(t.TempDir(), "mem_file"), contents[1]),
	}
	took := durationOf(t, childCommand(t, rolePackFile, sources[0], image))
	for round := range 25 {
		delay := time.Duration(r.Int64N(int64(took + took/4)))
		killAfter(t, childCommand(t, rolePackFile, sources[round%2], image), delay)
		img := openImage(t, image)
		raw, err := readAll(img)
		wantNoError(t, err)
		if string(raw) != string(contents[0]) && string(raw) != string(contents[1]) {
			t.Fatalf("round %d, killed after %v: the image holds neither memory", round, delay)
		}
		_, err = img.Verify(t.Context(), nil)
		wantNoError(t, err)
		wantNothingVisible(t, dir, "image.sabre")
	}
	durationOf(t, childCommand(t, rolePackFile, sources[0], image))
	wantNames(t, dir, "image.sabre")
}

// wantNothingVisible allows, besides the named files, only what no reader of a
// store shows: replacing takes a name of that kind for a moment.
func wantNothingVisible(t *testing.T, dir string, want ...string) {
	t.Helper()
	for _, name := range namesIn(t, dir) {
		if !slices.Contains(want, name) && !IsStaging(name) {
			t.Fatalf("%s was left", name)
		}
	}
}

// TestKilledFirstPack kills packs to a new name: there the file never has
// another, so nothing is left at all.
func TestKilledFirstPack(t *testing.T) {
	r := seedtest.Rand(t)
	raw := guestMemory(r, 4<<20)
	source := writeFile(t, filepath.Join(t.TempDir(), "mem_file"), raw)
	took := durationOf(t, childCommand(t, rolePackNew, source, filepath.Join(t.TempDir(), "image.sabre")))
	for range 15 {
		dir := t.TempDir()
		image := filepath.Join(dir, "image.sabre")
		killAfter(t, childCommand(t, rolePackNew, source, image), time.Duration(r.Int64N(int64(took+took/4))))
		if len(namesIn(t, dir)) == 0 {
			continue
		}
		wantNames(t, dir, "image.sabre")
		wantContent(t, image, raw)
	}
}

// TestKilledSnapshotPack kills packs of a directory: what is left is hidden,
// and the next pack clears it away.
func TestKilledSnapshotPack(t *testing.T) {
	r := seedtest.Rand(t)
	source := filepath.Join(t.TempDir(), "snapshot")
	wantNoError(t, os.Mkdir(source, 0o700))
	raw := guestMemory(r, 3<<20)
	writeFile(t, filepath.Join(source, "mem_file"), raw)
	writeFile(t, filepath.Join(source, "snapshot_file"), guestMemory(r, 1<<20))
	dir := t.TempDir()
	target := filepath.Join(dir, "packed")
	took := durationOf(t, childCommand(t, rolePackSnapshot, source, target))
	for range 12 {
		killAfter(t, childCommand(t, rolePackSnapshot, source, target), time.Duration(r.Int64N(int64(took+took/4))))
		wantNothingVisible(t, dir, "packed")
		wantNames(t, target, "mem_file.sabre", "snapshot_file")
		wantContent(t, filepath.Join(target, "mem_file.sabre"), raw)
	}
	durationOf(t, childCommand(t, rolePackSnapshot, source, target))
	wantNames(t, dir, "packed")
}

// TestKilledUnpack does the same to the way back.
func TestKilledUnpack(t *testing.T) {
	r := seedtest.Rand(t)
	raw := guestMemory(r, 4<<20)
	image, _ := packBytes(t, raw, PackOptions{Codec: CodecLZ4})
	dir := t.TempDir()
	target := writeFile(t, filepath.Join(dir, "mem_file"), []byte("old"))
	took := durationOf(t, childCommand(t, roleUnpack, image, target))
	for range 10 {
		writeFile(t, target, []byte("old"))
		killAfter(t, childCommand(t, roleUnpack, image, target), time.Duration(r.Int64N(int64(took+took/4))))
		if got := readFile(t, target); string(got) != "old" && string(got) != string(raw) {
			t.Fatalf("the target has %d bytes of neither file", len(got))
		}
		wantNothingVisible(t, dir, "mem_file")
	}
}

// TestKilledRepack kills processes that write an image anew: the old one or the
// new one stands, whole.
func TestKilledRepack(t *testing.T) {
	r := seedtest.Rand(t)
	raw := guestMemory(r, 4<<20)
	image, _ := packBytes(t, raw, PackOptions{Codec: CodecZstd, FramePages: 4})
	packed, dir := readFile(t, image), t.TempDir()
	target := writeFile(t, filepath.Join(dir, "image.sabre"), packed)
	took := durationOf(t, childCommand(t, roleRepack, "", target))
	written, old := 0, 0
	for range 25 {
		writeFile(t, target, packed)
		killAfter(t, childCommand(t, roleRepack, "", target), time.Duration(r.Int64N(int64(took+took/4))))
		wantContent(t, target, raw)
		wantNothingVisible(t, dir, "image.sabre")
		if string(readFile(t, target)) == string(packed) {
			old++
		} else {
			written++
		}
	}
	t.Logf("%d were killed before the new image stood, %d after", old, written)
	durationOf(t, childCommand(t, roleRepack, "", target))
	wantNames(t, dir, "image.sabre")
	wantContent(t, target, raw)
}

// TestKilledChild kills processes that write a child: the old image or the new one
// stands, whole, and its parents as they were.
func TestKilledChild(t *testing.T) {
	const kills = 9
	r := seedtest.Rand(t)
	parentRaw := guestMemory(r, 2<<20)
	raw := changedMemory(r, parentRaw)
	for _, role := range []string{rolePackChild, roleFlatten, roleRebase} {
		dir := t.TempDir()
		parent, other, target := filepath.Join(dir, parentName), filepath.Join(dir, "other.sabre"), filepath.Join(dir, "image.sabre")
		packTo(t, parentRaw, parent, PackOptions{Codec: CodecLZ4})
		packTo(t, parentRaw, other, PackOptions{Codec: CodecLZ4, FramePages: 2})
		packTo(t, raw, target, PackOptions{Parent: parent})
		packed := readFile(t, target)
		source := other
		if role == rolePackChild {
			source = writeFile(t, filepath.Join(t.TempDir(), "mem_file"), raw)
		}
		took := durationOf(t, childCommand(t, role, source, target))
		written := 0
		for range kills {
			writeFile(t, target, packed)
			killAfter(t, childCommand(t, role, source, target), time.Duration(r.Int64N(int64(took+took/4))))
			wantContent(t, target, raw)
			wantNothingVisible(t, dir, "image.sabre", "other.sabre", parentName)
			if string(readFile(t, target)) != string(packed) {
				written++
			}
		}
		t.Logf("%s: %d were killed, %d after the new image stood", role, kills, written)
		writeFile(t, target, packed)
		durationOf(t, childCommand(t, role, source, target))
		wantNames(t, dir, "image.sabre", "other.sabre", parentName)
		for path, raw := range map[string][]byte{parent: parentRaw, other: parentRaw, target: raw} {
			wantContent(t, path, raw)
		}
	}
}

// TestFewDescriptors lets every single open fail in turn: a pack must clean up
// from anywhere.
func TestFewDescriptors(t *testing.T) {
	raw := guestMemory(seedtest.Fixed(5), 1<<20)
	source := writeFile(t, filepath.Join(t.TempDir(), "mem_file"), raw)
	dir := t.TempDir()
	image := filepath.Join(dir, "image.sabre")
	old := []byte("old")
	failed, succeeded := 0, 0
	for limit := 4; limit < 16; limit++ {
		writeFile(t, image, old)
		cmd := childCommand(t, rolePackFile, source, image)
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", childDescriptorsEnv, limit))
		out, err := cmd.CombinedOutput()
		wantNames(t, dir, "image.sabre")
		if err == nil {
			succeeded++
			wantContent(t, image, raw)
			continue
		}
		failed++
		wantEqual(t, "the child says why: "+string(out), strings.Contains(string(out), "too many open files"), true)
		wantEqual(t, "the child did not panic", strings.Contains(string(out), "goroutine"), false)
		wantBytes(t, "target", readFile(t, image), old)
	}
	wantEqual(t, "some limits were too low and some were not", failed > 1 && succeeded > 1, true)
}
