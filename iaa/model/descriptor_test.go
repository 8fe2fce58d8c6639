//go:build linux || darwin

package model

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

// TestParseDescriptor reads the examples of descriptors that others wrote.
func TestParseDescriptor(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		want descriptor
	}{
		"decompress": {
			"000000000e010042400000 00007f0000 00100000007f0000 00300000007f0000 31000000 0000 1f00 0000000000000000 00100000 00000000 00000000 00000000",
			descriptor{
				flags: 0x10e, opcode: 0x42, record: 0x7f0000000040, source: 0x7f0000001000, destination: 0x7f0000003000,
				sourceBytes: 0x31, mode: 0x1f, destinationBytes: 4096,
			},
		},
		"compress": {
			"000000000e010143800000 00007f0000 00100000007f0000 00300000007f0000 00100000 0000 0600 00500000007f0000 00100000 20060000 02000000 07000000",
			descriptor{
				flags: 0x1010e, opcode: 0x43, record: 0x7f0000000080, source: 0x7f0000001000, destination: 0x7f0000003000,
				sourceBytes: 4096, mode: 6, source2: 0x7f0000005000, destinationBytes: 4096, source2Bytes: 1568, moreFlags: 2, elements: 7,
			},
		},
	} {
		raw, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(c.raw), []byte(" "), nil)))
		wantNoError(t, err)
		// The addresses in the examples are little-endian words of 4 bytes.
		got := parseDescriptor((*[64]byte)(raw))
		wantEqual(t, name, got, c.want)
	}
	d := descriptor{moreFlags: 0x89abcdef, elements: 0x01234567}
	wantEqual(t, "polynomial", d.polynomial(), 0x0123456789abcdef)
	wantEqual(t, "text", d.String(),
		"opcode 0x00 flags 0x0 mode 0x0 source 0x0+0 destination 0x0+0 source2 0x0+0 record 0x0")
}

// FuzzDescriptor submits any descriptor whose addresses are in an arena, or no
// addresses at all. The model survives it, writes nowhere but where it was told
// to, and always gives the slot back.
func FuzzDescriptor(f *testing.F) {
	const rangeBytes = 64 << 10
	machine := second(f)
	r := rand.New(rand.NewPCG(2, 0))
	_, packed := textStream(f, r, 500)
	for _, seed := range []fields{
		{}, machine.decompress(packed, 500), machine.compress(text(r, 500), 900),
		{opcode: OpcodeCRC64, source: machine.copyOf(packed)},
		{opcode: OpcodeCompress, source: machine.copyOf(packed), destination: machine.take(1280), mode: 5},
	} {
		f.Add(machine.task(seed).raw[:], packed, false)
	}
	f.Fuzz(func(t *testing.T, raw, content []byte, anywhere bool) {
		if len(raw) != 64 {
			return
		}
		m := machine.reset(t)
		memory := m.take(rangeBytes)
		copy(memory, content)
		for at := range memory[len(content):] {
			memory[len(content)+at] = byte(at * 7)
		}
		j := m.task(fields{patch: func(to []byte) {
			record := slices.Clone(to[8:16])
			copy(to, raw)
			copy(to[8:16], record)
			for _, at := range []int{16, 24, 40} {
				v := binary.LittleEndian.Uint64(to[at:])
				if v == 0 || anywhere && !plausible(v, 1) {
					continue
				}
				binary.LittleEndian.PutUint64(to[at:], address(memory)+v%rangeBytes)
			}
			for _, at := range []int{32, 48, 52} {
				binary.LittleEndian.PutUint32(to[at:], binary.LittleEndian.Uint32(to[at:])%(rangeBytes/2))
			}
		}})
		before := slices.Clone(memory)
		guard := m.take(2 * rangeBytes)
		d := parseDescriptor(j.raw)
		old := m.host.Counters()
		wantEqual(t, "accepted", j.submit(), true)
		for deadline := time.Now().Add(patience); m.host.Counters().InFlight > 0; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("job does not end")
			}
		}
		c := m.host.Counters()
		failed := c.Statuses[StatusSuccess] == old.Statuses[StatusSuccess]
		if c.Completed > old.Completed && (failed || d.has(flagRecordRequest)) {
			j.wait() // the slot is free before the record is written
		} else {
			wantEqual(t, "record was written", j.done(), false)
		}
		wrote := []span{d.destinationSpan()}
		if d.mayWriteState() {
			wrote = append(wrote, d.stateSpan())
		}
		for i := range memory {
			at := span{address(memory) + uint64(i), 1}
			if memory[i] != before[i] && !slices.ContainsFunc(wrote, at.overlaps) {
				t.Fatalf("byte %d was written by %v", i, d.String())
			}
		}
		for i, b := range guard {
			at := span{address(guard) + uint64(i), 1}
			if b != 0 && !slices.ContainsFunc(wrote, at.overlaps) {
				t.Fatalf("byte %d behind the arena was written by %v", i, d.String())
			}
		}
	})
}
