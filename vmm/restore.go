//go:build linux && amd64

package vmm

import (
	"context"
	"errors"
	"fmt"
	"os"

	"sabrefs/vmm/kvm"
	"sabrefs/vmm/memfile"
	"sabrefs/vmm/memory"
)

// Restore makes a machine that goes on where a snapshot was taken. It is paused.
// The memory file is mapped, not read.
func Restore(ctx context.Context, cfg RestoreConfig) (*Machine, error) {
	m := newMachine(hardware{}, Paused, cfg.Console, cfg.Logger)
	if err := m.rebuild(ctx, cfg); err != nil {
		return nil, errors.Join(err, m.free())
	}
	m.startThreads()
	return m, nil
}

// rebuild makes all parts of a machine from a snapshot. The kernel makes its part
// meanwhile, which takes longer than to read and map the files.
func (m *Machine) rebuild(ctx context.Context, cfg RestoreConfig) error {
	made := make(chan error, 1)
	go func() { made <- m.watch.inKVM(m.createVM) }()
	saved, err := m.openSnapshot(cfg)
	if err := errors.Join(err, <-made, ctx.Err()); err != nil {
		return err
	}
	if err := m.assemble(); err != nil {
		return err
	}
	if err := m.load(saved); err != nil {
		return err
	}
	m.watch.mark(&m.watch.state)
	return nil
}

// openSnapshot reads the state and maps the memory.
func (m *Machine) openSnapshot(cfg RestoreConfig) (*savedMachine, error) {
	saved, err := readState(cfg.StatePath)
	if err != nil {
		return nil, err
	}
	if m.hardware, err = saved.hardware.withDrives(cfg.Drives); err != nil {
		return nil, err
	}
	return saved, m.mapMemory(cfg, saved.contents)
}

// withDrives replaces paths of drives.
func (h hardware) withDrives(paths map[string]string) (hardware, error) {
	drives := append([]Drive(nil), h.Drives...)
	replaced := 0
	for i, d := range drives {
		if path, ok := paths[d.ID]; ok {
			drives[i].Path = path
			replaced++
		}
	}
	if replaced != len(paths) {
		return h, fmt.Errorf("%w: a path for a drive that the snapshot does not have", ErrConfig)
	}
	h.Drives = drives
	return h, h.check()
}

func (m *Machine) mapMemory(cfg RestoreConfig, contents savedContents) error {
	file, err := os.Open(cfg.MemoryPath)
	if err != nil {
		return err
	}
	defer file.Close()
	m.watch.mark(&m.watch.open)
	m.memory, err = memory.Map(file, m.hardware.MemoryBytes, memory.Options{HugePages: cfg.HugePages, TrackWrites: cfg.TrackDirtyPages})
	if err != nil {
		return err
	}
	if err := memfile.CheckWitnesses(file, contents.Witnesses); err != nil {
		return err
	}
	m.watch.mark(&m.watch.mapped)
	return nil
}

// load puts saved state into the machine. The clock, which runs from then on, comes
// close to the vCPUs' own clocks; devices come last, since they raise interrupts that
// are pending once more, which the controllers' own state would undo.
func (m *Machine) load(saved *savedMachine) error {
	supported, err := m.system.SupportedCPUID()
	if err != nil {
		return err
	}
	for _, vcpu := range saved.vcpus {
		if err := kvm.CheckCPUID(vcpu.CPUID, supported); err != nil {
			return err
		}
	}
	for i, cpu := range m.vcpus {
		if err := cpu.SetState(saved.vcpus[i]); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	if err := m.vm.SetState(saved.vm); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return m.loadDevices(saved.devices)
}
