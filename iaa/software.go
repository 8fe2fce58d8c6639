package iaa

import (
	"context"
	"hash/crc32"
	"sync"
	"sync/atomic"

	"sabrefs/iaa/deflate"
	"sabrefs/iaa/inflate"
)

// Software returns the engine that runs on the CPU.
func Software() Engine { return &software{} }

// software decodes and encodes in the goroutines of its callers. Coders are
// pooled: their tables are tens of kilobytes.
type software struct {
	decompressed, compressed atomic.Uint64

	decoders sync.Pool // of *decoder
	encoders sync.Pool // of *encoder
}

// shareJobs is how many jobs are taken at once: enough for a decoder that works
// on two at a time, few enough for a context to end soon.
const shareJobs = 16

func (s *software) Name() string { return "software" }

func (s *software) Stats() Stats {
	return Stats{Decompressed: s.decompressed.Load(), Compressed: s.compressed.Load()}
}

func (s *software) Close() error { return nil }

// Decompress runs the jobs in the caller's goroutine: callers bring their own
// parallelism, one goroutine a core. Two jobs are decoded side by side.
func (s *software) Decompress(ctx context.Context, jobs []Job) error {
	return s.runAll(ctx, OpDecompress, jobs)
}

// Compress runs one job after the other in the caller's goroutine.
func (s *software) Compress(ctx context.Context, jobs []Job) error {
	return s.runAll(ctx, OpCompress, jobs)
}

func (s *software) runAll(ctx context.Context, op Op, jobs []Job) error {
	for rest := jobs; len(rest) > 0; {
		share := rest[:min(len(rest), shareJobs)]
		rest = rest[len(share):]
		s.runJobs(ctx, op, share)
	}
	return batchError(ctx, jobs)
}

// runJobs runs jobs, or gives each of them the context's error after its end.
func (s *software) runJobs(ctx context.Context, op Op, jobs []Job) {
	if err := ctx.Err(); err != nil {
		for i := range jobs {
			jobs[i].N, jobs[i].CRC32, jobs[i].Err = 0, 0, err
		}
		return
	}
	if op == OpCompress {
		s.deflate(jobs)
		return
	}
	s.inflate(jobs)
}

// decoder lets an inflate.Decoder work on jobs.
type decoder struct {
	inflate.Decoder
	jobs []Job
}

func (s *software) inflate(jobs []Job) {
	d, ok := s.decoders.Get().(*decoder)
	if !ok {
		d = new(decoder)
	}
	defer s.decoders.Put(d)
	d.jobs = jobs
	d.DecodeAll(len(jobs), d)
	d.jobs = nil
	s.decompressed.Add(uint64(len(jobs)))
}

// Task implements inflate.Tasks.
func (d *decoder) Task(i int) (dst, src []byte, table *inflate.Table) {
	job := &d.jobs[i]
	if job.Table != nil {
		table = job.Table.decoding
	}
	return job.Dst, job.Src, table
}

// Done implements inflate.Tasks.
func (d *decoder) Done(i, n int, err error) {
	job := &d.jobs[i]
	job.N, job.CRC32, job.Err = n, 0, err
	if err == nil {
		job.CRC32 = crc32.ChecksumIEEE(job.Dst)
	}
}

// encoder is a deflate.Encoder and scratch space.
type encoder struct {
	*deflate.Encoder
	shared []*deflate.Shared
}

func (s *software) deflate(jobs []Job) {
	e, ok := s.encoders.Get().(*encoder)
	if !ok {
		e = &encoder{Encoder: deflate.NewEncoder()}
	}
	defer s.encoders.Put(e)
	for i := range jobs {
		e.run(&jobs[i])
	}
	s.compressed.Add(uint64(len(jobs)))
}

func (e *encoder) run(job *Job) {
	e.shared = e.shared[:0]
	for _, table := range job.Tables {
		e.shared = append(e.shared, table.encoding)
	}
	job.CRC32 = crc32.ChecksumIEEE(job.Src)
	job.Table, job.Err = nil, nil
	n, which, ok := e.EncodeBest(job.Dst, job.Src, job.Level, e.shared)
	switch {
	case !ok:
		job.N, job.Err = 0, ErrNoGain
	case which >= 0:
		job.N, job.Table = n, job.Tables[which]
	default:
		job.N = n
	}
}
