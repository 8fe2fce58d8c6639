package firecracker_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"sabrefs/vmm/api"
	"sabrefs/vmm/guest"
)

// serveFake is what this program does as a VMM: it has the API of sabrefs in
// front of a guest that is made up, and takes the arguments that the SDK gives
// to Firecracker.
func serveFake(args []string) int {
	flags := flag.NewFlagSet("fake", flag.ExitOnError)
	socket := flags.String("api-sock", "", "")
	id := flags.String("id", "", "")
	flags.Bool("no-seccomp", false, "")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	server, err := api.NewServer(api.Options{ID: *id, Launcher: api.Launcher{Boot: bootFake, Restore: restoreFake}})
	if err == nil {
		err = server.Serve(ctx, *socket)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake VMM:", err)
		return 1
	}
	return 0
}

// fakeMachine has a guest that answers like the built-in one, from a memory of
// the same size and in the same places, so that a wrong page is a wrong answer.
type fakeMachine struct {
	memory []byte
	shape  api.Shape

	mu    sync.Mutex // guards what follows
	saved savedFake
	state api.MachineState
	dirty map[int]bool // pages that were written
	run   *sync.Cond   // the guest may go on, or has ended

	done chan struct{}
	once sync.Once
}

// savedFake is what the guest has in its registers.
type savedFake struct {
	MiB         int
	MemoryBytes int64
	Lookups     uint64
	Written     uint64
	Drives      []api.Drive
	Ready       bool
}

func newFake(shape api.Shape, saved savedFake, memory []byte, state api.MachineState) *fakeMachine {
	m := &fakeMachine{memory: memory, shape: shape, saved: saved, state: state, dirty: map[int]bool{}, done: make(chan struct{})}
	m.run = sync.NewCond(&m.mu)
	return m
}

func bootFake(_ context.Context, r api.BootRequest) (api.Machine, error) {
	if kernel, err := os.ReadFile(r.Kernel); err != nil || string(kernel) != string(guest.ELF()) {
		return nil, fmt.Errorf("%s is not the image of the guest: %w", r.Kernel, err)
	}
	mib, err := strconv.Atoi(regexp.MustCompile(`mib=(\d+)`).FindStringSubmatch(r.CommandLine + " mib=1")[1])
	if err != nil {
		return nil, err
	}
	memory, err := syscall.Mmap(-1, 0, int(r.MemoryBytes), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	saved := savedFake{MiB: mib, MemoryBytes: r.MemoryBytes, Drives: r.Drives}
	m := newFake(r.Shape, saved, memory, api.NotStarted)
	for key := range guest.EntryCount(mib) {
		m.put(m.entry(key), guest.Value(key))
	}
	go m.guest()
	return m, nil
}

// restoreFake maps the memory file, as the real machine does: a mount is read
// by page faults.
func restoreFake(_ context.Context, r api.RestoreRequest) (api.Machine, error) {
	text, err := os.ReadFile(r.StatePath)
	if err != nil {
		return nil, err
	}
	var saved savedFake
	if err := json.Unmarshal(text, &saved); err != nil {
		return nil, fmt.Errorf("%s: %w", r.StatePath, err)
	}
	file, err := os.Open(r.MemoryPath)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() != saved.MemoryBytes {
		return nil, fmt.Errorf("%s is of another size than the memory: %w", r.MemoryPath, err)
	}
	memory, err := syscall.Mmap(int(file.Fd()), 0, int(saved.MemoryBytes), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	shape := api.Shape{VCPUCount: 1, MemoryBytes: saved.MemoryBytes, TrackDirtyPages: r.TrackDirtyPages, Drives: saved.Drives}
	m := newFake(shape, saved, memory, api.Paused)
	go m.guest()
	return m, nil
}

// entry is the place of a key in the memory.
func (m *fakeMachine) entry(key uint64) int {
	return int(guest.PageAddress(m.saved.MiB, key)) + 16 + 16*int(key/guest.PageCount(m.saved.MiB))
}

// stamp is the place of the mark that write number n leaves.
func (m *fakeMachine) stamp(n uint64) int { return int(guest.PageAddress(m.saved.MiB, n)) + 8 }

func (m *fakeMachine) put(at int, value uint64) {
	binary.LittleEndian.PutUint64(m.memory[at:], value)
	m.dirty[at/guest.PageBytes] = true
}

func (m *fakeMachine) at(place int) uint64 { return binary.LittleEndian.Uint64(m.memory[place:]) }

// guest reads commands and answers them, while the machine runs.
func (m *fakeMachine) guest() {
	m.answer("")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		m.answer(lines.Text())
	}
}

func (m *fakeMachine) answer(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.state != api.Running && m.state != api.Ended {
		m.run.Wait()
	}
	if m.state == api.Ended {
		return
	}
	switch command, argument, _ := strings.Cut(line, " "); command {
	case "":
		if !m.saved.Ready {
			fmt.Println(guest.ReadyLine(m.saved.MiB))
			m.saved.Ready = true
		}
	case "get":
		key, err := strconv.ParseUint(argument, 10, 64)
		if err != nil || key >= guest.EntryCount(m.saved.MiB) {
			fmt.Printf("error: no such key: %s\n", argument)
			return
		}
		m.saved.Lookups++
		fmt.Printf("%d=0x%016x\n", key, m.at(m.entry(key)))
	case "write":
		n, err := strconv.ParseUint(argument, 10, 64)
		for range n {
			m.put(m.stamp(m.saved.Written), guest.Stamp(m.saved.Written))
			m.saved.Written++
		}
		fmt.Printf("written=%d\n", m.saved.Written)
		if err != nil {
			fmt.Println("error:", err)
		}
	case "sum":
		fmt.Printf("sum=0x%016x\n", m.sum())
	case "stat":
		fmt.Printf("lookups=%d written=%d ticks=0\n", m.saved.Lookups, m.saved.Written)
	default:
		fmt.Println("error: unknown command")
	}
}

func (m *fakeMachine) sum() (sum uint64) {
	for key := range guest.EntryCount(m.saved.MiB) {
		sum += m.at(m.entry(key))
	}
	for n := range min(m.saved.Written, guest.PageCount(m.saved.MiB)) {
		sum += m.at(m.stamp(n))
	}
	return sum
}

func (m *fakeMachine) to(state api.MachineState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == api.Ended {
		return errors.New("it has ended")
	}
	m.state = state
	m.run.Broadcast()
	return nil
}

func (m *fakeMachine) Start() error  { return m.to(api.Running) }
func (m *fakeMachine) Resume() error { return m.to(api.Running) }
func (m *fakeMachine) Pause() error  { return m.to(api.Paused) }

func (m *fakeMachine) State() api.MachineState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *fakeMachine) Shape() api.Shape { return m.shape }

func (m *fakeMachine) SendCtrlAltDel() error {
	m.end()
	return nil
}

func (m *fakeMachine) end() {
	m.once.Do(func() {
		m.mu.Lock()
		m.state = api.Ended
		m.run.Broadcast()
		m.mu.Unlock()
		close(m.done)
	})
}

func (m *fakeMachine) Done() <-chan struct{} { return m.done }
func (m *fakeMachine) Err() error            { return nil }

func (m *fakeMachine) Close() error {
	m.end()
	return nil // the process is about to end, and with it the memory
}

func (m *fakeMachine) UpdateDrive(id, path string) error {
	for i := range m.shape.Drives {
		if m.shape.Drives[i].ID == id {
			m.shape.Drives[i].Path = path
		}
	}
	return nil
}

// Snapshot writes a sparse file of the pages that were written, all of them or
// those since the last time.
func (m *fakeMachine) Snapshot(_ context.Context, r api.SnapshotRequest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	state, err := json.Marshal(m.saved)
	if err != nil {
		return err
	}
	file, err := os.Create(r.MemoryPath)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(int64(len(m.memory))); err != nil {
		return err
	}
	for page := range len(m.memory) / guest.PageBytes {
		if r.Diff && !m.dirty[page] {
			continue
		}
		start := page * guest.PageBytes
		if _, err := file.WriteAt(m.memory[start:start+guest.PageBytes], int64(start)); err != nil {
			return err
		}
	}
	m.dirty = map[int]bool{}
	return errors.Join(file.Sync(), os.WriteFile(r.StatePath, state, 0o600))
}

var _ io.Writer = os.Stdout
