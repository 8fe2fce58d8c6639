package prefetch

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// gatePause is how long prefetch waits before it looks again whether somebody
	// else needs the processors.
	gatePause = 50 * time.Microsecond
	// gatePauses bounds the waiting: a guest that faults all the time is the one
	// that needs its working set most.
	gatePauses = 4
)

// Gate lets demand go first. The zero value is open; it may be used by any number
// of goroutines.
type Gate struct {
	demand atomic.Int64
}

// Enter says that somebody waits for bytes; Leave that he has them.
func (g *Gate) Enter() { g.demand.Add(1) }

// Leave ends an Enter.
func (g *Gate) Leave() { g.demand.Add(-1) }

// yield waits while there is demand, up to a fraction of a millisecond; patiently
// means until there is none. It must not be called while others may wait for
// frames of the caller.
func (g *Gate) yield(ctx context.Context, patiently bool) {
	for i := 0; g.demand.Load() > 0 && ctx.Err() == nil && (patiently || i < gatePauses); i++ {
		time.Sleep(gatePause)
	}
}
