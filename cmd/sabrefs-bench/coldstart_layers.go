package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// parentName is the parent's among the guests.
const parentName = "parent"

// Stores with the parent and the guest's image on it: with what a layer inherits, and
// laid out by the guest's own trace, too.
func (c *coldstart) layerStore() string        { return filepath.Join(c.dir, "layer") }
func (c *coldstart) laidOutLayerStore() string { return filepath.Join(c.dir, "layer-laidout") }

func (c *coldstart) needsLayers() bool { return c.has(sideLayer) || c.has(sideLaidOutLayer) }

// layerImages are the files that hold memory of the guest in these stores.
func (c *coldstart) layerImages(g *coldGuest) (images []string) {
	for _, store := range []string{c.layerStore(), c.laidOutLayerStore()} {
		images = append(images, imageIn(store, c.parent), imageIn(store, g))
	}
	return images
}

// makeLayers records the function in the parent guest, lays its image out by that, and
// packs the guest's memory as a layer on it.
func (r *functionRun) makeLayers(ctx context.Context) error {
	parent := &functionRun{coldstart: r.coldstart, function: r.function, guest: r.parent}
	if err := parent.record(ctx); err != nil {
		return fmt.Errorf("recording in the parent: %w", err)
	}
	for _, image := range r.layerImages(r.guest) {
		if err := os.MkdirAll(filepath.Dir(image), 0o755); err != nil {
			return err
		}
	}
	for _, store := range []string{r.layerStore(), r.laidOutLayerStore()} {
		if err := r.makeLayer(ctx, store); err != nil {
			return err
		}
	}
	_, err := r.sabrefs.run(ctx, "repack", "--working-set", r.tracePath(r.guest), imageIn(r.laidOutLayerStore(), r.guest))
	return err
}

func (r *functionRun) makeLayer(ctx context.Context, store string) error {
	parent, layer := imageIn(store, r.parent), imageIn(store, r.guest)
	if err := removeIfThere(layer); err != nil { // of the function before
		return err
	}
	if _, err := runTool(ctx, "cp", imageIn(r.plainStore(), r.parent), parent); err != nil {
		return err
	}
	if _, err := r.sabrefs.run(ctx, "repack", "--working-set", r.tracePath(r.parent), parent); err != nil {
		return err
	}
	_, err := r.sabrefs.run(ctx, "pack", "--parent", parent, r.rawPath(r.guest), layer)
	return err
}
