package main

import (
	"errors"
	"fmt"
	"os"

	"sabrefs/store"
)

// findImages returns the images below a directory, in the order of their
// names, or the path itself if it is a file.
func findImages(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	images, err := store.ImagesBelow(path)
	if err == nil && len(images) == 0 {
		err = fmt.Errorf("%s: %w: no *%s below it", path, store.ErrNotImage, store.ImageSuffix)
	}
	return images, err
}

// imageErrors are what is wrong with several images. All are told; the first one
// decides the exit code.
type imageErrors []error

func (f imageErrors) Error() string { return errors.Join(f...).Error() }
func (f imageErrors) Unwrap() error { return f[0] }

// err returns nil if nothing was found.
func (f imageErrors) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}
