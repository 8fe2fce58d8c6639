package virtio

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"sabrefs/vmm/bus"
)

// stateVersion 1: device ID, registers, queues, identity.
const stateVersion = 1

// maxIdentityBytes bounds the identity of a device, whose length is one byte.
const maxIdentityBytes = 255

// Save returns, in this order: version (1 byte), device ID (4 bytes), registers,
// number of queues (1 byte), the queues, length of the identity (1 byte), identity.
func (m *MMIO) Save() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	identity := m.device.Identity()
	if len(identity) > maxIdentityBytes || len(m.queues) > maxIdentityBytes {
		return nil, fmt.Errorf("saving virtio device %d: identity of %d bytes, %d queues", m.device.ID(), len(identity), len(m.queues))
	}
	b := binary.LittleEndian.AppendUint32([]byte{stateVersion}, m.device.ID())
	b, err := binary.Append(b, binary.LittleEndian, m.regs)
	if err != nil {
		return nil, fmt.Errorf("saving virtio device %d: %w", m.device.ID(), err)
	}
	b, err = binary.Append(append(b, byte(len(m.queues))), binary.LittleEndian, m.queues)
	if err != nil {
		return nil, fmt.Errorf("saving virtio device %d: %w", m.device.ID(), err)
	}
	return append(append(b, byte(len(identity))), identity...), nil
}

// Load puts the transport into a saved state. The guest's memory is already that
// of the snapshot.
func (m *MMIO) Load(data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	regs, queues, err := m.decodeState(data)
	if err == nil {
		err = m.checkState(regs, queues)
	}
	if err != nil {
		return fmt.Errorf("virtio device %d: %w", m.device.ID(), err)
	}
	m.regs, m.queues = regs, queues
	if m.regs.InterruptStatus != 0 {
		m.interrupt() // once more, see bus.Saver
	}
	return nil
}

func (m *MMIO) decodeState(data []byte) (regs registers, queues []queue, err error) {
	identity := m.device.Identity()
	queues = make([]queue, len(m.queues))
	regsOff := 1 + 4
	queuesOff := regsOff + binary.Size(regs) + 1
	identityOff := queuesOff + binary.Size(queues) + 1
	if len(data) > 0 && data[0] != stateVersion {
		return regs, nil, fmt.Errorf("version %d, this is %d: %w", data[0], stateVersion, bus.ErrState)
	}
	if len(data) != identityOff+len(identity) || data[queuesOff-1] != byte(len(queues)) || data[identityOff-1] != byte(len(identity)) {
		return regs, nil, fmt.Errorf("%d bytes, expected %d: %w", len(data), identityOff+len(identity), bus.ErrState)
	}
	if id := binary.LittleEndian.Uint32(data[1:]); id != m.device.ID() {
		return regs, nil, fmt.Errorf("saved was device %d: %w", id, bus.ErrState)
	}
	if !bytes.Equal(data[identityOff:], identity) {
		return regs, nil, fmt.Errorf("saved was %x, this is %x: %w", data[identityOff:], identity, bus.ErrState)
	}
	if _, err := binary.Decode(data[regsOff:], binary.LittleEndian, &regs); err != nil {
		return regs, nil, fmt.Errorf("registers: %w: %w", bus.ErrState, err)
	}
	if _, err := binary.Decode(data[queuesOff:], binary.LittleEndian, queues); err != nil {
		return regs, nil, fmt.Errorf("queues: %w: %w", bus.ErrState, err)
	}
	return regs, queues, nil
}

// checkState refuses stages that a driver cannot have reached.
func (m *MMIO) checkState(regs registers, queues []queue) error {
	other := MMIO{device: m.device, regs: regs}
	accepted, running := regs.Status&statusFeaturesOK != 0, regs.Status&statusDriverOK != 0
	switch {
	case regs.Status&^statusMask != 0, regs.InterruptStatus&^(interruptUsed|interruptConfig) != 0,
		accepted && !other.acceptable(), running && !accepted:
		return fmt.Errorf("registers %+v: %w", regs, bus.ErrState)
	}
	for i, q := range queues {
		if q.Ready > 1 {
			return fmt.Errorf("queue %d %+v: %w", i, q, bus.ErrState)
		}
		if q.Ready == 0 {
			continue
		}
		if _, err := q.open(m.mem); err != nil {
			return fmt.Errorf("queue %d: %w: %w", i, bus.ErrState, err)
		}
	}
	return nil
}
