package power

// WindowBytes is the number of ports that the switch takes.
const WindowBytes = 2

const (
	sleepEnable    = 1 << 5
	sleepTypeShift = 2
	sleepTypeMask  = 7
	// SoftOff is the type of sleep that turns the machine off.
	SoftOff = 5
)

// Switch is a bus.Device of WindowBytes ports.
type Switch struct{ off func() }

// New returns a switch that calls off when the guest turns its machine off.
func New(off func()) *Switch { return &Switch{off: off} }

// Read says of both registers that nothing has happened: no machine wakes up.
func (*Switch) Read(_ uint64, data []byte) { clear(data) }

// Write turns the machine off if that is what the sleep control is told.
func (s *Switch) Write(offset uint64, data []byte) {
	if offset != 0 || len(data) == 0 {
		return
	}
	kind := data[0] >> sleepTypeShift & sleepTypeMask
	if data[0]&sleepEnable != 0 && kind == SoftOff {
		s.off()
	}
}
