package fs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// mountInfo is a line of /proc/self/mountinfo.
type mountInfo struct {
	device string // "major:minor"
	point  string
	fsType string
}

// findMount returns the mount at exactly this path, the topmost if there are
// several. It asks the kernel's table and never the path: that could be a
// mount whose server is gone, or ourselves.
func findMount(point string) (mountInfo, bool, error) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return mountInfo{}, false, fmt.Errorf("reading the table of mounts: %w", err)
	}
	defer table.Close()
	return findMountIn(table, point)
}

func findMountIn(table io.Reader, point string) (found mountInfo, ok bool, err error) {
	lines := bufio.NewScanner(table)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m, valid := parseMountInfo(lines.Text()); valid && m.point == point {
			found, ok = m, true
		}
	}
	if err := lines.Err(); err != nil {
		return mountInfo{}, false, fmt.Errorf("reading the table of mounts: %w", err)
	}
	return found, ok, nil
}

// parseMountInfo reads a line: "36 35 98:0 /root /point options - type source ...",
// see proc_pid_mountinfo(5).
func parseMountInfo(line string) (mountInfo, bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields := strings.Fields(before)
	if !ok || len(fields) < 6 {
		return mountInfo{}, false
	}
	fsType, _, _ := strings.Cut(after, " ")
	return mountInfo{device: fields[2], point: unescapeOctal(fields[4]), fsType: fsType}, true
}

// unescapeOctal undoes \040 and the like.
func unescapeOctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
