package main

import (
	"sync"
	"time"
)

// pace spreads bytes evenly over time, as a disk of that speed does.
type pace struct {
	bytesPerSecond int64

	mu   sync.Mutex
	free time.Time // when the disk has done what it was asked for; guarded by mu
}

// paceSlack is how far the disk may be behind: sleeping takes longer than was asked,
// and what was lost by that is made up for within this time.
const paceSlack = 2 * time.Millisecond

// reserve returns when so many bytes, asked for now, will have been read.
func (p *pace) reserve(now time.Time, lenBytes int) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if earliest := now.Add(-paceSlack); p.free.Before(earliest) {
		p.free = earliest
	}
	p.free = p.free.Add(time.Duration(float64(lenBytes) / float64(p.bytesPerSecond) * float64(time.Second)))
	return p.free
}

// wait returns when so many bytes have been read.
func (p *pace) wait(lenBytes int) { time.Sleep(time.Until(p.reserve(time.Now(), lenBytes))) }
