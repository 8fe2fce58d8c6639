package prefetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"sabrefs/store"
)

func TestFileRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mem_file.ws")
	wantNoError(t, smallTrace().CreateFile(path))
	got, err := ReadFile(path)
	wantNoError(t, err)
	if !reflect.DeepEqual(got, smallTrace()) {
		t.Fatalf("read %+v", got)
	}
	wantClass(t, smallTrace().CreateFile(path), store.ErrExists)

	other := smallTrace()
	other.Touches = other.Touches[:1]
	wantNoError(t, other.WriteFile(path))
	wantBytes(t, "replaced file", readFile(t, path), encoded(t, other))
}

// TestOldTraceStays lets writing fail in several ways.
func TestOldTraceStays(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mem_file.ws")
	wantNoError(t, smallTrace().WriteFile(path))
	old := readFile(t, path)

	bad := smallTrace()
	bad.Touches[0].Runs = 7
	found := wantTraceError(t, bad.WriteFile(path))
	wantEqual(t, "path", found.Path, path)
	wantBytes(t, "trace after a bad one", readFile(t, path), old)

	self, err := os.Executable()
	wantNoError(t, err)
	limited := exec.CommandContext(t.Context(), self)
	limited.Env = append(os.Environ(), limitedWriteEnv+"="+path)
	if output, err := limited.CombinedOutput(); err != nil {
		t.Fatalf("writing beyond the limit: %v: %s", err, output)
	}
	wantBytes(t, "trace after a failed write", readFile(t, path), old)
	names, err := os.ReadDir(dir)
	wantNoError(t, err)
	wantEqual(t, "files left", len(names), 1)
}

// limitedWriteEnv makes this test binary write a trace as on a full disk. It is another
// process, for the limit holds for whatever a process writes.
const limitedWriteEnv = "SABREFS_TEST_LIMITED_WRITE"

func TestMain(m *testing.M) {
	if path := os.Getenv(limitedWriteEnv); path != "" {
		if err := writeLimited(path); !errors.Is(err, unix.EFBIG) {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// writeLimited lets files have 16 bytes. The Go runtime ignores the signal that comes
// with it.
func writeLimited(path string) error {
	const limitBytes = 16
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limitBytes, Max: limitBytes}); err != nil {
		return err
	}
	return smallTrace().WriteFile(path)
}

func TestWriteIntoVanishedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "traces")
	wantNoError(t, os.Mkdir(dir, 0o755))
	path := filepath.Join(dir, "mem_file.ws")
	wantNoError(t, smallTrace().WriteFile(path))
	wantNoError(t, os.RemoveAll(dir))
	wantClass(t, smallTrace().WriteFile(path), fs.ErrNotExist)
}

func TestReadRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	wantNoError(t, unix.Mkfifo(pipe, 0o600))
	huge := filepath.Join(dir, "huge")
	wantNoError(t, os.WriteFile(huge, []byte(magic), 0o600))
	wantNoError(t, os.Truncate(huge, traceBytes(MaxTouches)+1))
	big := filepath.Join(dir, "big") // not too big, but no trace
	wantNoError(t, os.WriteFile(big, nil, 0o600))
	wantNoError(t, os.Truncate(big, traceBytes(MaxTouches)))
	for path, word := range map[string]string{
		dir: "regular", pipe: "regular", os.DevNull: "regular", huge: "at most", big: "magic",
	} {
		before := allocatedBytes()
		_, err := ReadFile(path)
		if grown := allocatedBytes() - before; grown > 1<<20 {
			t.Errorf("%s: %d bytes allocated", path, grown)
		}
		wantEqual(t, "path", wantTraceError(t, err).Path, path)
		if !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", path, err)
		}
	}
	_, err := ReadFile(filepath.Join(dir, "missing"))
	wantClass(t, err, fs.ErrNotExist)
}

// TestReadNamesFileAndOffset checks the whole message once.
func TestReadNamesFileAndOffset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mem_file.ws")
	b := encoded(t, smallTrace())
	wantNoError(t, os.WriteFile(path, b[:150], 0o600))
	_, err := ReadFile(path)
	wantEqual(t, "message", err.Error(), path+": at offset 150: not a valid trace of a working set: truncated: the file has 150 bytes of 168")
}

// TestReadErrors: a disk error is not taken for the end of the file, and a file
// that shrinks is not taken for a whole one.
func TestReadErrors(t *testing.T) {
	b := encoded(t, smallTrace())
	broken := errors.New("broken disk")
	for _, n := range []int{0, 50, headerBytes, len(b) - 1} {
		failing := iotest.ErrReader(broken)
		_, err := readTrace(io.MultiReader(bytes.NewReader(b[:n]), failing), int64(len(b)))
		wantClass(t, err, broken)
		_, err = readTrace(bytes.NewReader(b[:n]), int64(len(b)))
		wantTraceError(t, err)
	}
}
