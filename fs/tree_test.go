package fs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sabrefs/store"
)

func listNames(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func mustNot(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTreeShowsOriginalNames(t *testing.T) {
	dir, raw := sampleStore(t)
	snap := filepath.Join(dir, "snap")
	mustNot(t, os.MkdirAll(filepath.Join(snap, "deep", "er"), 0o755))
	packSample(t, filepath.Join(snap, "deep", "er"), "m", raw[:5000], defaultPack)
	mustNot(t, os.Symlink("../snap/mem_file", filepath.Join(snap, "link")))
	mustNot(t, os.Symlink("/etc", filepath.Join(snap, "outside")))
	mustNot(t, os.Symlink("mem_file.sabre", filepath.Join(snap, "alias.sabre")))
	mustNot(t, unix.Mkfifo(filepath.Join(snap, "fifo"), 0o600))
	mustNot(t, os.Mkdir(filepath.Join(snap, "dir.sabre"), 0o700))
	writeFile(t, filepath.Join(snap, "notes.sabre"), []byte("no image at all"))
	writeFile(t, filepath.Join(snap, "empty.sabre"), nil)
	writeFile(t, filepath.Join(snap, ".sabre"), []byte("x"))
	writeFile(t, filepath.Join(snap, ".hidden"), []byte("shown"))
	writeFile(t, filepath.Join(snap, ".mem_file.sabrefs-staging"), []byte("hidden"))
	m := mountStore(t, dir)

	want := []string{".hidden", ".sabre", "alias.sabre", "deep", "dir.sabre", "empty.sabre", "fifo", "link", "mem_file",
		"notes.sabre", "outside", "vmstate"}
	if got := listNames(t, m.file("snap")); !slices.Equal(got, want) {
		t.Errorf("names:\n%v, want\n%v", got, want)
	}
	wantContent(t, m.file("snap/mem_file"), raw)
	wantContent(t, m.file("snap/link"), raw)
	wantContent(t, m.file("snap/deep/er/m"), raw[:5000])
	wantContent(t, m.file("snap/notes.sabre"), []byte("no image at all"))
	wantContent(t, m.file("snap/empty.sabre"), nil)
	for _, gone := range []string{"mem_file.sabre", ".mem_file.sabrefs-staging", "notes", "nothing", strings.Repeat("n", 253)} {
		_, err := os.Lstat(m.file("snap/" + gone))
		wantErrno(t, gone, err, syscall.ENOENT)
	}
	if target, err := os.Readlink(m.file("snap/outside")); err != nil || target != "/etc" {
		t.Errorf("link: %q, %v", target, err)
	}
	if mode := statFile(t, m.file("snap/fifo")).Mode; mode != unix.S_IFIFO|0o600 {
		t.Errorf("mode of the FIFO: %o", mode)
	}
	if mode := statFile(t, m.file("snap/dir.sabre")).Mode; mode != unix.S_IFDIR|0o700 {
		t.Errorf("mode of the directory: %o", mode)
	}
}

// A directory that becomes a link after it was looked up leads nowhere: what is
// outside the store cannot be read through the mount.
func TestLinksAreNeverFollowed(t *testing.T) {
	dir, _ := sampleStore(t)
	outside := t.TempDir()
	writeFile(t, filepath.Join(outside, "vmstate"), []byte("secret"))
	m := mountStore(t, dir)
	snap, err := os.Open(m.file("snap"))
	mustNot(t, err)
	defer snap.Close()
	mustNot(t, os.Rename(filepath.Join(dir, "snap"), filepath.Join(outside, "old")))
	mustNot(t, os.Symlink(outside, filepath.Join(dir, "snap")))
	if fd, err := unix.Openat(int(snap.Fd()), "vmstate", unix.O_RDONLY, 0); err == nil {
		b := make([]byte, 100)
		n, _ := unix.Read(fd, b)
		mustNot(t, unix.Close(fd))
		t.Errorf("read %q from outside the store", b[:max(n, 0)])
	}
}

func TestImageHidesRawFile(t *testing.T) {
	dir, raw := sampleStore(t)
	writeFile(t, filepath.Join(dir, "snap", "mem_file"), []byte("raw"))
	m := mountStore(t, dir)
	wantContent(t, m.file("snap/mem_file"), raw)
	listNames(t, m.file("snap"))
	wantContent(t, m.file("snap/mem_file"), raw)
	if n := strings.Count(m.logged(), "hidden by the image"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
}

func TestNewSnapshotAppears(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	_, err := os.Stat(m.file("later/mem_file"))
	wantErrno(t, "stat", err, syscall.ENOENT)
	mustNot(t, os.Mkdir(filepath.Join(dir, "later"), 0o755))
	packSample(t, filepath.Join(dir, "later"), "mem_file", raw[:100000], defaultPack)
	wantContent(t, m.file("later/mem_file"), raw[:100000])
	if got := listNames(t, m.point); !slices.Equal(got, []string{"later", "snap"}) {
		t.Errorf("names: %v", got)
	}
}

// An image that is replaced is another file: who has the old one open keeps
// its content.
func TestReplacedImage(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	path := m.file("snap/mem_file")
	old, err := os.Open(path)
	mustNot(t, err)
	defer old.Close()
	oldMap := mapFile(t, path, unix.MAP_PRIVATE)
	before := statFile(t, path)

	other := sampleMemory(2, sampleBytes/2)
	packSample(t, filepath.Join(dir, "snap"), "mem_file", other, store.PackOptions{Codec: store.CodecZstd})
	eventually(t, "the new content is seen", func() bool {
		now := statFile(t, path)
		return now.Ino != before.Ino && now.Size == int64(len(other))
	})
	wantContent(t, path, other)
	wantEqual(t, "mapping of the old file", oldMap, raw)
	got := make([]byte, len(raw))
	if _, err := old.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "descriptor of the old file", got, raw)
}

// Opening a path never yields the old content, also while the kernel trusts
// the old directory entry.
func TestReplacedImageAtOnce(t *testing.T) {
	dir, _ := sampleStore(t)
	m := mountStore(t, dir)
	for number := range uint64(5) {
		raw := sampleMemory(number, 100000)
		packSample(t, filepath.Join(dir, "snap"), "mem_file", raw, defaultPack)
		f, err := os.Open(m.file("snap/mem_file"))
		mustNot(t, err)
		got := make([]byte, len(raw))
		if _, err := f.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "content", got, raw)
		mustNot(t, f.Close())
	}
}

func TestRemovedImage(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	guest := mapFile(t, m.file("snap/mem_file"), unix.MAP_PRIVATE)
	mustNot(t, os.Remove(filepath.Join(dir, "snap", "mem_file"+imageSuffix)))
	wantEqual(t, "mapping of the removed file", guest, raw)
	eventually(t, "the name is gone", func() bool {
		_, err := os.Stat(m.file("snap/mem_file"))
		return os.IsNotExist(err)
	})
}

// Only times changed: same inode, and the file can be opened again.
func TestTouchedImage(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	wantContent(t, m.file("snap/mem_file"), raw)
	before := statFile(t, m.file("snap/mem_file")).Ino
	mustNot(t, os.Chmod(filepath.Join(dir, "snap", "mem_file"+imageSuffix), 0o600))
	wantContent(t, m.file("snap/mem_file"), raw)
	eventually(t, "the mode is seen", func() bool {
		return statFile(t, m.file("snap/mem_file")).Mode&0o777 == 0o600
	})
	if after := statFile(t, m.file("snap/mem_file")).Ino; after != before {
		t.Errorf("inode %d, was %d", after, before)
	}
}
