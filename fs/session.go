package fs

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"

	"sabrefs/prefetch"
	"sabrefs/store"
)

// workingSetSource says where a working set comes from.
type workingSetSource int32

const (
	setNone  workingSetSource = iota // there is none
	setImage                         // recorded in the image
	setTrace                         // from Config.WorkingSetDir
)

var setNames = [...]string{setNone: "none", setImage: "image", setTrace: "trace"}

// session is prefetch of one memory file, from its first open to its last close.
type session struct {
	tracker *prefetch.Tracker
	cancel  context.CancelFunc
	done    chan struct{}                // closed when nothing of it runs any more
	run     atomic.Pointer[prefetch.Run] // nil until it is known that there is something to push
	set     atomic.Int32                 // a workingSetSource
	cold    coldTouch
}

// hasSet reports whether there is a working set, as far as it is known by now.
func (s *session) hasSet() bool { return s != nil && workingSetSource(s.set.Load()) != setNone }

func (s *session) report() PrefetchReport {
	r := PrefetchReport{Set: setNames[s.set.Load()], PageCounts: s.tracker.Counts()}
	if run := s.run.Load(); run != nil {
		r.Counts = run.Counts()
		return r
	}
	r.State = prefetch.Running.String()
	select {
	case <-s.done: // there was nothing to do
		r.State = prefetch.Done.String()
	default:
	}
	return r
}

// ahead starts and ends the sessions of a mount.
type ahead struct {
	tree   *tree
	mode   PrefetchMode
	setDir string // of traces; empty for none
	budget *prefetch.Budget
	gate   prefetch.Gate

	mu     sync.Mutex
	closed bool                  // guarded by mu
	open   map[*session]struct{} // guarded by mu
}

func newAhead(t *tree, config Config) *ahead {
	return &ahead{
		tree: t, mode: config.Prefetch, setDir: config.WorkingSetDir,
		budget: prefetch.NewBudget(config.PrefetchBudgetBytes),
	}
}

// prepare makes memory for the first session ready.
func (a *ahead) prepare() {
	if a.mode == PrefetchNone {
		return
	}
	const most = 4 // 8 MiB; others make theirs when they begin
	if err := a.tree.cache.PrepareAhead(min(most, prefetch.DefaultWorkers())); err != nil {
		a.tree.log.Warn("memory for prefetch is not prepared", "err", err)
	}
}

// begin starts a session for a file that the kernel knows, and does not wait for
// it. warm says that the kernel may have the pages from an earlier session. It
// returns nil if there is nothing to do.
func (a *ahead) begin(n *memNode, image *store.Image, warm bool) *session {
	if a.mode == PrefetchNone || !image.Retain() {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{tracker: prefetch.NewTracker(n.header.PageCount()), cancel: cancel, done: make(chan struct{})}
	if !a.add(s) {
		cancel()
		n.release(image)
		return nil
	}
	go func() {
		defer close(s.done)
		defer n.release(image)
		a.work(ctx, s, n, image, warm)
	}()
	return s
}

// add registers a session, unless the mount is at its end.
func (a *ahead) add(s *session) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	if a.open == nil {
		a.open = make(map[*session]struct{})
	}
	a.open[s] = struct{}{}
	return true
}

// end stops a session and waits until nothing of it runs. A push may wait for the
// answer to a READ, so a handler of READs must not call it.
func (a *ahead) end(s *session) {
	s.cancel()
	<-s.done
	a.mu.Lock()
	_, known := a.open[s]
	delete(a.open, s)
	a.mu.Unlock()
	if run := s.run.Load(); known && run != nil {
		a.budget.Return(run.TakenBytes())
	}
}

// close ends all sessions; none can begin any more.
func (a *ahead) close() {
	a.mu.Lock()
	a.closed = true
	open := make([]*session, 0, len(a.open))
	for s := range a.open {
		open = append(open, s)
	}
	a.mu.Unlock()
	for _, s := range open {
		a.end(s)
	}
}

// work is what a session does.
func (a *ahead) work(ctx context.Context, s *session, n *memNode, image *store.Image, warm bool) {
	warming := make(chan struct{})
	go func() { // asking a disk takes a while, too
		defer close(warming)
		image.Warm()
	}()
	defer func() { <-warming }()
	pages, source := a.workingSet(n, image)
	all := a.mode == PrefetchAll
	if len(pages) == 0 && !all || warm && isResident(ctx, &n.Inode, pages) {
		s.set.Store(int32(source))
		return
	}
	run := prefetch.New(prefetch.Config{
		Image: image, Cache: a.tree.cache, Sink: pageSink{n}, Pages: pages, All: all,
		Gate: &a.gate, Budget: a.budget, Tracker: s.tracker,
		Report: func(err error) { a.tree.report("prefetch", n.rel, err) },
	})
	s.run.Store(run)
	s.set.Store(int32(source)) // last: from now on pages that are not planned are cold
	run.Do(ctx)
	a.tree.log.Debug("prefetch ended", "file", n.name(), "working_set", setNames[source], "counts", run.Counts(), "pages", s.tracker.Counts())
}

// workingSet returns the pages to push in first-touch order: those of the trace
// that the operator gave, else those recorded in the image.
func (a *ahead) workingSet(n *memNode, image *store.Image) ([]uint32, workingSetSource) {
	if a.setDir != "" {
		pages, err := readTrace(filepath.Join(a.setDir, n.name()+prefetch.TraceSuffix), &n.header)
		if err == nil {
			return pages, setTrace
		}
		if !errors.Is(err, fs.ErrNotExist) {
			a.tree.logTrace(n, err)
		}
	}
	runs, err := image.WorkingSet()
	if err != nil {
		a.tree.report("working set", n.rel, err)
	}
	if len(runs) == 0 {
		return nil, setNone
	}
	return pagesOf(runs), setImage
}

// readTrace reads a trace of an image.
func readTrace(path string, header *store.Header) ([]uint32, error) {
	trace, err := prefetch.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := trace.Check(header); err != nil {
		return nil, err
	}
	return trace.Pages(), nil
}

// pagesOf lists the pages of runs. How many there are was bounded when the runs
// were read. A page that stands there twice is taken once.
func pagesOf(runs []store.PageRun) []uint32 {
	var pages []uint32
	for _, run := range runs {
		for page := run.FirstPage; page < run.FirstPage+run.PageCount; page++ {
			pages = append(pages, page)
		}
	}
	return pages
}
