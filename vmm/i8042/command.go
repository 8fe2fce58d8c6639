package i8042

// command carries out a byte written to the command port, and returns whether it
// resets the CPU.
func (c *Controller) command(value byte) (reset bool) {
	c.regs.Pending = 0
	switch value {
	case cmdReadMode:
		c.answer(c.regs.Mode)
	case cmdWriteMode, cmdWriteOutput, cmdWriteKeyboard, cmdWriteMouse, cmdToMouse:
		c.regs.Pending = value
	case cmdMouseOff:
		c.regs.Mode |= modeMouseNo
	case cmdMouseOn:
		c.regs.Mode &^= modeMouseNo
	case cmdMouseTest:
		c.answer(mouseClockLow)
	case cmdSelfTest:
		c.regs.Status |= statusSelfTest
		c.answer(selfTestPassed)
	case cmdKeyboardTest:
		c.answer(keyboardTestPassed)
	case cmdKeyboardOff:
		c.regs.Mode |= modeKeyboardNo
	case cmdKeyboardOn:
		c.regs.Mode &^= modeKeyboardNo
	case cmdReadInput:
		c.answer(inputPort)
	case cmdReadOutput:
		c.answer(outputPort)
	default:
		return value >= cmdPulse && value&outputPortReset == 0
	}
	return false
}

// writeData carries out a byte written to the data port: it completes a command,
// or is for the keyboard.
func (c *Controller) writeData(value byte) (reset bool) {
	pending := c.regs.Pending
	c.regs.Pending = 0
	switch pending {
	case cmdWriteMode:
		c.writeMode(value)
	case cmdWriteOutput:
		return value&outputPortReset == 0
	case cmdWriteKeyboard:
		c.keys = enqueue(c.keys, []byte{value})
	case cmdWriteMouse:
		// Without the status bit that says it is the mouse's: nobody is there.
		c.answer(value)
	case cmdToMouse:
		// Nobody answers.
	default:
		c.keyboard(value)
	}
	return false
}

// writeMode interrupts for a byte that was there before the guest wanted to know.
func (c *Controller) writeMode(value byte) {
	enabled := value&^c.regs.Mode&modeInterrupt != 0
	c.regs.Mode = value
	if enabled {
		c.raise()
	}
}
