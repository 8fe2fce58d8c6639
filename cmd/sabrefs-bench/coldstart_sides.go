package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"sabrefs/cmd/sabrefs-bench/functions"
	"sabrefs/cmd/sabrefs-bench/qemu"
)

// The sides of coldstart, as --sides names them.
const (
	sideRawCold = "raw-cold"
	sideRawWarm = "raw-warm"
	sideMount   = "mount"
	sideTrace   = "trace"
	sideLaidOut = "ws"
	sideRestore = "restore" // several sides without QEMU
	// These need a parent.
	sideLayer        = "layer"
	sideLaidOutLayer = "layer-ws"
)

// sideNames are the sides that can be measured.
func sideNames(withParent bool) []string {
	names := []string{sideRawCold, sideRawWarm, sideMount, sideTrace, sideLaidOut, sideRestore}
	if withParent {
		names = append(names, sideLayer, sideLaidOutLayer)
	}
	return names
}

func (c *coldstart) has(side string) bool { return slices.Contains(c.flags.sides, side) }

func (c *coldstart) needsDriver() bool { return c.has(sideRestore) }

func (c *coldstart) needsTrace() bool {
	return c.has(sideTrace) || c.has(sideLaidOut) || c.has(sideRestore) || c.needsLayers()
}

// coldSide is where the memory of a cold start comes from.
type coldSide struct {
	name string
	// store is mounted with the flags; empty for the raw file.
	store string
	flags []string
	// warm reads the raw file to the page cache before.
	warm bool
}

// coldSides are those that QEMU takes.
func (c *coldstart) coldSides() []coldSide {
	all := []coldSide{
		{name: sideRawCold},
		{name: sideRawWarm, warm: true},
		{name: sideMount, store: c.plainStore(), flags: []string{"--prefetch", "none"}},
		{name: sideTrace, store: c.plainStore(), flags: []string{"--working-set", c.traceDir()}},
		{name: sideLaidOut, store: c.laidOutStore()},
		{name: sideLayer, store: c.layerStore()},
		{name: sideLaidOutLayer, store: c.laidOutLayerStore()},
	}
	return slices.DeleteFunc(all, func(side coldSide) bool { return !c.has(side.name) })
}

// functionRun is one function's part of the run.
type functionRun struct {
	*coldstart
	function functions.Function
	guest    *coldGuest
	set      workingSet
	answers  []qemu.Answer // of the first start, which all others must repeat
	cold     map[string][]coldTimes
	stats    map[string][]mountStats // of the sides that are mounts
	restores map[string][]restoreTimes
}

func (c *coldstart) measureFunction(ctx context.Context, function functions.Function) (coldRow, error) {
	r := &functionRun{
		coldstart: c, function: function, guest: c.guests[function.Guest],
		cold: map[string][]coldTimes{}, stats: map[string][]mountStats{}, restores: map[string][]restoreTimes{},
	}
	if c.needsTrace() {
		if err := r.makeWorkingSet(ctx); err != nil {
			return coldRow{}, err
		}
	}
	if c.needsLayers() {
		if err := r.makeLayers(ctx); err != nil {
			return coldRow{}, fmt.Errorf("layers: %w", err)
		}
	}
	for round := range c.flags.runs {
		fmt.Fprintf(c.log, "%s: round %d of %d\n", function.Name, round+1, c.flags.runs)
		if err := r.round(ctx, round); err != nil {
			return coldRow{}, err
		}
	}
	return r.row()
}

// makeWorkingSet records the function and makes all that depends on its trace.
func (r *functionRun) makeWorkingSet(ctx context.Context) error {
	if err := r.record(ctx); err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	pages, err := readTracePages(r.tracePath(r.guest))
	if err != nil {
		return err
	}
	if err := r.keepTrace(); err != nil {
		return err
	}
	if err := writeWorkingSet(r.rawPath(r.guest), r.setPath(), r.pagesPath(), pages); err != nil {
		return err
	}
	laidOut := imageIn(r.laidOutStore(), r.guest)
	if err := r.layOut(ctx, laidOut); err != nil {
		return err
	}
	r.set, err = measureWorkingSet(imageIn(r.plainStore(), r.guest), laidOut, pages)
	if err != nil {
		return err
	}
	r.set.crc, err = pagesCRC(r.rawPath(r.guest), pages)
	return err
}

// layOut makes an image of the guest that is laid out by its trace.
func (r *functionRun) layOut(ctx context.Context, image string) error {
	if _, err := runTool(ctx, "cp", imageIn(r.plainStore(), r.guest), image); err != nil {
		return err
	}
	_, err := r.sabrefs.run(ctx, "repack", "--working-set", r.tracePath(r.guest), image)
	return err
}

// record runs the function on a mount that writes a trace when it is unmounted, as often
// as asked, and merges the traces.
func (r *functionRun) record(ctx context.Context) error {
	final := r.tracePath(r.guest)
	var traces []string
	for i := range r.flags.records {
		if err := r.recordOnce(ctx); err != nil {
			return err
		}
		trace := fmt.Sprintf("%s.%d", final, i)
		if err := os.Rename(final, trace); err != nil {
			return err
		}
		traces = append(traces, trace)
	}
	if len(traces) == 1 {
		return os.Rename(traces[0], final)
	}
	_, err := r.sabrefs.run(ctx, append([]string{"ws", "merge", "--force", "--out", final}, traces...)...)
	return err
}

func (r *functionRun) recordOnce(ctx context.Context) error {
	if err := removeIfThere(r.tracePath(r.guest)); err != nil {
		return err
	}
	requests := r.function.Record
	if r.flags.sameInput {
		requests = r.function.Replay
	}
	return r.onMount(ctx, r.plainStore(), []string{"--record", r.traceDir()}, func() error {
		_, _, err := r.startGuest(ctx, r.guest, r.mountedPath(r.guest), requests)
		return err
	})
}

// round measures every side once. Each round begins with another one.
func (r *functionRun) round(ctx context.Context, round int) error {
	sides := r.coldSides()
	for i := range sides {
		if err := r.coldStart(ctx, sides[(i+round)%len(sides)]); err != nil {
			return fmt.Errorf("%s: %w", sides[(i+round)%len(sides)].name, err)
		}
	}
	if !r.has(sideRestore) {
		return nil
	}
	restores := r.restoreSides()
	for i := range restores {
		if err := r.restore(ctx, restores[(i+round)%len(restores)]); err != nil {
			return fmt.Errorf("restore: %s: %w", restores[(i+round)%len(restores)].name, err)
		}
	}
	return nil
}

// makeCold leaves nothing of the function's files in the page cache, and the programs
// in it.
func (r *functionRun) makeCold(ctx context.Context) error {
	files := []string{r.rawPath(r.guest), imageIn(r.plainStore(), r.guest)}
	if r.needsTrace() {
		files = append(files, imageIn(r.laidOutStore(), r.guest), r.setPath())
	}
	if r.needsLayers() {
		files = append(files, r.layerImages(r.guest)...)
	}
	if err := dropCaches(ctx, files...); err != nil {
		return err
	}
	return r.warmPrograms(ctx, r.guest)
}

// coldStart measures one side once.
func (r *functionRun) coldStart(ctx context.Context, side coldSide) error {
	if err := r.makeCold(ctx); err != nil {
		return err
	}
	if side.warm {
		if _, err := runTouch(ctx, nil, readBuffered, r.rawPath(r.guest)); err != nil {
			return err
		}
	}
	if side.store == "" {
		return r.timedStart(ctx, side.name, r.rawPath(r.guest))
	}
	return r.onMount(ctx, side.store, side.flags, func() error {
		if err := r.timedStart(ctx, side.name, r.mountedPath(r.guest)); err != nil {
			return err
		}
		stats, err := r.sabrefs.imageStats(ctx, r.point())
		r.stats[side.name] = append(r.stats[side.name], stats)
		return err
	})
}

func (r *functionRun) timedStart(ctx context.Context, name, memPath string) error {
	times, answers, err := r.startGuest(ctx, r.guest, memPath, r.function.Replay)
	if err != nil {
		return err
	}
	if r.answers == nil {
		r.answers = answers
	}
	for i, want := range r.answers {
		if answers[i] != want {
			return fmt.Errorf("request %q: answer %q, another side answered %q", want.Request, answers[i].Answer, want.Answer)
		}
	}
	r.cold[name] = append(r.cold[name], times)
	return nil
}
