package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sabrefs/tests/lab/linuxguest"
)

// diskPath is the first virtio block device.
const diskPath = "/dev/vda"

func diskSize() (string, error) {
	disk, err := os.Open(diskPath)
	if errors.Is(err, fs.ErrNotExist) {
		return "disk none", nil
	}
	if err != nil {
		return "", err
	}
	defer disk.Close()
	sizeBytes, err := disk.Seek(0, io.SeekEnd)
	return fmt.Sprint("disk ", sizeBytes), err
}

// dropCached makes the kernel forget what it has read of the disk, so that a read
// asks the device.
func dropCached(disk *os.File) error {
	return unix.Fadvise(int(disk.Fd()), 0, 0, unix.FADV_DONTNEED)
}

func readSector(argument string) (string, error) {
	sector, err := strconv.ParseInt(argument, 10, 64)
	if err != nil {
		return "", err
	}
	disk, err := os.Open(diskPath)
	if err != nil {
		return "", err
	}
	defer disk.Close()
	if err := dropCached(disk); err != nil {
		return "", err
	}
	data := make([]byte, linuxguest.SectorBytes)
	if _, err := disk.ReadAt(data, sector*linuxguest.SectorBytes); err != nil {
		return "", err
	}
	text, _, _ := bytes.Cut(data, []byte{0})
	return fmt.Sprintf("read %d: %s", sector, text), nil
}

func writeSector(argument string) (reply string, err error) {
	number, text, _ := strings.Cut(argument, " ")
	sector, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return "", err
	}
	data := make([]byte, linuxguest.SectorBytes)
	if copy(data, text) < len(text) {
		return "", fmt.Errorf("%d bytes are too many for a sector", len(text))
	}
	disk, err := os.OpenFile(diskPath, os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	if _, err := disk.WriteAt(data, sector*linuxguest.SectorBytes); err != nil {
		return "", err
	}
	return fmt.Sprint("wrote ", sector), disk.Sync()
}
