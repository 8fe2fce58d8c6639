package inflate

// lane is one stream that is being decoded, and the scratch space for it.
type lane struct {
	stream stream
	shared *Table // of a stream without headers, or nil
	table  *Table // of the block in hand
	final  bool   // it is the last one
	err    error

	own    Table // of a dynamic block
	header header

	// Stand in for buffers without slack; dst is then the caller's.
	paddedSrc, paddedDst []byte
	dst                  []byte

	busy bool // with a task of DecodeAll
	task int
}

// start begins a stream. It returns true when the next thing to do is to run
// the symbols of a block, false when the stream is at its end or wrong.
func (l *lane) start(dst, src []byte, table *Table) bool {
	l.dst = nil
	rawBytes := len(dst)
	if cap(dst)-len(dst) < SlackBytes {
		l.paddedDst = grown(l.paddedDst, len(dst)+SlackBytes)
		l.dst, dst = dst, l.paddedDst[:len(dst)]
	}
	if cap(src)-len(src) < SlackBytes {
		l.paddedSrc = grown(l.paddedSrc, len(src)+SlackBytes)
		src = l.paddedSrc[:copy(l.paddedSrc, src)]
	}
	l.stream = stream{
		src: src[:len(src)+SlackBytes], srcLen: len(src),
		dst: dst[:rawBytes+SlackBytes], dstLen: rawBytes,
	}
	l.shared = table
	return l.begin()
}

// begin takes the stream from its first bit; it returns what start does.
func (l *lane) begin() bool {
	s := &l.stream
	s.in, s.out, s.buf, s.left = 0, 0, 0, 0
	l.err = nil
	l.table, l.final = l.shared, l.shared != nil
	return l.final || l.nextBlock()
}

// grown returns a buffer of at least n bytes; the old contents are lost.
func grown(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:cap(b)]
}

// resume goes on after a run; it returns what start does.
func (l *lane) resume(result runResult) bool {
	if l.err = l.stream.outcome(l.table, result); l.err != nil {
		return false
	}
	return l.nextBlock()
}

// nextBlock reads headers up to a block that has symbols.
func (l *lane) nextBlock() bool {
	for !l.final {
		if l.stream.overrun() {
			l.err = l.stream.truncated()
			return false
		}
		l.stream.refill()
		l.final = l.stream.take(1) != 0
		var symbols bool
		if symbols, l.err = l.startBlock(l.stream.take(2)); l.err != nil || symbols {
			return symbols
		}
	}
	return false
}

// startBlock takes what follows the three bits of a header, RFC 1951, 3.2.3, and
// reports whether symbols are next.
func (l *lane) startBlock(blockType uint64) (symbols bool, err error) {
	switch blockType {
	case 0:
		return false, l.stream.stored()
	case 1:
		l.table = fixedTable
	case 2:
		if err := l.readTable(); err != nil {
			return false, err
		}
		l.table = &l.own
	default:
		return false, l.stream.invalid("block type 3")
	}
	if l.stream.overrun() {
		return false, l.stream.truncated()
	}
	return true, nil
}

// finish returns how much was decoded, and why it is not all.
func (l *lane) finish() (int, error) {
	if l.err == nil {
		l.err = l.stream.checkEnd()
	}
	if l.err != nil {
		l.repeat()
	}
	n := min(l.stream.out, l.stream.dstLen)
	if l.dst != nil {
		copy(l.dst, l.paddedDst[:n])
	}
	err := l.err
	l.stream, l.dst, l.shared, l.table, l.err = stream{}, nil, nil, nil, nil // keeps nothing alive
	return n, err
}

// repeat decodes a stream that failed once more, always in the same way: alone,
// by the portable loop, with zeros behind the input. Otherwise how far it gets
// and what is found wrong with it first would depend on what lies behind the
// input, on the processor and on the other stream. A failure remains one.
func (l *lane) repeat() {
	s, failure := &l.stream, l.err
	l.paddedSrc = grown(l.paddedSrc, s.srcLen+SlackBytes)
	copy(l.paddedSrc, s.src[:s.srcLen]) // may be there already
	s.src = l.paddedSrc[:s.srcLen+SlackBytes]
	clear(s.src[s.srcLen:])
	for running := l.begin(); running; {
		running = l.resume(runPortable(s, l.table))
	}
	if l.err == nil {
		l.err = s.checkEnd()
	}
	if l.err == nil {
		l.err = failure
	}
}

// startNext starts streams from the next one on until one has symbols to run,
// and returns the number of the one after. The lane is not busy if none is left.
func (l *lane) startNext(next, n int, tasks Tasks) int {
	for l.busy = false; !l.busy && next < n; next++ {
		l.task = next
		l.busy = l.start(tasks.Task(next))
		if !l.busy {
			tasks.Done(l.deliver())
		}
	}
	return next
}

// drain runs what is left in the lane alone.
func (l *lane) drain(tasks Tasks) {
	if !l.busy {
		return
	}
	for l.busy {
		l.busy = l.resume(run(&l.stream, l.table))
	}
	tasks.Done(l.deliver())
}

// deliver returns the arguments of Done.
func (l *lane) deliver() (task, n int, err error) {
	n, err = l.finish()
	return l.task, n, err
}
