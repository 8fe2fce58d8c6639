package main

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	p := &pace{bytesPerSecond: 1000}
	now := time.Unix(1000, 0)
	after := func(millis int) time.Time { return now.Add(time.Duration(millis) * time.Millisecond) }
	for i, step := range []struct {
		at       int // milliseconds
		lenBytes int
		done     int
	}{
		{0, 100, 98},    // of which 2 ms are slack
		{0, 100, 198},   // queued behind
		{50, 10, 208},   // still queued
		{1000, 1, 999},  // idle since; no more than the slack is saved up
		{1000, 2, 1001}, // and it is used up
	} {
		if got := p.reserve(after(step.at), step.lenBytes); !got.Equal(after(step.done)) {
			t.Errorf("step %d is done at %v, want %v", i, got.Sub(now), after(step.done).Sub(now))
		}
	}
}
