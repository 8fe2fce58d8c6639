package serial

import (
	"io"
	"sync"
)

// QueueBytes is how much input waits for the guest, besides the chip's FIFO.
const QueueBytes = 4096

// Port is one UART. It is a bus.Device of 8 registers and a bus.Saver.
type Port struct {
	out       io.Writer
	interrupt func()
	outMu     sync.Mutex // whole bytes, one after the other; never taken with mu held

	mu    sync.Mutex // guards what follows
	regs  registers
	fifo  []byte // received, not yet read
	queue []byte // typed, not yet received
	line  bool   // the interrupt line as the guest last saw it
	// room is closed, and made anew, when the queue has moved up.
	room chan struct{}
}

// New returns a port as it is after a reset. Output goes to out, whose errors are
// the writer's own affair: a guest cannot do anything about them.
func New(out io.Writer, interrupt func()) *Port {
	return &Port{out: out, interrupt: interrupt, room: make(chan struct{})}
}

// Read answers each byte of a longer access from the register that is there.
func (p *Port) Read(offset uint64, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range data {
		data[i] = p.readRegister((offset + uint64(i)) & registerMask)
	}
	p.update()
}

// Write writes each byte of a longer access to the register that is there.
func (p *Port) Write(offset uint64, data []byte) {
	for i, value := range data {
		if p.writeRegister((offset+uint64(i))&registerMask, value) {
			p.send(value)
		}
	}
}

// send writes a byte out. It is not under mu: who reads the output may be about
// to type an answer.
func (p *Port) send(value byte) {
	p.outMu.Lock()
	defer p.outMu.Unlock()
	_, _ = p.out.Write([]byte{value})
}

func (p *Port) readRegister(reg uint64) byte {
	switch reg {
	case regData:
		if p.regs.LCR&lcrDLAB != 0 {
			return p.regs.DivisorLow
		}
		return p.receive()
	case regIER:
		if p.regs.LCR&lcrDLAB != 0 {
			return p.regs.DivisorHigh
		}
		return p.regs.IER
	case regIIR:
		return p.identify()
	case regLCR:
		return p.regs.LCR
	case regMCR:
		return p.regs.MCR
	case regLSR:
		return p.lineStatus()
	case regMSR:
		return p.modemStatus()
	default:
		return p.regs.Scratch
	}
}

// receive takes a byte out of the FIFO; an empty one yields zero.
func (p *Port) receive() byte {
	if len(p.fifo) == 0 {
		return 0
	}
	value := p.fifo[0]
	p.fifo = p.fifo[1:]
	return value
}

// identify ends the interrupt of the transmitter, if that is what it names.
func (p *Port) identify() byte {
	id := p.regs.interruptID(len(p.fifo))
	if id == iirTransmitted {
		p.regs.Transmitted = 0
	}
	if p.regs.FCR&fcrEnable != 0 {
		id |= iirFIFOs
	}
	return id
}

func (p *Port) lineStatus() byte {
	status := byte(lsrTransmitter)
	if len(p.fifo) > 0 {
		status |= lsrDataReady
	}
	if p.regs.Overrun != 0 {
		status |= lsrOverrun
	}
	p.regs.Overrun = 0
	return status
}

func (p *Port) modemStatus() byte {
	status := p.regs.modemLines() | p.regs.MSRDeltas
	p.regs.MSRDeltas = 0
	return status
}

// writeRegister returns whether the byte is to be sent.
func (p *Port) writeRegister(reg uint64, value byte) (send bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.update()
	switch reg {
	case regData:
		return p.writeData(value)
	case regIER:
		p.writeIER(value)
	case regIIR:
		p.writeFCR(value)
	case regLCR:
		p.regs.LCR = value
	case regMCR:
		p.regs.setMCR(value)
	case regScratch:
		p.regs.Scratch = value
	}
	return false // the status registers do not take anything
}

func (p *Port) writeData(value byte) (send bool) {
	if p.regs.LCR&lcrDLAB != 0 {
		p.regs.DivisorLow = value
		return false
	}
	// The transmitter was full for no time at all. Lower the line, so that its
	// being empty again is an edge.
	p.regs.Transmitted = 0
	p.update()
	p.regs.Transmitted = 1
	if !p.regs.loopback() {
		return true
	}
	if len(p.fifo) < p.regs.fifoDepth() {
		p.fifo = append(p.fifo, value)
	} else {
		p.regs.Overrun = 1
	}
	return false
}

// writeIER says that the transmitter is empty to who begins to ask for it.
func (p *Port) writeIER(value byte) {
	if p.regs.LCR&lcrDLAB != 0 {
		p.regs.DivisorHigh = value
		return
	}
	if value&^p.regs.IER&ierTransmitted != 0 {
		p.regs.Transmitted = 1
	}
	p.regs.IER = value & ierMask
}

// writeFCR clears the FIFO when it is switched on or off, as the chip does.
func (p *Port) writeFCR(value byte) {
	switched := (value^p.regs.FCR)&fcrEnable != 0
	if switched || value&(fcrEnable|fcrClearRx) == fcrEnable|fcrClearRx {
		p.fifo = nil
	}
	if value&fcrEnable == 0 {
		value = 0 // the other bits count only together with this one
	}
	p.regs.FCR = value & fcrKept
}

// update moves input up and raises the interrupt if the line rises. The caller
// holds mu.
func (p *Port) update() {
	p.moveUp()
	line := p.regs.interruptID(len(p.fifo)) != iirNone
	rises := line && !p.line
	p.line = line
	if rises {
		p.interrupt()
	}
}

// moveUp fills an empty FIFO from the queue. In loopback the input pin is cut
// off, and what was typed waits.
func (p *Port) moveUp() {
	if len(p.fifo) > 0 || len(p.queue) == 0 || p.regs.loopback() {
		return
	}
	count := min(p.regs.fifoDepth(), len(p.queue))
	p.fifo = append([]byte(nil), p.queue[:count]...)
	p.queue = p.queue[count:]
	close(p.room)
	p.room = make(chan struct{})
}
