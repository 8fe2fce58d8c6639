package i8042

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"sabrefs/vmm/bus"
)

// stateVersion 1: registers, answers, keys.
const stateVersion = 1

// Save returns, in this order: version, registers, the lengths of both queues (1
// byte each), their bytes.
func (c *Controller) Save() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, err := binary.Append([]byte{stateVersion}, binary.LittleEndian, c.regs)
	if err != nil {
		return nil, fmt.Errorf("saving keyboard controller: %w", err)
	}
	b = append(b, byte(len(c.answers)), byte(len(c.keys)))
	b = append(b, c.answers...)
	return append(b, c.keys...), nil
}

// Load puts the controller into a saved state.
func (c *Controller) Load(data []byte) error {
	regs, answers, keys, err := decodeState(data)
	if err != nil {
		return fmt.Errorf("keyboard controller: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.regs, c.answers, c.keys = regs, bytes.Clone(answers), bytes.Clone(keys)
	c.raise() // once more, see bus.Saver
	return nil
}

func decodeState(data []byte) (regs registers, answers, keys []byte, err error) {
	regBytes := binary.Size(regs)
	if len(data) < 1+regBytes+2 {
		return regs, nil, nil, fmt.Errorf("%d bytes: %w", len(data), bus.ErrState)
	}
	if data[0] != stateVersion {
		return regs, nil, nil, fmt.Errorf("version %d, this is %d: %w", data[0], stateVersion, bus.ErrState)
	}
	if _, err := binary.Decode(data[1:], binary.LittleEndian, &regs); err != nil {
		return regs, nil, nil, fmt.Errorf("registers: %w: %w", bus.ErrState, err)
	}
	answerLen, keyLen := int(data[1+regBytes]), int(data[2+regBytes])
	rest := data[3+regBytes:]
	if answerLen > queueBytes || keyLen > queueBytes || answerLen+keyLen != len(rest) {
		return regs, nil, nil, fmt.Errorf("%d answers and %d keys in %d bytes: %w", answerLen, keyLen, len(rest), bus.ErrState)
	}
	return regs, rest[:answerLen], rest[answerLen:], regs.check(answerLen, keyLen)
}

// check refuses what no controller can be in: bits that are not kept, commands that
// take no byte, and bytes that wait for an output buffer that is empty.
func (r *registers) check(answerLen, keyLen int) error {
	waiting := answerLen > 0 || keyLen > 0 && r.Mode&modeKeyboardNo == 0
	switch {
	case r.Status&^(statusFull|statusSelfTest|statusCommand) != 0,
		r.Timer&^timerKept != 0, r.Refresh > 1, r.Scanning > 1, r.ScanSet < 1 || r.ScanSet > 3,
		waiting && r.Status&statusFull == 0,
		!slices.Contains([]uint8{0, cmdWriteMode, cmdWriteOutput, cmdWriteKeyboard, cmdWriteMouse, cmdToMouse}, r.Pending),
		!slices.Contains([]uint8{0, kbdLEDs, kbdScanSet, kbdRepeat}, r.KeyboardPending):
		return fmt.Errorf("registers %+v: %w", *r, bus.ErrState)
	}
	return nil
}
