//go:build !race

// The race detector makes sync.Pool forget at random.

package iaa

import "testing"

// TestNothingIsAllocated counts allocations of batches that run on the device
// from end to end, once their space is there.
func TestNothingIsAllocated(t *testing.T) {
	raw := text(1, 4096)
	packed := compressed(t, raw)
	for name, c := range map[string]struct {
		noMmap bool
		op     Op
		level  int
	}{
		"decode":               {false, OpDecompress, 0},
		"decode by write":      {true, OpDecompress, 0},
		"compress in one pass": {false, OpCompress, 1},
		"compress in two":      {false, OpCompress, 2},
	} {
		q := &fakeQueue{answer: echo(t, raw, packed), oneByOne: true}
		if c.noMmap {
			q.mapErr = errNotPermitted
		}
		d, _ := openFake(t, q, DeviceOptions{})
		batch := Batch{Jobs: make([]Job, 200)}
		for i := range batch.Jobs {
			batch.Jobs[i] = Job{Src: packed, Dst: make([]byte, len(raw))}
			if c.op == OpCompress {
				batch.Jobs[i].Src, batch.Jobs[i].Level = raw, c.level
			}
		}
		failed := 0
		asynchronous := func() {
			d.Start(t.Context(), c.op, &batch)
			if batch.Wait() != nil || batch.Jobs[199].Err != nil {
				failed++
			}
		}
		synchronous := func() {
			run := d.Decompress
			if c.op == OpCompress {
				run = d.Compress
			}
			if run(t.Context(), batch.Jobs) != nil || batch.Jobs[199].Err != nil {
				failed++
			}
		}
		for i, run := range []func(){asynchronous, synchronous} {
			run()
			if n := testing.AllocsPerRun(20, run); n >= 1 {
				t.Errorf("%s: %v allocations for a batch (synchronous: %v)", name, n, i == 1)
			}
		}
		if s := d.Stats(); failed > 0 || s.Decompressed+s.Compressed == 0 || len(s.Fallbacks) > 0 {
			t.Errorf("%s: %d batches failed, counted %+v", name, failed, s)
		}
	}
}
