//go:build !race

// The race detector makes sync.Pool forget at random.

package iaa

import (
	"testing"

	"sabrefs/tests/seedtest"
)

// TestSoftwareAllocatesNothing counts allocations of batches of streams with
// headers and without, once the space for them is there.
func TestSoftwareAllocatesNothing(t *testing.T) {
	engine := Software()
	jobs, raws := unpackJobs(t, 50, false)
	shared, sharedRaws := tableSamples(t, seedtest.Fixed(1), 50)
	batch := Batch{Jobs: append(jobs, shared...)}
	raws = append(raws, sharedRaws...)
	pack := []Job{{Src: raws[0], Dst: make([]byte, 4096), Tables: []*Table{shared[0].Table}}}
	for name, run := range map[string]func() error{
		"decompress":    func() error { return engine.Decompress(t.Context(), batch.Jobs) },
		"compress":      func() error { return engine.Compress(t.Context(), pack) },
		"nothing to do": func() error { return engine.Decompress(t.Context(), nil) },
		"start a batch": func() error {
			engine.Start(t.Context(), OpDecompress, &batch)
			return batch.Wait()
		},
	} {
		var failure error
		n := leastAllocations(func() {
			if err := run(); err != nil {
				failure = err
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		wantNoError(t, failure)
	}
	checkUnpacked(t, batch.Jobs, raws)
	wantNoError(t, pack[0].Err)
}

// leastAllocations counts a few times: on a busy machine the runtime has to make a
// goroutine now and then, or a pool was just emptied. What run allocates itself it
// allocates each time.
func leastAllocations(run func()) float64 {
	const tries = 3
	least := testing.AllocsPerRun(20, run)
	for range tries - 1 {
		least = min(least, testing.AllocsPerRun(20, run))
	}
	return least
}
