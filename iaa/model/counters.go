package model

import "sync/atomic"

// Counters are what happened on a machine so far.
type Counters struct {
	// Queues is by name, for instance wq1.0.
	Queues map[string]QueueCounters
	// QueueCounters are the sums over all queues; MaxInFlight is the largest.
	QueueCounters
	// Opcodes are accepted jobs by opcode.
	Opcodes map[Opcode]uint64
	// Statuses are completed jobs by status, and Codes those with
	// StatusAnalyticsError by code.
	Statuses map[Status]uint64
	Codes    map[ErrorCode]uint64
	// Faults are injected faults by kind.
	Faults map[FaultKind]uint64
	// Misused is how often a window was used as portal.Window forbids.
	Misused uint64
	// Unreported are errors that no completion record could tell of.
	Unreported uint64
}

// QueueCounters are what happened on one queue so far.
type QueueCounters struct {
	Submitted uint64 // accepted descriptors
	Refused   uint64 // descriptors whose submitter was told so
	Dropped   uint64 // descriptors that a dedicated queue had no slot for
	Completed uint64 // of the accepted ones; Aborted are those that never will be
	Aborted   uint64
	// InFlight is how many slots are taken now, MaxInFlight how many were at
	// most.
	InFlight    int
	MaxInFlight int
}

// tally is what is counted for the machine as a whole.
type tally struct {
	opcodes  [256]atomic.Uint64
	statuses [256]atomic.Uint64
	codes    [256]atomic.Uint64
	faults   [faultKinds]atomic.Uint64
	misused  atomic.Uint64
}

func (t *tally) count(r *result) {
	t.statuses[r.status].Add(1)
	if r.status == StatusAnalyticsError {
		t.codes[r.code].Add(1)
	}
}

// Counters returns what happened so far.
func (h *Host) Counters() Counters {
	c := Counters{
		Queues:   map[string]QueueCounters{},
		Opcodes:  nonzero[Opcode](h.tally.opcodes[:]),
		Statuses: nonzero[Status](h.tally.statuses[:]),
		Codes:    nonzero[ErrorCode](h.tally.codes[:]),
		Faults:   nonzero[FaultKind](h.tally.faults[:]),
		Misused:  h.tally.misused.Load(),
	}
	for _, d := range h.devices {
		c.Unreported += d.unreported.Load()
		for _, q := range d.queues {
			one := q.counters()
			c.Queues[q.name] = one
			c.add(one)
		}
	}
	return c
}

func (q *queue) counters() QueueCounters {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.counts
	c.InFlight = q.inFlight
	return c
}

func (c *QueueCounters) add(other QueueCounters) {
	c.Submitted += other.Submitted
	c.Refused += other.Refused
	c.Dropped += other.Dropped
	c.Completed += other.Completed
	c.Aborted += other.Aborted
	c.InFlight += other.InFlight
	c.MaxInFlight = max(c.MaxInFlight, other.MaxInFlight)
}

func nonzero[K ~uint8](counters []atomic.Uint64) map[K]uint64 {
	found := map[K]uint64{}
	for i := range counters {
		if n := counters[i].Load(); n > 0 {
			found[K(i)] = n
		}
	}
	return found
}
