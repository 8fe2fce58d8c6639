//go:build amd64

package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sabrefs/store"
)

// TestMountArgumentsOfAChild: the mount of one snapshot is told where the ancestors of
// its image are.
func TestMountArgumentsOfAChild(t *testing.T) {
	dir := realTempDir(t)
	raw := writeFile(t, filepath.Join(dir, "memory"), guestMemory(8))
	var images []string
	options := store.PackOptions{Codec: store.CodecLZ4}
	for _, name := range []string{"root/a", "root/b", "middle/mem", "guest/older", "guest/mem_file"} {
		image := filepath.Join(dir, name+store.ImageSuffix)
		noError(t, os.MkdirAll(filepath.Dir(image), 0o755))
		_, err := store.PackFile(t.Context(), raw, image, options)
		noError(t, err)
		images = append(images, image)
		options.Parent = image
	}
	got, err := mountArguments(images[4], []string{"--prefetch", "all"})
	noError(t, err)
	want := []string{"mount", "--prefetch", "all", "--parent-dir", filepath.Join(dir, "middle"), "--parent-dir", filepath.Join(dir, "root")}
	if !slices.Equal(got, want) {
		t.Errorf("arguments are %q, want %q", got, want)
	}
	if got, err = mountArguments(images[0], nil); err != nil || !slices.Equal(got, []string{"mount"}) {
		t.Errorf("of an image without a parent: %q, %v", got, err)
	}
	noError(t, os.Remove(images[1]))
	if _, err = mountArguments(images[4], nil); !errors.Is(err, store.ErrParent) {
		t.Errorf("without one of the ancestors: %v", err)
	}
}
