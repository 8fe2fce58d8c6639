package fs

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sabrefs/store"
)

// damageFrame flips a bit in the packed bytes of the frame that holds a page.
func damageFrame(t *testing.T, path string, page int64) {
	t.Helper()
	img, err := store.Open(path, store.OpenOptions{})
	mustNot(t, err)
	defer img.Close()
	var ref [1]store.PageRef
	mustNot(t, img.Pages(page, ref[:]))
	frame, err := img.Frame(ref[0].Frame)
	mustNot(t, err)
	b := make([]byte, 1)
	f, err := os.Open(path)
	mustNot(t, err)
	defer f.Close()
	off := frame.PackedOff + int64(frame.PackedLen)/2
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, off, []byte{b[0] ^ 0x10})
}

// dataPage returns a page of the sample that is not zero.
func dataPage(raw []byte, from int) int64 {
	page := from
	for isZero(raw[page*store.PageBytes:][:store.PageBytes]) {
		page++
	}
	return int64(page)
}

func TestDamagedFrame(t *testing.T) {
	dir, raw := sampleStore(t)
	image := filepath.Join(dir, "snap", "mem_file"+imageSuffix)
	page := dataPage(raw, 1000)
	damageFrame(t, image, page)
	m := mountStore(t, dir)
	f, err := os.Open(m.file("snap/mem_file"))
	mustNot(t, err)
	defer f.Close()
	mustNot(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM))
	b := make([]byte, store.PageBytes)
	for range 3 {
		_, err = f.ReadAt(b, page*store.PageBytes)
		wantErrno(t, "damaged page", err, syscall.EIO)
	}
	for off := int64(0); off < 500*store.PageBytes; off += store.PageBytes {
		if _, err := f.ReadAt(b, off); err != nil {
			t.Fatalf("page at %d: %v", off, err)
		}
		wantEqual(t, "intact page", b, raw[off:off+store.PageBytes])
	}
	log := m.logged()
	if !strings.Contains(log, image) || !strings.Contains(log, "corrupt") || !strings.Contains(log, "offset") {
		t.Errorf("the log does not name file, offset and finding:\n%s", log)
	}
	if n := strings.Count(log, "level=ERROR"); n != 1 {
		t.Errorf("%d errors logged, want 1:\n%s", n, log)
	}
}

// A file that shrinks under an open image must not take the daemon, and all
// other guests, with it.
func TestTruncatedWhileMounted(t *testing.T) {
	dir, raw := sampleStore(t)
	packSample(t, dir, "other", raw[:100000], defaultPack)
	m := mountStore(t, dir)
	f, err := os.Open(m.file("snap/mem_file"))
	mustNot(t, err)
	defer f.Close()
	mustNot(t, os.Truncate(filepath.Join(dir, "snap", "mem_file"+imageSuffix), 5000))
	b := make([]byte, 1<<20)
	_, err = f.ReadAt(b, int64(len(raw))/2)
	wantErrno(t, "read", err, syscall.EIO)
	_, err = f.Seek(0, unix.SEEK_HOLE)
	wantErrno(t, "seek", err, syscall.EIO)
	wantContent(t, m.file("other"), raw[:100000])
}

// Images that cannot be opened are listed and give EIO, with a line that says
// why, once; a raw file beside one is not shown in its place.
func TestUnreadableImages(t *testing.T) {
	dir, raw := sampleStore(t)
	good, err := os.ReadFile(filepath.Join(dir, "snap", "mem_file"+imageSuffix))
	mustNot(t, err)
	write := func(name string, change func(b []byte) []byte) {
		writeFile(t, filepath.Join(dir, name+imageSuffix), change(append([]byte(nil), good...)))
	}
	write("header", func(b []byte) []byte { b[100] ^= 1; return b })
	write("version", func(b []byte) []byte { b[8] = 99; return b })
	write("short", func(b []byte) []byte { return b[:len(b)/2] })
	write("magic", func(b []byte) []byte { return b[:8] })
	writeFile(t, filepath.Join(dir, "header"), []byte("raw file"))
	m := mountStore(t, dir)
	names := strings.Join(listNames(t, m.point), " ")
	if names != "header magic short snap version" {
		t.Errorf("names: %s", names)
	}
	for _, name := range []string{"header", "version", "short", "magic"} {
		for range 2 {
			_, err := os.Stat(m.file(name))
			wantErrno(t, "stat "+name, err, syscall.EIO)
			_, err = os.ReadFile(m.file(name))
			wantErrno(t, "open "+name, err, syscall.EIO)
		}
		if n := strings.Count(m.logged(), filepath.Join(dir, name)+imageSuffix+":"); n != 1 {
			t.Errorf("%s: %d lines in the log, want 1\n%s", name, n, m.logged())
		}
	}
	wantContent(t, m.file("snap/mem_file"), raw)
}
