package fs

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sabrefs/prefetch"
	"sabrefs/store"
)

// fileStats are the counts of one memory file since it was first opened.
type fileStats struct {
	name   string // in the mount
	header store.Header

	opens, users, reads, readBytes, failedReads atomic.Int64
	bySource                                    [len(sourceNames)]latencies
	refusedReadAheads                           atomic.Int64 // while recording

	mu        sync.Mutex
	current   *session       // of prefetch, the latest one; guarded by mu
	past      PrefetchTotals // of sessions before it; guarded by mu
	recording *recording     // guarded by mu
}

// served takes note of an answered READ.
func (f *fileStats) served(s store.Served, took time.Duration) {
	f.reads.Add(1)
	f.readBytes.Add(int64(s.LenBytes))
	f.bySource[s.Source].add(took)
}

// PrefetchReport says what the latest prefetch of a file did.
type PrefetchReport struct {
	// Set says where the working set comes from: "image", "trace" or "none".
	Set string `json:"set"`
	prefetch.Counts
	prefetch.PageCounts
}

// PrefetchTotals are sums over all prefetch of a file.
type PrefetchTotals struct {
	Sessions int64 `json:"sessions"`
	prefetch.Counts
	prefetch.PageCounts
}

func (t *PrefetchTotals) add(r PrefetchReport) {
	t.Sessions++
	t.Counts.Add(r.Counts)
	t.PageCounts.Add(r.PageCounts)
}

// RecordingReport says how a recording goes.
type RecordingReport struct {
	Path              string  `json:"path"` // of the trace
	Active            bool    `json:"active"`
	Pages             int64   `json:"pages"`
	Seconds           float64 `json:"seconds"` // since it began
	RefusedReadAheads int64   `json:"refused_read_aheads"`
}

// FileReport is what a mount knows of one memory file.
type FileReport struct {
	Name        string `json:"name"` // in the mount
	UUID        string `json:"uuid"`
	Opens       int64  `json:"opens"`
	Users       int64  `json:"users"` // handles that are open now
	Reads       int64  `json:"reads"`
	ReadBytes   int64  `json:"read_bytes"`
	FailedReads int64  `json:"failed_reads"`
	// Demand has the times that READs took, by where the bytes came from: zero,
	// cache (of decoded frames), prefetch (decoded ahead, or being decoded), decode.
	Demand    map[string]LatencyReport `json:"demand"`
	Prefetch  *PrefetchReport          `json:"prefetch,omitempty"`
	Totals    PrefetchTotals           `json:"prefetch_totals"`
	Recording *RecordingReport         `json:"recording,omitempty"`
}

func (f *fileStats) report() FileReport {
	r := FileReport{
		Name: f.name, UUID: f.header.UUID.String(), Opens: f.opens.Load(), Users: f.users.Load(),
		Reads: f.reads.Load(), ReadBytes: f.readBytes.Load(), FailedReads: f.failedReads.Load(),
		Demand: make(map[string]LatencyReport),
	}
	for source, name := range sourceNames {
		r.Demand[name] = f.bySource[source].report()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Totals = f.past
	if f.current != nil {
		latest := f.current.report()
		r.Prefetch = &latest
		r.Totals.add(latest)
	}
	if f.recording != nil {
		recording := f.recording.report()
		recording.RefusedReadAheads = f.refusedReadAheads.Load()
		r.Recording = &recording
	}
	return r
}

// began makes a session the current one.
func (f *fileStats) began(s *session) {
	if s == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current != nil {
		f.past.add(f.current.report())
	}
	f.current = s
}

// records takes note of a recording.
func (f *fileStats) records(r *recording) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recording = r
}

// fileTable has the counts of all memory files that were opened, by name. It has
// no more of them than the store has files.
type fileTable struct {
	mu    sync.Mutex
	files map[string]*fileStats // guarded by mu
}

// of returns the counts of a file, new ones if its content is another than before.
func (t *fileTable) of(name string, header *store.Header) *fileStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.files[name]; known != nil && known.header.Identity == header.Identity {
		return known
	}
	if t.files == nil {
		t.files = make(map[string]*fileStats)
	}
	f := &fileStats{name: name, header: *header}
	t.files[name] = f
	return f
}

// all returns the files in the order of their names.
func (t *fileTable) all() []*fileStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	files := make([]*fileStats, 0, len(t.files))
	for _, name := range slices.Sorted(maps.Keys(t.files)) {
		files = append(files, t.files[name])
	}
	return files
}
