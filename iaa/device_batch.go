package iaa

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"sabrefs/iaa/portal"
)

const (
	// slotsAtOnce is how many slots a batch takes from the pool with one lock.
	slotsAtOnce = 16
	// submitRounds is how often all queues are tried before they count as full.
	submitRounds = 3
	// turnsToRest is for how many looks at its own jobs a batch does not ask
	// full queues again.
	turnsToRest      = 8
	pausesBetween    = 16
	deadlineGrace    = 10 * time.Millisecond // for a process that was stopped itself
	idleSpins        = 64                    // then others may run
	idleYields       = 2000                  // then the thread sleeps
	idleSleep        = 50 * time.Microsecond
	pausesPerSpin    = 4
	idleChecksPeriod = 64
)

// errNoQueue is returned if no queue that is left runs a job.
var errNoQueue = errors.New("no queue runs this job")

// deviceBatch is what the device engine keeps in a batch between Start and
// Wait. It belongs to the goroutine that owns the batch; no other one touches
// it or the slots in it.
type deviceBatch struct {
	next     int // jobs from here on have not been looked at
	ready    []*slot
	flight   []*slot // with a queue, in any order
	software []int32 // jobs that are left to software

	restTurns int // see turnsToRest

	spare [slotClasses][]*slot
	held  [slotClasses]int // slots in ready, flight and spare

	order  *queueOrder
	turn   uint32
	packed *[writeGroup * descriptorBytes]byte // for write(2)
	place  slotWaiter
	inLine *slotPool // nil unless the batch waits there for a slot
	since  int64     // when it began to

	decompressed, compressed uint64 // not counted yet
}

// Start submits what there is room for at once. Nothing else happens until
// Wait: what is done waits to be collected, the rest to be submitted.
func (d *device) Start(ctx context.Context, op Op, batch *Batch) {
	if reason, none := d.noneForDevice(op, batch.Jobs); none {
		d.counts.fallbacks[reason].Add(uint64(len(batch.Jobs)))
		d.fallback.Start(ctx, op, batch)
		return
	}
	batch.state.runner, batch.state.ctx, batch.state.op = d, ctx, op
	b := &batch.state.device
	b.next, b.restTurns = 0, 0
	b.order = d.orders.forCPU(d.currentCPU())
	b.turn = d.turns.Add(1)
	d.reclaim()
	if ctx.Err() == nil {
		d.fill(batch)
	}
}

// noneForDevice is whether the whole batch had better be run by the fallback
// engine, which may spread it over processors, and why.
func (d *device) noneForDevice(op Op, jobs []Job) (fallback, bool) {
	if !d.runs(op) {
		return fallbackNoQueue, true
	}
	return fallbackLevel, op == OpCompress && !slices.ContainsFunc(jobs, func(job Job) bool {
		return onDevice(job.Level)
	})
}

// wait implements runner.
func (d *device) wait(batch *Batch) error {
	b := &batch.state.device
	for idle := 0; !b.done(len(batch.Jobs)); {
		if err := batch.state.ctx.Err(); err != nil {
			d.abandon(batch, err)
			break
		}
		collected := d.collect(batch)
		if collected {
			b.restTurns = 0
		}
		submitted := d.fill(batch)
		if collected || submitted || d.runSoftware(batch) {
			idle = 0
			continue
		}
		idle++
		d.idle(batch, idle)
	}
	d.settle(b)
	return batchError(batch.state.ctx, batch.Jobs)
}

func (b *deviceBatch) done(jobCount int) bool {
	return b.next == jobCount && len(b.ready) == 0 && len(b.flight) == 0 && len(b.software) == 0
}

// collect finishes the jobs that are done.
func (d *device) collect(batch *Batch) (progress bool) {
	b := &batch.state.device
	for i := 0; i < len(b.flight); {
		s := b.flight[i]
		word := pollRecord(s.record)
		if !isDone(word) {
			i++
			continue
		}
		last := len(b.flight) - 1
		b.flight[i] = b.flight[last]
		b.flight = b.flight[:last]
		s.queue.inFlight.Add(-1)
		d.finish(batch, s, parseRecord(word, s.record))
		progress = true
	}
	return progress
}

// fill stages and submits jobs while there are slots and queues take them.
func (d *device) fill(batch *Batch) (progress bool) {
	b := &batch.state.device
	if len(b.ready) == 0 && b.next == len(batch.Jobs) {
		return false
	}
	if b.restTurns > 0 {
		b.restTurns--
		return false
	}
	now := d.now()
	if !d.submit(b, now) {
		return false
	}
	for b.next < len(batch.Jobs) {
		job := &batch.Jobs[b.next]
		class, reason, ok := classify(batch.state.op, job)
		if !ok {
			b.leave(d, b.next, reason)
			b.next++
			continue
		}
		s := d.slot(b, class, len(batch.Jobs)-b.next)
		if s == nil {
			break
		}
		d.stage(s, batch.state.op, job, b.next)
		b.ready = append(b.ready, s)
		b.next++
		progress = true
		if len(b.ready) >= d.group && !d.submit(b, now) {
			return true
		}
	}
	d.submit(b, now)
	if b.next == len(batch.Jobs) {
		d.giveSpare(b)
	}
	return progress
}

// leave leaves a job to software for a reason of the driver.
func (b *deviceBatch) leave(d *device, job int, reason fallback) {
	d.counts.fallbacks[reason].Add(1)
	b.software = append(b.software, int32(job))
}

// submit hands over what is ready, and returns false if the queues are full.
func (d *device) submit(b *deviceBatch, now int64) bool {
	for len(b.ready) > 0 {
		n, err := d.offer(b)
		if errors.Is(err, errNoQueue) {
			s := b.pop()
			b.leave(d, int(s.job), fallbackNoQueue)
			d.putBack(b, s)
			continue
		}
		if n == 0 {
			d.whenFull(b)
			return false
		}
		for _, s := range b.ready[:n] {
			s.deadline, s.prolonged = d.deadline(now, s), false
		}
		b.flight = append(b.flight, b.ready[:n]...)
		b.ready = slices.Delete(b.ready, 0, n)
	}
	return true
}

// whenFull decides what to do while all queues are full. If jobs of this batch
// are in flight, they make room, and asking again at once would only disturb.
// If there are none, others fill the queues: then software does a job. One
// only, because the queues may take the next.
func (d *device) whenFull(b *deviceBatch) {
	d.reclaim()
	switch {
	case len(b.flight) > 0:
		b.restTurns = turnsToRest
	case len(b.software) == 0:
		s := b.pop()
		b.leave(d, int(s.job), fallbackBusy)
		d.putBack(b, s)
	}
}

// pop takes back what was to be submitted next.
func (b *deviceBatch) pop() *slot {
	s := b.ready[0]
	b.ready = slices.Delete(b.ready, 0, 1)
	return s
}

// offer submits the first ones of what is ready to the first queue that takes
// them, and returns how many. The error is errRefused or errNoQueue.
func (d *device) offer(b *deviceBatch) (int, error) {
	rounds := submitRounds
	if len(b.flight) > 0 {
		rounds = 1
	}
	for round := range rounds {
		if round > 0 {
			portal.Pause(pausesBetween)
		}
		refused := false
		for attempt := range len(b.order.queues) {
			q := b.order.at(b.turn, attempt)
			group := q.groupOf(b.ready)
			if len(group) == 0 {
				continue
			}
			n, err := q.offer(group, b.packedSpace(q))
			switch {
			case n > 0:
				q.accepted()
				b.turn++
				return n, nil
			case errors.Is(err, errRefused):
				d.refused(q)
				refused = true
			default:
				d.lose(q, lostWrite, err)
			}
		}
		if !refused {
			return 0, errNoQueue
		}
	}
	return 0, errRefused
}

// groupOf is what of the slots the queue may be offered together.
func (q *queue) groupOf(slots []*slot) []*slot {
	most := 1
	if q.window == nil {
		most = writeGroup
	}
	n := 0
	for n < min(most, len(slots)) && q.takes(slots[n]) {
		n++
	}
	return slots[:n]
}

// packedSpace is where descriptors for write(2) are put side by side.
func (b *deviceBatch) packedSpace(q *queue) *[writeGroup * descriptorBytes]byte {
	if b.packed == nil && q.window == nil {
		b.packed = new([writeGroup * descriptorBytes]byte)
	}
	return b.packed
}

// slot returns a slot for one of so many jobs, or nil if the batch may have no
// more now.
func (d *device) slot(b *deviceBatch, class slotClass, jobCount int) *slot {
	pool := &d.arena.pools[class]
	if b.inLine == pool {
		if s := b.place.granted.Load(); s != nil {
			b.leaveLine()
		}
	}
	spare := &b.spare[class]
	if len(*spare) == 0 && b.inLine == nil {
		d.takeSpare(b, class, jobCount)
	}
	last := len(*spare) - 1
	if last < 0 {
		return nil
	}
	s := (*spare)[last]
	*spare = (*spare)[:last]
	return s
}

// takeSpare takes slots from the pool: half of all at most, because the owner of
// this batch may be busy elsewhere, and its slots with it.
func (d *device) takeSpare(b *deviceBatch, class slotClass, jobCount int) {
	pool := &d.arena.pools[class]
	share := max(1, len(d.arena.slots[class])/2) - b.held[class]
	count := min(slotsAtOnce, share, jobCount)
	if count <= 0 {
		return
	}
	spare := pool.take(b.spare[class], count)
	if len(spare) == 0 && d.orphansLeft.Load() > 0 {
		d.reclaim()
		spare = pool.take(spare, count)
	}
	b.held[class] += len(spare)
	b.spare[class] = spare
}

// putBack returns a slot that the device has finished with: to the batch, or to
// one that waits in line.
func (d *device) putBack(b *deviceBatch, s *slot) {
	pool := &d.arena.pools[s.class]
	if pool.waiting.Load() > 0 {
		b.held[s.class]--
		pool.give(s)
		return
	}
	b.spare[s.class] = append(b.spare[s.class], s)
}

// leaveLine stops waiting for a slot, and keeps the one that has come.
func (b *deviceBatch) leaveLine() {
	if b.inLine == nil {
		return
	}
	s := b.inLine.leave(&b.place)
	b.inLine = nil
	if s != nil {
		b.held[s.class]++
		b.spare[s.class] = append(b.spare[s.class], s)
	}
}

func (d *device) giveSpare(b *deviceBatch) {
	for class := range slotClasses {
		spare := b.spare[class]
		if len(spare) == 0 {
			continue
		}
		d.arena.pools[class].give(spare...)
		b.held[class] -= len(spare)
		b.spare[class] = spare[:0]
	}
}

// runSoftware runs one of the jobs that are left to software.
func (d *device) runSoftware(batch *Batch) bool {
	b := &batch.state.device
	last := len(b.software) - 1
	if last < 0 {
		return false
	}
	i := b.software[last]
	b.software = b.software[:last]
	jobs := batch.Jobs[i : i+1]
	var err error
	if batch.state.op == OpCompress {
		err = d.fallback.Compress(batch.state.ctx, jobs)
	} else {
		err = d.fallback.Decompress(batch.state.ctx, jobs)
	}
	if err != nil && jobs[0].Err == nil {
		jobs[0].N, jobs[0].Err = 0, err
	}
	return true
}

// idle passes a moment in which nothing could be done: first on the processor,
// because most jobs take microseconds, then letting others run.
func (d *device) idle(batch *Batch, turn int) {
	b := &batch.state.device
	if len(b.flight) == 0 && len(b.ready) == 0 {
		d.waitInLine(batch)
	} else if turn%idleChecksPeriod == 0 || turn >= idleSpins+idleYields {
		d.checkDeadlines(b)
	}
	switch {
	case turn < idleSpins:
		portal.Pause(pausesPerSpin)
	case turn < idleSpins+idleYields:
		runtime.Gosched()
	default:
		time.Sleep(idleSleep)
	}
}

// waitInLine waits for a slot. All may be in the hands of batches whose owners
// do something else, perhaps wait for this one: hence not for long.
func (d *device) waitInLine(batch *Batch) {
	b := &batch.state.device
	if b.inLine == nil {
		class, _, ok := classify(batch.state.op, &batch.Jobs[b.next])
		if !ok {
			return // fill leaves it to software
		}
		d.giveSpare(b)
		b.inLine, b.since = &d.arena.pools[class], d.now()
		b.inLine.join(&b.place)
		return
	}
	if b.place.granted.Load() != nil || d.now()-b.since < int64(d.slotPatience) {
		return
	}
	b.leaveLine()
	b.leave(d, b.next, fallbackNoSlot)
	b.next++
}

// checkDeadlines gives up jobs that are not done in time, and their queues. The
// slots are set aside: the device may still write to them.
func (d *device) checkDeadlines(b *deviceBatch) {
	now := d.now()
	for i := 0; i < len(b.flight); {
		s := b.flight[i]
		switch {
		case now < s.deadline || isDone(pollRecord(s.record)):
			i++
		case !s.prolonged:
			s.deadline, s.prolonged = now+int64(deadlineGrace), true
			i++
		default:
			b.flight = slices.Delete(b.flight, i, i+1)
			b.held[s.class]--
			b.leave(d, int(s.job), fallbackTimeout)
			d.lose(s.queue, lostTimeout, nil)
			d.orphan(s)
		}
	}
}

// abandon ends a batch whose context has ended. What is done counts; what is in
// flight is set aside until it is.
func (d *device) abandon(batch *Batch, err error) {
	b := &batch.state.device
	d.collect(batch)
	fail := func(i int) { batch.Jobs[i].N, batch.Jobs[i].Err = 0, err }
	for _, s := range b.flight {
		fail(int(s.job))
		b.held[s.class]--
		d.orphan(s)
	}
	for _, s := range b.ready {
		fail(int(s.job))
		d.putBack(b, s)
	}
	for _, i := range b.software {
		fail(int(i))
	}
	for i := b.next; i < len(batch.Jobs); i++ {
		fail(i)
	}
	b.flight, b.ready, b.software = b.flight[:0], b.ready[:0], b.software[:0]
	b.next = len(batch.Jobs)
}

// settle gives everything back and counts what was done.
func (d *device) settle(b *deviceBatch) {
	b.leaveLine()
	d.giveSpare(b)
	if b.decompressed > 0 {
		d.counts.decompressed.Add(b.decompressed)
	}
	if b.compressed > 0 {
		d.counts.compressed.Add(b.compressed)
	}
	b.decompressed, b.compressed = 0, 0
}
