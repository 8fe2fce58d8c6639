package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// mountStats is what a daemon says of the one image of a mount.
type mountStats struct {
	State         string  `json:"state"` // of prefetch
	PushedBytes   int64   `json:"pushed_bytes"`
	WallSeconds   float64 `json:"wall_seconds"`
	FramesDecoded int64   `json:"frames_decoded"`
}

// prefetchDone is the state in which nothing more is pushed.
const prefetchDone = "done"

// imageStats asks the daemon for the statistics of a mount of one image.
func (s sabrefsBinary) imageStats(ctx context.Context, point string) (mountStats, error) {
	out, err := s.run(ctx, "stats", point, "--json")
	if err != nil {
		return mountStats{}, err
	}
	return parseStats(out)
}

// parseStats reads the output of sabrefs stats --json.
func parseStats(text []byte) (mountStats, error) {
	var report struct {
		Images []struct {
			FramesDecoded int64      `json:"frames_decoded"`
			Prefetch      mountStats `json:"prefetch"`
		} `json:"images"`
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return mountStats{}, fmt.Errorf("output of sabrefs stats: %w", err)
	}
	if len(report.Images) != 1 {
		return mountStats{}, fmt.Errorf("sabrefs stats knows %d images, expected one", len(report.Images))
	}
	stats := report.Images[0].Prefetch
	stats.FramesDecoded = report.Images[0].FramesDecoded
	return stats, nil
}
