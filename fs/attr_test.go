package fs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/store"
)

func statFile(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("stat %s: %v", path, err)
	}
	return st
}

func isZero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }

func TestAttributes(t *testing.T) {
	dir, raw := sampleStore(t)
	image := filepath.Join(dir, "snap", "mem_file"+imageSuffix)
	modified := time.Unix(1700000000, 123456789)
	if err := errors.Join(os.Chmod(image, 0o640), os.Chown(image, 12, 34), os.Chtimes(image, modified, modified)); err != nil {
		t.Fatal(err)
	}
	m := mountStore(t, dir)
	st := statFile(t, m.file("snap/mem_file"))
	dataPages := 0
	for off := 0; off < len(raw); off += store.PageBytes {
		if !isZero(raw[off:min(len(raw), off+store.PageBytes)]) {
			dataPages++
		}
	}
	if st.Size != int64(len(raw)) || st.Blocks != int64(dataPages)*8 {
		t.Errorf("size %d, blocks %d, want %d, %d", st.Size, st.Blocks, len(raw), dataPages*8)
	}
	if st.Mode != unix.S_IFREG|0o640 || st.Uid != 12 || st.Gid != 34 || st.Nlink != 1 {
		t.Errorf("mode %o, owner %d:%d, links %d", st.Mode, st.Uid, st.Gid, st.Nlink)
	}
	if got := time.Unix(st.Mtim.Unix()); !got.Equal(modified) {
		t.Errorf("modified %v, want %v", got, modified)
	}
	if err := os.Chmod(image, 0o444); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new mode is seen", func() bool {
		changed := statFile(t, m.file("snap/mem_file"))
		return changed.Mode&0o777 == 0o444 && changed.Ino == st.Ino
	})
}

// Inode numbers are the same in the next mount of the store.
func TestInodesAreStable(t *testing.T) {
	dir, _ := sampleStore(t)
	inodes := func() [4]uint64 {
		m := mountStore(t, dir)
		defer m.stop()
		return [4]uint64{statFile(t, m.point).Ino, statFile(t, m.file("snap")).Ino,
			statFile(t, m.file("snap/mem_file")).Ino, statFile(t, m.file("snap/vmstate")).Ino}
	}
	first := inodes()
	if second := inodes(); first != second {
		t.Errorf("inodes %v, then %v", first, second)
	}
}

func TestHolesAgreeWithTheOriginal(t *testing.T) {
	dir, raw := sampleStore(t)
	m := mountStore(t, dir)
	wantHoles(t, m.file("snap/mem_file"), raw)
}

// wantHoles fails unless the holes of a file are the pages of zeros.
func wantHoles(t *testing.T, path string, raw []byte) {
	t.Helper()
	f := openHeld(t, path)
	hole := func(off int) bool {
		page := off / store.PageBytes * store.PageBytes
		return isZero(raw[page:min(len(raw), page+store.PageBytes)])
	}
	// next is what lseek should answer, by looking at every page.
	next := func(off int, wantHole bool) int {
		for off < len(raw) && hole(off) != wantHole {
			off = (off/store.PageBytes + 1) * store.PageBytes
		}
		return min(off, len(raw))
	}
	for off := 0; off < len(raw); off += store.PageBytes/2 + 100 {
		got, err := f.Seek(int64(off), unix.SEEK_HOLE)
		if want := next(off, true); err != nil || got != int64(want) {
			t.Fatalf("SEEK_HOLE from %d: %d, %v, want %d", off, got, err, want)
		}
		got, err = f.Seek(int64(off), unix.SEEK_DATA)
		want := next(off, false)
		if want == len(raw) {
			wantErrno(t, "SEEK_DATA in the last hole", err, syscall.ENXIO)
		} else if err != nil || got != int64(want) {
			t.Fatalf("SEEK_DATA from %d: %d, %v, want %d", off, got, err, want)
		}
	}
	for _, whence := range []int{unix.SEEK_HOLE, unix.SEEK_DATA} {
		for _, off := range []int{len(raw), len(raw) + 1, 1 << 40} {
			_, err := f.Seek(int64(off), whence)
			wantErrno(t, fmt.Sprintf("whence %d from %d", whence, off), err, syscall.ENXIO)
		}
	}
	if end, err := f.Seek(0, io.SeekEnd); err != nil || end != int64(len(raw)) {
		t.Errorf("SEEK_END: %d, %v", end, err)
	}
}

func getxattr(t *testing.T, path, name string) string {
	t.Helper()
	size, err := unix.Getxattr(path, name, nil)
	if err != nil {
		t.Errorf("size of %s: %v", name, err)
		return ""
	}
	value := make([]byte, size)
	if n, err := unix.Getxattr(path, name, value); err != nil || n != size {
		t.Errorf("%s: %d bytes, %v, want %d", name, n, err, size)
	}
	if size > 0 {
		_, err = unix.Getxattr(path, name, make([]byte, size-1+1)[:max(1, size-1)])
		if size > 1 {
			wantErrno(t, "too small a buffer for "+name, err, syscall.ERANGE)
		}
	}
	return string(value)
}

func TestExtendedAttributes(t *testing.T) {
	dir, raw := sampleStore(t)
	imagePath := filepath.Join(dir, "snap", "mem_file"+imageSuffix)
	img, err := store.Open(imagePath, store.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	header := img.Header()
	if err := img.Close(); err != nil {
		t.Fatal(err)
	}
	m := mountStore(t, dir)
	path := m.file("snap/mem_file")
	for name, want := range map[string]string{
		"user.sabrefs.uuid":         header.UUID.String(),
		"user.sabrefs.digest":       header.Digest.String(),
		"user.sabrefs.raw_bytes":    fmt.Sprint(len(raw)),
		"user.sabrefs.packed_bytes": fmt.Sprint(statFile(t, imagePath).Size),
		"user.sabrefs.frame_bytes":  fmt.Sprint(header.MaxPagesPerFrame() * store.PageBytes),
		"user.sabrefs.version":      "1",
		"user.sabrefs.codec":        "lz4",
		"user.sabrefs.ratio":        fmt.Sprintf("%.2f", float64(len(raw))/float64(header.FileBytes)),
	} {
		if got := getxattr(t, path, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	list := make([]byte, 4096)
	n, err := unix.Listxattr(path, list)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00"); !slices.Equal(got, xattrNames) {
		t.Errorf("list: %q", got)
	}
	if size, err := unix.Listxattr(path, nil); err != nil || size != n {
		t.Errorf("size of the list: %d, %v, want %d", size, err, n)
	}
	_, err = unix.Listxattr(path, make([]byte, 5))
	wantErrno(t, "too small a buffer for the list", err, syscall.ERANGE)
	_, err = unix.Getxattr(path, "user.unknown", nil)
	wantErrno(t, "unknown attribute", err, syscall.ENODATA)
	_, err = unix.Getxattr(m.file("snap/vmstate"), "user.sabrefs.uuid", nil)
	wantErrno(t, "attribute of a plain file", err, syscall.ENODATA)
	if n, err := unix.Listxattr(m.file("snap/vmstate"), list); err != nil || n != 0 {
		t.Errorf("attributes of a plain file: %d, %v", n, err)
	}
}

func TestStatfs(t *testing.T) {
	dir, _ := sampleStore(t)
	m := mountStore(t, dir)
	var st unix.Statfs_t
	if err := unix.Statfs(m.point, &st); err != nil {
		t.Fatal(err)
	}
	if st.Blocks == 0 || st.Bavail != 0 || st.Bsize == 0 || st.Namelen == 0 {
		t.Errorf("%+v", st)
	}
}
