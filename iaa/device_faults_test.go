package iaa

import (
	"errors"
	"io/fs"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sabrefs/iaa/model"
	"sabrefs/iaa/portal"
)

// TestEveryStatus has the device end every job with each status and error code
// there is, defined or not. Callers must see what software yields.
func TestEveryStatus(t *testing.T) {
	type verdict struct{ status, code uint8 }
	var verdicts []verdict
	for status := 1; status < 256; status++ {
		verdicts = append(verdicts, verdict{uint8(status), 0})
	}
	for code := range 256 {
		verdicts = append(verdicts, verdict{statusAnalytics, uint8(code)})
	}
	jobs, raws := decodeJobs(t, 2, 1000)
	for _, v := range verdicts {
		h := newFakeHost(1).withQueues(map[string]*fakeQueue{"iax/wq1.0": {answer: ends(v.status, v.code)}})
		d := openHost(t, h, DeviceOptions{Logger: discardLogger, SmallSlots: 4, LargeSlots: 1})
		for i := range jobs {
			clear(jobs[i].Dst)
		}
		wantNoError(t, d.Decompress(t.Context(), jobs))
		wantDecoded(t, jobs, raws)
		reason := statusName(v.status)
		lost := map[string]uint64(nil)
		switch v.status & statusMask {
		case statusAnalytics:
			reason = errorName(v.code)
		case statusSuccess: // with no output
			reason = "short-output"
		case statusHardware, statusReadbackTimeout, statusHardwareTimeout:
			lost = map[string]uint64{reason: 1}
		}
		want := Stats{Fallbacks: map[string]uint64{reason: 2}, QueuesLost: lost}
		wantStats(t, d, want)
		wantIdle(t, d)
		wantNoError(t, d.Close())
		if t.Failed() {
			t.Fatalf("status %#02x, error code %d", v.status, v.code)
		}
	}
}

// TestUnknownOpcode: a queue that does not know an operation after all is not
// asked for it again, but for others.
func TestUnknownOpcode(t *testing.T) {
	raw := text(1, 1000)
	right := copies(raw)
	q := &fakeQueue{answer: func(j *fakeJob) {
		if j.operation() == opcodeCompress {
			j.complete(statusBadOpcode, 0, 0, 0)
			return
		}
		right(j)
	}}
	d, log := openFake(t, q, DeviceOptions{})
	for range 3 {
		pack := []Job{{Src: raw, Dst: make([]byte, 1000), Level: 1}}
		wantNoError(t, d.Compress(t.Context(), pack))
		wantNoError(t, pack[0].Err)
		jobs := []Job{{Src: pack[0].Dst[:pack[0].N], Dst: make([]byte, 1000)}}
		wantNoError(t, d.Decompress(t.Context(), jobs))
		wantDecoded(t, jobs, [][]byte{raw})
	}
	wantStats(t, d, Stats{Decompressed: 3, Fallbacks: map[string]uint64{"bad-opcode": 1, "no-queue": 2}})
	if lines := log.all(); len(lines) != 1 || !strings.Contains(lines[0], "does not run an operation") {
		t.Errorf("logged %q", lines)
	}
}

// TestPageFaults: a job that may not wait for a page reports it.
func TestPageFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault    model.Fault
		blocking bool
		want     Stats
	}{
		"source": {model.Fault{Kind: model.FaultPage, Operand: model.OperandSource},
			false, Stats{Decompressed: 10}},
		"second page of the output": {model.Fault{Kind: model.FaultPage, Operand: model.OperandDestination, Page: 1},
			false, Stats{Decompressed: 10}},
		"the queue waits for pages": {model.Fault{Kind: model.FaultPage, Operand: model.OperandDestination, Delay: time.Millisecond},
			true, Stats{Decompressed: 10}},
		"a page that never comes": {model.Fault{Kind: model.FaultPage, Operand: model.OperandSource, Again: true},
			false, Stats{Fallbacks: map[string]uint64{"page-fault": 10}}},
		"a page that cannot be had": {model.Fault{Kind: model.FaultUnresolved, Operand: model.OperandDestination},
			true, Stats{Fallbacks: map[string]uint64{"bad-page": 10}}},
	} {
		config := oneDevice(1)
		config.Devices[0].Queues = []model.QueueConfig{{BlockOnFault: c.blocking}}
		host, d, _ := openModel(t, config, DeviceOptions{})
		jobs, raws := decodeJobs(t, 10, 9000)
		host.Inject(c.fault)
		wantNoError(t, d.Decompress(t.Context(), jobs))
		wantDecoded(t, jobs, raws)
		wantStats(t, d, c.want)
		wantIdle(t, d)
		if len(host.Counters().Faults) == 0 {
			t.Errorf("%s: no fault happened", name)
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestFaultElsewhere: an address that is not the slot's is not touched, whatever
// the device says.
func TestFaultElsewhere(t *testing.T) {
	for _, address := range []uint64{0, 8, 1 << 47, ^uint64(0), addressOf(&[]byte{1}[0])} {
		q := &fakeQueue{answer: afterProbe(func(j *fakeJob) { j.completeFault(statusPageFault|statusWriteBit, address) })}
		d, _ := openFake(t, q, DeviceOptions{})
		jobs, raws := decodeJobs(t, 1, 1000)
		wantNoError(t, d.Decompress(t.Context(), jobs))
		wantDecoded(t, jobs, raws)
		wantStats(t, d, Stats{Fallbacks: map[string]uint64{"page-fault": 1}})
	}
}

// TestWrongBytes: what the device gets wrong is found, as long as it is not
// trusted.
func TestWrongBytes(t *testing.T) {
	for _, kind := range []model.FaultKind{
		model.FaultWrongCRC, model.FaultDamagedOutput, model.FaultShortOutput,
	} {
		host, d, _ := openModel(t, model.Config{}, DeviceOptions{})
		jobs, raws := decodeJobs(t, 10, 4096)
		host.Inject(model.Fault{Kind: kind, Every: 2})
		wantNoError(t, d.Decompress(t.Context(), jobs))
		wantDecoded(t, jobs, raws)
		reason := map[model.FaultKind]string{model.FaultShortOutput: "short-output"}[kind]
		if reason == "" {
			reason = "checksum"
		}
		wantStats(t, d, Stats{Decompressed: 5, Fallbacks: map[string]uint64{reason: 5}})
		if t.Failed() {
			t.Fatal(kind)
		}
	}
}

// TestWrongOutputOfDecoder: a decoder that is wrong and sums up what it wrote
// cannot be found here. The caller's checksum finds it.
func TestWrongOutputOfDecoder(t *testing.T) {
	host, d, _ := openModel(t, model.Config{}, DeviceOptions{})
	host.Inject(model.Fault{Kind: model.FaultWrongOutput})
	jobs, raws := decodeJobs(t, 1, 4096)
	wantNoError(t, d.Decompress(t.Context(), jobs))
	if jobs[0].Err != nil || string(jobs[0].Dst) == string(raws[0]) {
		t.Fatalf("the fault had no effect: %v", jobs[0].Err)
	}
	right := []Job{{Src: jobs[0].Src, Dst: make([]byte, 4096)}}
	wantNoError(t, Software().Decompress(t.Context(), right))
	if jobs[0].CRC32 == right[0].CRC32 {
		t.Error("wrong bytes have the right checksum")
	}
}

// TestWrongCompression: a stream that does not decode to its input must never
// be handed out.
func TestWrongCompression(t *testing.T) {
	raw := text(1, 4096)
	for _, kind := range []model.FaultKind{
		model.FaultWrongCRC, model.FaultDamagedOutput, model.FaultWrongOutput, model.FaultShortOutput,
	} {
		for level := 1; level <= 3; level++ {
			host, d, _ := openModel(t, model.Config{}, DeviceOptions{})
			host.Inject(model.Fault{Kind: kind, Opcodes: []model.Opcode{model.OpcodeCompress}})
			pack := make([]Job, 10)
			for i := range pack {
				pack[i] = Job{Src: raw, Dst: make([]byte, 4096), Level: level}
			}
			wantNoError(t, d.Compress(t.Context(), pack))
			for i, job := range pack {
				wantNoError(t, job.Err)
				unpack := []Job{{Src: job.Dst[:job.N], Dst: make([]byte, len(raw))}}
				wantNoError(t, Software().Decompress(t.Context(), unpack))
				if unpack[0].Err != nil || string(unpack[0].Dst) != string(raw) {
					t.Errorf("%v, level %d: job %d decodes to something else, %v", kind, level, i, unpack[0].Err)
				}
			}
			if s := d.Stats(); s.Compressed > 0 || len(s.Fallbacks) == 0 {
				t.Errorf("%v, level %d: counted %+v", kind, level, s)
			}
			wantIdle(t, d)
		}
	}
}

// TestTrust: whoever trusts the device does without the second look.
func TestTrust(t *testing.T) {
	host, d, _ := openModel(t, model.Config{}, DeviceOptions{TrustDevice: true})
	raw := text(1, 4096)
	pack := []Job{{Src: raw, Dst: make([]byte, 4096), Level: 1}}
	wantNoError(t, d.Compress(t.Context(), pack))
	wantNoError(t, pack[0].Err)
	if n := host.Counters().Opcodes[model.OpcodeDecompress]; n != 0 {
		t.Errorf("verified %d times", n)
	}
	host.Inject(model.Fault{Kind: model.FaultDamagedOutput})
	jobs, raws := decodeJobs(t, 1, 4096)
	wantNoError(t, d.Decompress(t.Context(), jobs))
	if jobs[0].Err != nil || string(jobs[0].Dst) == string(raws[0]) {
		t.Errorf("the output is whole: %v", jobs[0].Err)
	}
}

// TestHang: a job that is never done is run in software after its deadline, its
// queue is not used again, and its slot is not either until the end.
func TestHang(t *testing.T) {
	config := model.Config{Devices: []model.DeviceConfig{{Queues: []model.QueueConfig{{}, {}}}}}
	const timeout = 300 * time.Millisecond
	host, d, _ := openModel(t, config, DeviceOptions{JobTimeout: timeout})
	host.Inject(model.Fault{Kind: model.FaultHang, Queue: "wq1.0", Skip: 3, Count: 2})
	jobs, raws := decodeJobs(t, 40, 1000)
	start := time.Now()
	wantNoError(t, d.Decompress(t.Context(), jobs))
	if took := time.Since(start); took < timeout {
		t.Errorf("took %v only", took)
	}
	wantDecoded(t, jobs, raws)
	wantStats(t, d, Stats{
		Decompressed: 38, Fallbacks: map[string]uint64{"timeout": 2}, QueuesLost: map[string]uint64{"timeout": 1},
	})
	submitted := host.Counters().Queues["wq1.0"].Submitted
	for i := range jobs {
		clear(jobs[i].Dst)
	}
	wantNoError(t, d.Decompress(t.Context(), jobs))
	wantDecoded(t, jobs, raws)
	if again := host.Counters().Queues["wq1.0"].Submitted; again != submitted {
		t.Errorf("the lost queue got %d more jobs", again-submitted)
	}
	if n := d.orphansLeft.Load(); n != 2 {
		t.Errorf("%d slots are set aside", n)
	}
}

// TestAllQueuesLost goes on in software and says so once.
func TestAllQueuesLost(t *testing.T) {
	q := &fakeQueue{answer: ends(statusHardware, 0)}
	d, log := openFake(t, q, DeviceOptions{})
	jobs, raws := decodeJobs(t, 5, 1000)
	for range 3 {
		for i := range jobs {
			clear(jobs[i].Dst)
		}
		wantNoError(t, d.Decompress(t.Context(), jobs))
		wantDecoded(t, jobs, raws)
	}
	wantStats(t, d, Stats{
		Fallbacks:  map[string]uint64{"hardware-error": 5, "no-queue": 10},
		QueuesLost: map[string]uint64{"hardware-error": 1},
	})
	lines := log.all()
	if len(lines) != 2 || !strings.Contains(lines[0], "queue=wq1.0 reason=hardware-error") ||
		!strings.Contains(lines[0], "device_state=enabled") || !strings.Contains(lines[1], "no accelerator queue is left") {
		t.Errorf("logged %q", lines)
	}
}

// TestLateCompletion: a slot comes back when the device has finished with it.
func TestLateCompletion(t *testing.T) {
	host, d, _ := openModel(t, model.Config{}, DeviceOptions{JobTimeout: 5 * time.Millisecond})
	host.Inject(model.Fault{Kind: model.FaultLate, Delay: 60 * time.Millisecond, Count: 1})
	jobs, raws := decodeJobs(t, 10, 1000)
	wantNoError(t, d.Decompress(t.Context(), jobs))
	wantDecoded(t, jobs, raws)
	if d.orphansLeft.Load() == 0 {
		t.Fatal("no slot is set aside")
	}
	for deadline := time.Now().Add(10 * time.Second); d.orphansLeft.Load() > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
		d.reclaim()
	}
	wantDecoded(t, jobs, raws) // nobody has written to them since
	wantIdle(t, d)
}

// TestCloseWithJobInFlight: Close must not free memory that the device writes to.
func TestCloseWithJobInFlight(t *testing.T) {
	for _, kind := range []model.FaultKind{model.FaultHang, model.FaultLate} {
		host, err := model.NewHost(model.Config{})
		wantNoError(t, err)
		d := openHost(t, host, DeviceOptions{JobTimeout: 20 * time.Millisecond, Logger: discardLogger})
		host.Inject(model.Fault{Kind: kind, Delay: 80 * time.Millisecond, Count: 1})
		jobs, raws := decodeJobs(t, 10, 1000)
		wantNoError(t, d.Decompress(t.Context(), jobs))
		wantDecoded(t, jobs, raws)
		wantNoError(t, d.Close())
		if d.arena.mem != nil {
			t.Error("the arena is still there")
		}
		if counters := host.Counters(); counters.InFlight != 0 {
			t.Errorf("%v: %d jobs are in flight after Close", kind, counters.InFlight)
		}
		wantNoError(t, host.Close())
	}
}

// TestCloseThatFails keeps the memory: somebody may still write to it.
func TestCloseThatFails(t *testing.T) {
	q := &failingClose{}
	h := newFakeHost(1)
	h.open = func(string) (portal.Node, error) { return q, nil }
	d := openHost(t, h, DeviceOptions{})
	if err := d.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("error is %v", err)
	}
	if d.arena.mem == nil {
		t.Error("the arena is gone")
	}
	wantNoError(t, d.arena.release())
}

type failingClose struct{ fakeQueue }

func (*failingClose) Close() error { return syscall.EIO }

// TestDisabledInFlight disables the device while a batch runs: what it accepted
// completes, the rest is refused.
func TestDisabledInFlight(t *testing.T) {
	for _, kind := range []model.FaultKind{model.FaultDisable, model.FaultHalt} {
		for _, noMmap := range []bool{false, true} {
			host, d, _ := openModel(t, model.Config{NoMmap: noMmap}, DeviceOptions{JobTimeout: 50 * time.Millisecond})
			host.Inject(model.Fault{Kind: kind, Skip: 20, Count: 1})
			jobs, raws := decodeJobs(t, 1000, 500)
			wantNoError(t, d.Decompress(t.Context(), jobs))
			wantDecoded(t, jobs, raws)
			s := d.Stats()
			if len(s.QueuesLost) != 1 || s.Decompressed == 0 || s.Decompressed > 900 {
				t.Errorf("%v, write %v: counted %+v", kind, noMmap, s)
			}
			for i := range jobs {
				clear(jobs[i].Dst)
			}
			wantNoError(t, d.Decompress(t.Context(), jobs))
			wantDecoded(t, jobs, raws)
			if again := d.Stats(); again.Decompressed != s.Decompressed {
				t.Errorf("%v: %d jobs ran on a lost device", kind, again.Decompressed-s.Decompressed)
			}
		}
	}
}

// TestRefusingQueue refuses for ever. Whether it is given up depends on what its
// state says: other processes may keep it full.
func TestRefusingQueue(t *testing.T) {
	for name, c := range map[string]struct {
		change func(h *fakeHost)
		lost   string
	}{
		"enabled":        {func(*fakeHost) {}, ""},
		"queue disabled": {func(h *fakeHost) { h.set("wq1.0/state", "disabled") }, "disabled"},
		"device halted":  {func(h *fakeHost) { h.set("iax1/state", "halted") }, "disabled"},
		"state is gone":  {func(h *fakeHost) { h.remove("wq1.0/state") }, "refusing"},
	} {
		var refuse atomic.Bool
		raw := text(0, 500)
		q := &fakeQueue{refuse: refuse.Load, answer: copies(raw)}
		h := newFakeHost(1).withQueues(map[string]*fakeQueue{"iax/wq1.0": q})
		d := openHost(t, h, DeviceOptions{Logger: discardLogger})
		refuse.Store(true)
		c.change(h)
		jobs, raws := decodeJobs(t, 1, 500)
		for start := time.Now(); time.Since(start) < 5*checkInterval || q.enqcmds.Load() < 2*refusalsBeforeLoss; {
			wantNoError(t, d.Decompress(t.Context(), jobs))
			if len(d.Stats().QueuesLost) > 0 {
				break
			}
		}
		wantDecoded(t, jobs, raws)
		asked := q.enqcmds.Load()
		wantNoError(t, d.Decompress(t.Context(), jobs))
		stillAsked := q.enqcmds.Load() > asked
		s := d.Stats()
		if s.QueuesLost[c.lost] != 1 && c.lost != "" || stillAsked != (c.lost == "") || s.Fallbacks["busy"] == 0 {
			t.Errorf("%s: counted %+v, still asked: %v", name, s, stillAsked)
		}
		if c.lost == "" {
			// It has room again.
			refuse.Store(false)
			wantNoError(t, d.Decompress(t.Context(), jobs))
			wantStats(t, d, Stats{Decompressed: 1, Fallbacks: d.Stats().Fallbacks})
		}
		wantNoError(t, d.Close())
	}
}

// TestBusyIsForOneJob: queues that are full for a moment do not send a whole
// batch to software.
func TestBusyIsForOneJob(t *testing.T) {
	var left atomic.Int64
	raw := text(0, 500)
	q := &fakeQueue{refuse: func() bool { return left.Add(-1) >= 0 }, answer: copies(raw)}
	d, _ := openFake(t, q, DeviceOptions{})
	left.Store(submitRounds)
	packed := compressed(t, raw)
	jobs, raws := make([]Job, 50), make([][]byte, 50)
	for i := range jobs {
		jobs[i], raws[i] = Job{Src: packed, Dst: make([]byte, 500)}, raw
	}
	wantNoError(t, d.Decompress(t.Context(), jobs))
	wantDecoded(t, jobs, raws)
	wantStats(t, d, Stats{Decompressed: 49, Fallbacks: map[string]uint64{"busy": 1}})
}

// TestWriteErrors: submission by write(2) may take a part, or fail for good.
func TestWriteErrors(t *testing.T) {
	raw := text(0, 500)
	packed := compressed(t, raw)
	run := func(q *fakeQueue, breakIt func()) Stats {
		t.Helper()
		d, _ := openFake(t, q, DeviceOptions{})
		breakIt()
		jobs, raws := make([]Job, 100), make([][]byte, 100)
		for i := range jobs {
			jobs[i], raws[i] = Job{Src: packed, Dst: make([]byte, 500)}, raw
		}
		wantNoError(t, d.Decompress(t.Context(), jobs))
		wantDecoded(t, jobs, raws)
		wantIdle(t, d)
		return d.Stats()
	}
	parts := &fakeQueue{mapErr: syscall.EPERM, answer: copies(raw), writeMost: 3}
	if s := run(parts, func() {}); s.Decompressed != 100 || len(s.Fallbacks) > 0 {
		t.Errorf("in parts: counted %+v", s)
	}
	grouped := &fakeQueue{mapErr: syscall.EPERM, answer: copies(raw)}
	if s := run(grouped, func() {}); s.Decompressed != 100 || grouped.writes.Load() > 1+100/writeGroup+3 {
		t.Errorf("%d writes for 100 jobs", grouped.writes.Load())
	}
	var broken atomic.Bool
	failing := &fakeQueue{mapErr: syscall.EPERM, answer: copies(raw), writeErr: func() error {
		if broken.Load() {
			return syscall.ENODEV
		}
		return nil
	}}
	s := run(failing, func() { broken.Store(true) })
	if s.Fallbacks["no-queue"] != 100 || s.QueuesLost["write-error"] != 1 {
		t.Errorf("failing: counted %+v", s)
	}
}

// TestStoppedProcess: if the process itself did not run while the deadline
// passed, the job is done all the same.
func TestStoppedProcess(t *testing.T) {
	host, d, _ := openModel(t, model.Config{}, DeviceOptions{JobTimeout: time.Millisecond})
	jobs, raws := decodeJobs(t, 10, 1000)
	batch := Batch{Jobs: jobs}
	d.Start(t.Context(), OpDecompress, &batch)
	for host.Counters().InFlight > 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	wantNoError(t, batch.Wait())
	wantDecoded(t, jobs, raws)
	wantStats(t, d, Stats{Decompressed: 10})
}

// TestNoGoroutines: the driver has none of its own.
func TestNoGoroutines(t *testing.T) {
	raw := text(0, 500)
	before := runtime.NumGoroutine()
	d, _ := openFake(t, &fakeQueue{answer: copies(raw)}, DeviceOptions{})
	jobs := []Job{{Src: compressed(t, raw), Dst: make([]byte, 500)}}
	wantNoError(t, d.Decompress(t.Context(), jobs))
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines more", after-before)
	}
}

// countingFS counts reads of states.
type countingFS struct {
	fs.FS
	states atomic.Int64
}

func (f *countingFS) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, "/state") {
		f.states.Add(1)
	}
	return f.FS.Open(name)
}

// TestFullQueueIsNotReadAllTheTime: a queue may be full for long, and reading
// its state costs more than a job does.
func TestFullQueueIsNotReadAllTheTime(t *testing.T) {
	h := newFakeHost(1).withQueues(map[string]*fakeQueue{"iax/wq1.0": {}})
	d := openHost(t, h, DeviceOptions{Logger: discardLogger})
	counting := &countingFS{FS: h.tree}
	d.found.sysfs = sysfs{counting}
	start := time.Now()
	const refusals = 100_000
	for range refusals {
		d.refused(d.queues[0])
	}
	most := 2 * (2 + int64(time.Since(start)/checkInterval))
	if n := counting.states.Load(); n == 0 || n > most {
		t.Errorf("%d reads for %d refusals, %d at most expected", n, refusals, most)
	}
	wantNoError(t, d.Close())
}
