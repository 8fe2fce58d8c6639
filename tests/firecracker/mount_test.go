package firecracker_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mounted is a store that sabrefs has mounted.
type mounted struct {
	t   *testing.T
	dir string
}

// mount mounts a store.
func mount(t *testing.T, store string, options ...string) *mounted {
	t.Helper()
	m := &mounted{t: t, dir: t.TempDir()}
	run(t, append(append([]string{"mount"}, options...), store, m.dir)...)
	t.Cleanup(m.release)
	return m
}

// release unmounts, if that was not done, and checks that neither the mount nor
// its daemon is left.
func (m *mounted) release() {
	m.t.Helper()
	if m.isMounted() {
		// The test's context is over when it cleans up.
		if output, err := command(m.t, "umount", m.dir).CombinedOutput(); err != nil {
			m.t.Errorf("umount: %v\n%s", err, output)
		}
	}
	if m.isMounted() {
		m.t.Errorf("the mount is left behind at %s", m.dir)
	}
	for deadline := time.Now().Add(patience); m.daemons() > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatal("the daemon is left behind")
		}
	}
}

func (m *mounted) isMounted() bool {
	m.t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.Contains(string(mounts), " "+m.dir+" ")
}

// daemons counts processes that have the mount point among their arguments.
func (m *mounted) daemons() (count int) {
	m.t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, path := range processes {
		// A process that has ended meanwhile is none.
		arguments, err := os.ReadFile(path)
		if err == nil && bytes.Contains(arguments, []byte("\x00"+m.dir+"\x00")) {
			count++
		}
	}
	return count
}
