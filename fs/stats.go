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
	Opens         int64 // of memory files
	Reads         int64 // READ requests of memory files that were answered
	ReadBytes     int64 // bytes in those answers
	FailedReads   int64 // READ requests of memory files that ended in an error
	RefusedWrites int64 // WRITE requests to memory files, all refused
	Scrubs        int64 // ranges that the kernel dropped after a refused write
	Pushes        int64 // runs of neighboring pages put into the page cache
	PushedBytes   int64 // bytes in those runs
	DroppedPushes int64 // frames not pushed because too much was under way
	FailedPushes  int64 // frames not pushed because of an error
}

func (c *counters) snapshot() Stats {
	return Stats{
		Opens: c.opens.Load(), Reads: c.reads.Load(), ReadBytes: c.readBytes.Load(),
		FailedReads: c.failedReads.Load(), RefusedWrites: c.refusedWrites.Load(), Scrubs: c.scrubs.Load(),
		Pushes: c.pushes.Load(), PushedBytes: c.pushedBytes.Load(),
		DroppedPushes: c.droppedPushes.Load(), FailedPushes: c.failedPushes.Load(),
	}
}
