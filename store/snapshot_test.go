package store

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/tests/seedtest"
)

func TestMemoryNames(t *testing.T) {
	names, err := NewMemoryNames([]string{"guest-[0-9].ram"})
	wantNoError(t, err)
	for name, want := range map[string]bool{
		"mem_file": true, "memfile": true, "memory": true, "memory.bin": true, "memory-ranges": true, "mem": true,
		"vm1.mem": true, ".mem": true, "guest-7.ram": true,
		"guest-x.ram": false, "mem_file.sabre": false, "memory.txt": false, "snapshot_file": false, "state.json": false, "": false,
	} {
		wantEqual(t, name+" is a memory file", names.Match(name), want)
	}
	wantEqual(t, "a pattern holds without being given", MemoryNames{}.Match("guest-7.ram"), false)
	for _, bad := range []string{"[", "a[", "[a-", "\\"} {
		_, err := NewMemoryNames([]string{"good", bad})
		wantClass(t, err, ErrOption)
	}
}

// writeSnapshot makes a directory with one of everything.
func writeSnapshot(t *testing.T) (dir string, memory, nested []byte) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "snapshot")
	wantNoError(t, os.MkdirAll(filepath.Join(dir, "disks", "empty"), 0o755))
	r := seedtest.Fixed(11)
	memory, nested = guestMemory(r, 70*PageBytes+9), guestMemory(r, 10*PageBytes)
	writeFile(t, filepath.Join(dir, "mem_file"), memory)
	writeFile(t, filepath.Join(dir, "disks", "second.mem"), nested)
	state := writeFile(t, filepath.Join(dir, "snapshot_file"), []byte("state"))
	wantNoError(t, os.Chmod(state, 0o666))
	wantNoError(t, os.Chtimes(state, fixedTime, fixedTime))
	wantNoError(t, os.Symlink("../elsewhere", filepath.Join(dir, "link")))
	wantNoError(t, os.Symlink("mem_file", filepath.Join(dir, "memory")))
	wantNoError(t, unix.Mkfifo(filepath.Join(dir, "disks", "fifo"), 0o600))
	wantNoError(t, os.Chmod(dir, 0o750))
	listen(t, dir)
	return dir, memory, nested
}

// listen leaves a socket in dir, by way of /proc because the path of a socket
// must be short.
func listen(t *testing.T, dir string) {
	t.Helper()
	d, err := os.Open(dir)
	wantNoError(t, err)
	defer d.Close()
	socket, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/api.sock", d.Fd()))
	wantNoError(t, err)
	socket.(*net.UnixListener).SetUnlinkOnClose(false)
	wantNoError(t, socket.Close())
}

func TestSnapshotRoundTrip(t *testing.T) {
	src, memory, nested := writeSnapshot(t)
	dir := t.TempDir()
	packed, back := filepath.Join(dir, "packed"), filepath.Join(dir, "back")
	result, err := PackSnapshot(t.Context(), src, packed, MemoryNames{}, PackOptions{FramePages: 4})
	wantNoError(t, err)
	wantEqual(t, "images", len(result.Images), 2)
	wantEqual(t, "raw bytes", result.Images["mem_file"].RawBytes, int64(len(memory)))
	wantEqual(t, "copied files", result.CopiedFiles, 1)
	wantEqual(t, "copied bytes", result.CopiedBytes, 5)
	wantEqual(t, "skipped is right", slices.Equal(result.Skipped, []string{"api.sock", "disks/fifo"}), true)
	wantNames(t, packed, "disks", "link", "mem_file.sabre", "memory", "snapshot_file")
	wantNames(t, filepath.Join(packed, "disks"), "empty", "second.mem.sabre")
	wantContent(t, filepath.Join(packed, "mem_file.sabre"), memory)
	wantContent(t, filepath.Join(packed, "disks", "second.mem.sabre"), nested)
	wantKeptFiles(t, packed)

	unpacked, err := UnpackSnapshot(t.Context(), packed, back, UnpackOptions{})
	wantNoError(t, err)
	wantEqual(t, "images", len(unpacked.Images), 2)
	wantEqual(t, "digest", unpacked.Images["mem_file.sabre"].Digest, result.Images["mem_file"].Digest)
	wantBytes(t, "memory", readFile(t, filepath.Join(back, "mem_file")), memory)
	wantBytes(t, "nested memory", readFile(t, filepath.Join(back, "disks", "second.mem")), nested)
	wantKeptFiles(t, back)
	wantNames(t, dir, "packed", "back")
}

// wantKeptFiles checks what packing does not look into.
func wantKeptFiles(t *testing.T, dir string) {
	t.Helper()
	state := filepath.Join(dir, "snapshot_file")
	wantBytes(t, "state", readFile(t, state), []byte("state"))
	info, err := os.Stat(state)
	wantNoError(t, err)
	wantEqual(t, "mode of the state", info.Mode(), 0o666)
	wantEqual(t, "time of the state is kept", info.ModTime().Equal(fixedTime), true)
	for name, want := range map[string]string{"link": "../elsewhere", "memory": "mem_file"} {
		target, err := os.Readlink(filepath.Join(dir, name))
		wantNoError(t, err)
		wantEqual(t, name, target, want)
	}
	info, err = os.Stat(dir)
	wantNoError(t, err)
	wantEqual(t, "mode of the directory", info.Mode().Perm(), 0o750)
}

func TestSnapshotReplaces(t *testing.T) {
	src, memory, _ := writeSnapshot(t)
	dir := t.TempDir()
	dst := filepath.Join(dir, "packed")
	wantNoError(t, os.Mkdir(dst, 0o700))
	writeFile(t, filepath.Join(dst, "stale"), []byte("x"))
	_, err := PackSnapshot(t.Context(), src, dst, MemoryNames{}, PackOptions{})
	wantClass(t, err, ErrExists)
	wantNames(t, dst, "stale")
	_, err = PackSnapshot(t.Context(), src, dst, MemoryNames{}, PackOptions{Overwrite: true})
	wantNoError(t, err)
	wantNames(t, dir, "packed")
	wantEqual(t, "stale file is gone", slices.Contains(namesIn(t, dst), "stale"), false)
	wantContent(t, filepath.Join(dst, "mem_file.sabre"), memory)
}

func TestSnapshotRefusals(t *testing.T) {
	src, _, _ := writeSnapshot(t)
	link := filepath.Join(t.TempDir(), "link")
	wantNoError(t, os.Symlink(src, link))
	noMemory := t.TempDir()
	writeFile(t, filepath.Join(noMemory, "state"), []byte("x"))
	dir := t.TempDir()
	dst := filepath.Join(dir, "packed")
	for name, c := range map[string]struct {
		src, dst string
		class    error
	}{
		"missing":               {filepath.Join(dir, "missing"), dst, fs.ErrNotExist},
		"no memory file":        {noMemory, dst, ErrOption},
		"into itself":           {src, src, ErrOption},
		"inside the source":     {src, filepath.Join(src, "disks", "packed"), ErrOption},
		"inside through a link": {src, filepath.Join(link, "packed"), ErrOption},
		"a file":                {filepath.Join(src, "mem_file"), dst, unix.ENOTDIR},
	} {
		_, err := PackSnapshot(t.Context(), c.src, c.dst, MemoryNames{}, PackOptions{Overwrite: true})
		if err == nil {
			t.Fatalf("%s: accepted", name)
		}
		wantClass(t, err, c.class)
	}
	_, err := UnpackSnapshot(t.Context(), src, dst, UnpackOptions{})
	wantClass(t, err, ErrOption)
	wantNames(t, dir)
	wantNames(t, src, "api.sock", "disks", "link", "mem_file", "memory", "snapshot_file")
}

// TestSnapshotThroughLink checks that the source may be named by a link.
func TestSnapshotThroughLink(t *testing.T) {
	src, memory, _ := writeSnapshot(t)
	dir := t.TempDir()
	link, dst := filepath.Join(dir, "link"), filepath.Join(dir, "packed")
	wantNoError(t, os.Symlink(src, link))
	_, err := PackSnapshot(t.Context(), link, dst, MemoryNames{}, PackOptions{})
	wantNoError(t, err)
	wantContent(t, filepath.Join(dst, "mem_file.sabre"), memory)
}

// TestSnapshotNamesCollide has a memory file and a file where its image goes.
func TestSnapshotNamesCollide(t *testing.T) {
	src, _, _ := writeSnapshot(t)
	writeFile(t, filepath.Join(src, "mem_file.sabre"), []byte("in the way"))
	dir := t.TempDir()
	_, err := PackSnapshot(t.Context(), src, filepath.Join(dir, "packed"), MemoryNames{}, PackOptions{})
	wantClass(t, err, fs.ErrExist)
	wantNames(t, dir)
}

func TestSnapshotBusy(t *testing.T) {
	src, _, _ := writeSnapshot(t)
	dst := filepath.Join(t.TempDir(), "packed")
	other, err := createStaging(dst, false)
	wantNoError(t, err)
	_, err = PackSnapshot(t.Context(), src, dst, MemoryNames{}, PackOptions{})
	wantClass(t, err, ErrBusy)
	wantNoError(t, other.abort())
	_, err = PackSnapshot(t.Context(), src, dst, MemoryNames{}, PackOptions{})
	wantNoError(t, err)
}

// TestSnapshotDamagedImage checks that nothing is left of a failed unpack.
func TestSnapshotDamagedImage(t *testing.T) {
	src, _, _ := writeSnapshot(t)
	dir := t.TempDir()
	packed := filepath.Join(dir, "packed")
	_, err := PackSnapshot(t.Context(), src, packed, MemoryNames{}, PackOptions{})
	wantNoError(t, err)
	image := readFile(t, filepath.Join(packed, "mem_file.sabre"))
	image[headerBytes+100] ^= 1
	writeFile(t, filepath.Join(packed, "mem_file.sabre"), image)
	_, err = UnpackSnapshot(t.Context(), packed, filepath.Join(dir, "back"), UnpackOptions{})
	wantClass(t, err, ErrCorrupt)
	wantNames(t, dir, "packed")
}

// TestSnapshotProgress checks that the progress of several files adds up.
func TestSnapshotProgress(t *testing.T) {
	src, memory, nested := writeSnapshot(t)
	dir := t.TempDir()
	var last int64
	progress := func(done int64) {
		if done < last {
			t.Errorf("progress went from %d to %d", last, done)
		}
		last = done
	}
	_, err := PackSnapshot(t.Context(), src, filepath.Join(dir, "packed"), MemoryNames{}, PackOptions{Progress: progress})
	wantNoError(t, err)
	wantEqual(t, "progress of packing is about everything", last <= int64(len(memory)+len(nested)) && last > 0, true)
	last = 0
	_, err = UnpackSnapshot(t.Context(), filepath.Join(dir, "packed"), filepath.Join(dir, "back"), UnpackOptions{Progress: progress})
	wantNoError(t, err)
	wantEqual(t, "progress of unpacking is about everything", last <= int64(len(memory)+len(nested)) && last > 0, true)
}

func TestCopyFileDetectsChange(t *testing.T) {
	dir := t.TempDir()
	from := writeFile(t, filepath.Join(dir, "from"), []byte("12345"))
	info, err := os.Stat(from)
	wantNoError(t, err)
	writeFile(t, from, []byte("123"))
	wantClass(t, copyFile(from, filepath.Join(dir, "to"), info), ErrChanged)
	wantNoError(t, os.Chtimes(from, time.Time{}, fixedTime))
}

// TestSnapshotKeepsDirectoryModes checks modes that the umask would cut, and
// one that forbids writing.
func TestSnapshotKeepsDirectoryModes(t *testing.T) {
	src := t.TempDir()
	modes := map[string]fs.FileMode{"open": 0o777, "closed": 0o555, "private": 0o700}
	for name, mode := range modes {
		wantNoError(t, os.MkdirAll(filepath.Join(src, name, "nested"), 0o755))
		writeFile(t, filepath.Join(src, name, "nested", "mem"), textMemory(1))
		wantNoError(t, os.Chmod(filepath.Join(src, name), mode))
		t.Cleanup(func() { wantNoError(t, os.Chmod(filepath.Join(src, name), 0o755)) })
	}
	dst := filepath.Join(t.TempDir(), "packed")
	_, err := PackSnapshot(t.Context(), src, dst, MemoryNames{}, PackOptions{})
	wantNoError(t, err)
	for name, mode := range modes {
		path := filepath.Join(dst, name)
		info, err := os.Stat(path)
		wantNoError(t, err)
		wantEqual(t, name+" mode", info.Mode().Perm(), mode)
		wantNoError(t, os.Chmod(path, 0o755))
		wantContent(t, filepath.Join(path, "nested", "mem.sabre"), textMemory(1))
	}
}
