package iaa

import (
	"context"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"sabrefs/iaa/model"
	"sabrefs/tests/seedtest"
)

// TestManyBatchesAtOnce has many goroutines share few slots and queues of all
// kinds while jobs fail in every way. Each must get its own bytes.
func TestManyBatchesAtOnce(t *testing.T) {
	r := seedtest.Rand(t)
	host, d, _ := openModel(t, model.Config{
		Seed: r.Uint64(), MaxLatency: 100 * time.Microsecond,
		Devices: []model.DeviceConfig{
			{Queues: []model.QueueConfig{{Size: 16, BlockOnFault: true}, {Size: 3, Mode: model.ModeDedicated}}},
			{Generation: 2, Queues: []model.QueueConfig{{Size: 8}}},
		},
	}, DeviceOptions{SmallSlots: 24, LargeSlots: 2})
	host.Inject(
		model.Fault{Kind: model.FaultPage, Every: 7},
		model.Fault{Kind: model.FaultStatus, Status: model.StatusWatchdog, Every: 11},
		model.Fault{Kind: model.FaultDamagedOutput, Every: 13},
		model.Fault{Kind: model.FaultLate, Every: 17, Delay: 300 * time.Microsecond},
	)
	var running sync.WaitGroup
	for range 12 {
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		running.Go(func() {
			var batch Batch
			for range 15 {
				runRandomBatch(t, d, &batch, own)
			}
		})
	}
	running.Wait()
	for deadline := time.Now().Add(10 * time.Second); d.orphansLeft.Load() > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
		d.reclaim()
	}
	wantIdle(t, d)
	s := d.Stats()
	if s.Decompressed == 0 || s.Compressed == 0 || s.Fallbacks["watchdog"] == 0 || s.Fallbacks["checksum"] == 0 || len(s.QueuesLost) > 0 {
		t.Errorf("counted %+v", s)
	}
	if counters := host.Counters(); counters.Dropped > 0 || counters.Misused > 0 {
		t.Errorf("%d descriptors were dropped, %d misuses", counters.Dropped, counters.Misused)
	}
	t.Logf("counted %+v", s)
}

// runRandomBatch compresses and decodes again, sometimes with a context that
// ends in between.
func runRandomBatch(t *testing.T, d *device, batch *Batch, r *rand.Rand) {
	t.Helper()
	raws := make([][]byte, 1+r.IntN(20))
	batch.Jobs = make([]Job, len(raws))
	for i := range raws {
		lenBytes := 1 + r.IntN(6000)
		if r.IntN(20) == 0 {
			lenBytes = 20 << 10 // a large slot
		}
		raws[i] = text(r.Uint64(), lenBytes)
		batch.Jobs[i] = Job{Src: raws[i], Dst: make([]byte, lenBytes+64), Level: 1 + r.IntN(5)}
	}
	d.Start(t.Context(), OpCompress, batch)
	if err := batch.Wait(); err != nil {
		t.Error(err)
	}
	for i := range batch.Jobs {
		job := &batch.Jobs[i]
		if job.Err != nil || job.CRC32 != crc32.ChecksumIEEE(raws[i]) {
			t.Errorf("compression: checksum %08x, %v", job.CRC32, job.Err)
			return
		}
		*job = Job{Src: job.Dst[:job.N], Dst: make([]byte, len(raws[i]))}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if r.IntN(4) == 0 {
		time.AfterFunc(time.Duration(r.IntN(300))*time.Microsecond, cancel)
	}
	d.Start(ctx, OpDecompress, batch)
	err := batch.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for i, job := range batch.Jobs {
		switch {
		case err != nil && errors.Is(job.Err, context.Canceled):
		case job.Err != nil || string(job.Dst) != string(raws[i]) || job.CRC32 != crc32.ChecksumIEEE(raws[i]):
			t.Errorf("decoding: %d of %d bytes, %v", job.N, len(raws[i]), job.Err)
		}
	}
}

// TestSlotsAreShared: a batch that has slots gives them up for one that has none.
func TestSlotsAreShared(t *testing.T) {
	raw := text(1, 300)
	right := copies(raw)
	taken := make(chan *fakeJob, 100)
	q := &fakeQueue{answer: afterProbe(func(j *fakeJob) { taken <- j })}
	d, _ := openFake(t, q, DeviceOptions{SmallSlots: 2, LargeSlots: 1, JobTimeout: time.Minute})
	d.slotPatience = time.Minute
	packed := compressed(t, raw)
	jobsOf := func(count int) []Job {
		jobs := make([]Job, count)
		for i := range jobs {
			jobs[i] = Job{Src: packed, Dst: make([]byte, len(raw))}
		}
		return jobs
	}
	// Two batches have one slot each, and more to do.
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			if err := d.Decompress(t.Context(), jobsOf(20)); err != nil {
				t.Error(err)
			}
		})
	}
	first, second := <-taken, <-taken
	done := make(chan error)
	go func() { done <- d.Decompress(t.Context(), jobsOf(1)) }()
	for d.arena.pools[smallSlot].waiting.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	// The next slot that comes free goes to the third batch, although its last
	// owner has 19 jobs left.
	right(first)
	right(<-taken)
	wantNoError(t, <-done)
	right(second)
	for range 38 {
		right(<-taken)
	}
	running.Wait()
	wantStats(t, d, Stats{Decompressed: 41})
	wantIdle(t, d)
}

// TestManyBatchesOnFewSlots only wants everything to end, with the right bytes.
func TestManyBatchesOnFewSlots(t *testing.T) {
	_, d, _ := openModel(t, model.Config{MaxLatency: 50 * time.Microsecond}, DeviceOptions{SmallSlots: 4, LargeSlots: 1})
	jobs, raws := decodeJobs(t, 60, 300)
	var running sync.WaitGroup
	for range 10 {
		own := slices.Clone(jobs)
		for i := range own {
			own[i].Dst = make([]byte, len(own[i].Dst))
		}
		running.Go(func() {
			for range 5 {
				if err := d.Decompress(t.Context(), own); err != nil {
					t.Error(err)
				}
				wantDecoded(t, own, raws)
			}
		})
	}
	running.Wait()
	wantIdle(t, d)
	if s := d.Stats(); s.Decompressed+s.Fallbacks["no-slot"] != 10*5*60 || s.Decompressed == 0 {
		t.Errorf("counted %+v", s)
	}
}
