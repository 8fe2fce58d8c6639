package model

import (
	"errors"
	"fmt"
	"time"
)

// ErrConfig is returned for a machine that could not exist.
var ErrConfig = errors.New("invalid configuration of modeled devices")

// Limits of a device. Source: Linux, sysfs-driver-dma-idxd, max_work_queues,
// max_work_queues_size, max_engines and max_groups of an IAX device.
const (
	MaxQueues  = 8
	MaxSlots   = 128 // of all queues of a device together
	MaxEngines = 8
	MaxGroups  = 4
)

const (
	// defaultMaxTransferBytes is WQ_DEFAULT_MAX_XFER of Linux,
	// drivers/dma/idxd/idxd.h.
	defaultMaxTransferBytes = 2 << 20
	// deviceMaxTransferBytes is what gen_cap of Sapphire Rapids allows.
	deviceMaxTransferBytes = 2 << 30
	maxPriority            = 15
)

// Config describes a machine. The zero value is a machine with one device as
// [DefaultDevice] describes it.
type Config struct {
	Devices []DeviceConfig
	// Seed decides in which order jobs complete.
	Seed uint64
	// MaxLatency delays each completion by a random time below it. Without
	// it, jobs complete as fast as the model computes, still out of order.
	MaxLatency time.Duration
	// ZeroCost completes every job during its submission, successfully, as if
	// it had filled its whole destination, with a checksum of 0, and neither
	// reads nor writes its buffers. It is for measuring a driver alone. Jobs
	// are not checked and faults not injected.
	ZeroCost bool
	// NoMmap lets Map fail with EPERM, as for a process without CAP_SYS_RAWIO.
	NoMmap bool
	// NoWrite lets Write fail with EINVAL, as a kernel does that cannot
	// submit by write(2).
	NoWrite bool
	// NoENQCMD and NoMOVDIR64B are a processor without the instruction.
	NoENQCMD, NoMOVDIR64B bool
	// OpenError is what Open fails with, for instance EACCES.
	OpenError error
	// Files are further files of sysfs, by path below /sys, or other contents
	// of those that there are.
	Files map[string]Attribute
}

// State is what software sees of the life of a device or a queue.
type State string

// The states. A queue cannot be halted.
const (
	StateEnabled  State = "enabled"
	StateDisabled State = "disabled"
	StateHalted   State = "halted" // after a device's fatal error
)

// Mode is how a queue takes descriptors.
type Mode string

// The modes.
const (
	ModeShared    Mode = "shared"
	ModeDedicated Mode = "dedicated"
)

// DeviceConfig describes a device. Zero values mean what the comments say.
type DeviceConfig struct {
	// ID is the number in the device's name; 0 means 1 for the first device
	// and 2 more than the one before for others.
	ID int
	// Generation is 1 (Sapphire Rapids) or 2 (Granite Rapids); 0 means 1.
	Generation int
	NUMANode   int
	State      State // "" means StateEnabled
	// Engines is how many engines group 0 has; 0 means 8 if EngineGroups is
	// nil too.
	Engines int
	// EngineGroups names the group of each engine instead, -1 for none.
	EngineGroups []int
	// Queues may not be empty.
	Queues []QueueConfig
	// Attributes replaces what sysfs says of the device, by name.
	Attributes map[string]Attribute
	// GroupAttributes replaces what sysfs says of all groups of the device.
	GroupAttributes map[string]Attribute
}

// QueueConfig describes a work queue. Zero values mean what the comments say.
type QueueConfig struct {
	Mode  Mode // "" means ModeShared
	Size  int  // slots; 0 means that all slots of the device are shared out evenly
	Group int  // -1 for none
	// Threshold is how many slots of a shared queue a process may use; 0
	// means all.
	Threshold    int
	BlockOnFault bool
	State        State  // "" means StateEnabled
	Type         string // "" means "user"; a "kernel" queue has no device node
	Driver       string // "" means what is usual for the type
	Name         string // "" means "model"
	Priority     int    // 0 means 10
	// MaxTransferBytes limits inputs and outputs of a job; 0 means 2 MiB.
	MaxTransferBytes int
	// Opcodes restricts what the queue runs; nil means all that the device
	// can.
	Opcodes []Opcode
	// OpenError is what Open of the queue's node by its name fails with. It
	// can still be opened by its number, see [Host.Open].
	OpenError error
	// Attributes replaces what sysfs says of the queue, by name.
	Attributes map[string]Attribute
}

// DefaultDevice is a device as its documentation recommends it: one shared
// queue with all slots and all engines, which waits for page faults.
func DefaultDevice() DeviceConfig {
	return DeviceConfig{Queues: []QueueConfig{{BlockOnFault: true}}}
}

// withDefaults fills in what zero values mean.
func (c Config) withDefaults() Config {
	if len(c.Devices) == 0 {
		c.Devices = []DeviceConfig{DefaultDevice()}
	}
	devices := make([]DeviceConfig, len(c.Devices))
	for i, d := range c.Devices {
		if d.ID == 0 {
			d.ID = 1
			if i > 0 {
				d.ID = devices[i-1].ID + 2
			}
		}
		devices[i] = d.withDefaults()
	}
	c.Devices = devices
	return c
}

func (d DeviceConfig) withDefaults() DeviceConfig {
	d.Generation = orDefault(d.Generation, 1)
	d.State = orDefault(d.State, StateEnabled)
	if d.EngineGroups == nil {
		d.EngineGroups = make([]int, orDefault(d.Engines, MaxEngines))
	}
	queues := make([]QueueConfig, len(d.Queues))
	for i, q := range d.Queues {
		q.Size = orDefault(q.Size, MaxSlots/max(len(queues), 1))
		queues[i] = q.withDefaults()
	}
	d.Queues = queues
	return d
}

func (q QueueConfig) withDefaults() QueueConfig {
	q.Mode = orDefault(q.Mode, ModeShared)
	q.State = orDefault(q.State, StateEnabled)
	q.Type = orDefault(q.Type, "user")
	q.Name = orDefault(q.Name, "model")
	q.Priority = orDefault(q.Priority, 10)
	q.MaxTransferBytes = orDefault(q.MaxTransferBytes, defaultMaxTransferBytes)
	if q.Driver == "" {
		q.Driver = map[string]string{"user": "user", "kernel": "crypto"}[q.Type]
	}
	if q.Mode == ModeShared {
		q.Threshold = orDefault(q.Threshold, q.Size)
	}
	return q
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// check refuses what the kernel would not have let anybody configure. States
// and attributes are free, because drivers meet the strangest of them.
func (c Config) check() error {
	seen := map[int]bool{}
	for _, d := range c.Devices {
		if seen[d.ID] || d.ID < 0 {
			return fmt.Errorf("%w: device number %d", ErrConfig, d.ID)
		}
		seen[d.ID] = true
		if err := d.check(); err != nil {
			return fmt.Errorf("%w: iax%d: %w", ErrConfig, d.ID, err)
		}
	}
	return nil
}

func (d DeviceConfig) check() error {
	switch {
	case d.Generation < 1 || d.Generation > 2:
		return fmt.Errorf("generation %d", d.Generation)
	case len(d.EngineGroups) > MaxEngines:
		return fmt.Errorf("%d engines", len(d.EngineGroups))
	case len(d.Queues) == 0 || len(d.Queues) > MaxQueues:
		return fmt.Errorf("%d queues", len(d.Queues))
	}
	for i, group := range d.EngineGroups {
		if group < -1 || group >= MaxGroups {
			return fmt.Errorf("group %d of engine %d", group, i)
		}
	}
	slots := 0
	for i, q := range d.Queues {
		if err := q.check(); err != nil {
			return fmt.Errorf("queue %d: %w", i, err)
		}
		slots += q.Size
	}
	if slots > MaxSlots {
		return fmt.Errorf("%d slots in all queues", slots)
	}
	return nil
}

func (q QueueConfig) check() error {
	switch {
	case q.Mode != ModeShared && q.Mode != ModeDedicated:
		return fmt.Errorf("mode %q", q.Mode)
	case q.Size < 1:
		return fmt.Errorf("%d slots", q.Size)
	case q.Threshold < 0 || q.Threshold > q.Size || q.Mode == ModeDedicated && q.Threshold != 0:
		return fmt.Errorf("threshold %d of %d slots", q.Threshold, q.Size)
	case q.Group < -1 || q.Group >= MaxGroups:
		return fmt.Errorf("group %d", q.Group)
	case q.Priority < 1 || q.Priority > maxPriority:
		return fmt.Errorf("priority %d", q.Priority)
	case q.MaxTransferBytes < 1 || int64(q.MaxTransferBytes) > deviceMaxTransferBytes:
		return fmt.Errorf("transfers of %d bytes", q.MaxTransferBytes)
	}
	return nil
}
