package serial

// Registers by offset (16550D data sheet, National Semiconductor 1995).
const (
	regData      = 0 // receiver buffer, transmitter holding; divisor's low byte
	regIER       = 1 // interrupt enable; divisor's high byte
	regIIR       = 2 // read: interrupt identification; write: FIFO control
	regLCR       = 3 // line control
	regMCR       = 4 // modem control
	regLSR       = 5 // line status
	regMSR       = 6 // modem status
	regScratch   = 7
	registerMask = 7
)

const (
	ierReceived    = 1 << 0
	ierTransmitted = 1 << 1
	ierLineStatus  = 1 << 2
	ierModemStatus = 1 << 3
	ierMask        = 0x0f

	iirNone        = 0x01
	iirModemStatus = 0x00
	iirTransmitted = 0x02
	iirReceived    = 0x04
	iirLineStatus  = 0x06
	iirTimeout     = 0x0c // less than the trigger level, and nothing follows
	iirFIFOs       = 0xc0

	fcrEnable  = 1 << 0
	fcrClearRx = 1 << 1
	fcrTrigger = 0xc0
	fcrKept    = fcrEnable | fcrTrigger // the rest acts once

	lcrDLAB = 1 << 7

	mcrDTR      = 1 << 0
	mcrRTS      = 1 << 1
	mcrOUT1     = 1 << 2
	mcrOUT2     = 1 << 3
	mcrLoopback = 1 << 4
	mcrMask     = 0x1f

	lsrDataReady   = 1 << 0
	lsrOverrun     = 1 << 1
	lsrTransmitter = 0x60 // holding register and shift register are empty

	msrDeltaCTS = 1 << 0
	msrDeltaDSR = 1 << 1
	msrEndOfRI  = 1 << 2
	msrDeltaDCD = 1 << 3
	msrDeltas   = 0x0f
	msrCTS      = 1 << 4
	msrDSR      = 1 << 5
	msrRI       = 1 << 6
	msrDCD      = 1 << 7
)

// fifoBytes is the depth of the chip's receive FIFO.
const fifoBytes = 16

// triggerBytes are the FIFO levels that bits 6 and 7 of FCR choose from.
var triggerBytes = [4]int{1, 4, 8, 14}

// registers are the chip's bits; their order is that of the saved state.
type registers struct {
	IER, FCR, LCR, MCR, MSRDeltas, Scratch uint8
	DivisorLow, DivisorHigh                uint8
	// Overrun is 1 from a byte that was lost (in loopback only) until the line
	// status is read.
	Overrun uint8
	// Transmitted is 1 while the interrupt of an empty transmitter has not been
	// seen: it ends by being identified, not by what caused it.
	Transmitted uint8
}

func (r *registers) loopback() bool { return r.MCR&mcrLoopback != 0 }

func (r *registers) fifoDepth() int {
	if r.FCR&fcrEnable == 0 {
		return 1
	}
	return fifoBytes
}

// modemLines are the four inputs: of a peer that is ready, or, in loopback, the
// four outputs.
func (r *registers) modemLines() uint8 {
	if !r.loopback() {
		return msrCTS | msrDSR | msrDCD
	}
	var lines uint8
	for _, wire := range []struct{ output, input uint8 }{
		{mcrRTS, msrCTS}, {mcrDTR, msrDSR}, {mcrOUT1, msrRI}, {mcrOUT2, msrDCD},
	} {
		if r.MCR&wire.output != 0 {
			lines |= wire.input
		}
	}
	return lines
}

// setMCR records which inputs changed by it.
func (r *registers) setMCR(value uint8) {
	before := r.modemLines()
	r.MCR = value & mcrMask
	after := r.modemLines()
	changed := before ^ after
	r.MSRDeltas |= changed >> 4 & (msrDeltaCTS | msrDeltaDSR | msrDeltaDCD)
	if before&msrRI != 0 && after&msrRI == 0 {
		r.MSRDeltas |= msrEndOfRI
	}
}

// interruptID is what IIR says, without the bits of the FIFO: the most urgent
// of the causes that are enabled.
func (r *registers) interruptID(received int) uint8 {
	switch {
	case r.IER&ierLineStatus != 0 && r.Overrun != 0:
		return iirLineStatus
	case r.IER&ierReceived != 0 && received > 0:
		if r.FCR&fcrEnable != 0 && received < triggerBytes[r.FCR>>6] {
			return iirTimeout
		}
		return iirReceived
	case r.IER&ierTransmitted != 0 && r.Transmitted != 0:
		return iirTransmitted
	case r.IER&ierModemStatus != 0 && r.MSRDeltas != 0:
		return iirModemStatus
	}
	return iirNone
}
