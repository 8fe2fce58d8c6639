package fs

import "sync/atomic"

// counters are what a mount counts.
type counters struct {
	opens, reads, readBytes, failedReads, refusedWrites      atomic.Int64
	pushes, pushedBytes, droppedPushes, failedPushes, scrubs atomic.Int64
}

// Stats are counts since the mount began. They are taken one after the other
// and need not agree exactly.
type Stats struct {
	Opens         int64 `json:"opens"`          // of memory files
	Reads         int64 `json:"reads"`          // READ requests of memory files that were answered
	ReadBytes     int64 `json:"read_bytes"`     // bytes in those answers
	FailedReads   int64 `json:"failed_reads"`   // READ requests of memory files that ended in an error
	RefusedWrites int64 `json:"refused_writes"` // WRITE requests to memory files, all refused
	Scrubs        int64 `json:"scrubs"`         // ranges that the kernel dropped after a refused write
	Pushes        int64 `json:"pushes"`         // runs of pages put into the page cache
	PushedBytes   int64 `json:"pushed_bytes"`   // bytes in those runs
	DroppedPushes int64 `json:"dropped_pushes"` // regions not pushed because too much was under way
	FailedPushes  int64 `json:"failed_pushes"`  // pushes that the kernel refused
}

func (c *counters) snapshot() Stats {
	return Stats{
		Opens: c.opens.Load(), Reads: c.reads.Load(), ReadBytes: c.readBytes.Load(),
		FailedReads: c.failedReads.Load(), RefusedWrites: c.refusedWrites.Load(), Scrubs: c.scrubs.Load(),
		Pushes: c.pushes.Load(), PushedBytes: c.pushedBytes.Load(),
		DroppedPushes: c.droppedPushes.Load(), FailedPushes: c.failedPushes.Load(),
	}
}
