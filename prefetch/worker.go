package prefetch

import (
	"context"
	"errors"
	"time"

	"sabrefs/store"
)

// worker decodes and pushes batches, one at a time.
type worker struct {
	run    *Run
	reader *store.AheadReader
	rest   bool // what it pushes is not of the working set
}

// close adds what the worker did to the counts of the run.
func (w *worker) close() error {
	r := w.run
	r.readBytes.Add(w.reader.ReadBytes)
	r.frames.Add(w.reader.Frames)
	r.rawBytes.Add(w.reader.RawBytes)
	r.readNanos.Add(int64(w.reader.ReadTime))
	r.decNanos.Add(int64(w.reader.DecodeTime))
	return w.reader.Close()
}

// push decodes the frames of a batch and pushes its spans. Frames that cannot be
// decoded are left to demand, which reports what is wrong with them.
func (w *worker) push(ctx context.Context, b *batch) error {
	defer w.reader.Release()
	frames, err := w.reader.Decode(ctx, b.frames)
	if err != nil {
		return err
	}
	for i := range frames {
		if frames[i].Err != nil {
			w.run.badFrames.Add(1)
			w.run.config.Report(frames[i].Err)
		}
	}
	began := time.Now()
	defer func() { w.run.pushNanos.Add(int64(time.Since(began))) }()
	for i := range b.spans {
		if err := w.pushSpan(ctx, frames, b.spans[i]); err != nil {
			return err
		}
	}
	return nil
}

// pushSpan pushes the parts of a span whose bytes are there.
func (w *worker) pushSpan(ctx context.Context, frames []store.AheadFrame, s span) error {
	for len(s.places) > 0 {
		end := 0
		for end < len(s.places) && hasBytes(frames, s.places[end]) {
			end++
		}
		if end > 0 {
			if err := w.store(ctx, frames, span{s.firstPage, s.places[:end]}); err != nil {
				return err
			}
		}
		skip := min(end+1, len(s.places)) // the page without bytes too
		s = span{s.firstPage + uint32(skip), s.places[skip:]}
	}
	return nil
}

// hasBytes reports whether the bytes of a page are there. That a frame has the slot
// is not certain in an image that is damaged.
func hasBytes(frames []store.AheadFrame, p place) bool {
	return p.index == zeroPlace || (int(p.slot)+1)*store.PageBytes <= len(frames[p.index].Raw)
}

// store pushes a span, in one piece if its pages lie together, else by as much as
// there is scratch memory for.
func (w *worker) store(ctx context.Context, frames []store.AheadFrame, s span) error {
	if raw := w.inPlace(frames, s.places); raw != nil {
		return w.storeBytes(ctx, s, raw)
	}
	pages := len(w.reader.Scratch()) / store.PageBytes
	for len(s.places) > 0 {
		n := min(pages, len(s.places))
		part := span{s.firstPage, s.places[:n]}
		if err := w.storeBytes(ctx, part, w.gathered(frames, part.places)); err != nil {
			return err
		}
		s = span{s.firstPage + uint32(n), s.places[n:]}
	}
	return nil
}

func (w *worker) storeBytes(ctx context.Context, s span, raw []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	run := w.run
	rawOff := int64(s.firstPage) * store.PageBytes
	raw = raw[:min(int64(len(raw)), run.config.Image.RawBytes()-rawOff)] // or the file would grow
	if !run.config.Budget.take(int64(len(raw))) {
		return errBudget
	}
	run.taken.Add(int64(len(raw)))
	err := run.config.Sink.Store(rawOff, raw)
	if errors.Is(err, ErrGone) {
		return err
	}
	if err != nil {
		run.failedPush.Add(1)
		run.config.Report(err)
		return nil
	}
	run.calls.Add(1)
	run.pushed.Add(int64(len(raw)))
	if w.rest {
		run.config.Tracker.pushRest(int64(s.firstPage), int64(len(s.places)))
	} else {
		run.config.Tracker.push(int64(s.firstPage), int64(len(s.places)))
	}
	return nil
}

// inPlace returns the bytes of pages that lie together in memory, nil if they do
// not.
func (w *worker) inPlace(frames []store.AheadFrame, places []place) []byte {
	begin, lenBytes := -1, len(places)*store.PageBytes
	for i, p := range places {
		if p.index == zeroPlace || frames[p.index].At < 0 {
			begin = -1
			break
		}
		at := frames[p.index].At + int(p.slot)*store.PageBytes
		if i == 0 {
			begin = at
		} else if at != begin+i*store.PageBytes {
			return nil
		}
	}
	if begin >= 0 {
		return w.reader.Piece(begin, lenBytes)
	}
	return inOneFrame(frames, places)
}

// inOneFrame is inPlace for pages of a frame that is not in the reader's memory.
func inOneFrame(frames []store.AheadFrame, places []place) []byte {
	first := places[0]
	for i, p := range places {
		if p.index == zeroPlace || p.index != first.index || int(p.slot) != int(first.slot)+i {
			return nil
		}
	}
	return frames[first.index].Raw[int(first.slot)*store.PageBytes:][:len(places)*store.PageBytes]
}

// gathered copies the bytes of pages together.
func (w *worker) gathered(frames []store.AheadFrame, places []place) []byte {
	raw := w.reader.Scratch()[:len(places)*store.PageBytes]
	for i, p := range places {
		page := raw[i*store.PageBytes:][:store.PageBytes]
		if p.index == zeroPlace {
			clear(page)
		} else {
			copy(page, frames[p.index].Raw[int(p.slot)*store.PageBytes:])
		}
	}
	return raw
}
