package iaa

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// device is the engine that runs jobs on accelerators. What it cannot run there
// it gives to the fallback engine, job by job, so that results and errors are
// always those of software.
type device struct {
	name     string
	fallback Engine
	log      *slog.Logger
	found    *discovery

	queues []*queue
	orders *queueOrders
	arena  *arena
	// group is how many descriptors are submitted together: 1, or more if a
	// queue takes them by write(2).
	group int
	// onePass is whether every queue's device can build dynamic codes itself.
	onePass    bool
	trust      bool // see DeviceOptions
	jobTimeout time.Duration
	// slotPatience is how long a batch without slots waits for one before
	// software does a job.
	slotPatience time.Duration
	currentCPU   func() int

	started time.Time // the origin of the engine's clock
	turns   atomic.Uint32
	counts  counters

	batches  sync.Pool // of *Batch, for jobs that are waited for at once
	builders sync.Pool // of *codeBuilder

	orphansLeft atomic.Int32 // len(orphans)
	mu          sync.Mutex
	orphans     []*slot // guarded by mu; slots of jobs that were given up
	closed      bool    // guarded by mu
}

func (d *device) Name() string { return d.name }

func (d *device) Stats() Stats { return d.counts.stats() }

func (d *device) Decompress(ctx context.Context, jobs []Job) error {
	return d.run(ctx, OpDecompress, jobs)
}

func (d *device) Compress(ctx context.Context, jobs []Job) error {
	return d.run(ctx, OpCompress, jobs)
}

func (d *device) run(ctx context.Context, op Op, jobs []Job) error {
	batch, ok := d.batches.Get().(*Batch)
	if !ok {
		batch = &Batch{}
	}
	batch.Jobs = jobs
	d.Start(ctx, op, batch)
	err := batch.Wait()
	batch.Jobs = nil
	d.batches.Put(batch)
	return err
}

// now is the engine's clock.
func (d *device) now() int64 { return int64(time.Since(d.started)) }

// deadline is when a job that is submitted now must be done.
func (d *device) deadline(now int64, s *slot) int64 {
	// An engine does more than 1 GB/s; one that does 100 MB/s is broken.
	const slowestBytesPerMicrosecond = 100
	size := time.Duration(max(s.inputBytes, s.roomBytes)/slowestBytesPerMicrosecond) * time.Microsecond
	return now + int64(d.jobTimeout+size)
}

// lose takes a queue out of service for good. Its jobs end or miss their
// deadlines. cause may be nil.
func (d *device) lose(q *queue, reason string, cause error) {
	if q.lost.Swap(true) {
		return
	}
	d.counts.queueLost(reason)
	deviceState, queueState := d.states(q)
	log := d.log
	if cause != nil {
		log = log.With("error", cause)
	}
	log.Warn("accelerator queue is taken out of service", "queue", q.found.name, "reason", reason,
		"device_state", deviceState.or("unknown"), "queue_state", queueState.or("unknown"))
	for _, other := range d.queues {
		if !other.lost.Load() {
			return
		}
	}
	d.log.Warn("no accelerator queue is left, going on in software")
}

// states reads again what may have changed since the queue was found.
func (d *device) states(q *queue) (deviceState, queueState optional[string]) {
	s := d.found.sysfs
	return s.word(accelerators, q.found.device.name, "state"), s.word(accelerators, q.found.name, "state")
}

// refused counts that a queue took nothing. A full queue does that, and one
// that somebody has disabled.
func (d *device) refused(q *queue) {
	n := q.refusals.Add(1)
	if n < refusalsBeforeCheck {
		return
	}
	now, before := d.now(), q.checked.Load()
	if before != 0 && now-before < int64(checkInterval) || !q.checked.CompareAndSwap(before, now) {
		return
	}
	deviceState, queueState := d.states(q)
	switch {
	case deviceState.isNot(wordEnabled) || queueState.isNot(wordEnabled):
		d.lose(q, lostDisabled, nil)
	case n >= refusalsBeforeLoss && !(deviceState.known && queueState.known) && q.inFlight.Load() == 0:
		d.lose(q, lostRefusing, nil)
	}
}

// disable stops an operation on a queue that does not know it after all.
func (d *device) disable(q *queue, op Op) {
	if q.ops.And(^opBit(op))&opBit(op) != 0 {
		d.log.Warn("accelerator queue does not run an operation that it claims to", "queue", q.found.name, "operation", int(op))
	}
}

// runs is whether any queue is left for the operation.
func (d *device) runs(op Op) bool {
	for _, q := range d.queues {
		if !q.lost.Load() && q.ops.Load()&opBit(op) != 0 {
			return true
		}
	}
	return false
}

// orphan sets a slot aside whose job nobody waits for any more, but which the
// device may still write to.
func (d *device) orphan(s *slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.orphans = append(d.orphans, s)
	d.orphansLeft.Store(int32(len(d.orphans)))
}

// reclaim takes back the slots that were set aside and are done by now.
func (d *device) reclaim() {
	if d.orphansLeft.Load() == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	left := d.orphans[:0]
	for _, s := range d.orphans {
		if !isDone(pollRecord(s.record)) {
			left = append(left, s)
			continue
		}
		s.queue.inFlight.Add(-1)
		d.arena.pools[s.class].give(s)
	}
	clear(d.orphans[len(left):])
	d.orphans = left
	d.orphansLeft.Store(int32(len(left)))
}

// Close waits a while for jobs that were given up, closes the queues (then the
// kernel waits for the rest) and frees the memory, in this order: no device may
// write to memory that is something else by then.
func (d *device) Close() error {
	d.mu.Lock()
	closed := d.closed
	d.closed = true
	d.mu.Unlock()
	if closed {
		return nil
	}
	for end := time.Now().Add(d.jobTimeout); d.orphansLeft.Load() > 0 && time.Now().Before(end); {
		d.reclaim()
		time.Sleep(time.Millisecond)
	}
	return d.release()
}

func (d *device) release() error {
	var errs []error
	for _, q := range d.queues {
		q.lost.Store(true)
		errs = append(errs, q.close())
	}
	if err := errors.Join(errs...); err != nil {
		// Somebody may still write to the arena: it stays.
		return err
	}
	d.orphans = nil
	return d.arena.release()
}
