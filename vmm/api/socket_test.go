package api

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func listenHere(t *testing.T, path string) *apiSocket {
	t.Helper()
	s, err := listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.listener.Close() })
	return s
}

func TestSocketMode(t *testing.T) {
	t.Chdir(t.TempDir())
	listenHere(t, "s")
	info, err := os.Lstat("s")
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode %v: %v", info.Mode(), err)
	}
}

func TestSocketPaths(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("file", []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", "link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("dir", 0o755); err != nil {
		t.Fatal(err)
	}
	listenHere(t, "used")
	for path, want := range map[string]error{
		"":                       ErrSocketPath,
		"a\x00b":                 ErrSocketPath,
		"file":                   ErrNotSocket,
		"link":                   ErrNotSocket,
		"dir":                    ErrNotSocket,
		"used":                   ErrSocketInUse,
		"none/s":                 fs.ErrNotExist,
		strings.Repeat("x", 108): ErrSocketPathTooLong,
	} {
		if _, err := listen(path); !errors.Is(err, want) {
			t.Errorf("%q: %v, expected %v", path, err, want)
		}
	}
	if content, err := os.ReadFile("file"); err != nil || string(content) != "kept" {
		t.Errorf("the file holds %q: %v", content, err)
	}
	for _, path := range []string{strings.Repeat("x", 107), "@s"} {
		s := listenHere(t, path)
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
		if err := s.remove(); err != nil {
			t.Error(err)
		}
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	t.Chdir(filepath.Dir(path))
	first := listenHere(t, "s")
	// What a killed process leaves: the file, and nobody who listens.
	if err := first.listener.Close(); err != nil {
		t.Fatal(err)
	}
	second := listenHere(t, "s")
	conn, err := net.Dial("unix", "s")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the client may have removed it
		if err := second.remove(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat("s"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// A client may remove the socket of a server that lives, and give the name to
// another. The first must not take it from that one.
func TestSocketOfAnotherIsLeftAlone(t *testing.T) {
	t.Chdir(t.TempDir())
	first := listenHere(t, "s")
	if err := os.Remove("s"); err != nil {
		t.Fatal(err)
	}
	listenHere(t, "s")
	if err := first.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat("s"); err != nil {
		t.Errorf("the first removed the second's socket: %v", err)
	}
}

// Of many who find one stale socket, exactly one gets the name.
func TestRaceForAStaleSocket(t *testing.T) {
	t.Chdir(t.TempDir())
	stale := listenHere(t, "s")
	if err := stale.listener.Close(); err != nil {
		t.Fatal(err)
	}
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := listen("s")
			switch {
			case err == nil:
				won.Add(1)
				t.Cleanup(func() { _ = s.listener.Close() })
			case !errors.Is(err, ErrSocketInUse):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d got the name", won.Load())
	}
}
