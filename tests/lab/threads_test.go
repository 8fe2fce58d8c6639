package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// logThreads logs where in the kernel the threads of all sabrefs processes wait. A guest
// that does not answer may wait for a page of a mount, which is our fault, or for an
// interrupt that the emulator has lost, which is not.
func logThreads(t *testing.T) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/comm")
	if err != nil {
		t.Error(err)
	}
	var text strings.Builder
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(comm), SabrefsFile) {
			continue // ended meanwhile, or another's
		}
		stack, err := os.ReadFile(filepath.Join(filepath.Dir(name), "stack"))
		if err != nil {
			stack = []byte(err.Error())
		}
		fmt.Fprintf(&text, "%s %s", filepath.Dir(name), inShort(string(stack)))
	}
	t.Logf("threads:\n%s", &text)
}

// inShort is the innermost functions of a kernel stack, in a line.
func inShort(stack string) string {
	const depth = 8
	lines := strings.Split(strings.TrimSpace(stack), "\n")
	return strings.Join(lines[:min(depth, len(lines))], " ") + "\n"
}
