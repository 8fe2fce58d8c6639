package i8042

// Commands to the keyboard and its answers.
const (
	kbdLEDs       = 0xed // and a byte
	kbdEcho       = 0xee
	kbdScanSet    = 0xf0 // and a byte, 0 to ask
	kbdIdentify   = 0xf2
	kbdRepeat     = 0xf3 // and a byte
	kbdScan       = 0xf4
	kbdStop       = 0xf5
	kbdDefaults   = 0xf6
	kbdAllRepeat  = 0xf7 // to 0xfa: how keys of set 3 repeat, all of them
	kbdAllBoth    = 0xfa
	kbdReset      = 0xff
	kbdAck        = 0xfa
	kbdResend     = 0xfe
	kbdTestPassed = 0xaa
)

// keyboard carries out a byte sent to the keyboard. Sending wakes its interface.
func (c *Controller) keyboard(value byte) {
	c.regs.Mode &^= modeKeyboardNo
	if pending := c.regs.KeyboardPending; pending != 0 && value < kbdLEDs {
		c.regs.KeyboardPending = 0
		c.keyboardArgument(pending, value)
		return
	}
	c.regs.KeyboardPending = 0
	switch value {
	case kbdLEDs, kbdScanSet, kbdRepeat:
		c.regs.KeyboardPending = value
		c.reply(kbdAck)
	case kbdEcho:
		c.reply(kbdEcho)
	case kbdIdentify:
		c.reply(kbdAck, 0xab, c.translated(0x83, 0x41))
	case kbdScan:
		c.regs.Scanning = 1
		c.reply(kbdAck)
	case kbdStop:
		c.keyboardDefaults(0)
		c.reply(kbdAck)
	case kbdDefaults:
		c.keyboardDefaults(1)
		c.reply(kbdAck)
	case kbdReset:
		c.keyboardDefaults(1)
		c.keys = nil
		c.reply(kbdAck, kbdTestPassed)
	default:
		c.keyboardOther(value)
	}
}

func (c *Controller) keyboardOther(value byte) {
	if value >= kbdAllRepeat && value <= kbdAllBoth {
		c.reply(kbdAck)
		return
	}
	c.reply(kbdResend)
}

func (c *Controller) keyboardArgument(command, value byte) {
	if command != kbdScanSet {
		c.reply(kbdAck) // LEDs and repeat rate of no keyboard
		return
	}
	switch {
	case value == 0:
		c.reply(kbdAck, c.regs.ScanSet)
	case value <= 3:
		c.regs.ScanSet = value
		c.reply(kbdAck)
	default:
		c.reply(kbdResend)
	}
}

func (c *Controller) keyboardDefaults(scanning uint8) {
	c.regs.Scanning = scanning
	c.regs.ScanSet = 2
}

// reply is an answer of the keyboard; it queues behind its keys.
func (c *Controller) reply(values ...byte) { c.keys = enqueue(c.keys, values) }

// translated chooses the byte that arrives for one of the keyboard's.
func (c *Controller) translated(plain, translation byte) byte {
	if c.regs.Mode&modeTranslate != 0 {
		return translation
	}
	return plain
}

// Ctrl, Alt and Del go down and come up again.
var (
	ctrlAltDelSet1 = []byte{0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d}
	ctrlAltDelSet2 = []byte{0x14, 0x11, 0xe0, 0x71, 0xe0, 0xf0, 0x71, 0xf0, 0x11, 0xf0, 0x14}
)

// PressCtrlAltDel has the keyboard report the three keys, pressed and released. A
// guest that told its keyboard not to scan hears nothing.
func (c *Controller) PressCtrlAltDel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.regs.Scanning == 0 {
		return
	}
	codes := ctrlAltDelSet2
	if c.regs.Mode&modeTranslate != 0 || c.regs.ScanSet == 1 {
		codes = ctrlAltDelSet1
	}
	c.keys = enqueue(c.keys, codes)
	c.fill()
}
