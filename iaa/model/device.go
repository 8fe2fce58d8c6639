package model

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// device is an accelerator: queues and engines, tied together by groups.
type device struct {
	host   *Host
	config DeviceConfig
	name   string // for instance iax1
	queues []*queue
	groups [MaxGroups]*group

	state      stateValue
	unreported atomic.Uint64 // errors that no completion record could tell of
}

// stateValue is a State that may be changed at any time.
type stateValue struct{ value atomic.Value }

func (s *stateValue) Store(state State) { s.value.Store(state) }

func (s *stateValue) Load() State {
	state, _ := s.value.Load().(State)
	return state
}

func newDevice(h *Host, config DeviceConfig, firstMinor int) *device {
	d := &device{host: h, config: config, name: fmt.Sprintf("iax%d", config.ID)}
	d.state.Store(config.State)
	for i := range d.groups {
		engines := 0
		for _, of := range config.EngineGroups {
			if of == i {
				engines++
			}
		}
		stream := uint64(config.ID)*MaxGroups + uint64(i)
		d.groups[i] = newGroup(d, engines, rand.New(rand.NewPCG(h.config.Seed, stream)))
	}
	for i, q := range config.Queues {
		d.queues = append(d.queues, newQueue(d, i, firstMinor+i, q))
	}
	return d
}

func (d *device) currentState() State { return d.state.Load() }

func (d *device) clients() int {
	n := 0
	for _, q := range d.queues {
		n += int(q.clients.Load())
	}
	return n
}

// job is a descriptor that a queue has accepted.
type job struct {
	queue  *queue
	client *client
	descriptor
	fault *Fault // nil for none
	timer *time.Timer
}

// group is a set of engines and the jobs of the queues that they serve.
type group struct {
	host       *Host
	generation int // of the device
	engines    int

	mu      sync.Mutex
	work    sync.Cond
	pending []*job // in the order of submission
	running int    // engines that were started
	idle    int    // of these, waiting for work
	closed  bool
	order   *rand.Rand
}

func newGroup(d *device, engines int, order *rand.Rand) *group {
	g := &group{host: d.host, generation: d.config.Generation, engines: engines, order: order}
	g.work.L = &g.mu
	return g
}

// push gives a job to the engines. Engines are started when they are needed.
func (g *group) push(j *job) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		j.abort()
		return
	}
	g.pending = append(g.pending, j)
	switch {
	case g.idle > 0:
		g.work.Signal()
	case g.running < g.engines:
		g.running++
		g.host.engines.Go(g.run)
	}
}

// pop takes any of the oldest jobs, so that jobs overtake each other as much as
// there are engines. It waits for one, and returns nil after close.
func (g *group) pop() *job {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.pending) == 0 && !g.closed {
		g.idle++
		g.work.Wait()
		g.idle--
	}
	if g.closed {
		return nil
	}
	i := g.order.IntN(min(len(g.pending), 2*g.engines))
	j := g.pending[i]
	g.pending = slices.Delete(g.pending, i, i+1)
	return j
}

// latency is how long the next completion is held back.
func (g *group) latency() time.Duration {
	limit := g.host.config.MaxLatency
	if limit <= 0 {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Duration(g.order.Int64N(int64(limit)))
}

// close ends the engines and aborts what they have not begun.
func (g *group) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, j := range g.pending {
		j.abort()
	}
	g.pending = nil
	g.work.Broadcast()
}

// run is one engine.
func (g *group) run() {
	// Addresses come from descriptors: an access to what is not mapped is a
	// page fault of the job and not the end of the process.
	debug.SetPanicOnFault(true)
	e := &engine{host: g.host, generation: g.generation}
	for j := g.pop(); j != nil; j = g.pop() {
		if wait := g.latency(); wait > 0 {
			time.Sleep(wait)
		}
		e.process(j)
	}
}
