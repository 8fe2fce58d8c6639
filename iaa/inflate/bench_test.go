package inflate

import (
	"fmt"
	"testing"

	"sabrefs/tests/seedtest"
)

// benchSamples are streams of pages as a guest has them: more than a branch
// predictor learns by heart.
func benchSamples(b *testing.B, rawBytes int) (samples []sample) {
	b.Helper()
	rng := seedtest.Fixed(1)
	c := compressors[3] // of level 6, which is what most streams are made with
	for range max(4, 1<<20/rawBytes) {
		raw := make([]byte, rawBytes)
		fillPage(rng, raw)
		packed, err := c.compress(raw)
		wantNoError(b, err)
		samples = append(samples, sample{name: c.name, packed: packed, raw: raw})
	}
	return samples
}

func benchQueue(samples []sample) *queue {
	q := &queue{}
	for _, s := range samples {
		q.tasks = append(q.tasks, task{
			src: append(make([]byte, 0, len(s.packed)+SlackBytes), s.packed...),
			dst: make([]byte, len(s.raw), len(s.raw)+SlackBytes), want: s.raw, table: s.codes.tableOrNil(),
		})
	}
	return q
}

// BenchmarkDecode decodes frames one after the other, two side by side, and two
// side by side with shared codes; by the loops in assembly, if there are any,
// and by the portable one.
func BenchmarkDecode(b *testing.B) {
	for _, kib := range []int{4, 16, 64} {
		samples := benchSamples(b, kib<<10)
		single, shared := benchQueue(samples), benchQueue(shareCodes(b, samples))
		for _, assembly := range []bool{true, false} {
			loop := map[bool]string{true: "assembly", false: "portable"}[assembly]
			if assembly && !canByHand {
				continue
			}
			var d Decoder
			benchmarkQueue(b, fmt.Sprintf("%dKiB/single/%s", kib, loop), assembly, single, func(q *queue) {
				for i := range q.tasks {
					n, err := d.Decode(q.tasks[i].dst, q.tasks[i].src, q.tasks[i].table)
					q.Done(i, n, err)
				}
			})
			benchmarkQueue(b, fmt.Sprintf("%dKiB/pair/%s", kib, loop), assembly, single, func(q *queue) { d.DecodeAll(len(q.tasks), q) })
			benchmarkQueue(b, fmt.Sprintf("%dKiB/shared/%s", kib, loop), assembly, shared, func(q *queue) { d.DecodeAll(len(q.tasks), q) })
		}
	}
}

// benchmarkQueue measures the time of all streams, and of one.
func benchmarkQueue(b *testing.B, name string, assembly bool, q *queue, decode func(q *queue)) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		defer useByHand(assembly)()
		b.SetBytes(int64(len(q.tasks) * len(q.tasks[0].dst)))
		b.ReportAllocs()
		for b.Loop() {
			decode(q)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(q.tasks)), "ns/stream")
		for i := range q.tasks {
			q.tasks[i].done = 1
			q.tasks[i].check(b, setup{assembly: assembly, lane: i})
		}
	})
}
