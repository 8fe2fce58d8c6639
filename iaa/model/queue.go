package model

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sabrefs/iaa/portal"
)

// queue is a work queue. A slot is taken from the acceptance of a descriptor to
// its completion.
type queue struct {
	device *device
	config QueueConfig
	name   string // for instance wq1.0
	node   string // below /dev
	minor  int
	limit  int    // slots that a process may use
	group  *group // nil if the queue is in none

	state   stateValue
	clients atomic.Int64

	mu       sync.Mutex
	inFlight int
	free     []*job
	parked   map[*job]struct{} // what does not go on by itself
	counts   QueueCounters
}

func newQueue(d *device, index, minor int, config QueueConfig) *queue {
	q := &queue{
		device: d, config: config, minor: minor,
		name:   fmt.Sprintf("wq%d.%d", d.config.ID, index),
		limit:  config.Size,
		parked: map[*job]struct{}{},
	}
	q.node = "iax/" + q.name
	if config.Mode == ModeShared {
		q.limit = config.Threshold
	}
	if config.Group >= 0 {
		q.group = d.groups[config.Group]
	}
	for range config.Size {
		q.free = append(q.free, &job{queue: q})
	}
	q.state.Store(config.State)
	return q
}

// currentState follows the device's: its queues are disabled with it.
func (q *queue) currentState() State {
	if q.device.state.Load() != StateEnabled {
		return StateDisabled
	}
	return q.state.Load()
}

func (q *queue) enabled() bool {
	return q.state.Load() == StateEnabled && q.device.state.Load() == StateEnabled && !q.device.host.closed.Load()
}

// hasNode reports whether there is a device node to open.
func (q *queue) hasNode() bool { return q.config.Type == "user" && q.enabled() }

// open makes a client. A dedicated queue has only one at a time.
func (q *queue) open() (*client, error) {
	if !q.hasNode() {
		return nil, syscall.ENOENT
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.config.Mode == ModeDedicated && q.clients.Load() > 0 {
		return nil, syscall.EBUSY
	}
	q.clients.Add(1)
	c := &client{queue: q, references: 1}
	c.quiet.L = &q.mu
	return c, nil
}

// submit accepts a descriptor or returns false: the queue is full or disabled.
func (q *queue) submit(c *client, raw *[portal.DescriptorBytes]byte) bool {
	if !q.enabled() {
		q.refuse()
		return false
	}
	if q.device.host.config.ZeroCost {
		q.completeAtOnce(raw)
		return true
	}
	j := q.accept(c)
	if j == nil {
		return false
	}
	j.descriptor = parseDescriptor(raw)
	j.fault = q.device.host.plan.pick(j)
	q.device.host.tally.opcodes[j.opcode].Add(1)
	if q.group == nil || q.group.engines == 0 {
		q.park(j, 0)
		return true
	}
	q.group.push(j)
	return true
}

func (q *queue) refuse() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.counts.Refused++
}

// accept takes a slot, or returns nil.
func (q *queue) accept(c *client) *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.inFlight >= q.limit {
		q.counts.Refused++
		return nil
	}
	q.counts.Submitted++
	q.inFlight++
	q.counts.MaxInFlight = max(q.counts.MaxInFlight, q.inFlight)
	c.inFlight++
	j := q.free[len(q.free)-1]
	q.free = q.free[:len(q.free)-1]
	j.client, j.timer = c, nil
	return j
}

// drop counts what a dedicated queue has lost: it had given its refusal of a
// descriptor to nobody.
func (q *queue) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.counts.Refused--
	q.counts.Dropped++
	q.device.unreported.Add(1)
}

// park lets a job lie, for ever or until the delay is over. For ever ends when
// the client closes the queue, because the kernel then waits for its jobs.
func (q *queue) park(j *job, delay time.Duration) {
	if !q.tryPark(j, delay) {
		q.unparked(j, delay > 0)
	}
}

func (q *queue) tryPark(j *job, delay time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.client.draining || q.device.host.closed.Load() {
		return false
	}
	q.parked[j] = struct{}{}
	if delay > 0 {
		j.timer = time.AfterFunc(delay, func() { q.unpark(j) })
	}
	return true
}

// unpark lets a job go on, unless somebody else took it.
func (q *queue) unpark(j *job) {
	q.mu.Lock()
	_, mine := q.parked[j]
	delete(q.parked, j)
	q.mu.Unlock()
	if mine {
		q.unparked(j, true)
	}
}

func (q *queue) unparked(j *job, goOn bool) {
	if goOn {
		q.group.push(j)
		return
	}
	j.abort()
}

// takeParked removes the parked jobs of a client, or of all for nil.
func (q *queue) takeParked(c *client) []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	var taken []*job
	for j := range q.parked {
		if c == nil || j.client == c {
			delete(q.parked, j)
			taken = append(taken, j)
		}
	}
	return taken
}

func (q *queue) abortParked() {
	for _, j := range q.takeParked(nil) {
		if j.timer != nil {
			j.timer.Stop()
		}
		j.abort()
	}
}

// release gives a job's slot back. The job's memory may be used again at once.
func (q *queue) release(j *job, completed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inFlight--
	if completed {
		q.counts.Completed++
	} else {
		q.counts.Aborted++
	}
	j.client, j.fault = nil, nil
	q.free = append(q.free, j)
}

// abort ends a job without a completion record.
func (j *job) abort() {
	c := j.client
	j.queue.release(j, false)
	c.finished()
}

// complete writes the completion record, its status last. The slot is free by
// then: whoever sees the status may count on it.
func (j *job) complete(r *result) {
	c, record := j.client, j.record
	write := j.has(flagRecordValid) && (j.has(flagRecordRequest) || r.failed())
	if !write {
		j.queue.device.host.tally.count(r)
		j.queue.release(j, true)
		c.finished()
		return
	}
	var rest [recordBytes]byte
	first := r.encode(&rest)
	copy(memoryAt(record, recordBytes)[8:], rest[8:])
	j.queue.device.host.tally.count(r)
	j.queue.release(j, true)
	storeWord(record, first)
	c.finished()
}

// completeAtOnce is all that happens to a job at no cost.
func (q *queue) completeAtOnce(raw *[portal.DescriptorBytes]byte) {
	d := parseDescriptor(raw)
	q.mu.Lock()
	q.counts.Submitted++
	q.counts.Completed++
	q.mu.Unlock()
	if !plausible(d.record, recordBytes) || d.record%recordAlignBytes != 0 {
		return
	}
	r := result{
		outcome:       outcome{status: StatusSuccess},
		consumedBytes: d.sourceBytes,
		outputBytes:   d.destinationBytes,
	}
	var rest [recordBytes]byte
	first := r.encode(&rest)
	copy(memoryAt(d.record, recordBytes)[8:], rest[8:])
	storeWord(d.record, first)
}
