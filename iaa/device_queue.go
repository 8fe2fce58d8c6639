package iaa

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"sabrefs/iaa/portal"
)

const (
	// writeGroup is how many descriptors go to the kernel with one write(2).
	writeGroup = 16
	// refusalsBeforeCheck is after how many refusals in a row the state of a
	// queue is read again, and checkInterval how often at most: a queue may be
	// full for long.
	refusalsBeforeCheck = 256
	checkInterval       = 10 * time.Millisecond
	// refusalsBeforeLoss is after how many a queue is given up whose state
	// cannot be read, and that has nothing of ours to do.
	refusalsBeforeLoss = 16 * refusalsBeforeCheck
)

// Ways to submit, as in QueueReport.
const (
	submitENQCMD    = "enqcmd"
	submitMOVDIR64B = "movdir64b"
	submitWrite     = "write"
)

// errRefused is returned if a queue takes no descriptor at this time.
var errRefused = errors.New("queue is full")

// queue is an opened work queue.
type queue struct {
	found  *foundQueue // never changes, as everything down to ops
	node   portal.Node
	window portal.Window // nil if descriptors go by write(2)
	submit string
	socket optional[int]
	// limit is how many descriptors may be in flight, 0 for as many as it
	// takes: a dedicated queue loses what it has no slot for.
	limit            int64
	flags            uint32 // of every descriptor but the probe's
	maxTransferBytes int

	ops      atomic.Uint32 // a bit for each Op that it runs
	lost     atomic.Bool
	_        [lineBytes]byte // what is above is read by all, below written
	inFlight atomic.Int64
	refusals atomic.Uint32 // in a row
	checked  atomic.Int64  // when the state was read, by the engine's clock
}

func opBit(op Op) uint32 { return 1 << op }

// newQueue describes a queue that is open, but not how to submit to it.
func newQueue(found *foundQueue, node portal.Node) *queue {
	const usualTransferBytes = 2 << 20 // Linux, WQ_DEFAULT_MAX_XFER
	q := &queue{
		found: found, node: node, socket: found.device.socket,
		maxTransferBytes: found.maxTransferBytes.or(usualTransferBytes),
	}
	if !found.mode.is(wordShared) {
		q.limit = int64(max(1, found.size.or(1)))
	}
	for op, operation := range map[Op]uint8{OpDecompress: opcodeDecompress, OpCompress: opcodeCompress} {
		if found.runs(operation) != No {
			q.ops.Or(opBit(op))
		}
	}
	return q
}

// connect chooses the way to submit: the portal, or write(2) where the portal
// may not be mapped or the instruction for it is not known.
func (q *queue) connect(cpu portal.Instructions) error {
	switch {
	case q.found.mode.is(wordShared) && cpu.ENQCMD:
		q.submit = submitENQCMD
	case q.found.mode.is(wordDedicated) && cpu.MOVDIR64B:
		q.submit = submitMOVDIR64B
	default:
		q.submit = submitWrite
		return nil
	}
	window, err := q.node.Map()
	if errors.Is(err, syscall.EPERM) {
		q.submit = submitWrite
		return nil
	}
	if err != nil {
		return fmt.Errorf("mapping the portal: %w", err)
	}
	q.window = window
	return nil
}

// close gives the queue back. The kernel waits for what is in flight before the
// last reference goes.
func (q *queue) close() error {
	var err error
	if q.window != nil {
		err = q.window.Unmap()
		q.window = nil
	}
	return errors.Join(err, q.node.Close())
}

// descriptorFlags are those that depend on how the queue is configured.
func (q *foundQueue) descriptorFlags() (flags uint32) {
	// Without page requests a blocked job could not be helped; unblocked, it
	// reports the fault, which can be mended.
	if q.blockOnFault.is(1) && !q.prsDisable.is(1) {
		flags |= flagBlockOnFault
	}
	if q.device.genCap.known && q.device.genCap.value&capCacheControl != 0 {
		flags |= flagCacheControl
	}
	return flags
}

// takes is whether the queue runs a job at all.
func (q *queue) takes(s *slot) bool {
	return !q.lost.Load() && q.ops.Load()&opBit(s.phase.op()) != 0 &&
		max(s.inputBytes, s.roomBytes) <= q.maxTransferBytes
}

// reserve counts a descriptor as in flight, if one more may be.
func (q *queue) reserve() bool {
	if n := q.inFlight.Add(1); q.limit > 0 && n > q.limit {
		q.inFlight.Add(-1)
		return false
	}
	return true
}

// offer submits as many of the slots as the queue takes, the first ones first,
// and returns how many. packed is space for write(2). An error other than
// errRefused means that the queue will not work again.
func (q *queue) offer(slots []*slot, packed *[writeGroup * descriptorBytes]byte) (int, error) {
	if q.window == nil {
		return q.write(slots[:min(len(slots), writeGroup)], packed)
	}
	for i, s := range slots {
		if !q.store(s) {
			return i, errRefused
		}
	}
	return len(slots), nil
}

// prepare makes a slot the queue's own, with a record that says "not done".
func (q *queue) prepare(s *slot) {
	s.queue = q
	*s.record = [recordBytes]byte{}
	addDescriptorFlags(s.descriptor, flagBlockOnFault|flagCacheControl, q.flags)
}

// store submits through the portal.
func (q *queue) store(s *slot) bool {
	if !q.reserve() {
		return false
	}
	q.prepare(s)
	if q.submit == submitMOVDIR64B {
		q.window.Movdir64b(s.descriptor)
		return true
	}
	if q.window.Enqcmd(s.descriptor) {
		return true
	}
	q.inFlight.Add(-1)
	return false
}

// write submits through the kernel.
func (q *queue) write(slots []*slot, packed *[writeGroup * descriptorBytes]byte) (int, error) {
	count := 0
	for _, s := range slots {
		if !q.reserve() {
			break
		}
		q.prepare(s)
		copy(packed[count*descriptorBytes:], s.descriptor[:])
		count++
	}
	if count == 0 {
		return 0, errRefused
	}
	n, err := q.node.Write(packed[:count*descriptorBytes])
	accepted := min(max(n/descriptorBytes, 0), count)
	q.inFlight.Add(int64(accepted - count))
	switch {
	case accepted == len(slots):
		return accepted, nil
	case accepted > 0, err == nil, errors.Is(err, syscall.EAGAIN):
		return accepted, errRefused
	}
	return 0, err
}

// accepted ends a row of refusals.
func (q *queue) accepted() {
	if q.refusals.Load() != 0 { // mostly it is, and then nobody else need know
		q.refusals.Store(0)
	}
}
