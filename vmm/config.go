//go:build linux && amd64

package vmm

import (
	"fmt"
	"io"
	"log/slog"

	"sabrefs/vmm/boot"
	"sabrefs/vmm/memory"
)

// Limits of a machine.
const (
	MaxVCPUs       = boot.MaxVCPUs
	MaxMemoryBytes = memory.MaxBytes
	// MaxDrives is small because every drive has an interrupt of its own.
	MaxDrives    = 8
	maxNameBytes = 64
)

// Config describes a machine that boots.
type Config struct {
	MemoryBytes int64
	VCPUCount   int
	// TrackDirtyPages keeps track of written pages, which diff snapshots need.
	TrackDirtyPages bool
	// HugePages asks for huge pages as guest memory.
	HugePages bool

	// Kernel is the path of a bzImage or of a 64-bit ELF file, Flat an image of
	// 64-bit code. A machine boots one of the two.
	Kernel      string
	Flat        []byte
	Initrd      string // path; may be empty
	CommandLine string

	Drives []Drive

	// Console gets what the guest writes to its serial port. A writer that
	// blocks stops the guest, and Pause and Close wait for it.
	Console io.Writer
	Logger  *slog.Logger
}

// Drive is a disk of the guest.
type Drive struct {
	ID       string `json:"id"`
	Path     string `json:"path"`
	ReadOnly bool   `json:"read_only"`
	// Root makes it the first disk, and tells the kernel to use it as its root.
	Root bool `json:"root"`
}

// RestoreConfig describes a machine that goes on from a snapshot.
type RestoreConfig struct {
	StatePath  string
	MemoryPath string

	TrackDirtyPages bool
	HugePages       bool
	// Drives maps IDs of drives to other paths than those of the snapshot.
	Drives map[string]string

	Console io.Writer
	Logger  *slog.Logger
}

// hardware is what a machine is made of: what a snapshot keeps of the Config.
type hardware struct {
	MemoryBytes int64   `json:"memory_bytes"`
	VCPUCount   int     `json:"vcpu_count"`
	Drives      []Drive `json:"drives"`
}

func (c *Config) hardware() hardware {
	return hardware{MemoryBytes: c.MemoryBytes, VCPUCount: c.VCPUCount, Drives: rootFirst(c.Drives)}
}

// rootFirst orders drives as the guest sees them.
func rootFirst(drives []Drive) []Drive {
	ordered := make([]Drive, 0, len(drives))
	for _, root := range []bool{true, false} {
		for _, d := range drives {
			if d.Root == root {
				ordered = append(ordered, d)
			}
		}
	}
	return ordered
}

// check refuses hardware that cannot be. It may come from a file.
func (h hardware) check() error {
	if err := memory.CheckSize(h.MemoryBytes); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if h.VCPUCount < 1 || h.VCPUCount > MaxVCPUs {
		return fmt.Errorf("%w: %d vCPUs, 1 to %d are possible", ErrConfig, h.VCPUCount, MaxVCPUs)
	}
	if len(h.Drives) > MaxDrives {
		return fmt.Errorf("%w: %d drives, at most %d are possible", ErrConfig, len(h.Drives), MaxDrives)
	}
	return checkDrives(h.Drives)
}

func checkDrives(drives []Drive) error {
	ids, root := map[string]bool{}, false
	for _, d := range drives {
		switch {
		case d.ID == "" || len(d.ID) > maxNameBytes:
			return fmt.Errorf("%w: drive %q: an ID has 1 to %d bytes", ErrConfig, d.ID, maxNameBytes)
		case d.Path == "":
			return fmt.Errorf("%w: drive %q has no path", ErrConfig, d.ID)
		case ids[d.ID]:
			return fmt.Errorf("%w: two drives have the ID %q", ErrConfig, d.ID)
		case d.Root && root:
			return fmt.Errorf("%w: drive %q: there is a root drive already", ErrConfig, d.ID)
		}
		ids[d.ID], root = true, root || d.Root
	}
	return nil
}

func (c *Config) check() error {
	h := c.hardware()
	if err := h.check(); err != nil {
		return err
	}
	if (c.Kernel == "") == (len(c.Flat) == 0) {
		return fmt.Errorf("%w: a machine boots a kernel or a flat image", ErrConfig)
	}
	return nil
}

func (c *Config) bootOptions(h hardware) boot.Options {
	return boot.Options{
		Kernel: c.Kernel, Flat: c.Flat, Initrd: c.Initrd, CommandLine: commandLine(c.CommandLine, h.Drives),
		VCPUCount: h.VCPUCount, VirtioCount: len(h.Drives), MemoryBytes: h.MemoryBytes,
	}
}

// commandLine adds what the kernel must know about its drives.
func commandLine(given string, drives []Drive) string {
	line := given
	add := func(parameter string) {
		if line != "" {
			line += " "
		}
		line += parameter
	}
	for n, d := range drives {
		if d.Root {
			mode := "rw"
			if d.ReadOnly {
				mode = "ro"
			}
			add("root=/dev/vda " + mode)
		}
		add(boot.VirtioParameter(n))
	}
	return line
}
