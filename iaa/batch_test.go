package iaa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// endsAfter is a context that ends when it was asked so many times.
type endsAfter struct {
	context.Context
	left atomic.Int64
}

func newEndsAfter(ctx context.Context, asked int) *endsAfter {
	c := &endsAfter{Context: ctx}
	c.left.Store(int64(asked))
	return c
}

func (c *endsAfter) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// unpackJobs are jobs that decode, and what they must come to. Each third stream
// is cut, if damaged is set.
func unpackJobs(tb testing.TB, n int, damaged bool) (jobs []Job, raws [][]byte) {
	tb.Helper()
	for i := range n {
		raw := text(uint64(i), 100+i*53%5000)
		packed := compressed(tb, raw)
		if damaged && i%3 == 2 {
			packed, raw = packed[:len(packed)/2], nil
		}
		jobs = append(jobs, Job{Src: packed, Dst: make([]byte, 100+i*53%5000), CRC32: 0xbadbad})
		raws = append(raws, raw)
	}
	return jobs, raws
}

// checkUnpacked fails unless jobs came to the raw bytes, or failed where there are
// none.
func checkUnpacked(tb testing.TB, jobs []Job, raws [][]byte) {
	tb.Helper()
	for i, job := range jobs {
		switch raw := raws[i]; {
		case raw == nil:
			if !errors.Is(job.Err, ErrStream) || job.CRC32 != 0 {
				tb.Errorf("job %d of %d, cut: %d bytes, checksum %08x, %v", i, len(jobs), job.N, job.CRC32, job.Err)
			}
		case job.Err != nil || job.N != len(raw) || job.CRC32 != crc32.ChecksumIEEE(raw) || !bytes.Equal(job.Dst, raw):
			tb.Errorf("job %d of %d: %d bytes, checksum %08x, %v", i, len(jobs), job.N, job.CRC32, job.Err)
		}
	}
}

func TestBatch(t *testing.T) {
	engine := Software()
	for _, n := range []int{0, 1, 2, 3, 4, 15, 16, 17, 33, 200} {
		jobs, raws := unpackJobs(t, n, true)
		wantNoError(t, engine.Decompress(t.Context(), jobs))
		checkUnpacked(t, jobs, raws)
		jobs, raws = unpackJobs(t, n, true)
		batch := Batch{Jobs: jobs}
		engine.Start(t.Context(), OpDecompress, &batch)
		wantNoError(t, batch.Wait())
		checkUnpacked(t, jobs, raws)
	}
}

func TestBatchCompresses(t *testing.T) {
	engine := Software()
	var batch Batch
	var raws [][]byte
	for i := range 40 {
		raws = append(raws, text(uint64(i), i*311))
		batch.Jobs = append(batch.Jobs, Job{Src: raws[i], Dst: make([]byte, len(raws[i])+64), Level: i % (MaxLevel + 1)})
	}
	engine.Start(t.Context(), OpCompress, &batch)
	wantNoError(t, batch.Wait())
	for i, job := range batch.Jobs {
		wantNoError(t, job.Err)
		got := decompress(job.Dst[:job.N], len(raws[i]))
		if got.Err != nil || !bytes.Equal(got.Dst, raws[i]) || job.CRC32 != crc32.ChecksumIEEE(raws[i]) {
			t.Errorf("job %d: %v", i, got.Err)
		}
	}
}

// TestBatchIsUsedAgain gives a batch other jobs, another operation and another
// engine.
func TestBatchIsUsedAgain(t *testing.T) {
	engines := []Engine{Software(), Software()}
	var want [2]Stats
	var batch Batch
	for round := range 20 {
		engine := engines[round%2]
		if round%5 == 4 {
			raw := text(uint64(round), 3000)
			batch.Jobs = []Job{{Src: raw, Dst: make([]byte, 3000)}}
			want[round%2].Compressed++
			engine.Start(t.Context(), OpCompress, &batch)
			wantNoError(t, batch.Wait())
			got := decompress(batch.Jobs[0].Dst[:batch.Jobs[0].N], len(raw))
			if !bytes.Equal(got.Dst, raw) {
				t.Errorf("round %d: compressed wrongly, %v", round, got.Err)
			}
			continue
		}
		jobs, raws := unpackJobs(t, round*7%30, round%2 == 0)
		batch.Jobs = jobs
		want[round%2].Decompressed += uint64(len(jobs))
		engine.Start(t.Context(), OpDecompress, &batch)
		wantNoError(t, batch.Wait())
		checkUnpacked(t, jobs, raws)
	}
	for i, engine := range engines {
		if stats := engine.Stats(); stats.Compressed != want[i].Compressed || stats.Decompressed != want[i].Decompressed {
			t.Errorf("engine %d counted %+v, want %+v", i, stats, want[i])
		}
	}
}

func TestWaitBelongsToStart(t *testing.T) {
	var batch Batch
	if err := batch.Wait(); !errors.Is(err, errNotStarted) {
		t.Errorf("before Start: %v", err)
	}
	Software().Start(t.Context(), OpDecompress, &batch)
	wantNoError(t, batch.Wait())
	if err := batch.Wait(); !errors.Is(err, errNotStarted) {
		t.Errorf("once more: %v", err)
	}
}

// TestContextEndsInTheMiddle lets the context end after some of the jobs: each
// has its result or the context's error, and the batch has that error.
func TestContextEndsInTheMiddle(t *testing.T) {
	const count = 100
	for name, run := range map[string]func(ctx context.Context, jobs []Job) error{
		"decompress": Software().Decompress,
		"batch": func(ctx context.Context, jobs []Job) error {
			batch := Batch{Jobs: jobs}
			Software().Start(ctx, OpDecompress, &batch)
			return batch.Wait()
		},
	} {
		for _, asked := range []int{0, 1, 2, 5} {
			t.Run(fmt.Sprintf("%s, after %d", name, asked), func(t *testing.T) {
				jobs, raws := unpackJobs(t, count, true)
				err := run(newEndsAfter(t.Context(), asked), jobs)
				if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "100 jobs") {
					t.Errorf("error is %v", err)
				}
				ended := 0
				for i := range jobs {
					if errors.Is(jobs[i].Err, context.Canceled) {
						ended++
						if jobs[i].N != 0 || jobs[i].CRC32 != 0 {
							t.Errorf("job %d did not run and has %d bytes, checksum %08x", i, jobs[i].N, jobs[i].CRC32)
						}
						continue
					}
					checkUnpacked(t, jobs[i:i+1], raws[i:i+1])
				}
				if ended == 0 || asked > 0 && ended == count {
					t.Errorf("%d of %d jobs did not run", ended, count)
				}
			})
		}
	}
}

// TestBatchesAtOnce lets many goroutines use one engine in all ways.
func TestBatchesAtOnce(t *testing.T) {
	engine := Software()
	const goroutines, repeats, count = 8, 5, 21
	var running sync.WaitGroup
	for range goroutines {
		jobs, raws := unpackJobs(t, count, true)
		running.Go(func() {
			batch := Batch{Jobs: jobs}
			other := Batch{Jobs: []Job{{Src: raws[0], Dst: make([]byte, 300)}}}
			for range repeats {
				engine.Start(t.Context(), OpDecompress, &batch)
				engine.Start(t.Context(), OpCompress, &other)
				if err := errors.Join(other.Wait(), batch.Wait(), other.Jobs[0].Err); err != nil {
					t.Error(err)
				}
				checkUnpacked(t, jobs, raws)
				if err := engine.Decompress(t.Context(), jobs); err != nil {
					t.Error(err)
				}
				checkUnpacked(t, jobs, raws)
			}
		})
	}
	running.Wait()
	if stats := engine.Stats(); stats.Decompressed != 2*goroutines*repeats*count || stats.Compressed != goroutines*repeats {
		t.Errorf("counted %+v", stats)
	}
}
