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
	base, layer := imageIn(r.layerStore(), r.parent), imageIn(r.layerStore(), r.guest)
	if err := parent.layOut(ctx, base); err != nil {
		return err
	}
	if _, err := r.sabrefs.run(ctx, "pack", "--force", "--parent", base, r.rawPath(r.guest), layer); err != nil {
		return err
	}
	return r.layOutLayer(ctx)
}

// layOutLayer makes the store in which the layer is laid out, too, from the other one.
func (r *functionRun) layOutLayer(ctx context.Context) error {
	for _, guest := range []*coldGuest{r.parent, r.guest} {
		if _, err := runTool(ctx, "cp", imageIn(r.layerStore(), guest), imageIn(r.laidOutLayerStore(), guest)); err != nil {
			return err
		}
	}
	_, err := r.sabrefs.run(ctx, "repack", "--working-set", r.tracePath(r.guest), imageIn(r.laidOutLayerStore(), r.guest))
	return err
}
