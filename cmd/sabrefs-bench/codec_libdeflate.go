package main

import (
	"bufio"
	"context"
	_ "embed" // for the driver
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// libdeflateSource is the C side of libdeflateProcess. It is compiled on the
// machine that measures: this program is pure Go.
//
//go:embed libdeflate/driver.c
var libdeflateSource string

// libdeflateDriver is the path of the compiled driver, or "" if there is none.
type libdeflateDriver string

// buildLibdeflate compiles the driver. Where that is impossible the reason is
// noted and nothing fails.
func buildLibdeflate(ctx context.Context, log io.Writer, dir string) libdeflateDriver {
	driver := filepath.Join(dir, "libdeflate-driver")
	if err := compileC(ctx, libdeflateSource, driver, "-ldeflate"); err != nil {
		fmt.Fprintf(log, "note: without libdeflate (apt-get install gcc libc6-dev libdeflate-dev): %v\n", err)
		return ""
	}
	return libdeflateDriver(driver)
}

// addLibdeflateStream enters libdeflate's own stream, if there is a driver.
func (b *codecBench) addLibdeflateStream(ctx context.Context, frameBytes int) (*stream, error) {
	if b.libdeflate == "" {
		return nil, nil //nolint:nilnil // no stream, and nothing wrong with that
	}
	s := &stream{codec: partDeflate, name: nameLibdeflate, level: peerLevel, frameBytes: frameBytes}
	process, err := b.startLibdeflate(ctx, s)
	if err != nil {
		return nil, err
	}
	s.compressor = process
	b.streams = append(b.streams, s)
	b.contenders = append(b.contenders, &contender{stream: s, engine: nameLibdeflate, decoder: process})
	return s, nil
}

// addLibdeflate enters libdeflate on the stream of somebody else, if there is a
// driver.
func (b *codecBench) addLibdeflate(ctx context.Context, s *stream) error {
	if b.libdeflate == "" {
		return nil
	}
	process, err := b.startLibdeflate(ctx, s)
	if err != nil {
		return err
	}
	b.contenders = append(b.contenders, &contender{stream: s, engine: nameLibdeflate, decoder: process})
	return nil
}

// libdeflateProcess is a running driver, with the frames of one stream. It is both
// a compressor and a frameDecoder.
type libdeflateProcess struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stream *stream
	raw    []byte
	file   string // for frames on their way
	closed bool
}

func (b *codecBench) startLibdeflate(ctx context.Context, s *stream) (*libdeflateProcess, error) {
	cmd := exec.CommandContext(ctx, string(b.libdeflate), b.sampleFile(), strconv.Itoa(s.frameBytes))
	cmd.Stderr = b.log
	in, out, err := startPiped(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting the driver of libdeflate: %w", err)
	}
	return &libdeflateProcess{cmd: cmd, in: in, out: out, stream: s, raw: b.raw, file: filepath.Join(b.dir, "frames")}, nil
}

// ask sends a line and returns the answer.
func (p *libdeflateProcess) ask(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		return "", fmt.Errorf("driver of libdeflate: %w", err)
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("driver of libdeflate: %w", err)
	}
	line = strings.TrimSpace(line)
	if problem, isError := strings.CutPrefix(line, "error "); isError {
		return "", fmt.Errorf("driver of libdeflate: %s", problem)
	}
	return line, nil
}

func (p *libdeflateProcess) askTimes(format string, args ...any) ([]time.Duration, error) {
	line, err := p.ask(format, args...)
	if err != nil {
		return nil, err
	}
	var times []time.Duration
	for field := range strings.FieldsSeq(line) {
		ns, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("driver of libdeflate: %w", err)
		}
		times = append(times, time.Duration(ns))
	}
	return times, nil
}

func (p *libdeflateProcess) askTime(format string, args ...any) (time.Duration, error) {
	times, err := p.askTimes(format, args...)
	if err != nil {
		return 0, err
	}
	if len(times) != 1 {
		return 0, fmt.Errorf("driver of libdeflate: %d figures, expected one", len(times))
	}
	return times[0], nil
}

func (p *libdeflateProcess) compress(first, end int) (time.Duration, error) {
	return p.askTime("compress %d %d %d", p.stream.level, first, end)
}

func (p *libdeflateProcess) run(first, end int) (time.Duration, error) {
	return p.askTime("run %d %d", first, end)
}

func (p *libdeflateProcess) each(first, end int) ([]time.Duration, error) {
	times, err := p.askTimes("each %d %d", first, end)
	if err == nil && len(times) != end-first {
		return nil, fmt.Errorf("driver of libdeflate: %d figures, expected %d", len(times), end-first)
	}
	return times, err
}

func (p *libdeflateProcess) check() error {
	_, err := p.ask("check")
	return err
}

// frames fetches what the driver compressed.
func (p *libdeflateProcess) frames() ([]packedFrame, error) {
	if _, err := p.ask("save %s", p.file); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(p.file)
	if err != nil {
		return nil, err
	}
	return readFrames(content, len(p.raw), p.stream.frameBytes)
}

// prepare gives the driver frames that others made.
func (p *libdeflateProcess) prepare() error {
	if p.stream.compressor == p {
		return nil
	}
	const ownerOnly = 0o600
	var content []byte
	for _, f := range p.stream.frames {
		content = binary.LittleEndian.AppendUint32(content, uint32(len(f.data)))
		content = append(content, f.data...)
	}
	if err := os.WriteFile(p.file, content, ownerOnly); err != nil {
		return err
	}
	_, err := p.ask("load %s", p.file)
	return err
}

// readFrames reads what the driver saves: each frame behind its length.
func readFrames(content []byte, rawBytes, frameBytes int) ([]packedFrame, error) {
	const lengthBytes = 4
	frames := make([]packedFrame, frameCount(rawBytes, frameBytes))
	for i := range frames {
		if len(content) < lengthBytes {
			return nil, io.ErrUnexpectedEOF
		}
		n := int(binary.LittleEndian.Uint32(content))
		content = content[lengthBytes:]
		if n > len(content) {
			return nil, io.ErrUnexpectedEOF
		}
		frames[i] = newPackedFrame(content[:n], min(frameBytes, rawBytes-i*frameBytes))
		content = content[n:]
	}
	return frames, nil
}

// close ends the process; a second call does nothing, for it may be entered as a
// compressor and as a decoder.
func (p *libdeflateProcess) close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	return errors.Join(p.in.Close(), p.cmd.Wait())
}
