package model

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"

	"sabrefs/iaa/portal"
)

// ErrClosed is returned by what is done with a machine after its Close.
var ErrClosed = errors.New("modeled machine is closed")

// Host is a machine with modeled devices. It implements portal.Host; all
// methods may be called from any number of goroutines at once.
type Host struct {
	config  Config
	devices []*device
	sysfs   *tree
	plan    faultPlan
	tally   tally

	closed  atomic.Bool
	engines sync.WaitGroup
}

var _ portal.Host = (*Host)(nil)

// NewHost makes a machine. An error is of class ErrConfig.
func NewHost(config Config) (*Host, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
	}
	h := &Host{config: config}
	minor := 0
	for _, d := range config.Devices {
		h.devices = append(h.devices, newDevice(h, d, minor))
		minor += len(d.Queues)
	}
	h.sysfs = h.newSysfs()
	return h, nil
}

// CPU implements portal.Host.
func (h *Host) CPU() portal.Instructions {
	return portal.Instructions{ENQCMD: !h.config.NoENQCMD, MOVDIR64B: !h.config.NoMOVDIR64B}
}

// Open implements portal.Host. A node is known by its name, for instance
// "iax/wq1.0", and by its number, for instance "char/234:0". Errors wrap what
// open(2) fails with.
func (h *Host) Open(node string) (portal.Node, error) {
	client, err := h.open(node)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/dev/" + node, Err: err}
	}
	return &openNode{client: client}, nil
}

func (h *Host) open(node string) (*client, error) {
	if h.closed.Load() {
		return nil, ErrClosed
	}
	if h.config.OpenError != nil {
		return nil, h.config.OpenError
	}
	for _, d := range h.devices {
		for _, q := range d.queues {
			switch node {
			case q.node:
				if q.config.OpenError != nil {
					return nil, q.config.OpenError
				}
				return q.open()
			case fmt.Sprintf("char/%d:%d", cdevMajor, q.minor):
				return q.open()
			}
		}
	}
	return nil, syscall.ENOENT
}

// Disable takes a device out of service as its administrator would: nothing is
// accepted any more, and what was accepted completes. The error wraps
// fs.ErrNotExist if there is no such device.
func (h *Host) Disable(device string) error { return h.SetDeviceState(device, StateDisabled) }

// Halt takes a device out of service as a fatal error does: nothing is accepted
// any more, and what was accepted never completes. The error wraps
// fs.ErrNotExist if there is no such device.
func (h *Host) Halt(device string) error { return h.SetDeviceState(device, StateHalted) }

// SetDeviceState puts a device into any state, see Disable and Halt. The error
// wraps fs.ErrNotExist if there is no such device.
func (h *Host) SetDeviceState(device string, state State) error {
	for _, d := range h.devices {
		if d.name == device {
			d.state.Store(state)
			return nil
		}
	}
	return fmt.Errorf("device %s: %w", device, fs.ErrNotExist)
}

// SetQueueState puts a queue, for instance wq1.0, into any state. One that is
// not enabled accepts nothing and completes what it accepted. The error wraps
// fs.ErrNotExist if there is no such queue.
func (h *Host) SetQueueState(queue string, state State) error {
	for _, d := range h.devices {
		for _, q := range d.queues {
			if q.name == queue {
				q.state.Store(state)
				return nil
			}
		}
	}
	return fmt.Errorf("queue %s: %w", queue, fs.ErrNotExist)
}

// Close stops the machine and returns when its engines have stopped: nothing is
// written to anybody's memory afterwards. Jobs that no engine had begun never
// complete.
func (h *Host) Close() error {
	if h.closed.Swap(true) {
		return nil
	}
	for _, d := range h.devices {
		for _, g := range d.groups {
			g.close()
		}
	}
	h.engines.Wait()
	for _, d := range h.devices {
		for _, q := range d.queues {
			q.abortParked()
		}
	}
	return nil
}
