package fs

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sabrefs/prefetch"
	"sabrefs/store"
)

// recording is the trace of one memory file in the making. While it is active, the
// kernel gets single pages only: if a request for more is refused, it asks again
// for exactly the page that was touched. So each page that any VMM touches is seen
// once, in first-touch order, whatever read-ahead or madvise would have brought
// along. Only where read-ahead itself wants a single page, beside pages that are
// there or at the end of the file, that page is recorded without being touched.
type recording struct {
	path   string // of the trace
	header *store.Header
	began  time.Time
	ended  atomic.Bool

	mu      sync.Mutex
	seen    map[uint32]uint64 // sets of 64 pages; guarded by mu
	touches []prefetch.Touch  // guarded by mu
	written int               // touches in the file; guarded by writing

	writing sync.Mutex // held while the trace is written
}

// newRecording begins a recording.
func newRecording(path string, header *store.Header) *recording {
	return &recording{path: path, header: header, began: time.Now(), seen: make(map[uint32]uint64)}
}

func (r *recording) active() bool { return r != nil && !r.ended.Load() }

// touch takes note of a page. Order and time are taken under one lock, so they
// agree.
func (r *recording) touch(page uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	word, bit := r.seen[page/64], uint64(1)<<(page%64)
	if word&bit != 0 || len(r.touches) >= prefetch.MaxTouches {
		return
	}
	r.seen[page/64] = word | bit
	micros := min(time.Since(r.began).Microseconds(), math.MaxUint32)
	r.touches = append(r.touches, prefetch.Touch{Page: page, AtMicros: uint32(micros), Runs: 1})
}

// end ends the recording and writes what is not yet written.
func (r *recording) end() error {
	r.ended.Store(true)
	return r.write()
}

// write writes the trace if there is something new. A trace that stands there
// already is replaced at once or not at all.
func (r *recording) write() error {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	touches := slices.Clip(r.touches) // what is added later is added behind
	r.mu.Unlock()
	if len(touches) == r.written {
		return nil
	}
	trace := &prefetch.Trace{
		Image: r.header.Identity, RawBytes: r.header.RawBytes, CreatedAt: r.began.UTC(), Runs: 1, Touches: touches,
	}
	const everybodyReads = 0o755
	if err := os.MkdirAll(filepath.Dir(r.path), everybodyReads); err != nil {
		return err
	}
	if err := trace.WriteFile(r.path); err != nil {
		return err
	}
	r.written = len(touches)
	return nil
}

func (r *recording) report() RecordingReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RecordingReport{Path: r.path, Active: r.active(), Pages: int64(len(r.touches)), Seconds: time.Since(r.began).Seconds()}
}

// recorder makes a recording of each memory file that is opened. It belongs to a
// tree; a nil recorder records nothing.
type recorder struct {
	dir    string
	window time.Duration
	fail   func(name string, err error)

	mu         sync.Mutex
	recordings []*recording  // guarded by mu
	tune       func(kib int) // sets the read-ahead of the mount; guarded by mu
}

func newRecorder(config Config, fail func(name string, err error)) *recorder {
	if config.RecordDir == "" {
		return nil
	}
	return &recorder{dir: config.RecordDir, window: config.RecordWindow, fail: fail, tune: func(int) {}}
}

// tuneWith says how the read-ahead of the mount is set.
func (r *recorder) tuneWith(tune func(kib int)) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tune = tune
}

// begin starts the recording of a memory file.
func (r *recorder) begin(name string, header *store.Header) *recording {
	rec := newRecording(filepath.Join(r.dir, name+prefetch.TraceSuffix), header)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recordings = append(r.recordings, rec)
	r.tune(recordingReadAheadKB)
	if r.window > 0 {
		// When the mount ends before, it finds nothing left to write.
		time.AfterFunc(r.window, func() { r.endWindow(name, rec) })
	}
	return rec
}

// endWindow ends a recording, and with the last one what slows other reads down.
func (r *recorder) endWindow(name string, rec *recording) {
	r.save(name, rec.end)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, other := range r.recordings {
		if other.active() {
			return
		}
	}
	r.tune(readAheadKB)
}

// save runs write and reports its error.
func (r *recorder) save(name string, write func() error) {
	if err := write(); err != nil {
		r.fail(name, err)
	}
}

// close ends all recordings.
func (r *recorder) close() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	recordings := r.recordings
	r.mu.Unlock()
	var err error
	for _, rec := range recordings {
		err = errors.Join(err, rec.end())
	}
	return err
}
