package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cavaliergopher/cpio"
)

func TestInitramfsHoldsDirectoriesFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "archive")
	archive, err := createInitramfs(path)
	if err != nil {
		t.Fatal(err)
	}
	err = archive.closeWith(errors.Join(
		archive.addFile("/init", 0o755, []byte("program")),
		archive.addFile("/a/b/c", 0o644, []byte("deep")),
		archive.addFile("/a/b/d", 0o644, nil),
		archive.addLink("/a/link", "b/c")))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"init 100755 program", "a 40755 ", "a/b 40755 ", "a/b/c 100644 deep", "a/b/d 100644 ", "a/link 120777 b/c",
	}
	if got := readArchive(t, path); !slices.Equal(got, want) {
		t.Errorf("the archive holds %q, want %q", got, want)
	}
}

func readArchive(t *testing.T, path string) (entries []string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	inodes := map[int64]bool{}
	for reader := cpio.NewReader(file); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		// The kernel takes files with one inode number for hard links.
		if inodes[header.Inode] {
			t.Errorf("%s: inode %d is there twice", header.Name, header.Inode)
		}
		inodes[header.Inode] = true
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		// The reader takes a link's target for itself.
		entries = append(entries, fmt.Sprintf("%s %o %s%s", header.Name, header.Mode, data, header.Linkname))
	}
}
