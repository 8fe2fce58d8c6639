package iaa

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// errNotStarted is a bug of the caller.
var errNotStarted = errors.New("batch was not started")

// runner is the part of an engine that a started batch goes back to.
type runner interface {
	wait(b *Batch) error
}

// batchState is what an engine keeps in a batch between Start and Wait.
type batchState struct {
	runner runner // nil while the batch is not started
	ctx    context.Context
	op     Op

	software softwareBatch
	device   deviceBatch
}

func (s *batchState) wait(b *Batch) error {
	if s.runner == nil {
		return errNotStarted
	}
	err := s.runner.wait(b)
	s.runner, s.ctx = nil, nil
	return err
}

// softwareBatch lets several goroutines take jobs of one batch.
type softwareBatch struct {
	engine  *software
	next    atomic.Int64
	workers sync.WaitGroup
	work    func() // what each worker runs; made once for each batch
}

// Start lets up to one goroutine a core run jobs. Who waits for the batch is one
// more.
func (s *software) Start(ctx context.Context, op Op, batch *Batch) {
	batch.state.runner, batch.state.ctx, batch.state.op = s, ctx, op
	b := &batch.state.software
	b.engine = s
	b.next.Store(0)
	if b.work == nil {
		b.work = func() {
			defer b.workers.Done()
			b.engine.runShare(batch)
		}
	}
	workers := min((len(batch.Jobs)+1)/2, runtime.GOMAXPROCS(0))
	b.workers.Add(workers)
	for range workers {
		go b.work()
	}
}

// wait takes part in the work, then waits for the others.
func (s *software) wait(batch *Batch) error {
	s.runShare(batch)
	batch.state.software.workers.Wait()
	return batchError(batch.state.ctx, batch.Jobs)
}

// runShare takes two jobs at a time, which decode faster than one by one, until
// none is left.
func (s *software) runShare(batch *Batch) {
	const pair = 2
	for {
		first := int(batch.state.software.next.Add(pair) - pair)
		if first >= len(batch.Jobs) {
			return
		}
		jobs := batch.Jobs[first:min(first+pair, len(batch.Jobs))]
		s.runJobs(batch.state.ctx, batch.state.op, jobs)
	}
}

// batchError is the error of a batch whose jobs carry their own.
func batchError(ctx context.Context, jobs []Job) error {
	if err := ctx.Err(); err != nil && len(jobs) > 0 {
		return fmt.Errorf("batch of %d jobs: %w", len(jobs), err)
	}
	return nil
}
