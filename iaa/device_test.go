package iaa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"strings"
	"testing"
	"time"

	"sabrefs/iaa/huffman"
	"sabrefs/iaa/model"
	"sabrefs/tests/seedtest"
)

// oneDevice is a machine with one device of a generation and one shared queue.
func oneDevice(generation int) model.Config {
	device := model.DefaultDevice()
	device.Generation = generation
	return model.Config{Devices: []model.DeviceConfig{device}}
}

// wantStats compares what was counted, besides nothing.
func wantStats(tb testing.TB, d *device, want Stats) {
	tb.Helper()
	got := d.Stats()
	if got.Decompressed != want.Decompressed || got.Compressed != want.Compressed ||
		!maps.Equal(got.Fallbacks, want.Fallbacks) || !maps.Equal(got.QueuesLost, want.QueuesLost) {
		tb.Errorf("counted %+v, want %+v", got, want)
	}
}

// wantIdle checks that nothing is held or in flight.
func wantIdle(tb testing.TB, d *device) {
	tb.Helper()
	d.reclaim()
	for class := range d.arena.pools {
		pool := &d.arena.pools[class]
		if len(pool.free) != len(d.arena.slots[class]) || pool.waiting.Load() != 0 {
			tb.Errorf("class %d: %d of %d slots are free, %d batches wait", class,
				len(pool.free), len(d.arena.slots[class]), pool.waiting.Load())
		}
	}
	for _, q := range d.queues {
		if n := q.inFlight.Load(); n != 0 {
			tb.Errorf("%s: %d in flight", q.found.name, n)
		}
	}
}

// TestDeviceRoundTrip compresses on the device and decodes on the device and in
// software.
func TestDeviceRoundTrip(t *testing.T) {
	for generation := 1; generation <= 2; generation++ {
		for level := 1; level <= 3; level++ {
			name := fmt.Sprintf("generation %d, level %d", generation, level)
			host, d, _ := openModel(t, oneDevice(generation), DeviceOptions{})
			var pack []Job
			var raws [][]byte
			for i, lenBytes := range []int{1, 2, 100, 4095, 4096, 4097, 16384, 65536, 262144} {
				raws = append(raws, text(uint64(i), lenBytes))
				pack = append(pack, Job{Src: raws[i], Dst: make([]byte, lenBytes+64), Level: level})
			}
			wantNoError(t, d.Compress(t.Context(), pack))
			unpack := make([]Job, len(pack))
			for i, job := range pack {
				if job.Err != nil || job.CRC32 != crc32.ChecksumIEEE(raws[i]) || job.N == 0 {
					t.Fatalf("%s: job %d: %d bytes, %08x, %v", name, i, job.N, job.CRC32, job.Err)
				}
				unpack[i] = Job{Src: job.Dst[:job.N], Dst: make([]byte, len(raws[i]))}
			}
			wantNoError(t, d.Decompress(t.Context(), unpack))
			wantDecoded(t, unpack, raws)
			for i := range unpack {
				unpack[i].Dst = make([]byte, len(raws[i]))
			}
			wantNoError(t, Software().Decompress(t.Context(), unpack))
			wantDecoded(t, unpack, raws)

			count := uint64(len(pack))
			wantStats(t, d, Stats{Decompressed: count, Compressed: count})
			wantIdle(t, d)
			passes := min(uint64(level), 2)
			counters := host.Counters()
			if got := counters.Opcodes[model.OpcodeCompress]; got != passes*count {
				t.Errorf("%s: %d compressions, want %d", name, got, passes*count)
			}
			// One more for each, to verify.
			if got := counters.Opcodes[model.OpcodeDecompress]; got != 2*count {
				t.Errorf("%s: %d decompressions, want %d", name, got, 2*count)
			}
			if len(counters.Statuses) != 1 || counters.Misused > 0 {
				t.Errorf("%s: statuses %v, %d misuses", name, counters.Statuses, counters.Misused)
			}
		}
	}
}

// TestLevelsGetDenser: two passes are worth it.
func TestLevelsGetDenser(t *testing.T) {
	_, d, _ := openModel(t, oneDevice(1), DeviceOptions{})
	raw := text(1, 16<<10)
	var sizes [4]int
	for level := 1; level <= 2; level++ {
		jobs := []Job{{Src: raw, Dst: make([]byte, len(raw)), Level: level}}
		wantNoError(t, d.Compress(t.Context(), jobs))
		wantNoError(t, jobs[0].Err)
		sizes[level] = jobs[0].N
	}
	if sizes[2] >= sizes[1] {
		t.Errorf("%d bytes in one pass, %d in two", sizes[1], sizes[2])
	}
}

func TestLevelsForSoftware(t *testing.T) {
	host, d, _ := openModel(t, model.Config{}, DeviceOptions{})
	raw := text(1, 4096)
	var jobs []Job
	for _, level := range []int{0, 4, 5, 9} {
		jobs = append(jobs, Job{Src: raw, Dst: make([]byte, 4096), Level: level})
	}
	wantNoError(t, d.Compress(t.Context(), jobs)) // none is for the device
	jobs = append(jobs, Job{Src: raw, Dst: make([]byte, 4096), Level: 1})
	wantNoError(t, d.Compress(t.Context(), jobs)) // one is
	for i, job := range jobs {
		if job.Err != nil || job.CRC32 != crc32.ChecksumIEEE(raw) {
			t.Errorf("job %d: %08x, %v", i, job.CRC32, job.Err)
		}
	}
	wantStats(t, d, Stats{Compressed: 1, Fallbacks: map[string]uint64{"level": 8}})
	if got := host.Counters().Opcodes[model.OpcodeCompress]; got != 1 {
		t.Errorf("%d compressions on the device", got)
	}
}

// TestNoGainOnDevice: an output that does not fit is no failure, and no reason
// to try in software.
func TestNoGainOnDevice(t *testing.T) {
	_, d, _ := openModel(t, model.Config{}, DeviceOptions{})
	raw := noise(1, 4096)
	for level := 1; level <= 3; level++ {
		for _, room := range []int{1, 100, 4095} {
			dst := bytes.Repeat([]byte{0xa5}, 8192)
			jobs := []Job{{Src: raw, Dst: dst[:room], Level: level}, {Src: text(1, 4096), Dst: make([]byte, 4096), Level: level}}
			wantNoError(t, d.Compress(t.Context(), jobs))
			if !errors.Is(jobs[0].Err, ErrNoGain) || jobs[0].N != 0 || jobs[0].CRC32 != crc32.ChecksumIEEE(raw) {
				t.Errorf("level %d, noise into %d bytes: %d bytes, %v", level, room, jobs[0].N, jobs[0].Err)
			}
			wantNoError(t, jobs[1].Err)
			if !bytes.Equal(dst, bytes.Repeat([]byte{0xa5}, len(dst))) {
				t.Errorf("level %d: a destination of %d bytes was written", level, room)
			}
		}
	}
	wantStats(t, d, Stats{Compressed: 18})
	// There is room, only not in the slot: software must tell.
	whole := noise(2, 17<<10)
	jobs := []Job{{Src: whole, Dst: make([]byte, 32<<10), Level: 1}}
	wantNoError(t, d.Compress(t.Context(), jobs))
	wantNoError(t, jobs[0].Err)
	wantStats(t, d, Stats{Compressed: 18, Fallbacks: map[string]uint64{"no-room": 1}})
}

// TestDeviceErrorsAreThoseOfSoftware runs damaged streams on both.
func TestDeviceErrorsAreThoseOfSoftware(t *testing.T) {
	_, d, _ := openModel(t, model.Config{}, DeviceOptions{})
	r := seedtest.Rand(t)
	raw := text(3, 4096)
	packed := compressed(t, raw)
	var onDevice []Job
	add := func(src []byte, rawBytes int) {
		onDevice = append(onDevice, Job{Src: src, Dst: make([]byte, rawBytes)})
	}
	for range 300 {
		damaged := bytes.Clone(packed)
		damaged[r.IntN(len(damaged))] ^= 1 << r.IntN(8)
		add(damaged, 4096)
	}
	for n := range 50 {
		add(packed[:len(packed)-n], 4096)
	}
	add(packed, 4095)
	add(packed, 4097)
	add(packed, 1)
	add(packed, 0)
	add(nil, 1)
	add(nil, 0)
	add([]byte{0x07}, 100)
	// Repetition of code lengths across the two lists, which software reads.
	add(fromHex(t, "edfdb5b56ddbb66ddbfa6f758c9ec46888"), 1)
	far := append(noise(5, 8000), noise(5, 8000)...)
	add(compressedFar(t, far), len(far))
	inSoftware := make([]Job, len(onDevice))
	for i, job := range onDevice {
		inSoftware[i] = Job{Src: job.Src, Dst: make([]byte, len(job.Dst))}
	}
	wantNoError(t, d.Decompress(t.Context(), onDevice))
	wantNoError(t, Software().Decompress(t.Context(), inSoftware))
	for i, job := range onDevice {
		want := inSoftware[i]
		if fmt.Sprint(job.Err) != fmt.Sprint(want.Err) || job.N != want.N ||
			job.Err == nil && (job.CRC32 != want.CRC32 || !bytes.Equal(job.Dst, want.Dst)) {
			t.Errorf("job %d: %d bytes, %v; in software %d bytes, %v", i, job.N, job.Err, want.N, want.Err)
		}
	}
	last := onDevice[len(onDevice)-1]
	if last.Err != nil || !bytes.Equal(last.Dst, far) {
		t.Errorf("a stream with far matches: %v", last.Err)
	}
	for _, reason := range []string{
		"distance-too-far", "literal-length-count", "output-overflow", "short-output", "reserved-block-type", "stream-truncated", "size",
	} {
		if d.Stats().Fallbacks[reason] == 0 {
			t.Errorf("no job fell back because of %s: %v", reason, d.Stats().Fallbacks)
		}
	}
	wantIdle(t, d)
}

// TestBytesBehindTheStream documents a difference: the device stops at the end
// of the final block and cannot tell that input is left.
func TestBytesBehindTheStream(t *testing.T) {
	_, d, _ := openModel(t, model.Config{}, DeviceOptions{})
	jobs, raws := decodeJobs(t, 1, 4096)
	jobs[0].Src = append(bytes.Clone(jobs[0].Src), 1, 2, 3)
	wantNoError(t, d.Decompress(t.Context(), jobs))
	wantDecoded(t, jobs, raws)
}

// TestDeviceWithTable decodes streams that have no header of their own.
func TestDeviceWithTable(t *testing.T) {
	_, d, _ := openModel(t, model.Config{}, DeviceOptions{})
	raw := text(1, 4096)
	var counts [huffman.LiteralSymbols]uint32
	for _, b := range raw {
		counts[b]++
	}
	counts[huffman.EndOfBlock] = 1
	var lengths huffman.Lengths
	var builder huffman.Builder
	builder.Build(lengths.Literal[:], counts[:], huffman.MaxBits)
	builder.Build(lengths.Distance[:], make([]uint32, huffman.DistanceSymbols), huffman.MaxBits)
	var codes [huffman.LiteralSymbols]uint16
	huffman.ReversedCodes(codes[:], lengths.Literal[:])
	buf := make([]byte, 8192)
	var w huffman.BitWriter
	w.Reset(buf)
	for _, b := range raw {
		w.Write(uint64(codes[b]), uint(lengths.Literal[b]))
	}
	w.Write(uint64(codes[huffman.EndOfBlock]), uint(lengths.Literal[huffman.EndOfBlock]))
	n, _ := w.Close()
	table, err := NewTable(&lengths)
	wantNoError(t, err)
	jobs := []Job{{Src: buf[:n], Dst: make([]byte, len(raw)), Table: table}}
	wantNoError(t, d.Decompress(t.Context(), jobs))
	wantDecoded(t, jobs, [][]byte{raw})
	wantStats(t, d, Stats{Decompressed: 1})
}

// TestSizesForSoftware: what no slot holds is not for the device.
func TestSizesForSoftware(t *testing.T) {
	_, d, _ := openModel(t, model.Config{}, DeviceOptions{})
	jobs, raws := decodeJobs(t, 2, 300<<10)
	small, smallRaws := decodeJobs(t, 2, 3000)
	jobs, raws = append(jobs, small...), append(raws, smallRaws...)
	wantNoError(t, d.Decompress(t.Context(), jobs))
	wantDecoded(t, jobs, raws)
	wantStats(t, d, Stats{Decompressed: 2, Fallbacks: map[string]uint64{"size": 2}})
}

// TestTransferLimit: queues may take less than a slot holds.
func TestTransferLimit(t *testing.T) {
	config := oneDevice(1)
	config.Devices[0].Queues = []model.QueueConfig{{MaxTransferBytes: 4096}}
	host, d, _ := openModel(t, config, DeviceOptions{})
	jobs, raws := decodeJobs(t, 2, 4096)
	large, largeRaws := decodeJobs(t, 2, 8192)
	jobs, raws = append(jobs, large...), append(raws, largeRaws...)
	wantNoError(t, d.Decompress(t.Context(), jobs))
	wantDecoded(t, jobs, raws)
	wantStats(t, d, Stats{Decompressed: 2, Fallbacks: map[string]uint64{"no-queue": 2}})
	if statuses := host.Counters().Statuses; len(statuses) != 1 {
		t.Errorf("statuses are %v", statuses)
	}
}

// TestQueueThatOnlyDecodes leaves compression to software as a whole.
func TestQueueThatOnlyDecodes(t *testing.T) {
	config := oneDevice(1)
	config.Devices[0].Queues = []model.QueueConfig{{Opcodes: []model.Opcode{model.OpcodeNoop, model.OpcodeDecompress}}}
	_, d, _ := openModel(t, config, DeviceOptions{})
	raw := text(1, 4096)
	pack := []Job{{Src: raw, Dst: make([]byte, 4096), Level: 1}}
	wantNoError(t, d.Compress(t.Context(), pack))
	wantNoError(t, pack[0].Err)
	jobs, raws := decodeJobs(t, 3, 4096)
	wantNoError(t, d.Decompress(t.Context(), jobs))
	wantDecoded(t, jobs, raws)
	wantStats(t, d, Stats{Decompressed: 3, Fallbacks: map[string]uint64{"no-queue": 1}})
}

// TestDedicatedQueueKeepsItsLimit: what a full dedicated queue gets is lost, so
// it must never get more than it has slots.
func TestDedicatedQueueKeepsItsLimit(t *testing.T) {
	for _, noMmap := range []bool{false, true} {
		config := oneDevice(1)
		config.NoMmap = noMmap
		config.MaxLatency = 200 * time.Microsecond
		config.Devices[0].Queues = []model.QueueConfig{{Mode: model.ModeDedicated, Size: 5}}
		host, d, _ := openModel(t, config, DeviceOptions{})
		jobs, raws := decodeJobs(t, 200, 2048)
		wantNoError(t, d.Decompress(t.Context(), jobs))
		wantDecoded(t, jobs, raws)
		counters := host.Counters()
		if counters.Dropped > 0 || counters.MaxInFlight != 5 {
			t.Errorf("write: %v: %d descriptors were lost, %d at most in flight", noMmap, counters.Dropped, counters.MaxInFlight)
		}
		wantStats(t, d, Stats{Decompressed: 200})
		wantIdle(t, d)
	}
}

// TestSharedQueueIsFull: a queue that is smaller than a batch takes it in parts.
func TestSharedQueueIsFull(t *testing.T) {
	for _, noMmap := range []bool{false, true} {
		config := oneDevice(1)
		config.NoMmap = noMmap
		config.MaxLatency = 200 * time.Microsecond
		config.Devices[0].Queues = []model.QueueConfig{{Size: 4}}
		host, d, _ := openModel(t, config, DeviceOptions{})
		jobs, raws := decodeJobs(t, 200, 2048)
		wantNoError(t, d.Decompress(t.Context(), jobs))
		wantDecoded(t, jobs, raws)
		counters := host.Counters()
		if counters.Refused == 0 || counters.MaxInFlight != 4 {
			t.Errorf("write: %v: %d refused, %d at most in flight", noMmap, counters.Refused, counters.MaxInFlight)
		}
		wantStats(t, d, Stats{Decompressed: 200})
		wantIdle(t, d)
	}
}

// TestManyQueues spreads jobs over all of them.
func TestManyQueues(t *testing.T) {
	host, d, _ := openModel(t, model.Config{Devices: []model.DeviceConfig{
		{Queues: []model.QueueConfig{{}, {Mode: model.ModeDedicated}}}, {Queues: []model.QueueConfig{{}, {}}},
	}}, DeviceOptions{})
	jobs, raws := decodeJobs(t, 200, 1000)
	wantNoError(t, d.Decompress(t.Context(), jobs))
	wantDecoded(t, jobs, raws)
	for name, q := range host.Counters().Queues {
		if q.Submitted < 40 { // with the probe
			t.Errorf("%s got %d jobs", name, q.Submitted)
		}
	}
	wantStats(t, d, Stats{Decompressed: 200})
}

func TestStartAndWait(t *testing.T) {
	host, d, _ := openModel(t, model.Config{}, DeviceOptions{})
	var batch Batch
	if err := batch.Wait(); err == nil {
		t.Error("a batch that was not started can be waited for")
	}
	for round := range 3 {
		jobs, raws := decodeJobs(t, 10+100*round, 4096)
		batch.Jobs = jobs
		before := host.Counters().Submitted
		d.Start(t.Context(), OpDecompress, &batch)
		if host.Counters().Submitted == before {
			t.Error("nothing was submitted by Start")
		}
		wantNoError(t, batch.Wait())
		wantDecoded(t, jobs, raws)
		wantIdle(t, d)
	}
	// The same batch on another engine, and back.
	jobs, raws := decodeJobs(t, 5, 4096)
	batch.Jobs = jobs
	for _, engine := range []Engine{Software(), d, Software()} {
		engine.Start(t.Context(), OpDecompress, &batch)
		wantNoError(t, batch.Wait())
		wantDecoded(t, jobs, raws)
	}
	batch.Jobs = nil
	d.Start(t.Context(), OpDecompress, &batch)
	wantNoError(t, batch.Wait())
}

// TestBatchesOfOneOwner starts more than there are slots before waiting for any:
// nobody may wait for a slot that only the waiting goroutine could give back.
func TestBatchesOfOneOwner(t *testing.T) {
	_, d, _ := openModel(t, model.Config{}, DeviceOptions{SmallSlots: 8, LargeSlots: 1})
	batches := make([]Batch, 6)
	var raws [][][]byte
	for i := range batches {
		jobs, raw := decodeJobs(t, 30, 2048)
		batches[i].Jobs, raws = jobs, append(raws, raw)
		d.Start(t.Context(), OpDecompress, &batches[i])
	}
	for i := len(batches) - 1; i >= 0; i-- {
		wantNoError(t, batches[i].Wait())
		wantDecoded(t, batches[i].Jobs, raws[i])
	}
	s := d.Stats()
	if s.Fallbacks["no-slot"] == 0 || s.Decompressed+s.Fallbacks["no-slot"] != 6*30 || len(s.Fallbacks) > 1 {
		t.Errorf("counted %+v", s)
	}
	wantIdle(t, d)
}

func TestContextEndsOnDevice(t *testing.T) {
	host, d, _ := openModel(t, model.Config{}, DeviceOptions{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	jobs, raws := decodeJobs(t, 20, 4096)
	before := host.Counters().Submitted
	err := d.Decompress(ended, jobs)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "20 jobs") || host.Counters().Submitted != before {
		t.Errorf("error is %v", err)
	}
	for i, job := range jobs {
		if !errors.Is(job.Err, context.Canceled) || job.N != 0 {
			t.Errorf("job %d: %d bytes, %v", i, job.N, job.Err)
		}
	}
	// It ends while all are in flight, which go on for a while.
	host.Inject(model.Fault{Kind: model.FaultLate, Delay: 30 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	batch := Batch{Jobs: jobs}
	d.Start(ctx, OpDecompress, &batch)
	cancel()
	start := time.Now()
	if err := batch.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if waited := time.Since(start); waited > 20*time.Millisecond {
		t.Errorf("waited for %v", waited)
	}
	for i, job := range jobs {
		if !errors.Is(job.Err, context.Canceled) || job.N != 0 {
			t.Errorf("job %d: %d bytes, %v", i, job.N, job.Err)
		}
	}
	if n := d.orphansLeft.Load(); n != 20 {
		t.Errorf("%d slots were set aside", n)
	}
	// Memory of the caller is never written to, and slots come back.
	host.ClearFaults()
	for deadline := time.Now().Add(10 * time.Second); d.orphansLeft.Load() > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
		d.reclaim()
	}
	for i, job := range jobs {
		if !bytes.Equal(job.Dst, make([]byte, len(job.Dst))) {
			t.Errorf("job %d has output", i)
		}
	}
	wantIdle(t, d)
	wantNoError(t, d.Decompress(t.Context(), jobs))
	wantDecoded(t, jobs, raws)
}

// TestContextEndsOfLargeBatch ends a batch of which a part is done. How long a part
// takes depends on the machine: so it tries again, and gives it more time.
func TestContextEndsOfLargeBatch(t *testing.T) {
	const attempts, jobCount = 10, 1000
	for attempt := range attempts {
		done := interruptedBatch(t, jobCount, 5*time.Millisecond<<attempt)
		if done > 0 && done < jobCount {
			return
		}
		t.Logf("%d of %d jobs were done", done, jobCount)
	}
	t.Errorf("never was a part of the batch done")
}

// interruptedBatch returns how many jobs were done in a time, all of them rightly.
func interruptedBatch(t *testing.T, jobCount int, timeout time.Duration) (done int) {
	t.Helper()
	_, d, _ := openModel(t, model.Config{MaxLatency: time.Millisecond}, DeviceOptions{})
	jobs, raws := decodeJobs(t, jobCount, 512)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := d.Decompress(ctx, jobs); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error is %v", err)
	}
	for i, job := range jobs {
		if job.Err == nil {
			done++
			wantDecoded(t, jobs[i:i+1], raws[i:i+1])
		} else if !errors.Is(job.Err, context.DeadlineExceeded) {
			t.Errorf("job %d: %v", i, job.Err)
		}
	}
	wantStats(t, d, Stats{Decompressed: uint64(done)})
	return done
}
