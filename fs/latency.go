package fs

import (
	"sync/atomic"
	"time"

	"sabrefs/store"
)

// LatencyBounds are the upper bounds of the classes in which the time to answer a
// READ is counted. A page that is in the kernel's cache is not asked for, and so
// not counted.
var LatencyBounds = [...]time.Duration{
	10 * time.Microsecond, 20 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond, time.Second,
}

// sourceNames are the sources of bytes as reports name them.
var sourceNames = [...]string{
	store.FromZeros: "zero", store.FromCache: "cache", store.FromAhead: "prefetch", store.FromDecode: "decode",
}

// latencies is a histogram.
type latencies struct {
	classes [len(LatencyBounds) + 1]atomic.Int64
	nanos   atomic.Int64
}

func (l *latencies) add(took time.Duration) {
	class := 0
	for class < len(LatencyBounds) && took > LatencyBounds[class] {
		class++
	}
	l.classes[class].Add(1)
	l.nanos.Add(int64(took))
}

// LatencyReport is a histogram of times.
type LatencyReport struct {
	Count   int64   `json:"count"`
	Seconds float64 `json:"seconds"` // all together
	// Classes has the count of each class of LatencyBounds, and of what took longer.
	Classes [len(LatencyBounds) + 1]int64 `json:"classes"`
}

func (l *latencies) report() LatencyReport {
	r := LatencyReport{Seconds: time.Duration(l.nanos.Load()).Seconds()}
	for i := range l.classes {
		r.Classes[i] = l.classes[i].Load()
		r.Count += r.Classes[i]
	}
	return r
}
