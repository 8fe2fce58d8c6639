package serial

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"sabrefs/vmm/bus"
)

// saved returns the state of a port in the middle of everything.
func saved(tb testing.TB) []byte {
	tb.Helper()
	b := newBench()
	b.outb(regLCR, 0x83)
	b.outb(regData, 0x0c)
	b.outb(regIER, 0x34)
	b.outb(regLCR, 0x03)
	b.outb(regIIR, 0xc1)
	b.outb(regIER, ierReceived|ierTransmitted)
	b.outb(regMCR, mcrDTR|mcrRTS|mcrOUT2)
	b.outb(regScratch, 0x5a)
	b.Input([]byte(strings.Repeat("f", 16) + "queued"))
	data, err := b.Save()
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestStateGolden(t *testing.T) {
	want := []byte("\x01" + // version
		"\x03" + // IER: received, transmitted
		"\xc1" + // FCR: FIFO, trigger level 14
		"\x03" + // LCR: 8n1
		"\x0b" + // MCR: DTR, RTS, OUT2
		"\x00" + // modem lines did not change
		"\x5a" + // scratch
		"\x0c\x34" + // divisor
		"\x00" + // no overrun
		"\x01" + // the empty transmitter was not seen
		"\x10" + "\x06\x00" + // lengths
		"ffffffffffffffff" + "queued")
	if got := saved(t); !bytes.Equal(got, want) {
		t.Errorf("saved\n%x, expected\n%x", got, want)
	}
}

func TestLoadGoesOn(t *testing.T) {
	b := newBench()
	if err := b.Load(saved(t)); err != nil {
		t.Fatal(err)
	}
	b.wantEdges(t, "loading with input pending", 1)
	wantByte(t, "IIR", b.in(regIIR), 0xc4)
	got := []byte{}
	for b.in(regLSR)&lsrDataReady != 0 {
		got = append(got, b.in(regData))
	}
	if string(got) != strings.Repeat("f", 16)+"queued" {
		t.Errorf("received %q", got)
	}
	wantByte(t, "IIR", b.in(regIIR), 0xc2)
	wantByte(t, "scratch", b.in(regScratch), 0x5a)
	again, err := b.Save()
	if err != nil {
		t.Fatal(err)
	}
	if len(again) != 1+10+3 || bytes.Contains(again, []byte("f")) {
		t.Errorf("saved again: %x", again)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := saved(t)
	change := func(i int, value byte) []byte {
		b := bytes.Clone(good)
		b[i] = value
		return b
	}
	for name, data := range map[string][]byte{
		"nothing":              nil,
		"one byte":             good[:1],
		"registers cut off":    good[:10],
		"input cut off":        good[:len(good)-1],
		"more behind it":       append(bytes.Clone(good), 0),
		"version 0":            change(0, 0),
		"version 2":            change(0, 2),
		"IER of another chip":  change(1, 0x10),
		"FCR kept a clear bit": change(2, 0xc3),
		"trigger but no FIFO":  change(2, 0xc0),
		"MCR of another chip":  change(4, 0x20),
		"MSR inputs":           change(5, 0x10),
		"overrun 2":            change(9, 2),
		"transmitted 2":        change(10, 2),
		"FIFO of 17":           append(change(11, 17), 0),
		"queue too long": append(append(bytes.Clone(good[:12]), 0x01, 0x10),
			make([]byte, 16+QueueBytes+1)...),
	} {
		b := newBench()
		b.Input([]byte("kept"))
		if err := b.Load(data); !errors.Is(err, bus.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
		wantByte(t, "input of a port that refused", b.in(regData), 'k')
	}
}
