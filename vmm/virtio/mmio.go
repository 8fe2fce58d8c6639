package virtio

import (
	"encoding/binary"
	"sync"
)

// WindowBytes is the size of the window of registers.
const WindowBytes = 0x1000

// Registers by offset (chapter 4.2.2).
const (
	regMagic             = 0x000
	regVersion           = 0x004
	regDeviceID          = 0x008
	regVendorID          = 0x00c
	regDeviceFeatures    = 0x010
	regDeviceFeaturesSel = 0x014
	regDriverFeatures    = 0x020
	regDriverFeaturesSel = 0x024
	regQueueSel          = 0x030
	regQueueNumMax       = 0x034
	regQueueNum          = 0x038
	regQueueReady        = 0x044
	regQueueNotify       = 0x050
	regInterruptStatus   = 0x060
	regInterruptACK      = 0x064
	regStatus            = 0x070
	regQueueDescLow      = 0x080
	regQueueDescHigh     = 0x084
	regQueueDriverLow    = 0x090
	regQueueDriverHigh   = 0x094
	regQueueDeviceLow    = 0x0a0
	regQueueDeviceHigh   = 0x0a4
	regSHMLenLow         = 0x0b0
	regSHMLenHigh        = 0x0b4
	regConfigGeneration  = 0x0fc
	regConfig            = 0x100

	magic          = 0x74726976 // "virt"
	version        = 2
	vendor         = 0x52424153 // "SABR"
	noSharedMemory = 0xffffffff
)

// Bits of the device status (chapter 2.1).
const (
	statusDriverOK   = 1 << 2
	statusFeaturesOK = 1 << 3
	statusNeedsReset = 1 << 6
	statusFailed     = 1 << 7
	statusMask       = 0xff

	interruptUsed   = 1 << 0
	interruptConfig = 1 << 1
)

// MMIO is the transport: a bus.Device of WindowBytes and a bus.Saver.
type MMIO struct {
	device    Device
	mem       Memory
	interrupt func()
	onError   func(error)

	mu     sync.Mutex // guards what follows, and the device
	regs   registers
	queues []queue
}

// registers are what is not a queue's; their order is that of the saved state.
type registers struct {
	DeviceFeaturesSel, DriverFeaturesSel, QueueSel uint32
	Status, InterruptStatus                        uint32
	DriverFeatures                                 uint64
}

// NewMMIO returns the transport of a device. interrupt is called for each edge of
// its interrupt.
func NewMMIO(device Device, mem Memory, interrupt func()) *MMIO {
	return &MMIO{device: device, mem: mem, interrupt: interrupt, queues: make([]queue, device.QueueCount())}
}

// OnError has f told why a device needs a reset. It belongs to the time before the
// guest runs.
func (m *MMIO) OnError(f func(error)) { m.onError = f }

// Read answers an access of 4 aligned bytes to a register, and any to the
// configuration space. Other accesses yield zeros.
func (m *MMIO) Read(offset uint64, data []byte) {
	clear(data)
	m.mu.Lock()
	defer m.mu.Unlock()
	if offset >= regConfig {
		if config := m.device.Config(); offset-regConfig < uint64(len(config)) {
			copy(data, config[offset-regConfig:])
		}
		return
	}
	if len(data) == 4 && offset%4 == 0 {
		binary.LittleEndian.PutUint32(data, m.readRegister(offset))
	}
}

// Write takes 4 aligned bytes for a register. Other accesses, and those to the
// configuration space, change nothing.
func (m *MMIO) Write(offset uint64, data []byte) {
	if offset >= regConfig || len(data) != 4 || offset%4 != 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writeRegister(offset, binary.LittleEndian.Uint32(data))
}

func (m *MMIO) readRegister(offset uint64) uint32 {
	switch offset {
	case regMagic:
		return magic
	case regVersion:
		return version
	case regDeviceID:
		return m.device.ID()
	case regVendorID:
		return vendor
	case regDeviceFeatures:
		return half(m.offered(), m.regs.DeviceFeaturesSel)
	case regInterruptStatus:
		return m.regs.InterruptStatus
	case regStatus:
		return m.regs.Status
	case regSHMLenLow, regSHMLenHigh:
		return noSharedMemory
	case regConfigGeneration:
		return 0 // the configuration never changes
	}
	if q := m.selected(); q != nil {
		return q.readRegister(offset)
	}
	return 0
}

func (q *queue) readRegister(offset uint64) uint32 {
	switch offset {
	case regQueueNumMax:
		return MaxQueueSize
	case regQueueReady:
		return q.Ready
	}
	return 0
}

func (m *MMIO) writeRegister(offset uint64, value uint32) {
	switch offset {
	case regDeviceFeaturesSel:
		m.regs.DeviceFeaturesSel = value
	case regDriverFeaturesSel:
		m.regs.DriverFeaturesSel = value
	case regDriverFeatures:
		m.setDriverFeatures(value)
	case regQueueSel:
		m.regs.QueueSel = value
	case regQueueNotify:
		m.notify(value)
	case regInterruptACK:
		m.regs.InterruptStatus &^= value
	case regStatus:
		m.setStatus(value & statusMask)
	case regQueueReady:
		m.setReady(value)
	default:
		if q := m.selected(); q != nil && q.Ready == 0 {
			q.writeRegister(offset, value)
		}
	}
}

// writeRegister changes a queue that is not in use.
func (q *queue) writeRegister(offset uint64, value uint32) {
	switch offset {
	case regQueueNum:
		q.Size = value
	case regQueueDescLow, regQueueDescHigh:
		setHalf(&q.Desc, offset == regQueueDescHigh, value)
	case regQueueDriverLow, regQueueDriverHigh:
		setHalf(&q.Avail, offset == regQueueDriverHigh, value)
	case regQueueDeviceLow, regQueueDeviceHigh:
		setHalf(&q.Used, offset == regQueueDeviceHigh, value)
	}
}

// half is the low (0) or high (1) half of a value of 64 bits.
func half(value uint64, which uint32) uint32 {
	if which > 1 {
		return 0
	}
	return uint32(value >> (32 * which))
}

func setHalf(target *uint64, high bool, value uint32) {
	if high {
		*target = *target&0xffffffff | uint64(value)<<32
		return
	}
	*target = *target&^0xffffffff | uint64(value)
}

// selected is the queue that the queue registers are about, or nil.
func (m *MMIO) selected() *queue {
	if m.regs.QueueSel >= uint32(len(m.queues)) {
		return nil
	}
	return &m.queues[m.regs.QueueSel]
}
