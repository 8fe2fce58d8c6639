package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/iaa"
)

// The modes of measureFiles.
const (
	modeRead           = "read"
	modeReadDirect     = "read-direct"
	modeDecode         = "decode"
	modeDecodeFromFile = "decode-from-file"
)

// fileFrameBytes is the size of the frames that are read and decoded, the default
// for DEFLATE.
const fileFrameBytes = 16 * kib

// restore is getting some raw memory in one of several ways.
type restore struct {
	mode      string
	sizeBytes int
	times     []time.Duration
}

// fileBench compares reading memory with reading and decoding it.
type fileBench struct {
	bench    *codecBench
	stream   *stream
	decode   decode
	ends     []int       // of each frame in the packed file
	buffer   []byte      // aligned, for O_DIRECT
	memory   []byte      // decoded
	frame    packedFrame // in the buffer
	packed   string
	restores []*restore
}

// measureFiles takes turns as everything here does; the files are out of the page
// cache each time.
func (b *codecBench) measureFiles(ctx context.Context) (rows []codecRow, err error) {
	f, err := b.newFileBench(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unix.Munmap(f.buffer)) }()
	modes := []string{modeRead, modeReadDirect, modeDecode, modeDecodeFromFile}
	if err := f.tryDirect(); err != nil {
		fmt.Fprintf(b.log, "note: rows \"read-direct\" and \"decode-from-file\" are left out, try --work-dir: %v\n", err)
		modes = []string{modeRead, modeDecode}
	}
	for sizeBytes := 64 * kib; sizeBytes <= len(b.raw); sizeBytes *= 4 {
		for _, mode := range modes {
			f.restores = append(f.restores, &restore{mode: mode, sizeBytes: sizeBytes})
		}
	}
	for round := range b.flags.rounds {
		b.progress("round with files", round, b.flags.rounds)
		for _, r := range f.restores {
			if err := errors.Join(ctx.Err(), f.run(r)); err != nil {
				return nil, fmt.Errorf("%s of %d bytes: %w", r.mode, r.sizeBytes, err)
			}
		}
	}
	for _, r := range f.restores {
		rows = append(rows, f.row(r))
	}
	return rows, nil
}

func (b *codecBench) newFileBench(ctx context.Context) (*fileBench, error) {
	s, err := b.packAtOnce(ctx, b.software(), iaa.DefaultLevel, fileFrameBytes)
	if err != nil {
		return nil, err
	}
	f := &fileBench{
		bench: b, stream: s, decode: decodeByEngine(ctx, b.software()), packed: filepath.Join(b.dir, "packed"),
		memory: make([]byte, len(b.raw)+iaa.SlackBytes),
	}
	var content []byte
	for _, frame := range s.frames {
		content = append(content, frame.data...)
		f.ends = append(f.ends, len(content))
	}
	content = append(content, make([]byte, roundUp(len(content)+iaa.SlackBytes, pageBytes)-len(content))...)
	for path, bytes := range map[string][]byte{f.packed: content, b.sampleFile(): b.raw} {
		if err := writeSynced(path, bytes); err != nil {
			return nil, err
		}
	}
	f.buffer, err = mapAnonymously(roundUp(max(len(content), len(b.raw)), pageBytes))
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(f.buffer); i += pageBytes { // not while being timed
		f.buffer[i] = 1
	}
	return f, nil
}

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }

func writeSynced(path string, content []byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

func (f *fileBench) tryDirect() error {
	_, err := f.read(f.packed, unix.O_DIRECT, pageBytes)
	return err
}

func (f *fileBench) run(r *restore) (err error) {
	var took time.Duration
	frames := r.sizeBytes / fileFrameBytes
	switch r.mode {
	case modeRead:
		took, err = f.read(f.bench.sampleFile(), 0, r.sizeBytes)
	case modeReadDirect:
		took, err = f.read(f.bench.sampleFile(), unix.O_DIRECT, r.sizeBytes)
	case modeDecode:
		// what is decoded from memory was read before, out of the measurement
		if _, err = f.read(f.packed, 0, f.ends[frames-1]+iaa.SlackBytes); err == nil {
			took, err = f.decodeFrames(frames)
		}
	case modeDecodeFromFile:
		took, err = f.decodeFromFile(frames)
	}
	if err != nil {
		return err
	}
	r.times = append(r.times, took)
	return f.compare(r)
}

func (f *fileBench) decodeFromFile(frames int) (time.Duration, error) {
	reading, err := f.read(f.packed, unix.O_DIRECT, roundUp(f.ends[frames-1]+iaa.SlackBytes, pageBytes))
	if err != nil {
		return 0, err
	}
	decoding, err := f.decodeFrames(frames)
	return reading + decoding, err
}

// read reads the beginning of a file into the buffer, after throwing the file out
// of the page cache. The file was synced: a dirty page would stay.
func (f *fileBench) read(path string, flags, lenBytes int) (took time.Duration, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|flags, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return 0, fmt.Errorf("fadvise: %w", err)
	}
	begin := time.Now()
	_, err = io.ReadFull(file, f.buffer[:lenBytes])
	return time.Since(begin), err
}

// decodeFrames decodes the first frames from the buffer to the memory.
func (f *fileBench) decodeFrames(frames int) (time.Duration, error) {
	begin := time.Now()
	start := 0
	for i, end := range f.ends[:frames] {
		dst := f.memory[i*fileFrameBytes : (i+1)*fileFrameBytes : (i+1)*fileFrameBytes+iaa.SlackBytes]
		f.frame.data = f.buffer[start : end : end+iaa.SlackBytes]
		if f.stream.frames[i].raw {
			copy(dst, f.frame.data)
		} else if err := f.decode(dst, &f.frame); err != nil {
			return 0, fmt.Errorf("frame %d: %w", i, err)
		}
		start = end
	}
	return time.Since(begin), nil
}

// compare looks at what arrived, then spoils it for the next.
func (f *fileBench) compare(r *restore) error {
	got := f.memory[:r.sizeBytes]
	if r.mode == modeRead || r.mode == modeReadDirect {
		got = f.buffer[:r.sizeBytes]
	}
	if string(got) != string(f.bench.raw[:r.sizeBytes]) {
		return errors.New("other bytes than in the sample")
	}
	clear(got)
	return nil
}

func (f *fileBench) row(r *restore) codecRow {
	row := codecRow{Codec: partRaw, Engine: "kernel", FrameBytes: r.sizeBytes, Ratio: 1}
	if r.mode == modeDecode || r.mode == modeDecodeFromFile {
		row = newStreamRow(f.stream, len(f.bench.raw))
		row.Engine = f.bench.software().Name()
	}
	row.Mode, row.SizeBytes = r.mode, r.sizeBytes
	row.P50US, row.P99US = percentile(r.times, 50), percentile(r.times, 99)
	row.DecompressMBPerS = float64(r.sizeBytes) / row.P50US // 10^6 bytes a second are bytes a microsecond
	return row
}
