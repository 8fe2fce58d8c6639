package fs

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sabrefs/store"
)

// Every way to change something ends in EROFS.
func TestChangesAreRefused(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	memory, plain, snap := m.file("snap/mem_file"), m.file("snap/vmstate"), m.file("snap")
	openForWriting := func(path string) int {
		fd, err := unix.Open(path, unix.O_RDWR, 0)
		if err != nil {
			t.Fatalf("opening %s O_RDWR: %v", path, err)
		}
		t.Cleanup(func() { mustNot(t, unix.Close(fd)) })
		return fd
	}
	for _, path := range []string{memory, plain} {
		fd := openForWriting(path)
		now := []unix.Timeval{{Sec: 1}, {Sec: 1}}
		for what, try := range map[string]func() error{
			"pwrite":      func() error { _, err := unix.Pwrite(fd, []byte("xyz"), 10); return err },
			"write":       func() error { _, err := unix.Write(fd, make([]byte, 10000)); return err },
			"ftruncate":   func() error { return unix.Ftruncate(fd, 0) },
			"grow":        func() error { return unix.Ftruncate(fd, 1<<30) },
			"fallocate":   func() error { return unix.Fallocate(fd, 0, 0, 4096) },
			"punch":       func() error { return unix.Fallocate(fd, 3, 0, 4096) },
			"chmod":       func() error { return unix.Chmod(path, 0o600) },
			"chown":       func() error { return unix.Chown(path, 1, 1) },
			"utimes":      func() error { return unix.Utimes(path, now) },
			"truncate":    func() error { return unix.Truncate(path, 5) },
			"O_TRUNC":     func() error { _, err := unix.Open(path, unix.O_RDWR|unix.O_TRUNC, 0); return err },
			"setxattr":    func() error { return unix.Setxattr(path, "user.a", []byte("b"), 0) },
			"removexattr": func() error { return unix.Removexattr(path, xattrUUID) },
			"unlink":      func() error { return unix.Unlink(path) },
			"rename":      func() error { return unix.Rename(path, path+"2") },
			"link":        func() error { return unix.Link(path, path+"2") },
		} {
			wantErrno(t, what+" "+path, try(), syscall.EROFS)
		}
	}
	for what, try := range map[string]func() error{
		"mkdir":     func() error { return unix.Mkdir(m.file("snap/d"), 0o755) },
		"rmdir":     func() error { return unix.Rmdir(snap) },
		"symlink":   func() error { return unix.Symlink("a", m.file("snap/l")) },
		"mknod":     func() error { return unix.Mknod(m.file("snap/f"), unix.S_IFIFO|0o644, 0) },
		"create":    func() error { _, err := unix.Open(m.file("snap/n"), unix.O_CREAT|unix.O_RDWR, 0o644); return err },
		"O_TMPFILE": func() error { _, err := unix.Open(snap, unix.O_TMPFILE|unix.O_RDWR, 0o644); return err },
		"chmod dir": func() error { return unix.Chmod(snap, 0o700) },
	} {
		wantErrno(t, what, try(), syscall.EROFS)
	}
	wantContent(t, memory, raw)
	wantContent(t, plain, []byte("state of the devices"))
}

// mapFile maps a file whole and unmaps it when the test ends.
func mapFile(t *testing.T, path string, flags int) []byte {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustNot(t, unix.Munmap(mem)) })
	return mem
}

// A refused write(2) must not be seen by a guest that has the page mapped, not
// even for a moment.
func TestRefusedWriteDoesNotReachMappings(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	for _, name := range []string{"snap/mem_file", "snap/vmstate"} {
		guest := mapFile(t, m.file(name), unix.MAP_PRIVATE)
		before := bytes.Clone(guest) // every page is mapped now
		f, err := os.OpenFile(m.file(name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(bytes.Repeat([]byte{0xee}, 3*store.PageBytes), 0)
		wantErrno(t, "write "+name, err, syscall.EROFS)
		wantEqual(t, "mapping of "+name, guest, before)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := m.stats().RefusedWrites; n != 0 {
		t.Errorf("%d writes got past the kernel", n)
	}
	wantContent(t, m.file("snap/mem_file"), raw)
}

// What a shared mapping dirties disappears once the kernel has tried to write
// it back.
func TestSharedMappingIsScrubbed(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	path := m.file("snap/mem_file")
	guest := mapFile(t, path, unix.MAP_PRIVATE)
	shared := mapFile(t, path, unix.MAP_SHARED)
	dirty := []int{0, 5 * store.PageBytes, 6*store.PageBytes + 17, len(raw) - 1}
	for _, i := range dirty {
		shared[i] ^= 0xff
	}
	wantErrno(t, "msync", unix.Msync(shared, unix.MS_SYNC), syscall.EROFS)
	eventually(t, "a fresh reader and a guest see the original", func() bool {
		got, err := os.ReadFile(path)
		return err == nil && bytes.Equal(got, raw) && bytes.Equal(guest, raw)
	})
	if s := m.stats(); s.RefusedWrites == 0 || s.Scrubs == 0 {
		t.Errorf("counts: %+v", s)
	}
}

// Private mappings may be written to: that is how guests run.
func TestPrivateMappingIsWritable(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	guest := mapFile(t, m.file("snap/mem_file"), unix.MAP_PRIVATE)
	for off := 0; off < len(guest); off += store.PageBytes {
		guest[off]++
	}
	wantContent(t, m.file("snap/mem_file"), raw)
	for off := 0; off < len(guest); off += store.PageBytes {
		if guest[off] != raw[off]+1 {
			t.Fatalf("byte %d is %#x, want %#x", off, guest[off], raw[off]+1)
		}
	}
}

// The store is as it was, whatever was tried on the mount.
func TestStoreIsNotModified(t *testing.T) {
	dir, _ := sampleStore(t)
	image := filepath.Join(dir, "snap", "mem_file"+imageSuffix)
	before, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	m := mountStore(t, dir)
	shared := mapFile(t, m.file("snap/mem_file"), unix.MAP_SHARED)
	clear(shared)
	wantErrno(t, "msync", unix.Msync(shared, unix.MS_SYNC), syscall.EROFS)
	wantContent(t, image, before)
}
