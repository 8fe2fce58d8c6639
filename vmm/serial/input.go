package serial

import "context"

// Input queues bytes for the guest and returns how many of them: fewer than all
// if the queue is full.
func (p *Port) Input(data []byte) (accepted int) {
	accepted, _ = p.enqueue(data)
	return accepted
}

// WaitInput queues all bytes, and waits for the guest to make room for them.
func (p *Port) WaitInput(ctx context.Context, data []byte) error {
	for {
		accepted, room := p.enqueue(data)
		data = data[accepted:]
		if len(data) == 0 {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// enqueue also returns what is closed when there is room again.
func (p *Port) enqueue(data []byte) (accepted int, room <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Once more after the FIFO took some.
	for {
		count := min(len(data)-accepted, QueueBytes-len(p.queue))
		if count == 0 {
			return accepted, p.room
		}
		p.queue = append(p.queue, data[accepted:accepted+count]...)
		accepted += count
		p.update()
	}
}
