package prefetch

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"sabrefs/store"
)

// ErrGone is returned by a [Sink] when nobody can have pages of the file any more:
// the kernel has forgotten the inode, or the mount is gone.
var ErrGone = errors.New("the kernel does not know the file")

// Sink takes pages ahead of the guest: it is the page cache of one file.
type Sink interface {
	// Store puts whole pages there. It may wait for reads of these pages, and is
	// called from several goroutines at once.
	Store(rawOff int64, raw []byte) error
}

// Config says what to prefetch.
type Config struct {
	Image *store.Image
	Cache *store.FrameCache
	Sink  Sink
	// Pages is the working set in first-touch order, each page once.
	Pages []uint32
	// All goes on with the rest of the image, at low priority.
	All bool
	// Gate tells of demand, which goes first.
	Gate *Gate
	// Budget bounds what is pushed.
	Budget *Budget
	// Tracker is told what was planned and pushed.
	Tracker *Tracker
	// Workers is the number of goroutines; 0 means what suits the processors.
	Workers int
	// Report is told of errors that do not end the run.
	Report func(error)
}

// Run is prefetch of one file under way. Its methods may be called from any
// goroutine.
type Run struct {
	config Config
	began  time.Time

	state      atomic.Int32 // a State
	wallNanos  atomic.Int64 // from the start to the last push of the working set
	pushed     atomic.Int64 // bytes
	taken      atomic.Int64 // bytes of the budget
	calls      atomic.Int64
	readBytes  atomic.Int64
	rawBytes   atomic.Int64 // decoded
	frames     atomic.Int64
	badFrames  atomic.Int64
	readNanos  atomic.Int64
	decNanos   atomic.Int64
	pushNanos  atomic.Int64
	planNanos  atomic.Int64
	failedPush atomic.Int64
}

// State says how far a run is.
type State int32

// The states of a run.
const (
	Running    State = iota // the working set is being pushed
	Background              // it is there; the rest of the image is being pushed
	Done                    // all is there
	Stopped                 // ended by its context, by the budget, or because the kernel forgot the file
)

var stateNames = [...]string{Running: "running", Background: "background", Done: "done", Stopped: "stopped"}

// String returns the name that reports use.
func (s State) String() string { return stateNames[s] }

// New returns a run that has not begun. Its tracker knows the working set from now on.
func New(config Config) *Run {
	if config.Workers == 0 {
		config.Workers = DefaultWorkers()
	}
	r := &Run{config: config, began: time.Now()}
	for _, page := range config.Pages {
		config.Tracker.plan(int64(page))
	}
	return r
}

// DefaultWorkers is the number of workers that suits the processors.
func DefaultWorkers() int { return min(runtime.NumCPU()+readersAhead, maxWorkers) }

// maxWorkers bounds the memory of a run, 2 MiB for each: no disk feeds more of them.
const maxWorkers = 16

// readersAhead is how many workers there are beyond one for each processor: while
// they wait for the disk, the others decode and push.
const readersAhead = 2

// TakenBytes is what the run took of its budget.
func (r *Run) TakenBytes() int64 { return r.taken.Load() }

// Do prefetches until all is pushed, the context ends, or there is nobody left to
// push to. It is called once. What was pushed stays.
func (r *Run) Do(ctx context.Context) {
	err := r.pushWorkingSet(ctx)
	r.wallNanos.Store(int64(time.Since(r.began)))
	if err == nil && r.config.All {
		r.state.Store(int32(Background))
		err = r.inBackground(func() error { return r.pushRest(ctx) })
	}
	if err == nil {
		r.state.Store(int32(Done))
		return
	}
	r.state.Store(int32(Stopped))
	if !errors.Is(err, context.Canceled) && !errors.Is(err, ErrGone) && !errors.Is(err, errBudget) {
		r.config.Report(err)
	}
}

// errBudget ends a run that may push no more.
var errBudget = errors.New("the prefetch budget is used up")

func (r *Run) pushWorkingSet(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan batch, queuedBatches)
	group.Go(func() error {
		defer close(queue)
		return makePlan(r.config.Image, r.config.Pages, func(b batch) error { return r.enqueue(ctx, queue, b) })
	})
	for range r.config.Workers {
		group.Go(func() error { return r.work(ctx, queue) })
	}
	return group.Wait()
}

// queuedBatches is how far ahead of the workers the plan is made, and the disk kept
// busy.
const queuedBatches = 8

// enqueue requests the frames of a batch from the disk and leaves it to the workers.
func (r *Run) enqueue(ctx context.Context, queue chan<- batch, b batch) error {
	r.planNanos.CompareAndSwap(0, int64(time.Since(r.began)))
	// If the frames of a layer lie far apart, packed bytes of others would be read with
	// them.
	const togetherBytes = 2 * batchRawBytes
	for _, e := range b.extents {
		if e.packedEnd-e.packedOff <= togetherBytes {
			r.config.Image.WillReadFrames(e.layer, e.packedOff, e.packedEnd)
		}
	}
	select {
	case queue <- b:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work is one worker. It ends with the queue, or with the context.
func (r *Run) work(ctx context.Context, queue <-chan batch) (err error) {
	reader, err := r.config.Cache.NewAheadReader(r.config.Image)
	if err != nil {
		return err
	}
	w := worker{run: r, reader: reader}
	defer func() { err = errors.Join(err, w.close()) }()
	for b := range queue {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.config.Gate.yield(ctx, false)
		if err := w.push(ctx, &b); err != nil {
			return err
		}
	}
	return nil
}
