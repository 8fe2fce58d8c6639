package virtio

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrDisk is returned when a file cannot be a disk.
var ErrDisk = errors.New("not usable as a disk")

// FileDisk is a disk in a file or on a block device.
type FileDisk struct {
	*os.File
	sizeBytes int64
}

// OpenDisk opens a disk image, which is raw and of whole sectors. The caller
// closes it.
func OpenDisk(path string, readOnly bool) (*FileDisk, error) {
	if err := checkKind(path); err != nil {
		return nil, fmt.Errorf("opening disk: %w", err)
	}
	flags := os.O_RDWR
	if readOnly {
		flags = os.O_RDONLY
	}
	file, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, fmt.Errorf("opening disk: %w", err)
	}
	sizeBytes, err := diskBytes(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening disk %s: %w", path, err), file.Close())
	}
	return &FileDisk{File: file, sizeBytes: sizeBytes}, nil
}

// checkKind refuses, before it is opened, what might never open: a pipe.
func checkKind(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if kind := info.Mode().Type(); kind != 0 && kind != os.ModeDevice {
		return fmt.Errorf("%s is neither a file nor a block device (%v): %w", path, info.Mode(), ErrDisk)
	}
	return nil
}

// diskBytes is the size of a file or of a block device, whose Stat has none.
func diskBytes(file *os.File) (int64, error) {
	sizeBytes, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if sizeBytes == 0 || sizeBytes%SectorBytes != 0 {
		return 0, fmt.Errorf("%d bytes, a disk has whole sectors of %d: %w", sizeBytes, SectorBytes, ErrDisk)
	}
	return sizeBytes, nil
}

// SizeBytes is the size when the disk was opened.
func (d *FileDisk) SizeBytes() int64 { return d.sizeBytes }
