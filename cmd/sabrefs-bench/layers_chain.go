package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"sabrefs/store"
)

// layerChain is a store with an image and its descendants, each the only child of the
// one before.
type layerChain struct {
	dir     string
	memory  *guestMemory // as the last image has it
	log     io.Writer
	changed int // pages that each layer changes
	depth   int // of the last image
}

// newLayerChain packs the memory as the root.
func newLayerChain(ctx context.Context, dir string, memory *guestMemory, flags layersFlags, log io.Writer) (*layerChain, error) {
	c := &layerChain{dir: dir, memory: memory, log: log, changed: memory.changedPages(flags.changedPermille)}
	fmt.Fprintf(log, "memory of %d MiB, %d pages with data; seed %d\n", memory.rawBytes>>20, len(memory.data), flags.seed)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	result, err := store.PackFile(ctx, memory.path, c.path(0), store.PackOptions{})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(log, "root packed: %d bytes, %.1f s\n", result.PackedBytes, result.Duration.Seconds())
	return c, nil
}

func layerName(depth int) string { return fmt.Sprintf("layer-%03d", depth) }
func layerPath(dir string, depth int) string {
	return filepath.Join(dir, layerName(depth)+store.ImageSuffix)
}
func (c *layerChain) path(depth int) string { return layerPath(c.dir, depth) }
func (c *layerChain) paths(depth int) (list []string) {
	for i := range depth + 1 {
		list = append(list, c.path(i))
	}
	return list
}

// growTo changes the memory and packs it until the last image has so many
// ancestors.
func (c *layerChain) growTo(ctx context.Context, depth int) error {
	for c.depth < depth {
		begin := time.Now()
		if err := c.grow(ctx); err != nil {
			return fmt.Errorf("layer %d: %w", c.depth+1, err)
		}
		fmt.Fprintf(c.log, "layer %d of %d packed, %d pages changed: %.1f s\n", c.depth, depth, c.changed, time.Since(begin).Seconds())
	}
	return nil
}

func (c *layerChain) grow(ctx context.Context) error {
	if err := c.memory.change(c.changed); err != nil {
		return err
	}
	opt := store.PackOptions{Parent: c.path(c.depth)}
	result, err := store.PackFile(ctx, c.memory.path, c.path(c.depth+1), opt)
	if err != nil {
		return err
	}
	c.depth++
	if result.Depth != c.depth || result.StoredPages > int64(c.changed) {
		return fmt.Errorf("the image has depth %d and %d pages of its own, expected %d and at most %d",
			result.Depth, result.StoredPages, c.depth, c.changed)
	}
	return nil
}

// flatten packs the memory as it is now, as an image without a parent.
func (c *layerChain) flatten(ctx context.Context, path string) error {
	result, err := store.PackFile(ctx, c.memory.path, path, store.PackOptions{})
	if err == nil {
		fmt.Fprintf(c.log, "the same memory packed flat: %d bytes, %.1f s\n", result.PackedBytes, result.Duration.Seconds())
	}
	return err
}

// staleCopy copies the images to a directory and packs the root there anew, so that what
// its descendants know of its frames is no longer sure.
func (c *layerChain) staleCopy(ctx context.Context, dir string) error {
	if _, err := runTool(ctx, "cp", "-r", c.dir, dir); err != nil {
		return err
	}
	_, err := store.RepackFile(ctx, layerPath(dir, 0), store.PackOptions{})
	if err != nil {
		return err
	}
	img, err := store.Open(layerPath(dir, c.depth), store.OpenOptions{})
	if err != nil {
		return err
	}
	if !img.IsStale() {
		err = fmt.Errorf("%s is not stale though its root was packed anew", img.Path())
	}
	return errors.Join(err, img.Close())
}
