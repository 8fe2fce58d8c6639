package main

import "context"

// restoreSide is a way to restore memory without QEMU.
type restoreSide struct {
	name string
	mode string
	path string
	// store is mounted with the flags; empty for what needs no mount.
	store string
	flags []string
}

func (r *functionRun) restoreSides() []restoreSide {
	mounted := r.mountedPath(r.guest)
	return []restoreSide{
		{name: restoreReap, mode: restoreReap, path: r.setPath()},
		{name: restoreReapAhead, mode: restoreReapAhead, path: r.setPath()},
		{name: sideRawCold, mode: restoreMap, path: r.rawPath(r.guest)},
		{name: sideMount, mode: restoreMap, path: mounted, store: r.plainStore(), flags: []string{"--prefetch", "none"}},
		{name: sideLaidOut, mode: restoreMap, path: mounted, store: r.laidOutStore()},
	}
}

// restore measures one side once.
func (r *functionRun) restore(ctx context.Context, side restoreSide) error {
	if err := r.makeCold(ctx); err != nil {
		return err
	}
	if side.store == "" {
		return r.timedRestore(ctx, side)
	}
	return r.onMount(ctx, side.store, side.flags, func() error { return r.timedRestore(ctx, side) })
}

func (r *functionRun) timedRestore(ctx context.Context, side restoreSide) error {
	times, err := r.driver.run(ctx, restoreJob{
		mode: side.mode, path: side.path, memoryBytes: r.guest.machine.MemoryBytes, pagesPath: r.pagesPath(),
	})
	if err != nil {
		return err
	}
	if times.CRC32 != r.set.crc {
		return errOtherBytes
	}
	r.restores[side.name] = append(r.restores[side.name], times)
	return nil
}
