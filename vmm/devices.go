//go:build linux && amd64

package vmm

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"sabrefs/vmm/boot"
	"sabrefs/vmm/bus"
	"sabrefs/vmm/i8042"
	"sabrefs/vmm/kvm"
	"sabrefs/vmm/memory"
	"sabrefs/vmm/power"
	"sabrefs/vmm/rtc"
	"sabrefs/vmm/serial"
	"sabrefs/vmm/virtio"
)

// Where devices are; see also package boot, which tells the guest.
const (
	serialPort, serialPortCount     = 0x3f8, 8
	keyboardPort, keyboardPortCount = 0x60, 5
	clockPort                       = 0x70
	serialIRQ                       = 4
	keyboardIRQ                     = 1
)

// devices are all devices of a machine.
type devices struct {
	ports, mmio bus.Bus
	console     *serial.Port
	keyboard    *i8042.Controller
	disks       []*virtio.FileDisk
	saved       []savedDevice
}

// savedDevice is a device whose state belongs into a snapshot, in an order that
// depends on the hardware alone.
type savedDevice struct {
	name string
	bus.Saver
}

// world is what devices need.
type world struct {
	memory  *memory.Memory
	console io.Writer
	// pulse returns a function that raises an interrupt.
	pulse func(gsi uint32) func()
	// off ends the guest in order.
	off func()
	log *slog.Logger
}

// newDevices makes the devices of h. After an error it has closed what it opened.
func newDevices(h hardware, w world) (*devices, error) {
	d := &devices{
		console:  serial.New(w.console, w.pulse(serialIRQ)),
		keyboard: i8042.New(w.pulse(keyboardIRQ), w.off),
	}
	clock := rtc.New(time.Now)
	err := errors.Join(
		d.ports.Add("serial", serialPort, serialPortCount, d.console),
		d.ports.Add("i8042", keyboardPort, keyboardPortCount, d.keyboard),
		d.ports.Add("power", boot.PowerPort, power.WindowBytes, power.New(w.off)),
		d.ports.Add("rtc", clockPort, rtc.WindowBytes, clock),
	)
	d.saved = []savedDevice{{"serial", d.console}, {"i8042", d.keyboard}, {"rtc", clock}}
	for n, drive := range h.Drives {
		err = errors.Join(err, d.addDrive(n, drive, w))
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *devices) addDrive(n int, drive Drive, w world) error {
	disk, err := virtio.OpenDisk(drive.Path, drive.ReadOnly)
	if err != nil {
		return fmt.Errorf("drive %q: %w", drive.ID, err)
	}
	d.disks = append(d.disks, disk)
	block := virtio.NewBlock(disk, drive.ID, drive.ReadOnly)
	transport := virtio.NewMMIO(block, w.memory, w.pulse(uint32(boot.VirtioIRQ+n)))
	// The guest learns that something failed, people learn what.
	onError := func(err error) { w.log.Error("drive", slog.String("id", drive.ID), slog.Any("error", err)) }
	block.OnError(onError)
	transport.OnError(onError)
	name := "virtio-block " + drive.ID
	d.saved = append(d.saved, savedDevice{name, transport})
	return d.mmio.Add(name, boot.VirtioBase+uint64(n)*boot.VirtioStride, boot.VirtioStride, transport)
}

// port answers an access of I/O ports, which a string instruction repeats.
func (d *devices) port(exit kvm.Exit) {
	for i := range exit.Count {
		data := exit.Data[i*exit.Size : (i+1)*exit.Size]
		switch {
		case exit.Write:
			// Kernels probe and delay with ports: nobody minds a write where
			// nobody is.
			d.ports.Write(uint64(exit.Port), data)
		case !d.ports.Read(uint64(exit.Port), data):
			allOnes(data)
		}
	}
}

// sync makes durable what the guest has written to its disks.
func (d *devices) sync() error {
	var errs []error
	for _, disk := range d.disks {
		errs = append(errs, disk.Sync())
	}
	return errors.Join(errs...)
}

func (d *devices) close() error {
	var errs []error
	for _, disk := range d.disks {
		errs = append(errs, disk.Close())
	}
	d.disks = nil
	return errors.Join(errs...)
}
