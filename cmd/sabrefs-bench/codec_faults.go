package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"sabrefs/iaa"
)

// The destinations of measurements of page faults.
const (
	modeTouched       = "touched"
	modeUntouched     = "untouched"
	modeUntouchedHuge = "untouched-huge"
)

// addFaults enters decoding, and copying beside it, into memory that a slice of
// the sample fills once: as a guest's memory is filled when it is restored.
func (b *codecBench) addFaults(ctx context.Context) {
	modes := []string{modeTouched, modeUntouched, modeUntouchedHuge}
	if !hugePagesAllowed() {
		fmt.Fprintln(b.log, "note: the kernel gives no huge pages on request; rows \"untouched-huge\" are left out")
		modes = modes[:2]
	}
	for _, frameBytes := range []int{4 * kib, 16 * kib, 64 * kib} {
		packed := b.addStream(partDeflate, b.software().Name(), iaa.DefaultLevel, frameBytes, encodeByEngine(ctx, b.software(), iaa.DefaultLevel))
		plain := b.addStream(partRaw, nameCopy, 0, frameBytes, encodeByCopying)
		for _, mode := range modes {
			for _, engine := range b.engines {
				b.addFaulting(packed, engine.Name(), mode, decodeByEngine(ctx, engine))
			}
			b.addFaulting(plain, nameCopy, mode, decodeByCopying)
		}
	}
}

func (b *codecBench) addFaulting(s *stream, engine, mode string, decode decode) {
	decoder := &goDecoder{raw: b.raw, stream: s, decode: decode, clock: b.clockOf(engine), dst: &mappedMemory{mode: mode, frameBytes: s.frameBytes}}
	b.contenders = append(b.contenders, &contender{stream: s, engine: engine, mode: mode, decoder: decoder})
}

// mappedMemory is a destination that is mapped anew before each run.
type mappedMemory struct {
	mode       string
	frameBytes int
	first      int
	memory     []byte
}

func (m *mappedMemory) begin(first, end int) (err error) {
	const hugePageBytes = 2 * mib // whole ones, or the kernel may not align the mapping to them
	m.first = first
	m.memory, err = mapAnonymously(roundUp((end-first)*m.frameBytes+iaa.SlackBytes, hugePageBytes))
	if err != nil {
		return err
	}
	if err := m.advise(); err != nil {
		return errors.Join(err, unix.Munmap(m.memory))
	}
	if m.mode == modeTouched {
		for i := 0; i < len(m.memory); i += pageBytes {
			m.memory[i] = 1
		}
	}
	return nil
}

// advise sets whether the kernel may give huge pages, whatever the system's
// setting is. A kernel without them gives none and says EINVAL.
func (m *mappedMemory) advise() error {
	if m.mode == modeUntouchedHuge {
		return unix.Madvise(m.memory, unix.MADV_HUGEPAGE)
	}
	if err := unix.Madvise(m.memory, unix.MADV_NOHUGEPAGE); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("madvise: %w", err)
	}
	return nil
}

func (m *mappedMemory) end() error { return unix.Munmap(m.memory) }

func (m *mappedMemory) frame(i, rawBytes int) []byte {
	off := (i - m.first) * m.frameBytes
	return m.memory[off : off+rawBytes : off+rawBytes+iaa.SlackBytes]
}

func mapAnonymously(lenBytes int) ([]byte, error) {
	memory, err := unix.Mmap(-1, 0, lenBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("mapping %d bytes: %w", lenBytes, err)
	}
	return memory, nil
}

func hugePagesAllowed() bool {
	memory, err := mapAnonymously(mib)
	if err != nil {
		return false
	}
	err = unix.Madvise(memory, unix.MADV_HUGEPAGE)
	return errors.Join(err, unix.Munmap(memory)) == nil
}
