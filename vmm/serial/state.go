package serial

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"sabrefs/vmm/bus"
)

// stateVersion 1: registers, FIFO, queue.
const stateVersion = 1

// Save returns, in this order: version, registers, lengths of FIFO (1 byte) and
// queue (2 bytes), their bytes.
func (p *Port) Save() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := binary.Append([]byte{stateVersion}, binary.LittleEndian, p.regs)
	if err != nil {
		return nil, fmt.Errorf("saving serial port: %w", err)
	}
	b = append(b, byte(len(p.fifo)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(p.queue)))
	b = append(b, p.fifo...)
	return append(b, p.queue...), nil
}

// Load puts the port into a saved state.
func (p *Port) Load(data []byte) error {
	regs, fifo, queue, err := decodeState(data)
	if err != nil {
		return fmt.Errorf("serial port: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.regs, p.fifo, p.queue = regs, bytes.Clone(fifo), bytes.Clone(queue)
	p.line = false // the interrupt is raised once more, see bus.Saver
	p.update()
	return nil
}

func decodeState(data []byte) (regs registers, fifo, queue []byte, err error) {
	regBytes := binary.Size(regs)
	if len(data) < 1+regBytes+3 {
		return regs, nil, nil, fmt.Errorf("%d bytes: %w", len(data), bus.ErrState)
	}
	if data[0] != stateVersion {
		return regs, nil, nil, fmt.Errorf("version %d, this is %d: %w", data[0], stateVersion, bus.ErrState)
	}
	if _, err := binary.Decode(data[1:], binary.LittleEndian, &regs); err != nil {
		return regs, nil, nil, fmt.Errorf("registers: %w: %w", bus.ErrState, err)
	}
	fifoLen := int(data[1+regBytes])
	queueLen := int(binary.LittleEndian.Uint16(data[2+regBytes:]))
	rest := data[4+regBytes:]
	if fifoLen+queueLen != len(rest) || queueLen > QueueBytes || fifoLen > regs.fifoDepth() {
		return regs, nil, nil, fmt.Errorf("%d bytes of FIFO and %d of queue in %d: %w", fifoLen, queueLen, len(rest), bus.ErrState)
	}
	return regs, rest[:fifoLen], rest[fifoLen:], regs.check()
}

// check refuses bits that no chip has.
func (r *registers) check() error {
	switch {
	case r.IER&^ierMask != 0, r.MCR&^mcrMask != 0, r.FCR&^fcrKept != 0, r.MSRDeltas&^msrDeltas != 0,
		r.FCR&fcrEnable == 0 && r.FCR != 0, r.Overrun > 1, r.Transmitted > 1:
		return fmt.Errorf("registers %+v: %w", *r, bus.ErrState)
	}
	return nil
}
