package iaa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Software returns the engine that runs on the CPU.
func Software() Engine { return &software{} }

// software decodes and encodes with klauspost/compress. Coders are pooled:
// their tables are tens of kilobytes and costly to allocate for each frame.
type software struct {
	inflaters sync.Pool // of *inflater
	deflaters sync.Pool // of *deflater
}

type inflater struct {
	in  bytes.Reader
	out io.ReadCloser // also a flate.Resetter
}

type deflater struct {
	out boundedBuffer
	w   *flate.Writer
}

func (s *software) Name() string { return "software" }

func (s *software) Decompress(ctx context.Context, jobs []Job) error {
	return runJobs(ctx, jobs, s.inflate)
}

func (s *software) Compress(ctx context.Context, jobs []Job) error {
	return runJobs(ctx, jobs, s.deflate)
}

// runJobs runs one job after the other: callers bring their own parallelism,
// one goroutine a core. Jobs after the end of the context carry its error.
func runJobs(ctx context.Context, jobs []Job, run func(*Job)) error {
	for i := range jobs {
		if err := ctx.Err(); err != nil {
			failRest(jobs[i:], err)
			return fmt.Errorf("batch of %d jobs: %w", len(jobs), err)
		}
		run(&jobs[i])
	}
	return nil
}

func failRest(jobs []Job, err error) {
	for i := range jobs {
		jobs[i].N, jobs[i].Err = 0, err
	}
}

func (s *software) inflate(job *Job) {
	inf, ok := s.inflaters.Get().(*inflater)
	if !ok {
		inf = &inflater{out: flate.NewReader(bytes.NewReader(nil))}
	}
	defer s.inflaters.Put(inf)
	job.N, job.Err = inf.decode(job.Src, job.Dst)
	if job.Err == nil {
		job.CRC32 = crc32.ChecksumIEEE(job.Dst)
	}
	inf.in.Reset(nil)
}

// decode fills dst from the stream in src and proves that the stream ends there.
func (inf *inflater) decode(src, dst []byte) (int, error) {
	inf.in.Reset(src)
	resetter, ok := inf.out.(flate.Resetter)
	if !ok {
		return 0, fmt.Errorf("inflater cannot be reset: %w", errors.ErrUnsupported)
	}
	if err := resetter.Reset(&inf.in, nil); err != nil {
		return 0, fmt.Errorf("resetting the inflater: %w", err)
	}
	n, err := inf.fill(dst)
	switch {
	case errors.Is(err, io.EOF) && n < len(dst):
		return n, fmt.Errorf("%w: %d bytes, expected %d", ErrLength, n, len(dst))
	case err == nil:
		return n, fmt.Errorf("%w: more than %d bytes", ErrLength, len(dst))
	case !errors.Is(err, io.EOF):
		return n, fmt.Errorf("%w: %w", ErrStream, err)
	case inf.in.Len() > 0:
		return n, fmt.Errorf("%w: %d bytes behind its end", ErrStream, inf.in.Len())
	}
	return n, nil
}

// fill reads into dst until the stream ends (io.EOF), fails, or turns out to be
// longer than dst (nil).
func (inf *inflater) fill(dst []byte) (n int, err error) {
	for n < len(dst) && err == nil {
		var read int
		read, err = inf.out.Read(dst[n:])
		n += read
	}
	var beyond [1]byte
	for read := 0; read == 0 && err == nil; {
		read, err = inf.out.Read(beyond[:])
		if read > 0 {
			return n, nil
		}
	}
	return n, err
}

func (s *software) deflate(job *Job) {
	d, err := s.deflater()
	if err != nil {
		job.Err = err
		return
	}
	defer s.deflaters.Put(d)
	job.CRC32 = crc32.ChecksumIEEE(job.Src)
	job.N, job.Err = d.encode(job.Src, job.Dst)
	d.out.buf = nil
}

func (s *software) deflater() (*deflater, error) {
	if d, ok := s.deflaters.Get().(*deflater); ok {
		return d, nil
	}
	d := &deflater{}
	w, err := flate.NewWriterWindow(&d.out, WindowBytes)
	if err != nil {
		return nil, fmt.Errorf("creating the compressor: %w", err)
	}
	d.w = w
	return d, nil
}

func (d *deflater) encode(src, dst []byte) (int, error) {
	d.out.buf, d.out.n = dst, 0
	d.w.Reset(&d.out)
	if _, err := d.w.Write(src); err != nil {
		return 0, err
	}
	if err := d.w.Close(); err != nil {
		return 0, err
	}
	return d.out.n, nil
}

// boundedBuffer is a writer into a buffer of fixed size.
type boundedBuffer struct {
	buf []byte
	n   int
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if len(p) > len(b.buf)-b.n {
		return 0, ErrNoGain
	}
	b.n += copy(b.buf[b.n:], p)
	return len(p), nil
}
