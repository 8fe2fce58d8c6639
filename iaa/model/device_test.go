//go:build linux || darwin

package model

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io/fs"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"sabrefs/iaa/portal"
	"sabrefs/tests/seedtest"
)

func TestNoop(t *testing.T) {
	m := newMachine(t, Config{})
	a := m.run(fields{opcode: 0})
	wantStatus(t, a, StatusSuccess)
	wantEqual(t, "completed jobs", m.host.Counters().Completed, 1)
	wantEqual(t, "jobs by opcode", m.host.Counters().Opcodes[OpcodeNoop], 1)
}

// TestRecipes runs descriptors that were written down byte by byte.
func TestRecipes(t *testing.T) {
	m := newMachine(t, Config{})
	r := seedtest.Rand(t)
	raw, packed := textStream(t, r, 4096)
	f := m.decompress(packed, 4096)
	f.flags = 0x102
	a := m.run(f)
	wantStatus(t, a, StatusSuccess)
	wantBytes(t, "output", f.destination, raw)
	wantEqual(t, "output size", a.output, 4096)
	wantEqual(t, "input consumed", a.consumed, uint32(len(packed)))
	wantEqual(t, "CRC", a.crc, crc32.ChecksumIEEE(raw))
	wantEqual(t, "XOR", a.xor, slowXOR(raw))

	f = m.compress(raw, 8192)
	f.flags |= 0x102
	a = m.run(f)
	wantStatus(t, a, StatusSuccess)
	wantStream(t, f.destination[:a.output], raw)
	wantEqual(t, "CRC", a.crc, crc32.ChecksumIEEE(raw))
}

// TestManyJobs keeps the queue full from several goroutines, and checks every
// result and that no more was in flight than there are slots.
func TestManyJobs(t *testing.T) {
	m := newMachine(t, Config{Devices: []DeviceConfig{{Queues: []QueueConfig{{BlockOnFault: true, Size: 16, Threshold: 12}}}}})
	r := seedtest.Rand(t)
	const workers, rounds = 6, 300
	type item struct {
		job *task
		raw []byte
	}
	var items [workers][4]item
	for w := range items {
		for i := range items[w] {
			raw := text(r, 1+r.IntN(4096))
			f := m.decompress(standardCompress(t, raw, 0), len(raw))
			items[w][i] = item{job: m.task(f), raw: raw}
		}
	}
	var running sync.WaitGroup
	for w := range items {
		running.Go(func() {
			for range rounds {
				for i := range items[w] {
					clear(items[w][i].job.output)
					for !items[w][i].job.submit() {
						runtime.Gosched()
					}
				}
				for i := range items[w] {
					a, raw := items[w][i].job.wait(), items[w][i].raw
					if a.status != 1 || a.crc != crc32.ChecksumIEEE(raw) || crc32.ChecksumIEEE(items[w][i].job.output) != a.crc {
						t.Errorf("worker %d, job %d: %v", w, i, a)
						return
					}
				}
			}
		})
	}
	running.Wait()
	c := m.host.Counters()
	wantEqual(t, "completed jobs", c.Completed, workers*rounds*4)
	wantEqual(t, "jobs in flight", c.InFlight, 0)
	if c.MaxInFlight > 12 || c.Submitted != c.Completed {
		t.Errorf("counters are %+v", c)
	}
}

// TestOutOfOrder looks for jobs that complete before older ones.
func TestOutOfOrder(t *testing.T) {
	m := newMachine(t, Config{Seed: seedtest.Rand(t).Uint64(), MaxLatency: 200 * time.Microsecond})
	jobs := make([]*task, 100)
	for i := range jobs {
		jobs[i] = m.task(fields{opcode: 0})
	}
	overtaken := 0
	for range 20 {
		for _, j := range jobs {
			if !j.submit() {
				t.Fatal("queue is full")
			}
		}
		for _, j := range jobs {
			if !j.done() {
				for _, later := range jobs {
					if later.done() && !j.done() {
						overtaken++
					}
				}
			}
			j.wait()
		}
	}
	if overtaken == 0 {
		t.Error("every job completed in the order of submission")
	}
}

// TestOrderIsSeeded takes jobs out of a full queue as engines do: their order
// depends on the seed alone.
func TestOrderIsSeeded(t *testing.T) {
	const jobCount = 40
	orderFor := func(seed uint64) []uint64 {
		host, err := NewHost(Config{Seed: seed})
		wantNoError(t, err)
		g := host.devices[0].groups[0]
		for i := range uint64(jobCount) {
			g.pending = append(g.pending, &job{descriptor: descriptor{record: i}})
		}
		var order []uint64
		for range jobCount {
			order = append(order, g.pop().record)
		}
		return order
	}
	first := orderFor(1)
	if slices.IsSorted(first) {
		t.Error("jobs are taken in the order of submission")
	}
	if again := orderFor(1); !slices.Equal(again, first) {
		t.Errorf("order is %v, then %v", first, again)
	}
	if other := orderFor(2); slices.Equal(other, first) {
		t.Errorf("order is %v for two seeds", other)
	}
	slices.Sort(first)
	for i, record := range first {
		wantEqual(t, "job", record, uint64(i))
	}
}

func TestSharedQueueIsFull(t *testing.T) {
	m := newMachine(t, Config{Devices: []DeviceConfig{{Queues: []QueueConfig{{Size: 8, Threshold: 5}}}}})
	m.host.Inject(Fault{Kind: FaultHang})
	for i := range 5 {
		if !m.task(fields{}).submit() {
			t.Fatalf("job %d was refused", i)
		}
	}
	for range 3 {
		if m.task(fields{}).submit() {
			t.Fatal("a job was accepted above the threshold")
		}
	}
	c := m.host.Counters().Queues["wq1.0"]
	wantEqual(t, "counters", c, QueueCounters{Submitted: 5, Refused: 3, InFlight: 5, MaxInFlight: 5})
}

func dedicated(size int) Config {
	return Config{Devices: []DeviceConfig{{Queues: []QueueConfig{{Mode: ModeDedicated, Size: size}}}}}
}

func TestDedicatedQueueDrops(t *testing.T) {
	m := newMachine(t, dedicated(3))
	m.host.Inject(Fault{Kind: FaultHang, Count: 3})
	for range 5 {
		m.window.Movdir64b(m.task(fields{}).raw)
	}
	c := m.host.Counters()
	wantEqual(t, "counters", c.Queues["wq1.0"], QueueCounters{Submitted: 3, Dropped: 2, InFlight: 3, MaxInFlight: 3})
	wantEqual(t, "unreported errors", c.Unreported, 2)
	text, err := fs.ReadFile(m.host.Sysfs(), "bus/dsa/devices/iax1/errors")
	wantNoError(t, err)
	wantEqual(t, "errors", string(text[:18]), "0x0000000000000001")
}

// TestDedicatedSlotIsFree checks that a slot is free once its record says so:
// while nobody can give slots back, no status appears.
func TestDedicatedSlotIsFree(t *testing.T) {
	m := newMachine(t, dedicated(1))
	j := m.task(fields{})
	for range 500 {
		clear(j.record)
		m.window.Movdir64b(j.raw)
		wantStatus(t, j.wait(), StatusSuccess)
	}
	// Match is called during the submission, when the queue can be locked.
	q := m.host.devices[0].queues[0]
	m.host.Inject(Fault{Kind: FaultStatus, Status: StatusWatchdog, Match: func(Job) bool {
		q.mu.Lock()
		return true
	}})
	clear(j.record)
	m.window.Movdir64b(j.raw)
	for m.host.tally.statuses[StatusWatchdog].Load() == 0 {
		runtime.Gosched()
	}
	time.Sleep(5 * time.Millisecond)
	wantEqual(t, "status before the slot is free", j.done(), false)
	q.mu.Unlock()
	wantStatus(t, j.wait(), StatusWatchdog)
	wantEqual(t, "dropped jobs", m.host.Counters().Dropped, 0)
}

func TestDedicatedQueueIsBusy(t *testing.T) {
	m := newMachine(t, dedicated(4))
	_, err := m.host.Open("iax/wq1.0")
	wantClass(t, err, syscall.EBUSY)
	// A window keeps the queue open.
	wantNoError(t, m.node.Close())
	_, err = m.host.Open("iax/wq1.0")
	wantClass(t, err, syscall.EBUSY)
	m.window.Movdir64b(m.task(fields{}).raw)
	wantNoError(t, m.window.Unmap())
	m.node, err = m.host.Open("iax/wq1.0")
	wantNoError(t, err)
	m.window, err = m.node.Map()
	wantNoError(t, err)
}

func TestWrongInstruction(t *testing.T) {
	shared := newMachine(t, Config{})
	shared.window.Movdir64b(shared.task(fields{}).raw)
	wantEqual(t, "dropped jobs", shared.host.Counters().Dropped, 1)
	wantEqual(t, "misuse", shared.host.Counters().Misused, 1)

	own := newMachine(t, dedicated(4))
	if own.task(fields{}).submit() {
		t.Error("a dedicated queue answered ENQCMD")
	}
	wantEqual(t, "misuse", own.host.Counters().Misused, 1)

	misaligned := (*[portal.DescriptorBytes]byte)(shared.take(128)[8:])
	*misaligned = *shared.task(fields{}).raw
	shared.window.Enqcmd(misaligned)
	wantEqual(t, "misuse", shared.host.Counters().Misused, 2)
}

func TestWrite(t *testing.T) {
	m := newMachine(t, Config{NoMmap: false, Devices: []DeviceConfig{{Queues: []QueueConfig{{Size: 3}}}}})
	jobs := []*task{m.task(fields{}), m.task(fields{}), m.task(fields{}), m.task(fields{}), m.task(fields{})}
	var all []byte
	for _, j := range jobs {
		all = append(all, j.raw[:]...)
	}
	for _, lenBytes := range []int{0, 1, 63} {
		n, err := m.node.Write(all[:lenBytes])
		wantNoError(t, err)
		wantEqual(t, "bytes of a part", n, 0)
	}
	n, err := m.node.Write(all[:130])
	wantNoError(t, err)
	wantEqual(t, "bytes", n, 128)
	wantStatus(t, jobs[0].wait(), StatusSuccess)
	wantStatus(t, jobs[1].wait(), StatusSuccess)
	wantEqual(t, "third record", jobs[2].done(), false)

	m.host.Inject(Fault{Kind: FaultHang})
	n, err = m.node.Write(all)
	wantNoError(t, err)
	wantEqual(t, "bytes until the queue was full", n, 192)
	n, err = m.node.Write(all)
	wantClass(t, err, syscall.EAGAIN)
	wantEqual(t, "bytes to a full queue", n, 0)
}

func TestWriteMisalignedRecord(t *testing.T) {
	m := newMachine(t, Config{})
	good := m.task(fields{})
	bad := m.task(fields{patch: func(raw []byte) { raw[8] += 32 }})
	n, err := m.node.Write(bad.raw[:])
	wantClass(t, err, syscall.EINVAL)
	wantEqual(t, "bytes", n, 0)
	n, err = m.node.Write(append(good.raw[:], bad.raw[:]...))
	wantNoError(t, err)
	wantEqual(t, "bytes before the bad descriptor", n, 64)
	wantStatus(t, good.wait(), StatusSuccess)
}

func TestWriteToDedicatedQueue(t *testing.T) {
	m := newMachine(t, dedicated(2))
	m.host.Inject(Fault{Kind: FaultHang})
	n, err := m.node.Write(bytes.Repeat(m.task(fields{}).raw[:], 4))
	wantNoError(t, err)
	wantEqual(t, "bytes", n, 4*64)
	wantEqual(t, "dropped jobs", m.host.Counters().Dropped, 2)
}

func TestRefusals(t *testing.T) {
	host, err := NewHost(Config{NoMmap: true, NoWrite: true, NoENQCMD: true, NoMOVDIR64B: true})
	wantNoError(t, err)
	wantEqual(t, "instructions", host.CPU(), portal.Instructions{})
	node, err := host.Open("iax/wq1.0")
	wantNoError(t, err)
	_, err = node.Map()
	wantClass(t, err, syscall.EPERM)
	_, err = node.Write(make([]byte, 64))
	wantClass(t, err, syscall.EINVAL)
	wantNoError(t, node.Close())
	wantClass(t, node.Close(), fs.ErrClosed)
	_, err = node.Map()
	wantClass(t, err, fs.ErrClosed)
	_, err = node.Write(make([]byte, 64))
	wantClass(t, err, fs.ErrClosed)
	for _, name := range []string{"iax/wq1.1", "iax/wq3.0", "wq1.0", "", "char/234:1"} {
		_, err = host.Open(name)
		wantClass(t, err, fs.ErrNotExist)
	}
	wantNoError(t, host.Close())
	wantNoError(t, host.Close())
	_, err = host.Open("iax/wq1.0")
	wantClass(t, err, ErrClosed)

	host, err = NewHost(Config{OpenError: syscall.EACCES})
	wantNoError(t, err)
	_, err = host.Open("iax/wq1.0")
	wantClass(t, err, fs.ErrPermission)
	host, err = NewHost(Config{})
	wantNoError(t, err)
	wantEqual(t, "instructions", host.CPU(), portal.Instructions{ENQCMD: true, MOVDIR64B: true})
}

// TestOpenByNumber opens a queue whose name in /dev cannot be used.
func TestOpenByNumber(t *testing.T) {
	host, err := NewHost(Config{Devices: []DeviceConfig{
		DefaultDevice(), {Queues: []QueueConfig{{}, {OpenError: fs.ErrNotExist}, {Type: "kernel"}}},
	}})
	wantNoError(t, err)
	_, err = host.Open("iax/wq3.1")
	wantClass(t, err, fs.ErrNotExist)
	node, err := host.Open("char/234:2")
	wantNoError(t, err)
	wantNoError(t, node.Close())
	_, err = host.Open("iax/wq3.2")
	wantClass(t, err, fs.ErrNotExist)
}

func TestConfigErrors(t *testing.T) {
	for name, d := range map[string]DeviceConfig{
		"no queue":                {},
		"nine queues":             {Queues: make([]QueueConfig, 9)},
		"nine engines":            {Engines: 9, Queues: make([]QueueConfig, 1)},
		"third generation":        {Generation: 3, Queues: make([]QueueConfig, 1)},
		"group of engine":         {EngineGroups: []int{4}, Queues: make([]QueueConfig, 1)},
		"negative number":         {ID: -1, Queues: make([]QueueConfig, 1)},
		"mode":                    {Queues: []QueueConfig{{Mode: "both"}}},
		"too many slots":          {Queues: []QueueConfig{{Size: 100}, {Size: 29}}},
		"negative size":           {Queues: []QueueConfig{{Size: -1}}},
		"threshold":               {Queues: []QueueConfig{{Size: 8, Threshold: 9}}},
		"dedicated and threshold": {Queues: []QueueConfig{{Mode: ModeDedicated, Threshold: 1}}},
		"group of queue":          {Queues: []QueueConfig{{Group: 4}}},
		"priority":                {Queues: []QueueConfig{{Priority: 16}}},
		"transfer":                {Queues: []QueueConfig{{MaxTransferBytes: -1}}},
	} {
		if _, err := NewHost(Config{Devices: []DeviceConfig{d}}); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	twice := DeviceConfig{ID: 5, Queues: make([]QueueConfig, 1)}
	_, err := NewHost(Config{Devices: []DeviceConfig{twice, twice}})
	wantClass(t, err, ErrConfig)
}

// TestQueueWithoutEngines checks that its jobs are accepted and never run.
func TestQueueWithoutEngines(t *testing.T) {
	for name, d := range map[string]DeviceConfig{
		"no group":             {Queues: []QueueConfig{{Group: -1}}},
		"group without engine": {EngineGroups: []int{1, 1, -1}, Queues: []QueueConfig{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, Config{Devices: []DeviceConfig{d}})
			j := m.task(fields{})
			wantEqual(t, "accepted", j.submit(), true)
			time.Sleep(5 * time.Millisecond)
			wantEqual(t, "completed", j.done(), false)
		})
	}
}

// TestDisable disables device and queue while a job is in flight: it completes,
// and no other one is accepted until they are enabled again.
func TestDisable(t *testing.T) {
	for name, set := range map[string]func(*Host, State) error{
		"device": func(h *Host, s State) error { return h.SetDeviceState("iax1", s) },
		"queue":  func(h *Host, s State) error { return h.SetQueueState("wq1.0", s) },
	} {
		m := newMachine(t, Config{})
		m.host.Inject(Fault{Kind: FaultLate, Count: 1, Delay: 20 * time.Millisecond})
		inFlight, other := m.task(fields{}), m.task(fields{})
		wantEqual(t, name+": accepted", inFlight.submit(), true)
		wantNoError(t, set(m.host, StateDisabled))
		wantEqual(t, name+": accepted while disabled", other.submit(), false)
		_, err := m.host.Open("iax/wq1.0")
		wantClass(t, err, fs.ErrNotExist)
		_, err = m.node.Write(other.raw[:])
		wantClass(t, err, syscall.EAGAIN)
		text, err := fs.ReadFile(m.host.Sysfs(), "bus/dsa/devices/wq1.0/state")
		wantNoError(t, err)
		wantEqual(t, name+": state in sysfs", string(text), "disabled\n")
		wantStatus(t, inFlight.wait(), StatusSuccess)
		wantNoError(t, set(m.host, StateEnabled))
		wantEqual(t, name+": accepted again", other.submit(), true)
		wantStatus(t, other.wait(), StatusSuccess)
	}
	host, err := NewHost(Config{})
	wantNoError(t, err)
	wantClass(t, host.Disable("iax3"), fs.ErrNotExist)
	wantClass(t, host.SetQueueState("wq1.1", StateDisabled), fs.ErrNotExist)
}

// TestHalt halts the device while jobs are in flight: none completes.
func TestHalt(t *testing.T) {
	m := newMachine(t, Config{})
	m.host.Inject(Fault{Kind: FaultLate, Delay: 10 * time.Millisecond})
	jobs := []*task{m.task(fields{}), m.task(fields{}), m.task(fields{})}
	for _, j := range jobs {
		wantEqual(t, "accepted", j.submit(), true)
	}
	wantNoError(t, m.host.Halt("iax1"))
	for m.host.Counters().InFlight > 0 {
		time.Sleep(time.Millisecond)
	}
	for i, j := range jobs {
		if j.done() {
			t.Errorf("job %d completed on a halted device", i)
		}
	}
	wantEqual(t, "aborted jobs", m.host.Counters().Aborted, 3)
	wantEqual(t, "accepted", jobs[0].submit(), false)
	text, err := fs.ReadFile(m.host.Sysfs(), "bus/dsa/devices/iax1/state")
	wantNoError(t, err)
	wantEqual(t, "state", string(text), "halted\n")
}

// TestCloseDrains checks that closing a queue waits for its jobs: late ones
// complete at once, hung ones never will, and nothing is written afterwards.
func TestCloseDrains(t *testing.T) {
	m := newMachine(t, Config{MaxLatency: time.Millisecond})
	m.host.Inject(
		Fault{Kind: FaultLate, Count: 10, Every: 3, Delay: time.Hour},
		Fault{Kind: FaultHang, Count: 10, Every: 2},
	)
	jobs := make([]*task, 60)
	for i := range jobs {
		jobs[i] = m.task(fields{})
		wantEqual(t, "accepted", jobs[i].submit(), true)
	}
	wantNoError(t, m.node.Close())
	wantNoError(t, m.window.Unmap())
	completed := 0
	for _, j := range jobs {
		if j.done() {
			completed++
		}
	}
	c := m.host.Counters()
	wantEqual(t, "completed jobs", completed, 50)
	wantEqual(t, "aborted jobs", c.Aborted, 10)
	wantEqual(t, "jobs in flight", c.InFlight, 0)
	wantEqual(t, "submission to an unmapped window", jobs[0].submit(), false)
	wantClass(t, m.window.Unmap(), fs.ErrClosed)

	var err error
	m.node, err = m.host.Open("iax/wq1.0")
	wantNoError(t, err)
	m.window, err = m.node.Map()
	wantNoError(t, err)
}

// TestHostClose closes the machine under a driver: nothing completes later.
func TestHostClose(t *testing.T) {
	before := runtime.NumGoroutine()
	m := newMachine(t, Config{MaxLatency: 3 * time.Millisecond})
	m.host.Inject(Fault{Kind: FaultHang, Every: 5}, Fault{Kind: FaultLate, Every: 5, Delay: 5 * time.Millisecond})
	jobs := make([]*task, 100)
	for i := range jobs {
		jobs[i] = m.task(fields{})
		wantEqual(t, "accepted", jobs[i].submit(), true)
	}
	wantNoError(t, m.host.Close())
	c := m.host.Counters()
	wantEqual(t, "jobs in flight", c.InFlight, 0)
	wantEqual(t, "jobs", c.Completed+c.Aborted, 100)
	for _, j := range jobs {
		clear(j.record)
	}
	time.Sleep(10 * time.Millisecond)
	for i, j := range jobs {
		if j.done() {
			t.Errorf("job %d completed after the machine was closed", i)
		}
	}
	wantEqual(t, "accepted", jobs[0].submit(), false)
	_, err := m.node.Map()
	wantClass(t, err, ErrClosed)
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

// TestHostCloseAbortsParked closes the machine while jobs lie there.
func TestHostCloseAbortsParked(t *testing.T) {
	m := newMachine(t, Config{})
	m.host.Inject(Fault{Kind: FaultHang, Count: 1}, Fault{Kind: FaultLate, Count: 1, Delay: time.Hour})
	jobs := []*task{m.task(fields{}), m.task(fields{})}
	for _, j := range jobs {
		wantEqual(t, "accepted", j.submit(), true)
	}
	q := m.host.devices[0].queues[0]
	parked := func() int {
		q.mu.Lock()
		defer q.mu.Unlock()
		return len(q.parked)
	}
	for parked() < 2 {
		time.Sleep(time.Millisecond)
	}
	wantNoError(t, m.host.Close())
	wantEqual(t, "aborted jobs", m.host.Counters().Aborted, 2)
	wantEqual(t, "done", jobs[0].done() || jobs[1].done(), false)
}

// TestHaltWhileRunning halts the device while an engine has a job.
func TestHaltWhileRunning(t *testing.T) {
	m := newMachine(t, Config{})
	m.host.Inject(Fault{Kind: FaultPage, Delay: 50 * time.Millisecond})
	j := m.task(fields{opcode: OpcodeCRC64, flags: blockOnFault, source: m.take(64)})
	wantEqual(t, "accepted", j.submit(), true)
	for m.host.Counters().Faults[FaultPage] == 0 {
		time.Sleep(time.Millisecond)
	}
	wantNoError(t, m.host.Halt("iax1"))
	for m.host.Counters().InFlight > 0 {
		time.Sleep(time.Millisecond)
	}
	wantEqual(t, "done", j.done(), false)
}

func TestIdleMachineHasNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	host, err := NewHost(Config{})
	wantNoError(t, err)
	_, err = host.Open("iax/wq1.0")
	wantNoError(t, err)
	if after := runtime.NumGoroutine(); after > before { // those of earlier tests may end
		t.Errorf("%d goroutines, %d before", after, before)
	}
}

func TestZeroCost(t *testing.T) {
	m := newMachine(t, Config{ZeroCost: true})
	m.host.Inject(Fault{Kind: FaultHang})
	f := m.decompress([]byte("no stream at all"), 1000)
	j := m.task(f)
	wantEqual(t, "accepted", j.submit(), true)
	wantEqual(t, "completed during the submission", j.done(), true)
	a := j.answer()
	wantStatus(t, a, StatusSuccess)
	wantEqual(t, "output size", a.output, 1000)
	wantEqual(t, "CRC", a.crc, 0)
	wantBytes(t, "destination", f.destination, make([]byte, 1000))
	wantEqual(t, "completed jobs", m.host.Counters().Completed, 1)
}

func BenchmarkDevice(b *testing.B) {
	raw := text(seedtest.Rand(b), 16<<10)
	m := newMachine(b, Config{})
	packed := m.compress(raw, 32<<10)
	a := m.run(packed)
	wantStatus(b, a, StatusSuccess)
	statistics := fields{opcode: 0x43, source: packed.source, destination: m.take(1280), mode: 5}
	for name, f := range map[string]fields{
		"decompress": m.decompress(packed.destination[:a.output], len(raw)), "compress": packed, "statistics": statistics,
	} {
		b.Run(name, func(b *testing.B) {
			j := m.task(f)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				j.submit()
				wantStatus(b, j.wait(), StatusSuccess)
			}
		})
	}
}

func BenchmarkNoop(b *testing.B) {
	for name, config := range map[string]Config{"engines": {}, "zero-cost": {ZeroCost: true}} {
		b.Run(name, func(b *testing.B) {
			m := newMachine(b, config)
			j := m.task(fields{})
			b.ReportAllocs()
			for b.Loop() {
				j.submit()
				j.wait()
			}
		})
	}
}
