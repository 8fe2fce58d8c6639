package serial

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"sabrefs/vmm/bus"
)

var (
	_ bus.Device = (*Port)(nil)
	_ bus.Saver  = (*Port)(nil)
)

// bench is a port with what it sent and how often it interrupted.
type bench struct {
	*Port
	out   bytes.Buffer
	edges int
}

func newBench() *bench {
	b := &bench{}
	b.Port = New(&b.out, func() { b.edges++ })
	return b
}

func (b *bench) in(reg uint64) byte {
	data := make([]byte, 1)
	b.Read(reg, data)
	return data[0]
}

func (b *bench) outb(reg uint64, value byte) { b.Write(reg, []byte{value}) }

// wantEdges checks how many interrupts came since the last call.
func (b *bench) wantEdges(t *testing.T, when string, want int) {
	t.Helper()
	if b.edges != want {
		t.Errorf("%s: %d interrupts, expected %d", when, b.edges, want)
	}
	b.edges = 0
}

func wantByte(t *testing.T, what string, got, want byte) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %#02x, expected %#02x", what, got, want)
	}
}

func TestSendsAtOnce(t *testing.T) {
	b := newBench()
	for _, c := range []byte("hello") {
		wantByte(t, "LSR", b.in(regLSR), 0x60)
		b.outb(regData, c)
	}
	if b.out.String() != "hello" {
		t.Errorf("sent %q", b.out.String())
	}
	b.wantEdges(t, "with IER 0", 0)
}

// The steps of autoconfig in Linux' drivers/tty/serial/8250/8250_port.c, and
// what makes it decide for a 16550A and for no relative of it.
func TestProbedAs16550A(t *testing.T) {
	b := newBench()
	b.outb(regIER, 0)
	wantByte(t, "IER after 0", b.in(regIER)&0x0f, 0)
	b.outb(regIER, 0x0f)
	wantByte(t, "IER after 0f", b.in(regIER)&0x0f, 0x0f)
	b.outb(regIER, 0)

	b.outb(regMCR, 0x10|0x0a)
	wantByte(t, "MSR in loopback", b.in(regMSR)&0xf0, 0x90)
	b.outb(regMCR, 0)

	b.outb(regLCR, 0xbf)
	b.outb(2, 0) // EFR of later chips
	b.outb(regLCR, 0)
	b.outb(regIIR, 0x01)
	wantByte(t, "IIR with FIFOs", b.in(regIIR)>>6, 3)

	b.outb(regLCR, 0x80)
	if b.in(2) == 0 {
		t.Error("an EFR in configuration mode A: a 16650")
	}
	b.outb(regLCR, 0xbf)
	if b.in(2) == 0 {
		t.Error("an EFR in configuration mode B: a 16850")
	}
	b.outb(regLCR, 0)
	before := b.in(regMCR)
	b.outb(regLCR, 0xe0)
	status := b.in(2) // EXCR1 of a SuperIO
	b.outb(regLCR, 0)
	b.outb(regMCR, before^0x10)
	b.outb(regLCR, 0xe0)
	if (status^b.in(2))&0x10 != 0 {
		t.Error("EXCR1 mirrors loopback: a NatSemi chip")
	}
	b.outb(regLCR, 0)
	b.outb(regMCR, before)
	b.outb(regIIR, 0x01|0x20)
	wantByte(t, "IIR with 64 bytes asked for", b.in(regIIR)>>5, 6)
	b.outb(regLCR, 0x80)
	b.outb(regIIR, 0x01|0x20)
	wantByte(t, "the same with DLAB", b.in(regIIR)>>5, 6)
	b.outb(regLCR, 0)
	b.outb(regIER, 0x40)
	wantByte(t, "unit enable of an XScale", b.in(regIER), 0)
	b.outb(regIIR, 0)
	wantByte(t, "IIR without FIFOs", b.in(regIIR), 0x01)
	b.outb(regScratch, 0xa5)
	wantByte(t, "scratch", b.in(regScratch), 0xa5)
}

func TestDivisorHidesData(t *testing.T) {
	b := newBench()
	b.outb(regIER, 0x05)
	b.outb(regLCR, 0x83)
	b.outb(regData, 0x0c)
	b.outb(regIER, 0x01)
	wantByte(t, "divisor low", b.in(regData), 0x0c)
	wantByte(t, "divisor high", b.in(regIER), 0x01)
	b.outb(regLCR, 0x03)
	wantByte(t, "IER", b.in(regIER), 0x05)
	wantByte(t, "LCR", b.in(regLCR), 0x03)
	if b.out.Len() != 0 {
		t.Errorf("sent %x", b.out.Bytes())
	}
}

// An access of two bytes is one to each of two registers.
func TestWideAccess(t *testing.T) {
	b := newBench()
	b.outb(regLCR, 0x80)
	b.Write(regData, []byte{0x34, 0x12})
	data := make([]byte, 2)
	b.Read(regData, data)
	if data[0] != 0x34 || data[1] != 0x12 {
		t.Errorf("divisor %x", data)
	}
}

func TestTransmitterInterrupt(t *testing.T) {
	b := newBench()
	b.outb(regIER, ierTransmitted)
	b.wantEdges(t, "asking while empty", 1)
	wantByte(t, "IIR", b.in(regIIR), iirTransmitted)
	wantByte(t, "IIR, seen", b.in(regIIR), iirNone)
	b.outb(regData, 'x')
	b.wantEdges(t, "sending", 1)
	b.outb(regData, 'y') // without looking at IIR: ends the interrupt as well
	b.wantEdges(t, "sending again", 1)
	b.outb(regIER, 0)
	wantByte(t, "IIR, not asked for", b.in(regIIR), iirNone)
}

func TestReceive(t *testing.T) {
	b := newBench()
	b.outb(regIIR, 0x81) // FIFO, trigger level 8
	b.outb(regIER, ierReceived)
	if n := b.Input([]byte("abc")); n != 3 {
		t.Errorf("accepted %d", n)
	}
	b.wantEdges(t, "three bytes", 1)
	wantByte(t, "IIR below the level", b.in(regIIR), 0xcc)
	if n := b.Input([]byte("defghijklmnopqrstuvw")); n != 20 {
		t.Errorf("accepted %d", n)
	}
	b.wantEdges(t, "while pending", 0)
	got := []byte{}
	for b.in(regLSR)&lsrDataReady != 0 {
		if len(got) == 3 {
			wantByte(t, "IIR above the level", b.in(regIIR), 0xc4)
		}
		got = append(got, b.in(regData))
	}
	if string(got) != "abcdefghijklmnopqrstuvw" {
		t.Errorf("received %q", got)
	}
	wantByte(t, "IIR when empty", b.in(regIIR), 0xc1)
	wantByte(t, "data when empty", b.in(regData), 0)
}

// An enabled interrupt for something that happened before comes at once.
func TestEnableLate(t *testing.T) {
	b := newBench()
	b.Input([]byte("x"))
	b.wantEdges(t, "disabled", 0)
	b.outb(regIER, ierReceived)
	b.wantEdges(t, "enabled", 1)
	wantByte(t, "IIR without FIFO", b.in(regIIR), iirReceived)
}

func TestLoopback(t *testing.T) {
	b := newBench()
	b.outb(regMCR, mcrLoopback)
	b.in(regMSR)
	b.Input([]byte("typed"))
	b.outb(regIER, ierReceived|ierLineStatus|ierModemStatus)
	b.outb(regData, 'L')
	wantByte(t, "looped byte", b.in(regData), 'L')
	b.outb(regData, '1')
	b.outb(regData, '2') // no FIFO: there is room for one
	wantByte(t, "IIR", b.in(regIIR), iirLineStatus)
	wantByte(t, "LSR", b.in(regLSR), 0x60|lsrOverrun|lsrDataReady)
	wantByte(t, "LSR, seen", b.in(regLSR), 0x60|lsrDataReady)
	wantByte(t, "first", b.in(regData), '1')
	wantByte(t, "no second", b.in(regLSR), 0x60)
	b.outb(regMCR, mcrLoopback|mcrOUT1|mcrRTS)
	wantByte(t, "IIR", b.in(regIIR), iirModemStatus)
	wantByte(t, "MSR", b.in(regMSR), msrCTS|msrDeltaCTS|msrRI)
	b.outb(regMCR, mcrLoopback)
	wantByte(t, "MSR", b.in(regMSR), msrDeltaCTS|msrEndOfRI)
	b.outb(regMCR, 0)
	wantByte(t, "MSR of a peer", b.in(regMSR)&0xf0, msrCTS|msrDSR|msrDCD)
	if b.out.Len() != 0 {
		t.Errorf("sent %q in loopback", b.out.String())
	}
	wantByte(t, "typed meanwhile", b.in(regData), 't')
}

func TestClearFIFO(t *testing.T) {
	b := newBench()
	b.outb(regIIR, 0x01)
	b.Input([]byte(strings.Repeat("a", 16) + "bc"))
	b.outb(regIIR, 0x03)
	wantByte(t, "behind what was cleared", b.in(regData), 'b')
	b.outb(regIIR, 0x02) // switches it off, which clears it too
	wantByte(t, "after switching off", b.in(regLSR), 0x60)
}

func TestFullQueue(t *testing.T) {
	b := newBench()
	b.outb(regIIR, 0x01)
	all := make([]byte, QueueBytes+100)
	for i := range all {
		all[i] = byte(i % 251)
	}
	accepted := b.Input(all)
	if accepted != QueueBytes+16 {
		t.Errorf("accepted %d", accepted)
	}
	if n := b.Input(all[accepted:]); n != 0 {
		t.Errorf("accepted %d more", n)
	}
	for i := range accepted {
		wantByte(t, "received", b.in(regData), all[i])
	}
	wantByte(t, "LSR at the end", b.in(regLSR), 0x60)
}

func TestWaitInput(t *testing.T) {
	b := newBench()
	ctx, cancel := context.WithCancel(t.Context())
	all := bytes.Repeat([]byte("0123456789"), QueueBytes/4)
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := b.WaitInput(ctx, all); err != nil {
			t.Error(err)
		}
	})
	got := make([]byte, 0, len(all))
	for len(got) < len(all) {
		if b.in(regLSR)&lsrDataReady != 0 {
			got = append(got, b.in(regData))
		}
	}
	wait.Wait()
	if !bytes.Equal(got, all) {
		t.Error("what arrived is not what was typed")
	}
	b.Input(all)
	cancel()
	if err := b.WaitInput(ctx, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting in vain: %v", err)
	}
}

// Whoever reads the console may type before the next byte is sent.
func TestAnswerWhileSending(t *testing.T) {
	reader, writer := io.Pipe()
	p := New(writer, func() {})
	var wait sync.WaitGroup
	wait.Go(func() {
		question := make([]byte, 1)
		if _, err := io.ReadFull(reader, question); err != nil {
			t.Error(err)
		}
		p.Input([]byte("yes"))
		if _, err := io.ReadFull(reader, question); err != nil {
			t.Error(err)
		}
	})
	p.Write(regData, []byte("?"))
	p.Write(regData, []byte("?"))
	wait.Wait()
	data := make([]byte, 1)
	p.Read(regData, data)
	wantByte(t, "answer", data[0], 'y')
}
