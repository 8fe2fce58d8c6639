package store

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"time"
)

const (
	// aheadGapBytes is the longest piece between two frames that is read along:
	// a disk delivers it in less time than a second request takes.
	aheadGapBytes = 64 << 10
	// aheadReadBytes is the longest single read, without slack.
	aheadReadBytes = aheadPackedBytes - SlackBytes
	// AheadBatchBytes is the raw size of frames that an AheadReader has room for;
	// more of them at once it decodes too, only slower.
	AheadBatchBytes = 512 << 10
)

// AheadFrame is one frame that was decoded ahead of demand.
type AheadFrame struct {
	Frame uint32
	Raw   []byte // nil if Err is set
	Err   error
	// At is where Raw is in the memory of the reader, -1 if it is elsewhere: frames
	// that follow one another there can be taken as one piece, by Piece.
	At int
}

// AheadReader decodes frames before anybody asks for them. It reads neighboring
// frames with one access to the disk and decodes them as one batch, and while it
// has them, demand takes them from it instead of decoding them again.
//
// It is used by one goroutine. Several of them, and any demand, share the frames
// of a [FrameCache]: a frame is decoded by one and used by all.
type AheadReader struct {
	// ReadTime and DecodeTime sum up what reading and decoding took, ReadBytes the
	// packed bytes that were read, Frames and RawBytes what the reader decoded itself,
	// since it was made.
	ReadTime, DecodeTime        time.Duration
	ReadBytes, Frames, RawBytes int64

	cache  *FrameCache
	img    *Image
	buffer *aheadBuffer

	frames []AheadFrame
	led    []ledFrame
	reads  []frameRead
}

// ledFrame is a frame that this reader decodes: its flight, and where the result
// goes in AheadReader.frames.
type ledFrame struct {
	key    uint64
	flight *flight
	index  int
	at     int // see AheadFrame
}

// NewAheadReader returns a reader for frames of img. Close it.
func (c *FrameCache) NewAheadReader(img *Image) (*AheadReader, error) {
	buffer, err := c.buffers.take()
	if err != nil {
		return nil, err
	}
	return &AheadReader{cache: c, img: img, buffer: buffer}, nil
}

// PrepareAhead makes memory for so many readers ready, before anybody waits.
func (c *FrameCache) PrepareAhead(readers int) error {
	var err error
	for range min(readers, keptAheadBuffers) {
		buffer, mapErr := mapAheadBuffer()
		if mapErr != nil {
			return errors.Join(err, mapErr)
		}
		buffer.prepare()
		err = errors.Join(err, c.buffers.give(buffer))
	}
	return err
}

// Close frees what the reader holds. Nothing may be taken from it any more.
func (a *AheadReader) Close() error { return a.cache.buffers.give(a.buffer) }

// Scratch is memory for the user of the reader, of 256 KiB.
func (a *AheadReader) Scratch() []byte { return a.buffer.scratch }

// Piece returns the memory of the reader from at on: that of one frame, or of
// several whose At says that they follow one another.
func (a *AheadReader) Piece(at, lenBytes int) []byte { return a.buffer.raw[at : at+lenBytes] }

// Decode returns the frames in the order in which they were asked for, each with
// its bytes or with an error of its own. They may be used until Release, which
// must follow before the next Decode. Frames that somebody else decodes already
// are waited for, after the reader's own are there for others.
func (a *AheadReader) Decode(ctx context.Context, frames []uint32) ([]AheadFrame, error) {
	a.frames, a.led = a.frames[:0], a.led[:0]
	var others []otherFlight
	for i, frame := range frames {
		a.frames = append(a.frames, AheadFrame{Frame: frame, At: -1})
		if raw, ok := a.cache.Lookup(a.img, frame); ok {
			a.frames[i].Raw = raw
			continue
		}
		key := cacheKey(a.img, frame)
		f, leads := a.cache.join(key, true)
		if leads {
			a.led = append(a.led, ledFrame{key: key, flight: f, index: i, at: -1})
		} else {
			others = append(others, otherFlight{f, i})
		}
	}
	a.decodeLed(ctx)
	for _, o := range others {
		a.frames[o.index].Raw, a.frames[o.index].Err = o.flight.wait(ctx)
	}
	return a.frames, ctx.Err()
}

// otherFlight is a frame that somebody else decodes.
type otherFlight struct {
	flight *flight
	index  int
}

// Release ends what Decode began. It waits for who is copying from the memory of
// the reader, which takes microseconds.
func (a *AheadReader) Release() {
	a.cache.mu.Lock()
	for _, l := range a.led {
		a.retireLocked(l)
	}
	a.cache.mu.Unlock()
	for _, l := range a.led {
		l.flight.readers.Wait()
	}
	a.led = a.led[:0]
}

// decodeLed reads and decodes the frames that are this reader's, and publishes
// each: from then on others use it, before Release too. It does not end with the
// context, for others may wait.
func (a *AheadReader) decodeLed(ctx context.Context) {
	began := time.Now()
	readBefore := a.ReadTime
	a.locate()
	a.makeRoom()
	for first := 0; first < len(a.reads); {
		end := a.extent(first)
		a.readExtent(a.reads[first:end])
		a.img.decodePacked(context.WithoutCancel(ctx), a.reads[first:end])
		for i := first; i < end; i++ {
			a.publish(a.led[i], a.reads[i].dst, a.reads[i].err)
		}
		first = end
	}
	a.DecodeTime += time.Since(began) - (a.ReadTime - readBefore)
}

// locate looks the led frames up and sorts them by their place in the file.
func (a *AheadReader) locate() {
	a.reads = a.reads[:0]
	found := a.led[:0]
	for _, l := range a.led {
		entry, err := a.img.Frame(a.frames[l.index].Frame)
		if err != nil {
			a.publish(l, nil, err)
			continue
		}
		found = append(found, l)
		a.reads = append(a.reads, frameRead{entry: entry})
	}
	a.led = found
	if !slices.IsSortedFunc(a.reads, byPackedOff) {
		a.sortByPackedOff()
	}
}

// byPackedOff sorts by file, and within a file by offset.
func byPackedOff(x, y frameRead) int {
	return cmp.Or(cmp.Compare(x.entry.Layer, y.entry.Layer), cmp.Compare(x.entry.PackedOff, y.entry.PackedOff))
}

// sortByPackedOff sorts reads and led together.
func (a *AheadReader) sortByPackedOff() {
	order := make([]int, len(a.reads))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, k int) int { return byPackedOff(a.reads[i], a.reads[k]) })
	reads, led := make([]frameRead, len(order)), make([]ledFrame, len(order))
	for to, from := range order {
		reads[to], led[to] = a.reads[from], a.led[from]
	}
	a.reads, a.led = reads, led
}

// makeRoom says where each frame is decoded to: one right behind the other, so that
// their pages can be pushed as one piece. A decoder may write some bytes past the
// end of its frame, into one that is decoded after it. Of DEFLATE frames several are
// decoded at once, after all others: they must end where they end.
func (a *AheadReader) makeRoom() {
	room := a.buffer.raw
	at := 0
	for i := range a.reads {
		r := &a.reads[i]
		rawBytes := r.entry.RawBytes()
		if at+rawBytes+SlackBytes > len(room) {
			r.dst = make([]byte, rawBytes, rawBytes+SlackBytes)
			continue
		}
		r.dst = room[at : at+rawBytes : at+rawBytes+SlackBytes]
		if r.entry.Codec == CodecDeflate {
			r.dst = slices.Clip(r.dst)
		}
		a.led[i].at = at
		at += rawBytes
	}
}

// extent returns the end of the frames, from first on, that one access reads.
func (a *AheadReader) extent(first int) int {
	layer, begin := a.reads[first].entry.Layer, a.reads[first].entry.PackedOff
	last := begin
	end := first
	for ; end < len(a.reads); end++ {
		e := a.reads[end].entry
		frameEnd := e.PackedOff + int64(e.PackedLen)
		if end > first && (e.Layer != layer || e.PackedOff-last > aheadGapBytes || frameEnd-begin > aheadReadBytes) {
			break
		}
		last = max(last, frameEnd)
	}
	return end
}

// readExtent reads the packed bytes of frames that lie together. Slack follows
// every frame in the file.
func (a *AheadReader) readExtent(reads []frameRead) {
	began := time.Now()
	packedOff := reads[0].entry.PackedOff
	end := packedOff
	for i := range reads {
		end = max(end, reads[i].entry.PackedOff+int64(reads[i].entry.PackedLen))
	}
	got := a.buffer.packed[:int(end-packedOff)+SlackBytes]
	n, err := reads[0].entry.img.file.ReadAt(got, packedOff)
	got = got[:n]
	a.ReadBytes += int64(len(got))
	a.ReadTime += time.Since(began)
	for i := range reads {
		r := &reads[i]
		at := int(r.entry.PackedOff - packedOff)
		switch {
		case at+r.entry.PackedLen+SlackBytes <= len(got):
			r.packed = got[at : at+r.entry.PackedLen]
		case err != nil:
			r.err = shortRead(err, r.entry.PackedOff)
		default:
			r.err = shortRead(io.ErrUnexpectedEOF, r.entry.PackedOff)
		}
	}
}

// publish hands a frame to whoever waits for it. Until Release others still find
// it. One that failed is gone at once, so that who waits can lead.
func (a *AheadReader) publish(l ledFrame, raw []byte, err error) {
	out := &a.frames[l.index]
	if err != nil {
		out.Err, l.flight.err = err, errAheadFailed
		a.cache.mu.Lock()
		a.retireLocked(l)
		a.cache.mu.Unlock()
	} else {
		out.Raw, out.At, l.flight.raw = raw, l.at, raw
		a.Frames++
		a.cache.decoded.Add(1)
		a.RawBytes += int64(len(raw))
	}
	close(l.flight.done)
}

// retireLocked takes a flight out of the table; FrameCache.mu is held.
func (a *AheadReader) retireLocked(l ledFrame) {
	if a.cache.flights[l.key] == l.flight {
		delete(a.cache.flights, l.key)
	}
}
