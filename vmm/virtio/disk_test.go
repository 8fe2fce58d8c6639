package virtio

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeDisk is a disk in memory, which can fail.
type fakeDisk struct {
	bytes []byte
	syncs int
	err   error
}

func newDisk(sectors int) *fakeDisk {
	d := &fakeDisk{bytes: make([]byte, sectors*SectorBytes)}
	for i := range d.bytes {
		d.bytes[i] = byte(i/SectorBytes) ^ byte(i)
	}
	return d
}

func (d *fakeDisk) SizeBytes() int64 { return int64(len(d.bytes)) }

func (d *fakeDisk) ReadAt(b []byte, rawOff int64) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	return bytes.NewReader(d.bytes).ReadAt(b, rawOff)
}

func (d *fakeDisk) WriteAt(b []byte, rawOff int64) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if n := copy(d.bytes[rawOff:], b); n < len(b) {
		return n, io.ErrShortWrite
	}
	return len(b), nil
}

func (d *fakeDisk) Sync() error {
	d.syncs++
	return d.err
}

func TestOpenDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, bytes.Repeat([]byte("sector.."), 128), 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := OpenDisk(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if disk.SizeBytes() != 1024 {
		t.Errorf("%d bytes", disk.SizeBytes())
	}
	if _, err := disk.WriteAt([]byte("written"), 512); err != nil {
		t.Error(err)
	}
	readOnly, err := OpenDisk(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	got := make([]byte, 8)
	if _, err := readOnly.ReadAt(got, 512); err != nil || string(got) != "written." {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := readOnly.WriteAt([]byte("x"), 0); err == nil {
		t.Error("wrote to a read-only disk")
	}
}

func TestOpenDiskRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, lenBytes int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, lenBytes), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		file("empty", 0):     ErrDisk,
		file("half", 700):    ErrDisk,
		dir:                  ErrDisk,
		pipe:                 ErrDisk,
		"/dev/null":          ErrDisk,
		dir + "/none":        os.ErrNotExist,
		file("x", 512) + "/": unix.ENOTDIR,
	} {
		disk, err := OpenDisk(path, true)
		if !errors.Is(err, want) || disk != nil {
			t.Errorf("%s: %v, expected %v", path, err, want)
		}
	}
}
