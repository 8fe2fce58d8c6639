package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sabrefs/iaa"
)

// testBench is a run of codec that is about to enter its contenders.
func testBench(t *testing.T, raw []byte) *codecBench {
	t.Helper()
	b := &codecBench{
		flags: codecFlags{rounds: 1}, log: t.Output(), dir: t.TempDir(), raw: raw, buffer: newOneBuffer(),
		engines: []iaa.Engine{iaa.Software()},
	}
	noError(t, b.writeSample())
	return b
}

// closeBench is deferred: at the cleanup of a test its context has ended, and
// with it every process.
func closeBench(t *testing.T, b *codecBench) {
	t.Helper()
	noError(t, b.close())
}

// TestEveryDecoderIsChecked: a frame that decodes to other bytes, or not at all,
// ends the run.
func TestEveryDecoderIsChecked(t *testing.T) {
	requireLibdeflate(t)
	for name, spoil := range map[string]func(s *stream){
		"noise":       func(s *stream) { copy(s.frames[3].data[10:], bytes.Repeat([]byte{0xff}, 20)) },
		"other frame": func(s *stream) { s.frames[1] = s.frames[2] },
		"cut":         func(s *stream) { s.frames[2].data = s.frames[2].data[:len(s.frames[2].data)/2] },
	} {
		b := testBench(t, bytes.Repeat(memory(3)[pageBytes:3*pageBytes], 8))
		defer closeBench(t, b)
		b.raw[5*pageBytes] = '!'
		b.libdeflate = buildLibdeflate(t.Context(), b.log, b.dir)
		noError(t, b.writeSample())
		s := b.addStream(partDeflate, "software", 5, pageBytes, encodeByEngine(t.Context(), b.software(), 5))
		b.addContender(s, "software", decodeByEngine(t.Context(), b.software()))
		b.addEngine(t.Context(), s, b.software())
		b.addContender(s, nameKlauspost, decodeByKlauspost())
		b.addContender(s, nameStdlib, decodeByStdlib())
		noError(t, b.addLibdeflate(t.Context(), s))
		noError(t, b.makeStreams(t.Context()))
		noError(t, b.runRounds(t.Context())) // all is well
		spoil(s)
		for _, c := range b.contenders {
			if err := c.tryOut(t.Context()); err == nil || !strings.Contains(err.Error(), "frame") {
				t.Errorf("%s: %s: error is %v", name, c.engine, err)
			}
		}
	}
}

// TestLazyDecoderIsFound: leaving what is in the buffer is not decoding.
func TestLazyDecoderIsFound(t *testing.T) {
	b := testBench(t, memory(4)[pageBytes:3*pageBytes])
	defer closeBench(t, b)
	s := b.addStream(partRaw, nameCopy, 0, pageBytes, encodeByCopying)
	noError(t, b.makeStreams(t.Context()))
	s.frames[0].raw, s.frames[1].raw = false, false
	b.addContender(s, "good", decodeByCopying)
	noError(t, b.runRounds(t.Context()))
	lazy := b.addContender(s, "lazy", func([]byte, *packedFrame) error { return nil })
	if err := b.runRounds(t.Context()); err == nil || !strings.Contains(err.Error(), lazy.String()) {
		t.Errorf("error is %v", err)
	}
}

// TestRoundsAreInTurn: every contender has a slice before any has the next.
func TestRoundsAreInTurn(t *testing.T) {
	b := testBench(t, make([]byte, 2*sliceBytes+pageBytes))
	defer closeBench(t, b)
	var order []string
	for _, name := range []string{"a", "b"} {
		s := b.addStream(partRaw, nameCopy, 0, maxFrameBytes, encodeByCopying)
		c := b.addContender(s, name, nil)
		c.decoder = recordingDecoder{func(first, end int) {
			order = append(order, name, string(rune('0'+first/16)), string(rune('0'+(end-1)/16)))
		}}
	}
	b.flags.rounds = 2
	noError(t, b.runRounds(t.Context()))
	one := "a 0 0 b 0 0 a 1 1 b 1 1 a 2 2 b 2 2 "
	if got := strings.Join(order, " ") + " "; got != strings.Repeat(one, 3) { // two rounds and the latencies
		t.Errorf("the order is %s", got)
	}
	for _, c := range b.contenders {
		if len(c.perRound) != 2 || len(c.latencies) != 3 {
			t.Errorf("%d figures of rounds and %d latencies", len(c.perRound), len(c.latencies))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.runRounds(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after an interrupt: %v", err)
	}
}

type recordingDecoder struct{ record func(first, end int) }

func (d recordingDecoder) prepare() error { return nil }
func (d recordingDecoder) check() error   { return nil }
func (d recordingDecoder) close() error   { return nil }
func (d recordingDecoder) run(first, end int) (time.Duration, error) {
	d.record(first, end)
	return time.Millisecond, nil
}

func (d recordingDecoder) each(first, end int) ([]time.Duration, error) {
	d.record(first, end)
	return []time.Duration{time.Millisecond}, nil
}

// TestSlack: buffers are as the engines of package iaa like them best.
func TestSlack(t *testing.T) {
	b := testBench(t, memory(8))
	defer closeBench(t, b)
	s := b.addStream(partDeflate, "software", 5, pageBytes, encodeByEngine(t.Context(), b.software(), 5))
	noError(t, b.makeStreams(t.Context()))
	calls := 0
	b.addContender(s, "counting", func(dst []byte, f *packedFrame) error {
		calls++
		if cap(f.data)-len(f.data) < iaa.SlackBytes || cap(dst)-len(dst) < iaa.SlackBytes {
			t.Errorf("frame has %d bytes behind it, output %d", cap(f.data)-len(f.data), cap(dst)-len(dst))
		}
		return errors.New("enough")
	})
	for _, mode := range []string{modeTouched, modeUntouched} {
		b.addFaulting(s, "counting", mode, b.contenders[0].decoder.(*goDecoder).decode)
	}
	for _, c := range b.contenders {
		if err := c.decoder.check(); err == nil {
			t.Error("a decoder that refuses is accepted")
		}
	}
	if calls != len(b.contenders) {
		t.Errorf("%d calls of %d contenders", calls, len(b.contenders))
	}
}

func TestReadFrames(t *testing.T) {
	content := []byte{2, 0, 0, 0, 'a', 'b', 3, 0, 0, 0, 'c', 'd', 'e'}
	frames, err := readFrames(content, pageBytes+3, pageBytes)
	noError(t, err)
	if len(frames) != 2 || string(frames[0].data) != "ab" || frames[0].raw || string(frames[1].data) != "cde" || !frames[1].raw {
		t.Errorf("frames are %+v", frames)
	}
	for cut := range content {
		if _, err := readFrames(content[:cut], pageBytes+3, pageBytes); err == nil {
			t.Errorf("%d of %d bytes are accepted", cut, len(content))
		}
	}
}

// TestDriverAnswersNonsense: whatever is asked, the driver says what is wrong and
// goes on.
func TestDriverAnswersNonsense(t *testing.T) {
	requireLibdeflate(t)
	b := testBench(t, memory(3))
	b.libdeflate = buildLibdeflate(t.Context(), b.log, b.dir)
	s := &stream{codec: partDeflate, name: nameLibdeflate, level: peerLevel, frameBytes: pageBytes}
	p, err := b.startLibdeflate(t.Context(), s)
	noError(t, err)
	for _, line := range []string{"nonsense", "run 0 4", "run 2 1", "each 0 99", "compress 6 0 4", "check", "run 0 1", "each 1 2", "run -1 2"} {
		if answer, err := p.ask("%s", line); err == nil {
			t.Errorf("%q is answered by %q", line, answer)
		}
	}
	took, err := p.compress(0, 3)
	if err != nil || took <= 0 {
		t.Errorf("compressing took %v, %v", took, err)
	}
	noError(t, p.check())
	noError(t, os.WriteFile(p.file, []byte{1}, 0o600))
	if _, err := p.ask("load %s", p.file); err == nil {
		t.Error("a file that is cut is loaded")
	}
	if _, err := p.ask("check"); err == nil {
		t.Error("a driver that failed goes on")
	}
	if err := p.close(); err == nil {
		t.Error("a driver that failed ends well")
	}
	if _, err := b.startLibdeflate(t.Context(), &stream{frameBytes: 0}); err == nil { // it complains when it is asked
		b.libdeflate = libdeflateDriver(filepath.Join(b.dir, "missing"))
		if _, err := b.startLibdeflate(t.Context(), s); err == nil {
			t.Error("a missing driver starts")
		}
	}
}

func TestPercentile(t *testing.T) {
	var durations []time.Duration
	for i := range 200 {
		durations = append(durations, time.Duration(200-i)*time.Microsecond)
	}
	if p50, p99 := percentile(durations, 50), percentile(durations, 99); p50 != 101 || p99 != 199 {
		t.Errorf("percentiles are %v and %v", p50, p99)
	}
	if p := percentile(nil, 50); p != 0 {
		t.Errorf("percentile of nothing is %v", p)
	}
}
