package store

import "context"

// The stages of packing and verifying are goroutines joined by channels. send,
// receive and await end with their context: a stage that failed must not leave
// the others waiting.

// send hands an item to the next stage.
func send[T any](ctx context.Context, to chan<- T, item T) error {
	select {
	case to <- item:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// receive returns false when the channel was closed.
func receive[T any](ctx context.Context, from <-chan T) (item T, open bool, err error) {
	select {
	case item, open = <-from:
		return item, open, nil
	case <-ctx.Done():
		return item, false, ctx.Err()
	}
}

// await waits until a piece of parallel work is done.
func await(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
