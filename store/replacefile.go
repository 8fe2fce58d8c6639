package store

import (
	"errors"
	"io/fs"
)

// ReplaceFile writes a small file as images are written: under path there is
// what was there before or all of content, and after a nil error the content is
// on the disk. The directory must exist. What is there and is not a regular
// file is not replaced (ErrExists).
func ReplaceFile(path string, mode fs.FileMode, content []byte) error {
	return publishFile(path, mode, content, true)
}

// CreateFile is ReplaceFile for a path where nothing may be yet (ErrExists).
func CreateFile(path string, mode fs.FileMode, content []byte) error {
	return publishFile(path, mode, content, false)
}

func publishFile(path string, mode fs.FileMode, content []byte, overwrite bool) error {
	f, err := createAtomic(path, overwrite, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.abort())
	}
	return f.commit()
}
