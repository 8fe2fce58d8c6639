package rtc

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"sabrefs/vmm/bus"
)

// WindowBytes is the number of ports that the clock takes.
const WindowBytes = 2

// Registers.
const (
	regSeconds = 0x00
	regMinutes = 0x02
	regHours   = 0x04
	regWeekday = 0x06
	regDay     = 0x07
	regMonth   = 0x08
	regYear    = 0x09
	regA       = 0x0a
	regB       = 0x0b
	regC       = 0x0c
	regD       = 0x0d
	regCentury = 0x32

	registerCount = 128
	indexMask     = registerCount - 1 // the top bit of the index masks NMIs

	aDivider  = 0x26 // 32768 Hz, no update in progress
	bKept     = 0x87 // SET, binary, 24 hours, daylight saving
	bBinary   = 1 << 2
	b24Hours  = 1 << 1
	dValid    = 0x80 // the battery is good
	hourIsPM  = 0x80
	hoursHalf = 12
)

// Clock is a bus.Device of WindowBytes ports and a bus.Saver.
type Clock struct {
	now func() time.Time

	mu     sync.Mutex // guards what follows
	index  uint8
	memory [registerCount]byte // only what is neither time nor fixed is used
}

// New returns a clock that goes by now.
func New(now func() time.Time) *Clock {
	c := &Clock{now: now}
	c.memory[regB] = b24Hours
	return c
}

// Read answers each byte of a longer access from the port that is there.
func (c *Clock) Read(offset uint64, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range data {
		data[i] = 0xff // the index cannot be read
		if offset+uint64(i) == 1 {
			data[i] = c.register(c.index)
		}
	}
}

// Write writes each byte of a longer access to the port that is there.
func (c *Clock) Write(offset uint64, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, value := range data {
		switch offset + uint64(i) {
		case 0:
			c.index = value & indexMask
		case 1:
			c.setRegister(c.index, value)
		}
	}
}

func (c *Clock) register(index uint8) byte {
	now := c.now().UTC()
	switch index {
	case regSeconds:
		return c.coded(now.Second())
	case regMinutes:
		return c.coded(now.Minute())
	case regHours:
		return c.hours(now.Hour())
	case regWeekday:
		return c.coded(int(now.Weekday()) + 1)
	case regDay:
		return c.coded(now.Day())
	case regMonth:
		return c.coded(int(now.Month()))
	case regYear:
		return c.coded(now.Year() % 100)
	case regCentury:
		return c.coded(now.Year() / 100 % 100)
	case regA:
		return aDivider
	case regC:
		return 0
	case regD:
		return dValid
	}
	return c.memory[index]
}

// coded is a number in the format that register B asks for: binary, or else two
// decimal digits.
func (c *Clock) coded(n int) byte {
	if c.memory[regB]&bBinary != 0 {
		return byte(n)
	}
	return byte(n/10<<4 | n%10)
}

func (c *Clock) hours(hour int) byte {
	if c.memory[regB]&b24Hours != 0 {
		return c.coded(hour)
	}
	coded := c.coded((hour+hoursHalf-1)%hoursHalf + 1)
	if hour >= hoursHalf {
		coded |= hourIsPM
	}
	return coded
}

func (c *Clock) setRegister(index uint8, value byte) {
	switch index {
	case regSeconds, regMinutes, regHours, regWeekday, regDay, regMonth, regYear, regCentury,
		regA, regC, regD:
		// The host's clock goes on; see the package's comment.
	case regB:
		c.memory[regB] = value & bKept
	default:
		c.memory[index] = value
	}
}

const stateVersion = 1

// Save returns version, index and memory.
func (c *Clock) Save() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte{stateVersion, c.index}, c.memory[:]...), nil
}

// Load puts the clock into a saved state. The time is that of its own clock
// function.
func (c *Clock) Load(data []byte) error {
	switch {
	case len(data) != 2+registerCount:
		return fmt.Errorf("clock: %d bytes: %w", len(data), bus.ErrState)
	case data[0] != stateVersion:
		return fmt.Errorf("clock: version %d, this is %d: %w", data[0], stateVersion, bus.ErrState)
	case data[1] > indexMask || data[2+regB]&^bKept != 0 || !onlyMemory(data[2:]):
		return fmt.Errorf("clock: index %#x, registers %x: %w", data[1], data[2:2+regD+1], bus.ErrState)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index = data[1]
	copy(c.memory[:], data[2:])
	return nil
}

// onlyMemory reports whether nothing is stored where it could not have been
// written.
func onlyMemory(memory []byte) bool {
	stored := bytes.Clone(memory)
	for _, alarm := range []int{regSeconds + 1, regMinutes + 1, regHours + 1, regB} {
		stored[alarm] = 0
	}
	return stored[regCentury] == 0 && bytes.Count(stored[:regD+1], []byte{0}) == regD+1
}
