package inflate

import (
	"slices"
	"testing"

	"sabrefs/tests/seedtest"
)

// TestDecodingAllocatesNothing decodes streams of all kinds with a decoder that
// has seen them once, with slack and without.
func TestDecodingAllocatesNothing(t *testing.T) {
	rng := seedtest.Rand(t)
	samples := slices.Concat(handmadeSamples(rng), compressedSamples(t, rng, 0, 1, 5000), sharedSamples(t, rng))
	for name, slackBytes := range map[string]int{"with slack": SlackBytes, "without slack": 0} {
		var q queue
		for _, s := range samples {
			q.tasks = append(q.tasks, task{
				src: append(make([]byte, 0, len(s.packed)+slackBytes), s.packed...),
				dst: make([]byte, len(s.raw), len(s.raw)+slackBytes), want: s.raw, table: s.codes.tableOrNil(),
			})
		}
		t.Run(name, func(t *testing.T) {
			var d Decoder
			if n := testing.AllocsPerRun(3, func() {
				for i := range q.tasks {
					task := &q.tasks[i]
					n, err := d.Decode(task.dst, task.src, task.table)
					q.Done(i, n, err)
				}
			}); n != 0 {
				t.Errorf("Decode: %v allocations", n)
			}
			if n := testing.AllocsPerRun(3, func() { d.DecodeAll(len(q.tasks), &q) }); n != 0 {
				t.Errorf("DecodeAll: %v allocations", n)
			}
			for i := range q.tasks {
				q.tasks[i].done = 1
				q.tasks[i].check(t, setup{lane: i})
			}
		})
	}
}

// TestDecoderKeepsNothing checks that buffers of a caller are not reachable from a
// decoder after a call.
func TestDecoderKeepsNothing(t *testing.T) {
	var d Decoder
	b := newBench(t)
	tasks := slices.Concat(b.partners[manyPartners], b.partners[longPartner])
	q := queue{tasks}
	d.DecodeAll(len(q.tasks), &q)
	n, err := d.Decode(q.tasks[0].dst, q.tasks[0].src, fixedTable)
	if err == nil {
		t.Errorf("a stream with a header and a table: %d bytes, no error", n)
	}
	for i := range d.lanes {
		l := &d.lanes[i]
		if l.stream.src != nil || l.stream.dst != nil || l.dst != nil || l.table != nil || l.shared != nil || l.err != nil {
			t.Errorf("lane %d keeps a stream", i)
		}
	}
}
