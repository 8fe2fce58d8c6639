package iaa

import (
	"maps"
	"sync"
	"sync/atomic"
)

// fallback is why the driver leaves a job to software without the device having
// seen it or complained. Complaints are counted under the name of the status or
// of the error code.
type fallback uint8

const (
	fallbackLevel       fallback = iota // compression denser than the device's
	fallbackSize                        // empty, or too large for a slot
	fallbackNoQueue                     // no queue runs it, or none is left
	fallbackBusy                        // all queues are full
	fallbackNoSlot                      // all slots are taken
	fallbackTimeout                     // not done in time
	fallbackShortOutput                 // success, but not the whole output
	fallbackChecksum                    // success, but the checksum is not that of the bytes
	fallbacks
)

var fallbackNames = [fallbacks]string{
	fallbackLevel:       "level",
	fallbackSize:        "size",
	fallbackNoQueue:     "no-queue",
	fallbackBusy:        "busy",
	fallbackNoSlot:      "no-slot",
	fallbackTimeout:     "timeout",
	fallbackShortOutput: "short-output",
	fallbackChecksum:    "checksum",
}

// Why a queue is lost, besides names of statuses.
const (
	lostDisabled = "disabled"
	lostRefusing = "refusing"
	lostTimeout  = "timeout"
	lostWrite    = "write-error"
)

// counters are what Stats shows.
type counters struct {
	decompressed, compressed atomic.Uint64

	fallbacks [fallbacks]atomic.Uint64
	statuses  [statusMask + 1]atomic.Uint64
	errors    [256]atomic.Uint64

	mu   sync.Mutex
	lost map[string]uint64 // guarded by mu; queues lost, by reason
}

func (c *counters) queueLost(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost == nil {
		c.lost = map[string]uint64{}
	}
	c.lost[reason]++
}

func (c *counters) complaint(of completion) {
	if of.status == statusAnalytics {
		c.errors[of.errorCode].Add(1)
		return
	}
	c.statuses[of.status].Add(1)
}

func (c *counters) stats() Stats {
	s := Stats{
		Decompressed: c.decompressed.Load(),
		Compressed:   c.compressed.Load(),
		Fallbacks:    map[string]uint64{},
	}
	add := func(name string, counter *atomic.Uint64) {
		if n := counter.Load(); n > 0 {
			s.Fallbacks[name] += n
		}
	}
	for i := range c.fallbacks {
		add(fallbackNames[i], &c.fallbacks[i])
	}
	for i := range c.statuses {
		add(statusName(uint8(i)), &c.statuses[i])
	}
	for i := range c.errors {
		add(errorName(uint8(i)), &c.errors[i])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.QueuesLost = maps.Clone(c.lost)
	return s
}
