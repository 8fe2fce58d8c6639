//go:build !race

// The race detector makes sync.Pool forget at random.

package iaa

import "testing"

// TestSoftwareAllocatesNothing counts allocations of batches of streams with
// headers and without, once the space for them is there.
func TestSoftwareAllocatesNothing(t *testing.T) {
	engine := Software()
	jobs, raws := unpackJobs(t, 50, false)
	shared, sharedRaws := tableSamples(t, fixedRand(1), 50)
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
		if n := testing.AllocsPerRun(20, func() {
			if err := run(); err != nil {
				failure = err
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		wantNoError(t, failure)
	}
	checkUnpacked(t, batch.Jobs, raws)
	wantNoError(t, pack[0].Err)
}
