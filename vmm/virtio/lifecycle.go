package virtio

import "fmt"

// offered is all that a driver may choose from.
func (m *MMIO) offered() uint64 { return m.device.Features() | ringFeatures }

// setDriverFeatures counts until the driver has said that it is done.
func (m *MMIO) setDriverFeatures(value uint32) {
	if m.regs.DriverFeaturesSel <= 1 && m.regs.Status&statusFeaturesOK == 0 {
		setHalf(&m.regs.DriverFeatures, m.regs.DriverFeaturesSel == 1, value)
	}
}

// setStatus is how a driver goes from one stage to the next. It cannot take a stage
// back, but begin again with 0.
func (m *MMIO) setStatus(value uint32) {
	if value == 0 {
		m.reset()
		return
	}
	value |= m.regs.Status // also keeps statusNeedsReset
	if !m.acceptable() {
		value &^= statusFeaturesOK
	}
	if value&statusFeaturesOK == 0 {
		value &^= statusDriverOK
	}
	m.regs.Status = value&^statusNeedsReset | m.regs.Status&statusNeedsReset
}

// acceptable reports whether the driver chose from what was offered, and knows
// virtio 1.0.
func (m *MMIO) acceptable() bool {
	chosen := m.regs.DriverFeatures
	return chosen&^m.offered() == 0 && chosen&featureVersion1 != 0
}

func (m *MMIO) reset() {
	m.regs = registers{}
	clear(m.queues)
}

// setReady puts a queue in use, or out of use.
func (m *MMIO) setReady(value uint32) {
	q := m.selected()
	if q == nil {
		return
	}
	if value&1 == 0 {
		q.Ready = 0
		return
	}
	if _, err := q.open(m.mem); err != nil {
		m.needsReset(err)
		return
	}
	q.Ready = 1
}

// notify has a queue processed, if the driver has come so far.
func (m *MMIO) notify(index uint32) {
	const must, mustNot = statusFeaturesOK | statusDriverOK, statusNeedsReset | statusFailed
	if m.regs.Status&(must|mustNot) != must || index >= uint32(len(m.queues)) || m.queues[index].Ready == 0 {
		return
	}
	indirect := m.regs.DriverFeatures&featureIndirect != 0
	interrupt, err := m.queues[index].process(m.mem, indirect, func(chain *Chain) (uint32, error) {
		return m.device.Handle(int(index), chain)
	})
	if interrupt {
		m.raise(interruptUsed)
	}
	if err != nil {
		m.needsReset(err)
	}
}

// needsReset gives up on a driver until it begins again.
func (m *MMIO) needsReset(err error) {
	if m.onError != nil {
		m.onError(fmt.Errorf("virtio device %d needs a reset: %w", m.device.ID(), err))
	}
	m.regs.Status |= statusNeedsReset
	if m.regs.Status&statusDriverOK != 0 {
		m.raise(interruptConfig)
	}
}

// raise is an edge for every cause, also while the last one is not acknowledged:
// the driver may be just about to.
func (m *MMIO) raise(cause uint32) {
	m.regs.InterruptStatus |= cause
	m.interrupt()
}
