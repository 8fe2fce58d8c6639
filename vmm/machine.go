//go:build linux && amd64

package vmm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"sabrefs/vmm/boot"
	"sabrefs/vmm/kvm"
	"sabrefs/vmm/memory"
)

// Addresses that KVM needs for itself on Intel's processors, in the hole.
const (
	identityMapAddr = 0xfffbc000
	tssAddr         = 0xfffbd000
)

// Machine is a virtual machine. It ends by Close.
type Machine struct {
	hardware hardware
	log      *slog.Logger
	console  io.Writer
	watch    *stopwatch
	gate     *gate

	system  *kvm.System
	vm      *kvm.VM
	memory  *memory.Memory
	vcpus   []*kvm.VCPU
	devices *devices

	unmappedReads pageNotes
	threads       sync.WaitGroup // one for each vCPU
	done          chan struct{}
	// alive is done when the machine ends: it frees whoever waits for the guest.
	alive context.Context //nolint:containedctx // the life of the machine
	kill  context.CancelFunc

	mu       sync.Mutex // held by whoever changes the state or takes a snapshot
	complete bool       // guarded by mu: a diff lacks nothing, there is no base

	freeing   sync.RWMutex // held to read by whoever raises an interrupt
	freed     bool         // guarded by freeing
	closeOnce sync.Once
	closeErr  error
}

// New makes a machine with a kernel in its memory. It does not run.
func New(ctx context.Context, cfg Config) (*Machine, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	m := newMachine(cfg.hardware(), NotStarted, cfg.Console, cfg.Logger)
	m.complete = true
	if err := m.build(ctx, cfg); err != nil {
		return nil, errors.Join(err, m.free())
	}
	m.startThreads()
	return m, nil
}

func newMachine(h hardware, state State, console io.Writer, log *slog.Logger) *Machine {
	m := &Machine{hardware: h, watch: startWatch(), gate: newGate(state), done: make(chan struct{}), log: log}
	if console == nil {
		console = io.Discard
	}
	m.console = timedWriter{console, m.watch}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.alive, m.kill = context.WithCancel(context.Background())
	return m
}

// build makes all parts of a machine that boots.
func (m *Machine) build(ctx context.Context, cfg Config) error {
	var err error
	m.memory, err = memory.New(m.hardware.MemoryBytes, memory.Options{HugePages: cfg.HugePages, TrackWrites: cfg.TrackDirtyPages})
	if err != nil {
		return err
	}
	m.watch.mark(&m.watch.mapped)
	entry, err := boot.Load(m.memory, cfg.bootOptions(m.hardware))
	if err != nil {
		return err
	}
	m.watch.mark(&m.watch.open)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.watch.inKVM(m.createVM); err != nil {
		return err
	}
	if err := m.assemble(); err != nil {
		return err
	}
	if err := m.bootVCPUs(entry); err != nil {
		return err
	}
	m.watch.mark(&m.watch.state)
	return nil
}

// assemble makes the devices and the vCPUs, and gives the memory to the KVM machine.
func (m *Machine) assemble() error {
	var err error
	m.devices, err = newDevices(m.hardware, world{
		memory: m.memory, console: m.console, pulse: m.pulse, off: func() { m.end(nil) }, log: m.log,
	})
	if err != nil {
		return err
	}
	if err := m.watch.inKVM(m.createVCPUs); err != nil {
		return err
	}
	for slot, r := range m.memory.Regions() {
		if err := m.vm.SetMemory(uint32(slot), r.GuestPhysical, r.Bytes, m.memory.Tracked()); err != nil {
			return err
		}
	}
	return nil
}

// createVM makes the KVM machine with its chips: what does not depend on what the
// machine is made of.
func (m *Machine) createVM() error {
	var err error
	if m.system, err = kvm.Open(); err != nil {
		return err
	}
	if m.vm, err = m.system.CreateVM(); err != nil {
		return err
	}
	return errors.Join(
		m.vm.SetTSSAddress(tssAddr),
		m.vm.SetIdentityMap(identityMapAddr),
		m.vm.CreateIRQChip(),
		m.vm.CreatePIT(),
	)
}

func (m *Machine) createVCPUs() error {
	var err error
	for id := 0; err == nil && id < m.hardware.VCPUCount; id++ {
		var cpu *kvm.VCPU
		if cpu, err = m.vm.CreateVCPU(id); err == nil {
			m.vcpus = append(m.vcpus, cpu)
		}
	}
	return err
}

// pulse returns a function that raises an interrupt for a moment: an edge.
func (m *Machine) pulse(gsi uint32) func() {
	return func() {
		m.freeing.RLock() // keys may arrive while the machine is closed
		defer m.freeing.RUnlock()
		if m.freed {
			return
		}
		if err := errors.Join(m.vm.SetIRQLine(gsi, true), m.vm.SetIRQLine(gsi, false)); err != nil {
			m.log.Error("raising an interrupt", slog.Any("error", err))
		}
	}
}

// startThreads begins the goroutines of the vCPUs, which wait at the gate, and
// one that waits for their end.
func (m *Machine) startThreads() {
	m.threads.Add(len(m.vcpus))
	for _, cpu := range m.vcpus {
		go m.serve(cpu)
	}
	go func() {
		m.threads.Wait()
		close(m.done)
	}()
}

// end ends the guest; nil is an orderly end. It does not wait, and may be called
// by a device.
func (m *Machine) end(reason error) {
	m.gate.end(reason)
	m.kill()
	m.kick()
}

// kick has all vCPUs come to the gate. Nobody may free the machine meanwhile.
func (m *Machine) kick() {
	for _, cpu := range m.vcpus {
		if err := cpu.Kick(); err != nil {
			m.log.Error("interrupting a vCPU", slog.Int("vcpu", cpu.ID()), slog.Any("error", err))
		}
	}
}

// free gives back everything; no vCPU runs.
func (m *Machine) free() error {
	m.kill()
	m.freeing.Lock()
	defer m.freeing.Unlock()
	m.freed = true
	var errs []error
	if m.vm != nil {
		errs = append(errs, m.vm.Close())
	}
	if m.system != nil {
		errs = append(errs, m.system.Close())
	}
	if m.devices != nil {
		errs = append(errs, m.devices.close())
	}
	if m.memory != nil {
		errs = append(errs, m.memory.Close())
	}
	return errors.Join(errs...)
}

// Close ends the guest, waits until its threads have ended and gives everything
// back. Later calls return the same.
func (m *Machine) Close() error {
	m.closeOnce.Do(func() {
		m.end(ErrStopped) // without mu: this ends a snapshot that holds it
		<-m.done
		m.mu.Lock()
		defer m.mu.Unlock()
		m.closeErr = m.free()
	})
	return m.closeErr
}

// Done is closed when the guest has ended.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Err says why the guest ended, once Done is closed: nil if it turned itself off
// or was reset.
func (m *Machine) Err() error {
	select {
	case <-m.done:
		_, reason := m.gate.now()
		return reason
	default:
		return nil
	}
}

// State returns what the machine does.
func (m *Machine) State() State {
	state, _ := m.gate.now()
	return state
}

// Timings returns when the machine got how far.
func (m *Machine) Timings() Timings { return m.watch.timings() }

// Info describes a machine.
type Info struct {
	State           State
	MemoryBytes     int64
	VCPUCount       int
	TrackDirtyPages bool
	Drives          []Drive
}

// Info returns what the machine is made of.
func (m *Machine) Info() Info {
	return Info{
		State: m.State(), MemoryBytes: m.hardware.MemoryBytes, VCPUCount: m.hardware.VCPUCount,
		TrackDirtyPages: m.memory.Tracked(), Drives: append([]Drive(nil), m.hardware.Drives...),
	}
}

// SendCtrlAltDel presses these keys. A guest that knows them ends in order.
func (m *Machine) SendCtrlAltDel() error {
	m.mu.Lock() // against Close
	defer m.mu.Unlock()
	if state := m.State(); state != Running && state != Paused {
		return fmt.Errorf("%w: it is %v", ErrState, state)
	}
	m.devices.keyboard.PressCtrlAltDel()
	return nil
}

// Input returns a writer of the keys that the user types. Write waits until the
// guest has room for them.
func (m *Machine) Input() io.Writer { return input{m} }

type input struct{ m *Machine }

func (i input) Write(keys []byte) (int, error) {
	err := i.m.devices.console.WaitInput(i.m.alive, keys)
	switch {
	case i.m.alive.Err() != nil:
		return 0, fmt.Errorf("%w: it is %v", ErrState, Ended)
	case err != nil:
		return 0, err
	}
	return len(keys), nil
}
