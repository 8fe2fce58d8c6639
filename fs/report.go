package fs

import (
	"context"
	"encoding/json"
	"os"
	"syscall"
)

// MountReport is what a mount knows of itself.
type MountReport struct {
	Store      string `json:"store"`
	MountPoint string `json:"mountpoint"`
	Prefetch   string `json:"prefetch"` // the mode
	PID        int    `json:"pid"`      // of the daemon, in PIDNamespace
	// PIDNamespace is what PIDNamespacePath links to for the daemon.
	PIDNamespace string `json:"pid_namespace"`
	Stats
	// DecodedFrames counts frames of all images, decoded on demand or ahead.
	DecodedFrames int64 `json:"decoded_frames"`
	// BudgetLeftBytes is what prefetch may still push.
	BudgetLeftBytes int64 `json:"budget_left_bytes"`
	// Names are the memory files that were opened.
	Names []string `json:"names"`
	// OmittedNames counts those for which an extended attribute has no room.
	OmittedNames int `json:"omitted_names,omitempty"`
}

// Report returns what the mount counted so far.
func (s *Server) Report() MountReport { return s.tree.mountReport() }

// FileReports returns what the mount counted for each memory file that was opened,
// in the order of their names.
func (s *Server) FileReports() []FileReport {
	files := s.tree.files.all()
	reports := make([]FileReport, len(files))
	for i, f := range files {
		reports[i] = f.report()
	}
	return reports
}

// PIDNamespacePath names the namespace of process numbers, see pid_namespaces(7).
const PIDNamespacePath = "/proc/self/ns/pid"

func (t *tree) mountReport() MountReport {
	namespace, _ := os.Readlink(PIDNamespacePath) // empty where there is no /proc
	r := MountReport{
		PIDNamespace: namespace,
		Store:        t.config.StoreDir, MountPoint: t.config.MountPoint, Prefetch: t.config.Prefetch.String(), PID: os.Getpid(),
		Stats: t.stats.snapshot(), BudgetLeftBytes: t.ahead.budget.LeftBytes(), Names: []string{},
		DecodedFrames: t.cache.DecodedFrames(),
	}
	for _, f := range t.files.all() {
		r.Names = append(r.Names, f.name)
	}
	return r
}

// xattrStats is the attribute by which a mount (on its root) and its memory files
// tell what was counted, as JSON.
const xattrStats = "user.sabrefs.stats"

// maxNamesBytes keeps the attribute of the root below the 64 KiB that the kernel
// allows.
const maxNamesBytes = 48 << 10

// Getxattr returns what the mount counted.
func (d *dirNode) Getxattr(_ context.Context, name string, dest []byte) (uint32, syscall.Errno) {
	if name != xattrStats || d.rel != rootRel {
		return 0, syscall.ENODATA
	}
	r := d.tree.mountReport()
	lenBytes := 0
	for i, name := range r.Names {
		if lenBytes += len(name) + len(`"",`); lenBytes > maxNamesBytes {
			r.Names, r.OmittedNames = r.Names[:i], len(r.Names)-i
			break
		}
	}
	return copyJSON(dest, r)
}

// Listxattr lists the attribute of the root.
func (d *dirNode) Listxattr(_ context.Context, dest []byte) (uint32, syscall.Errno) {
	if d.rel != rootRel {
		return 0, 0
	}
	return copyXattr(dest, []byte(xattrStats+"\x00"))
}

// copyJSON answers getxattr with a value as JSON.
func copyJSON(dest []byte, value any) (uint32, syscall.Errno) {
	b, err := json.Marshal(value)
	if err != nil {
		return 0, syscall.EIO
	}
	return copyXattr(dest, b)
}
