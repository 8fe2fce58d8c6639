package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"sabrefs/fs"
	"sabrefs/prefetch"
)

// mountStats is what a daemon says of the one memory file of a mount.
type mountStats struct {
	State         string // of prefetch
	PushedBytes   int64
	WallSeconds   float64
	FramesDecoded int64 // by prefetch and on demand
	LatePages     int64 // asked for before they were pushed
	Reads         int64 // that the kernel asked for
	ReadBytes     int64
}

// prefetchDone is the state in which nothing more is pushed.
var prefetchDone = prefetch.Done.String()

// imageStats asks the daemon for the counts of a mount of one memory file.
func (s sabrefsBinary) imageStats(ctx context.Context, point string) (mountStats, error) {
	out, err := s.run(ctx, "stats", point, "--json")
	if err != nil {
		return mountStats{}, err
	}
	return parseStats(out)
}

// parseStats reads the output of sabrefs stats --json. A file that nobody has opened
// yet is not in it.
func parseStats(text []byte) (mountStats, error) {
	var report struct {
		Mount fs.MountReport  `json:"mount"`
		Files []fs.FileReport `json:"files"`
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return mountStats{}, fmt.Errorf("output of sabrefs stats: %w", err)
	}
	if len(report.Files) != 1 {
		return mountStats{}, fmt.Errorf("sabrefs stats knows %d files, expected one", len(report.Files))
	}
	file := report.Files[0]
	stats := mountStats{FramesDecoded: report.Mount.DecodedFrames, Reads: file.Reads, ReadBytes: file.ReadBytes}
	if p := file.Prefetch; p != nil {
		stats.State, stats.PushedBytes, stats.WallSeconds = p.State, p.PushedBytes, p.WallSeconds
		stats.LatePages = p.Late
	}
	return stats, nil
}

// wall is how long prefetch took until the working set was in the page cache.
func (s mountStats) wall() time.Duration { return time.Duration(s.WallSeconds * float64(time.Second)) }
