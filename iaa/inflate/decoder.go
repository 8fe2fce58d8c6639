package inflate

import "errors"

// SlackBytes is the capacity behind both buffers with which no copy is needed.
const SlackBytes = 64

var (
	// ErrStream is returned for a stream that is invalid, truncated, or ends
	// before its last byte.
	ErrStream = errors.New("invalid DEFLATE stream")
	// ErrLength is returned for a stream that yields fewer or more bytes than
	// the destination has.
	ErrLength = errors.New("DEFLATE stream has another length than expected")
)

// Decoder decodes streams, up to two at a time. Its zero value is ready.
type Decoder struct {
	lanes [2]lane
}

// Tasks are streams to decode, by number.
type Tasks interface {
	// Task returns the buffers of a stream and, if it has no header, its table.
	Task(i int) (dst, src []byte, table *Table)
	// Done takes the result of a stream: how many bytes were decoded, and why
	// not all of them.
	Done(i, n int, err error)
}

// Decode fills dst with the raw bytes of the stream in src, or returns how many
// were decoded and ErrStream or ErrLength. With a table the stream has no
// header. Capacity beyond len(src) may be read, beyond len(dst) overwritten.
func (d *Decoder) Decode(dst, src []byte, table *Table) (int, error) {
	l := &d.lanes[0]
	for running := l.start(dst, src, table); running; {
		running = l.resume(run(&l.stream, l.table))
	}
	return l.finish()
}

// DecodeAll decodes n streams as Decode does. Two of them are decoded side by
// side, where the processor can: that takes two thirds of the time. Results come
// in any order.
func (d *Decoder) DecodeAll(n int, tasks Tasks) {
	next := 0
	for i := range d.lanes {
		next = d.lanes[i].startNext(next, n, tasks)
	}
	a, b := &d.lanes[0], &d.lanes[1]
	for a.busy && b.busy {
		x := a
		which, result := runPair(&a.stream, &b.stream, a.table, b.table)
		if which == 1 {
			x = b
		}
		if !x.resume(result) {
			tasks.Done(x.deliver())
			next = x.startNext(next, n, tasks)
		}
	}
	for i := range d.lanes {
		d.lanes[i].drain(tasks)
	}
}
