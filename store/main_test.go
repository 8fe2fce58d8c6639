package store

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.txt from what the code writes")

// TestMain runs a part of a test in this process if another test process asked
// for it: see childCommand.
func TestMain(m *testing.M) {
	flag.Parse()
	if role := os.Getenv(childRoleEnv); role != "" {
		os.Exit(runChild(role))
	}
	os.Exit(m.Run())
}

// fixedIdentity makes images reproducible.
var (
	fixedUUID = uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff")
	fixedTime = time.Unix(1700000000, 123456789).UTC()
)

func wantNoError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantClass(tb testing.TB, err, class error) {
	tb.Helper()
	if !errors.Is(err, class) {
		tb.Fatalf("error is %v, want %v", err, class)
	}
}

func wantEqual[T comparable](tb testing.TB, what string, got, want T) {
	tb.Helper()
	if got != want {
		tb.Fatalf("%s is %v, want %v", what, got, want)
	}
}

func wantBytes(tb testing.TB, what string, got, want []byte) {
	tb.Helper()
	if bytes.Equal(got, want) {
		return
	}
	if len(got) != len(want) {
		tb.Fatalf("%s has %d bytes, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			tb.Fatalf("%s differs at byte %d of %d: %02x, want %02x", what, i, len(got), got[i], want[i])
		}
	}
}

// wantNames checks what a directory holds, hidden names included.
func wantNames(tb testing.TB, dir string, want ...string) {
	tb.Helper()
	got := namesIn(tb, dir)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		tb.Fatalf("%s holds %q, want %q", dir, got, want)
	}
}

func namesIn(tb testing.TB, dir string) []string {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	wantNoError(tb, err)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func writeFile(tb testing.TB, path string, b []byte) string {
	tb.Helper()
	wantNoError(tb, os.WriteFile(path, b, 0o600))
	return path
}

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	wantNoError(tb, err)
	return b
}

// packBytes packs raw into a new image in a directory of its own.
func packBytes(tb testing.TB, raw []byte, opt PackOptions) (image string, result PackResult) {
	tb.Helper()
	dir := tb.TempDir()
	image = filepath.Join(dir, "image.sabre")
	result, err := PackFile(context.Background(), writeFile(tb, filepath.Join(dir, "mem_file"), raw), image, opt)
	wantNoError(tb, err)
	return image, result
}

func openImage(tb testing.TB, path string) *Image {
	tb.Helper()
	img, err := Open(path, OpenOptions{})
	wantNoError(tb, err)
	tb.Cleanup(func() { wantNoError(tb, img.Close()) })
	return img
}

func newCache(tb testing.TB, maxBytes int64) *FrameCache {
	tb.Helper()
	c, err := NewFrameCache(maxBytes)
	wantNoError(tb, err)
	tb.Cleanup(func() { wantNoError(tb, c.Close()) })
	return c
}

// readAll returns the memory file that an image holds, page by page.
func readAll(img *Image) ([]byte, error) {
	cache, err := NewFrameCache(0)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, img.RawBytes())
	if len(raw) == 0 {
		return raw, nil
	}
	_, err = cache.ReadAt(context.Background(), img, raw, 0)
	return raw, err
}

// wantContent opens an image and checks, by reading and by Verify, what it holds.
func wantContent(tb testing.TB, path string, want []byte) {
	tb.Helper()
	img, err := Open(path, OpenOptions{})
	wantNoError(tb, err)
	defer img.Close()
	got, err := readAll(img)
	wantNoError(tb, err)
	wantBytes(tb, "content of "+path, got, want)
	_, err = img.Verify(context.Background(), nil)
	wantNoError(tb, err)
}

// errorClasses are all that a bad image may be refused with.
var errorClasses = []error{ErrNotImage, ErrVersion, ErrFeature, ErrTruncated, ErrCorrupt, ErrParent, ErrLimit}

// refused reports whether an error is of a class, and not an accident.
func refused(err error) bool {
	return slices.ContainsFunc(errorClasses, func(class error) bool { return errors.Is(err, class) })
}
