package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sabrefs/store"
)

// findImages returns the images below a directory, or the path itself if it is
// a file.
func findImages(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var images []string
	err = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && p != path && store.IsStaging(e.Name()) {
			return fs.SkipDir
		}
		if e.Type().IsRegular() && strings.HasSuffix(p, store.ImageSuffix) {
			images = append(images, p)
		}
		return nil
	})
	if err == nil && len(images) == 0 {
		err = fmt.Errorf("%s: %w: no *%s below it", path, store.ErrNotImage, store.ImageSuffix)
	}
	return images, err
}
