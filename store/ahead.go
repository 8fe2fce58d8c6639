package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// aheadGapBytes is the longest piece between two frames that is read along:
	// a disk delivers it in less time than a second request takes.
	aheadGapBytes = 64 << 10
	// aheadReadBytes is the longest single read.
	aheadReadBytes = 1 << 20
	// directAlignBytes is what O_DIRECT asks of offsets, lengths and memory on
	// every filesystem.
	directAlignBytes = 4096
)

// AheadFrame is one frame that was decoded ahead of demand.
type AheadFrame struct {
	Frame uint32
	Raw   []byte // nil if Err is set
	Err   error
}

// AheadReader decodes frames before anybody asks for them. It reads neighboring
// frames with one access to the disk and decodes them as one batch, and while it
// has them, demand takes them from it instead of decoding them again.
//
// It is used by one goroutine. Several of them, and any demand, share the frames
// of a [FrameCache]: a frame is decoded by one and used by all.
type AheadReader struct {
	// ReadTime and DecodeTime sum up what reading and decoding took, and
	// ReadBytes the packed bytes that were read, since the reader was made.
	ReadTime, DecodeTime time.Duration
	ReadBytes            int64

	cache  *FrameCache
	img    *Image
	frames []AheadFrame
	led    []ledFrame
	reads  []frameRead
	raw    []byte // holds what led frames are decoded to, with slack after each
	packed []byte // page-aligned, for O_DIRECT
	direct directFile
}

// ledFrame is a frame that this reader decodes: its flight, and where the result
// goes in AheadReader.frames.
type ledFrame struct {
	key    uint64
	flight *flight
	index  int
}

// NewAheadReader returns a reader for frames of img. Close it.
func (c *FrameCache) NewAheadReader(img *Image) (*AheadReader, error) {
	packed, err := unix.Mmap(-1, 0, aheadReadBytes+MaxFrameBytes+2*directAlignBytes,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("mapping a read buffer: %w", err)
	}
	return &AheadReader{cache: c, img: img, packed: packed, direct: openDirect(img.file)}, nil
}

// Close frees what the reader holds. Nothing may be taken from it any more.
func (a *AheadReader) Close() error {
	return errors.Join(unix.Munmap(a.packed), a.direct.close())
}

// Decode returns the frames in the order in which they were asked for, each with
// its bytes or with an error of its own. They may be used until Release, which
// must follow before the next Decode. Frames that somebody else decodes already
// are waited for, after the reader's own are there for others.
func (a *AheadReader) Decode(ctx context.Context, frames []uint32) ([]AheadFrame, error) {
	a.frames, a.led = a.frames[:0], a.led[:0]
	var others []otherFlight
	for i, frame := range frames {
		a.frames = append(a.frames, AheadFrame{Frame: frame})
		if raw, ok := a.cache.Lookup(a.img, frame); ok {
			a.frames[i].Raw = raw
			continue
		}
		key := cacheKey(a.img, frame)
		f, leads := a.cache.join(key, true)
		if leads {
			a.led = append(a.led, ledFrame{key, f, i})
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

// Release ends what Decode began. A frame that somebody waited for is left to
// them, and the memory with it.
func (a *AheadReader) Release() {
	kept := false
	a.cache.mu.Lock()
	for _, l := range a.led {
		kept = kept || l.flight.awaited
		if a.cache.flights[l.key] == l.flight {
			delete(a.cache.flights, l.key)
		}
	}
	a.cache.mu.Unlock()
	if kept {
		a.raw = nil
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

// locate looks the led frames up, sorts them by their place in the file and gives
// each its room.
func (a *AheadReader) locate() {
	a.reads = a.reads[:0]
	found := a.led[:0]
	rawBytes := 0
	for _, l := range a.led {
		entry, err := a.img.Frame(a.frames[l.index].Frame)
		if err != nil {
			a.publish(l, nil, err)
			continue
		}
		found = append(found, l)
		a.reads = append(a.reads, frameRead{entry: entry})
		rawBytes += entry.RawBytes() + SlackBytes
	}
	a.led = found
	if !slices.IsSortedFunc(a.reads, byPackedOff) {
		a.sortByPackedOff()
	}
	if len(a.raw) < rawBytes {
		a.raw = make([]byte, rawBytes)
	}
	room := a.raw
	for i := range a.reads {
		r := &a.reads[i]
		r.dst = room[: r.entry.RawBytes() : r.entry.RawBytes()+SlackBytes]
		room = room[r.entry.RawBytes()+SlackBytes:]
	}
}

func byPackedOff(x, y frameRead) int { return cmp.Compare(x.entry.PackedOff, y.entry.PackedOff) }

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

// extent returns the end of the frames, from first on, that one access reads.
func (a *AheadReader) extent(first int) int {
	begin := a.reads[first].entry.PackedOff
	last := begin
	end := first
	for ; end < len(a.reads); end++ {
		e := a.reads[end].entry
		frameEnd := e.PackedOff + int64(e.PackedLen)
		if end > first && (e.PackedOff-last > aheadGapBytes || frameEnd-begin > aheadReadBytes) {
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
	got, err := a.direct.readAt(a.img.file, a.packed, packedOff, int(end-packedOff)+SlackBytes)
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

// publish hands a frame to whoever waits for it. Until Release, or retire, others
// still find it.
func (a *AheadReader) publish(l ledFrame, raw []byte, err error) {
	out := &a.frames[l.index]
	if err != nil {
		out.Err, l.flight.err = err, errAheadFailed
		a.retire(l) // first, so that who waits can lead
	} else {
		out.Raw, l.flight.raw = raw, raw
	}
	close(l.flight.done)
}

// retire takes a flight out of the table.
func (a *AheadReader) retire(l ledFrame) {
	a.cache.mu.Lock()
	defer a.cache.mu.Unlock()
	if a.cache.flights[l.key] == l.flight {
		delete(a.cache.flights, l.key)
	}
}
