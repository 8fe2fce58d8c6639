package iaa

import (
	"encoding/binary"
	"hash/crc32"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"sabrefs/iaa/portal"
)

// fakeQueue is a queue whose every answer a test chooses. Without choices it
// takes descriptors and completes them at once with success.
type fakeQueue struct {
	mapErr error
	// refuse is asked first; what it refuses is not taken.
	refuse func() bool
	// answer completes a descriptor, or does not.
	answer func(*fakeJob)
	// writeErr makes write(2) fail.
	writeErr func() error
	// writeMost is how many descriptors one write takes, 0 for all.
	writeMost int
	// oneByOne says that one goroutine submits and answers do not keep jobs,
	// so that nothing need be allocated.
	oneByOne bool
	only     fakeJob

	enqcmds, movdirs, writes atomic.Int64
	maps, unmaps, closes     atomic.Int64
}

// fakeJob is a descriptor that was taken.
type fakeJob struct{ descriptor [descriptorBytes]byte }

func (j *fakeJob) operation() uint8    { return j.descriptor[7] }
func (j *fakeJob) modeFlags() uint16   { return binary.LittleEndian.Uint16(j.descriptor[38:]) }
func (j *fakeJob) destination() []byte { return j.memory(24, 48) }

func (j *fakeJob) memory(addressOff, lenOff int) []byte {
	address := uintptr(binary.LittleEndian.Uint64(j.descriptor[addressOff:]))
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&address))), binary.LittleEndian.Uint32(j.descriptor[lenOff:]))
}

// complete writes the completion record, the status last.
func (j *fakeJob) complete(status, code uint8, outputBytes int, crc uint32) {
	address := uintptr(binary.LittleEndian.Uint64(j.descriptor[8:]))
	record := (*[recordBytes]byte)(*(*unsafe.Pointer)(unsafe.Pointer(&address)))
	binary.LittleEndian.PutUint32(record[24:], uint32(outputBytes))
	binary.LittleEndian.PutUint32(record[32:], crc)
	atomic.StoreUint32((*uint32)(unsafe.Pointer(record)), uint32(status)|uint32(code)<<8)
}

// completeFault reports a page fault.
func (j *fakeJob) completeFault(status uint8, faultAddress uint64) {
	address := uintptr(binary.LittleEndian.Uint64(j.descriptor[8:]))
	record := (*[recordBytes]byte)(*(*unsafe.Pointer)(unsafe.Pointer(&address)))
	binary.LittleEndian.PutUint64(record[8:], faultAddress)
	j.complete(status, 0, 0, 0)
}

// copies yields as much of raw as there is room for, as a decoder would that
// knows its only answer.
func copies(raw []byte) func(*fakeJob) {
	crc := crc32.ChecksumIEEE(raw)
	return func(j *fakeJob) {
		if j.operation() == opcodeNoop {
			j.complete(statusSuccess, 0, 0, 0)
			return
		}
		j.complete(statusSuccess, 0, copy(j.destination(), raw), crc)
	}
}

// afterProbe answers the first, empty job with success and all others as given.
func afterProbe(answer func(*fakeJob)) func(*fakeJob) {
	return func(j *fakeJob) {
		if j.operation() == opcodeNoop {
			j.complete(statusSuccess, 0, 0, 0)
			return
		}
		answer(j)
	}
}

// ends completes jobs with a status.
func ends(status, code uint8) func(*fakeJob) {
	return afterProbe(func(j *fakeJob) { j.complete(status, code, 0, 0) })
}

func (q *fakeQueue) take(descriptor *[descriptorBytes]byte) bool {
	if q.refuse != nil && q.refuse() {
		return false
	}
	j := &q.only
	if !q.oneByOne {
		j = &fakeJob{}
	}
	j.descriptor = *descriptor
	if q.answer == nil {
		j.complete(statusSuccess, 0, len(j.destination()), 0)
	} else {
		q.answer(j)
	}
	return true
}

func (q *fakeQueue) Map() (portal.Window, error) {
	if q.mapErr != nil {
		return nil, q.mapErr
	}
	q.maps.Add(1)
	return fakeWindow{q}, nil
}

func (q *fakeQueue) Write(p []byte) (int, error) {
	q.writes.Add(1)
	written := 0
	for len(p)-written >= descriptorBytes && (q.writeMost == 0 || written < q.writeMost*descriptorBytes) {
		if q.writeErr != nil {
			if err := q.writeErr(); err != nil {
				return written, err
			}
		}
		if !q.take((*[descriptorBytes]byte)(p[written:])) {
			if written == 0 {
				return 0, syscall.EAGAIN
			}
			break
		}
		written += descriptorBytes
	}
	return written, nil
}

func (q *fakeQueue) Close() error { q.closes.Add(1); return nil }

type fakeWindow struct{ q *fakeQueue }

func (w fakeWindow) Enqcmd(descriptor *[descriptorBytes]byte) bool {
	w.q.enqcmds.Add(1)
	return w.q.take(descriptor)
}

func (w fakeWindow) Movdir64b(descriptor *[descriptorBytes]byte) {
	w.q.movdirs.Add(1)
	w.q.take(descriptor)
}

func (w fakeWindow) Unmap() error { w.q.unmaps.Add(1); return nil }

// withQueues makes the host open the queues given, by node.
func (h *fakeHost) withQueues(queues map[string]*fakeQueue) *fakeHost {
	h.open = func(node string) (portal.Node, error) {
		q, ok := queues[node]
		if !ok {
			return nil, syscall.ENOENT
		}
		return q, nil
	}
	return h
}

var discardLogger = slog.New(slog.DiscardHandler)

// logLines collects what is logged.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *logLines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// openFake opens a fake machine with one shared queue.
func openFake(tb testing.TB, q *fakeQueue, options DeviceOptions) (*device, *logLines) {
	tb.Helper()
	log := &logLines{}
	options.Logger = slog.New(slog.NewTextHandler(log, nil))
	d := openHost(tb, newFakeHost(1).withQueues(map[string]*fakeQueue{"iax/wq1.0": q}), options)
	tb.Cleanup(func() { wantNoError(tb, d.Close()) })
	return d, log
}

// openHost opens a machine; the caller closes the engine.
func openHost(tb testing.TB, host portal.Host, options DeviceOptions) *device {
	tb.Helper()
	engine, report, err := OpenDevice(host, Software(), options)
	if err != nil {
		tb.Fatalf("%v; report is %+v", err, report)
	}
	d, ok := engine.(*device)
	if !ok {
		tb.Fatalf("engine is a %T", engine)
	}
	return d
}

// decodeJobs makes jobs that decode a few different streams in turn.
func decodeJobs(tb testing.TB, count, rawBytes int) (jobs []Job, raws [][]byte) {
	tb.Helper()
	const different = 8
	for i := range count {
		if i < different {
			raws = append(raws, text(uint64(i), rawBytes))
			jobs = append(jobs, Job{Src: compressed(tb, raws[i])})
		} else {
			raws = append(raws, raws[i%different])
			jobs = append(jobs, Job{Src: jobs[i%different].Src})
		}
		jobs[i].Dst = make([]byte, rawBytes)
	}
	return jobs, raws
}

// wantDecoded checks the results of decodeJobs, whoever ran them.
func wantDecoded(tb testing.TB, jobs []Job, raws [][]byte) {
	tb.Helper()
	for i, job := range jobs {
		if job.Err != nil || string(job.Dst) != string(raws[i]) || job.N != len(raws[i]) || job.CRC32 != crc32.ChecksumIEEE(raws[i]) {
			tb.Errorf("job %d: %d bytes, checksum %08x, %v", i, job.N, job.CRC32, job.Err)
		}
	}
}

// errNotPermitted is what mapping a portal without CAP_SYS_RAWIO yields.
const errNotPermitted = syscall.EPERM

// echo answers all jobs as a device would that is given nothing but raw to
// compress and packed to decode. It allocates nothing.
func echo(tb testing.TB, raw, packed []byte) func(*fakeJob) {
	tb.Helper()
	crc := crc32.ChecksumIEEE(raw)
	return func(j *fakeJob) {
		switch {
		case j.operation() == opcodeNoop:
			j.complete(statusSuccess, 0, 0, 0)
		case j.operation() == opcodeDecompress && j.modeFlags()&decompressSuppress != 0:
			j.complete(statusSuccess, 0, len(raw), crc)
		case j.operation() == opcodeDecompress:
			j.complete(statusSuccess, 0, copy(j.destination(), raw), crc)
		case j.modeFlags()&compressStatistics != 0:
			clear(j.destination())
			for _, b := range raw {
				j.destination()[4*int(b)]++
			}
			j.complete(statusSuccess, 0, histogramBytes, crc)
		default:
			j.complete(statusSuccess, 0, copy(j.destination(), packed), crc)
		}
	}
}
