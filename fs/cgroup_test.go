package fs

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// skipCgroupEnv leaves out what needs a memory cgroup; its value is the reason.
const skipCgroupEnv = "SABREFS_SKIP_CGROUP"

// limitMemory puts the server of a mount into a control group of its own, of
// version 1 or 2, in which memory and page cache are limited.
func limitMemory(t *testing.T, m *testMount, lenBytes int64) {
	t.Helper()
	if reason := os.Getenv(skipCgroupEnv); reason != "" {
		t.Skipf("%s: %s", skipCgroupEnv, reason)
	}
	pid := m.cmd.Process.Pid
	var tried error
	for _, hierarchy := range []struct{ root, limitFile string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, // version 1
		{"/sys/fs/cgroup", "memory.max"},
	} {
		// With version 1 the second one is a directory like any other.
		if _, tried = os.Stat(filepath.Join(hierarchy.root, "cgroup.procs")); tried != nil {
			continue
		}
		group := filepath.Join(hierarchy.root, "sabrefs-test-"+strconv.Itoa(pid))
		if tried = os.Mkdir(group, 0o755); tried != nil {
			continue
		}
		t.Cleanup(func() {
			m.stop() // a group with a process cannot be removed
			eventually(t, "the control group is empty", func() bool { return os.Remove(group) == nil })
		})
		if tried = os.WriteFile(filepath.Join(group, hierarchy.limitFile), []byte(strconv.FormatInt(lenBytes, 10)), 0); tried != nil {
			continue
		}
		mustNot(t, os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0))
		return
	}
	t.Fatalf("no memory cgroup can be made: %v; set %s=<reason> to do without it", tried, skipCgroupEnv)
}
