package i8042

import "sync"

// Offsets from port 0x60.
const (
	offData     = 0
	offTimer    = 1 // port 0x61
	offCommand  = 4
	windowBytes = 5
)

// WindowBytes is the size of the device's window, from port 0x60 on.
const WindowBytes = windowBytes

// Bits of the status register.
const (
	statusFull      = 1 << 0 // the output buffer has a byte
	statusSelfTest  = 1 << 2 // passed
	statusCommand   = 1 << 3 // the last byte written was a command
	statusUnlocked  = 1 << 4
	timerExpired    = 1 << 5 // of port 0x61
	timerRefresh    = 1 << 4
	timerKept       = 0x03
	inputPort       = 0xb0 // keyboard not locked, nothing else of interest
	outputPortReset = 1 << 0
	outputPort      = 0xcf // A20 on, no reset
)

// Bits of the mode, the byte that command 0x20 reads and 0x60 writes.
const (
	modeInterrupt  = 1 << 0
	modeSystem     = 1 << 2
	modeKeyboardNo = 1 << 4
	modeMouseNo    = 1 << 5
	modeTranslate  = 1 << 6
	modeAfterReset = modeInterrupt | modeSystem | modeMouseNo | modeTranslate
)

// Commands.
const (
	cmdReadMode      = 0x20
	cmdWriteMode     = 0x60
	cmdMouseOff      = 0xa7
	cmdMouseOn       = 0xa8
	cmdMouseTest     = 0xa9
	cmdSelfTest      = 0xaa
	cmdKeyboardTest  = 0xab
	cmdKeyboardOff   = 0xad
	cmdKeyboardOn    = 0xae
	cmdReadInput     = 0xc0
	cmdReadOutput    = 0xd0
	cmdWriteOutput   = 0xd1
	cmdWriteKeyboard = 0xd2 // as if the keyboard had sent it
	cmdWriteMouse    = 0xd3 // as if the mouse had sent it
	cmdToMouse       = 0xd4
	cmdPulse         = 0xf0 // to 0xff: lines whose bit is 0 are pulsed

	selfTestPassed     = 0x55
	keyboardTestPassed = 0x00
	mouseClockLow      = 0x01 // nobody there
)

// queueBytes bounds each of the two queues.
const queueBytes = 32

// Controller is the keyboard controller with its keyboard. It is a bus.Device and
// a bus.Saver.
type Controller struct {
	interrupt func()
	reset     func()

	mu      sync.Mutex // guards what follows
	regs    registers
	answers []byte // of the controller; they go first
	keys    []byte // from the keyboard
}

// registers are what is not a queue; their order is that of the saved state.
type registers struct {
	Mode   uint8
	Status uint8 // statusFull, statusSelfTest and statusCommand only
	Output uint8 // the output buffer; it keeps what was read
	// Pending is the command, to the controller or to the keyboard, that the next
	// byte at the data port completes; 0 if there is none.
	Pending, KeyboardPending uint8
	Scanning                 uint8 // 1: keys are reported
	ScanSet                  uint8 // 1, 2 or 3
	Timer                    uint8 // the two bits of port 0x61 that are kept
	Refresh                  uint8 // toggles, 0 or 1
}

// New returns a controller as firmware leaves it. reset is called when the guest
// pulses the reset line.
func New(interrupt, reset func()) *Controller {
	return &Controller{interrupt: interrupt, reset: reset, regs: registers{
		Mode: modeAfterReset, Status: statusSelfTest, Scanning: 1, ScanSet: 2,
	}}
}

// Read answers each byte of a longer access from the port that is there.
func (c *Controller) Read(offset uint64, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range data {
		data[i] = c.readPort(offset + uint64(i))
	}
}

func (c *Controller) readPort(offset uint64) byte {
	switch offset {
	case offData:
		return c.readData()
	case offTimer:
		c.regs.Refresh ^= 1
		return timerExpired | c.regs.Refresh*timerRefresh | c.regs.Timer
	case offCommand:
		return c.regs.Status | statusUnlocked
	}
	return 0xff
}

// readData empties the output buffer and has the next byte follow.
func (c *Controller) readData() byte {
	value := c.regs.Output
	c.regs.Status &^= statusFull
	c.fill()
	return value
}

// Write writes each byte of a longer access to the port that is there.
func (c *Controller) Write(offset uint64, data []byte) {
	for i, value := range data {
		if c.writePort(offset+uint64(i), value) {
			c.reset()
		}
	}
}

// writePort returns whether the CPU is to be reset.
func (c *Controller) writePort(offset uint64, value byte) (reset bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch offset {
	case offData:
		c.regs.Status &^= statusCommand
		reset = c.writeData(value)
	case offTimer:
		c.regs.Timer = value & timerKept
	case offCommand:
		c.regs.Status |= statusCommand
		reset = c.command(value)
	}
	c.fill()
	return reset
}

// fill moves the next byte into an empty output buffer. The caller holds mu.
func (c *Controller) fill() {
	if c.regs.Status&statusFull != 0 {
		return
	}
	from := &c.answers
	if len(c.answers) == 0 {
		if len(c.keys) == 0 || c.regs.Mode&modeKeyboardNo != 0 {
			return
		}
		from = &c.keys
	}
	c.regs.Output = (*from)[0]
	*from = (*from)[1:]
	c.regs.Status |= statusFull
	c.raise()
}

// raise interrupts if the output buffer is full and the guest wants to know.
func (c *Controller) raise() {
	if c.regs.Status&statusFull != 0 && c.regs.Mode&modeInterrupt != 0 {
		c.interrupt()
	}
}

func (c *Controller) answer(values ...byte) { c.answers = enqueue(c.answers, values) }

// enqueue appends all values or, if there is no room, none.
func enqueue(queue, values []byte) []byte {
	if len(queue)+len(values) > queueBytes {
		return queue
	}
	return append(queue, values...)
}
