package iaa

import (
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sabrefs/iaa/model"
	"sabrefs/iaa/portal"
)

func TestOpenReports(t *testing.T) {
	for name, c := range map[string]struct {
		config model.Config
		mode   string
		submit string
		reason string
	}{
		"shared": {model.Config{}, "shared", "enqcmd", "answers"},
		"dedicated": {model.Config{Devices: []model.DeviceConfig{{
			Queues: []model.QueueConfig{{Mode: model.ModeDedicated}},
		}}}, "dedicated", "movdir64b", "answers"},
		"portal may not be mapped": {model.Config{NoMmap: true}, "shared", "write", "CAP_SYS_RAWIO"},
		"dedicated, portal may not be mapped": {model.Config{NoMmap: true, Devices: []model.DeviceConfig{{
			Queues: []model.QueueConfig{{Mode: model.ModeDedicated}},
		}}}, "dedicated", "write", "CAP_SYS_RAWIO"},
	} {
		_, d, report := openModel(t, c.config, DeviceOptions{})
		queue := report.Devices[0].Queues[0]
		if report.Usable != Yes || queue.Usable != Yes || queue.Submit != c.submit || queue.Mode != c.mode ||
			!strings.Contains(queue.Reason, c.reason) {
			t.Errorf("%s: report is %+v", name, report)
		}
		if d.Name() != "model" || d.queues[0].found.report.Submit != c.submit {
			t.Errorf("%s: engine %q submits by %q", name, d.Name(), d.queues[0].submit)
		}
		jobs, raws := decodeJobs(t, 40, 4096)
		wantNoError(t, d.Decompress(t.Context(), jobs))
		wantDecoded(t, jobs, raws)
		if s := d.Stats(); s.Decompressed != 40 || len(s.Fallbacks) > 0 {
			t.Errorf("%s: counted %+v", name, s)
		}
	}
}

// TestOpenFails has a machine that looks well, and whose queue cannot be used
// all the same.
func TestOpenFails(t *testing.T) {
	permission := &fs.PathError{Op: "open", Path: "/dev/iax/wq1.0", Err: syscall.EACCES}
	for name, c := range map[string]struct {
		openErr error
		queue   *fakeQueue
		reason  string
		fix     []string
	}{
		"no permission": {openErr: permission, reason: "permission denied", fix: []string{grantQueue}},
		"in use":        {openErr: syscall.EBUSY, reason: "busy"},
		"no node":       {openErr: syscall.ENOENT, reason: "no such file"},
		"mapping fails": {queue: &fakeQueue{mapErr: syscall.ENOMEM}, reason: "mapping the portal"},
		"kernel without write": {queue: &fakeQueue{mapErr: syscall.EPERM, writeErr: func() error { return syscall.EINVAL }},
			reason: "CAP_SYS_RAWIO"},
		"write is not permitted": {queue: &fakeQueue{mapErr: syscall.EPERM, writeErr: func() error { return syscall.EPERM }},
			reason: "CAP_SYS_RAWIO"},
		"nothing is taken":  {queue: &fakeQueue{refuse: func() bool { return true }}, reason: "takes no job within 10ms"},
		"nothing completes": {queue: &fakeQueue{answer: func(*fakeJob) {}}, reason: "does not answer within 10ms"},
		"empty job fails": {queue: &fakeQueue{answer: func(j *fakeJob) { j.complete(statusHardware, 0, 0, 0) }},
			reason: "hardware-error"},
	} {
		h := newFakeHost(1)
		h.open = func(string) (portal.Node, error) {
			if c.openErr != nil {
				return nil, c.openErr
			}
			return c.queue, nil
		}
		engine, report, err := OpenDevice(h, Software(), DeviceOptions{})
		if !errors.Is(err, ErrNoDevice) || engine != nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: engine %v, error %v", name, engine, err)
		}
		queue := report.Devices[0].Queues[0]
		if report.Usable != No || queue.Usable != No || !strings.Contains(queue.Reason, c.reason) ||
			c.openErr == permission && !slices.Equal(report.Fix, c.fix) { //nolint:errorlint // the same value
			t.Errorf("%s: report is %+v", name, report)
		}
		if c.queue != nil && (c.queue.closes.Load() != 1 || c.queue.unmaps.Load() != c.queue.maps.Load()) {
			t.Errorf("%s: closed %d times, mapped %d, unmapped %d times", name,
				c.queue.closes.Load(), c.queue.maps.Load(), c.queue.unmaps.Load())
		}
	}
}

func TestOpenWithoutCandidates(t *testing.T) {
	h := newFakeHost()
	h.open = func(string) (portal.Node, error) {
		t.Error("something was opened")
		return nil, syscall.EIO
	}
	if _, report, err := OpenDevice(h, Software(), DeviceOptions{}); !errors.Is(err, ErrNoDevice) || report.Usable != No {
		t.Errorf("report is %+v, error %v", report, err)
	}
	h.addDevice(1)
	h.set("wq1.0/type", "kernel")
	if _, report, err := OpenDevice(h, Software(), DeviceOptions{}); !errors.Is(err, ErrNoDevice) || len(report.Fix) == 0 ||
		!strings.Contains(err.Error(), "belongs to the kernel") {
		t.Errorf("report is %+v, error %v", report, err)
	}
}

// TestOpenUnknown: what cannot be read is tried.
func TestOpenUnknown(t *testing.T) {
	for _, missing := range []string{"iax1/state", "wq1.0/state", "wq1.0/type", "wq1.0/group_id", "wq1.0/size"} {
		raw := text(1, 4096)
		h := newFakeHost(1).withQueues(map[string]*fakeQueue{"iax/wq1.0": {answer: copies(raw)}})
		h.remove(missing)
		engine, report, err := OpenDevice(h, Software(), DeviceOptions{})
		if err != nil || report.Usable != Yes || report.Devices[0].Queues[0].Reason != "answers" {
			t.Errorf("without %s: report is %+v, error %v", missing, report, err)
			continue
		}
		wantNoError(t, engine.Close())
	}
}

// TestOpenUnknownMode: the kernel knows which instruction is right, and how many
// descriptors a queue has room for must be observed.
func TestOpenUnknownMode(t *testing.T) {
	raw := text(1, 4096)
	q := &fakeQueue{answer: copies(raw)}
	h := newFakeHost(1).withQueues(map[string]*fakeQueue{"iax/wq1.0": q})
	h.remove("wq1.0/mode")
	h.set("wq1.0/size", "16")
	d := openHost(t, h, DeviceOptions{})
	if d.queues[0].submit != submitWrite || d.queues[0].limit != 16 || q.writes.Load() == 0 || q.enqcmds.Load()+q.movdirs.Load() > 0 {
		t.Errorf("submits by %s, limit %d", d.queues[0].submit, d.queues[0].limit)
	}
	wantNoError(t, d.Close())
}

// TestOpenByNumber: where /dev has no directory for the queues, there may still
// be a node by number.
func TestOpenByNumber(t *testing.T) {
	q := &fakeQueue{}
	h := newFakeHost(1).withQueues(map[string]*fakeQueue{"char/234:3": q})
	engine, report, err := OpenDevice(h, Software(), DeviceOptions{})
	wantNoError(t, err)
	if node := report.Devices[0].Queues[0].Node; node != "char/234:3" {
		t.Errorf("opened %s", node)
	}
	wantNoError(t, engine.Close())
	if q.closes.Load() != 1 || q.unmaps.Load() != 1 {
		t.Errorf("closed %d times, unmapped %d times", q.closes.Load(), q.unmaps.Load())
	}
}

// TestOpenSome uses what works and reports what does not.
func TestOpenSome(t *testing.T) {
	h := newFakeHost(1, 3, 5).withQueues(map[string]*fakeQueue{
		"iax/wq1.0": {answer: func(*fakeJob) {}},
		"iax/wq3.0": {answer: copies(text(1, 100))},
	})
	engine, report, err := OpenDevice(h, Software(), DeviceOptions{Name: "some"})
	wantNoError(t, err)
	var verdicts []Verdict
	for _, device := range report.Devices {
		verdicts = append(verdicts, device.Usable)
	}
	if !slices.Equal(verdicts, []Verdict{No, Yes, No}) || report.Usable != Yes || report.Reason != "1 usable queue of 3 accelerators" {
		t.Errorf("report is %+v", report)
	}
	if engine.Name() != "some" {
		t.Errorf("name is %q", engine.Name())
	}
	wantNoError(t, engine.Close())
	wantNoError(t, engine.Close()) // nothing is left to do
}

// TestOpenLate: a queue that answers slowly, but in time, is used.
func TestOpenLate(t *testing.T) {
	q := &fakeQueue{answer: func(j *fakeJob) {
		time.AfterFunc(20*time.Millisecond, func() { j.complete(statusSuccess, 0, 0, 0) })
	}}
	h := newFakeHost(1).withQueues(map[string]*fakeQueue{"iax/wq1.0": q})
	d := openHost(t, h, DeviceOptions{ProbeTimeout: 10 * time.Second})
	if d.queues[0].inFlight.Load() != 0 {
		t.Error("the probe counts as in flight")
	}
	wantNoError(t, d.Close())
}

// TestProbeIsBare checks the first descriptor: nothing but an empty job whose
// record is wanted.
func TestProbeIsBare(t *testing.T) {
	var probe fakeJob
	q := &fakeQueue{answer: func(j *fakeJob) {
		probe = *j
		j.complete(statusSuccess, 0, 0, 0)
	}}
	h := newFakeHost(1).withQueues(map[string]*fakeQueue{"iax/wq1.0": q})
	wantNoError(t, openHost(t, h, DeviceOptions{}).Close())
	var want [descriptorBytes]byte
	want[4] = 0x0c
	copy(want[8:16], probe.descriptor[8:16])
	if probe.descriptor != want || want[8]%64 != 0 {
		t.Errorf("probe is %x", probe.descriptor)
	}
}

func TestQueueFlags(t *testing.T) {
	for name, c := range map[string]struct {
		attribute, value string
		want             uint32
	}{
		"as recommended":        {"wq1.0/name", "app1", 0x102},
		"no page requests":      {"wq1.0/prs_disable", "1", 0x100},
		"may not block":         {"wq1.0/block_on_fault", "0", 0x100},
		"blocking is not known": {"wq1.0/block_on_fault", "", 0x100},
		"no cache control":      {"iax1/gen_cap", "0x10000000001", 0x002},
		"capabilities unknown":  {"iax1/gen_cap", "", 0x002},
	} {
		h := newFakeHost(1)
		h.set(c.attribute, c.value)
		if got := discover(h).devices[0].queues[0].descriptorFlags(); got != c.want {
			t.Errorf("%s: flags are %#x, want %#x", name, got, c.want)
		}
	}
}

// TestHeaderGeneration: only if every device can may jobs rely on it.
func TestHeaderGeneration(t *testing.T) {
	for name, c := range map[string]struct {
		versions, caps [2]string
		want           bool
	}{
		"generation 1":               {[2]string{"0x100", "0x100"}, [2]string{"", ""}, false},
		"generation 2":               {[2]string{"0x200", "0x200"}, [2]string{"0x1ff", "0x100"}, true},
		"generation 2 without":       {[2]string{"0x200", "0x200"}, [2]string{"0x0ff", "0x0ff"}, false},
		"one of each":                {[2]string{"0x100", "0x200"}, [2]string{"0x1ff", "0x1ff"}, false},
		"generation 2, caps unknown": {[2]string{"0x200", "0x200"}, [2]string{"0x1ff", ""}, false},
	} {
		h := newFakeHost(1, 3).withQueues(map[string]*fakeQueue{"iax/wq1.0": {}, "iax/wq3.0": {}})
		for i, device := range []string{"iax1/", "iax3/"} {
			h.set(device+"version", c.versions[i])
			h.set(device+"iaa_cap", c.caps[i])
		}
		d := openHost(t, h, DeviceOptions{})
		if d.onePass != c.want {
			t.Errorf("%s: %v", name, d.onePass)
		}
		wantNoError(t, d.Close())
	}
}

// TestQueueOrder has two sockets, the first with two nodes.
func TestQueueOrder(t *testing.T) {
	h := newFakeHost(1, 3, 5, 7).withQueues(map[string]*fakeQueue{
		"iax/wq1.0": {}, "iax/wq3.0": {}, "iax/wq5.0": {}, "iax/wq7.0": {},
	})
	for name, value := range map[string]string{
		"devices/system/cpu/cpu1/topology/physical_package_id": "0",
		"devices/system/cpu/cpu2/topology/physical_package_id": "1",
		"devices/system/node/node0/cpulist":                    "0",
		"devices/system/node/node1/cpulist":                    "1",
		"devices/system/node/node2/cpulist":                    "2",
	} {
		h.tree[name] = h.tree["devices/system/node/node0/cpulist"]
		file := *h.tree[name]
		file.Data = []byte(value + "\n")
		h.tree[name] = &file
	}
	h.set("iax1/numa_node", "0")
	h.set("iax3/numa_node", "2")
	h.set("iax5/numa_node", "1")
	h.set("iax7/numa_node", "-1") // nobody knows: near to all
	cpu := 0
	d := openHost(t, h, DeviceOptions{currentCPU: func() int { return cpu }, Logger: slog.New(slog.DiscardHandler)})
	defer func() { wantNoError(t, d.Close()) }()
	for _, c := range []struct {
		cpu       int
		near, far []string
	}{
		{0, []string{"wq1.0", "wq5.0", "wq7.0"}, []string{"wq3.0"}},
		{1, []string{"wq1.0", "wq5.0", "wq7.0"}, []string{"wq3.0"}},
		{2, []string{"wq3.0", "wq7.0"}, []string{"wq1.0", "wq5.0"}},
		{3, []string{"wq1.0", "wq3.0", "wq5.0", "wq7.0"}, nil},
		{-1, []string{"wq1.0", "wq3.0", "wq5.0", "wq7.0"}, nil},
		{4096, []string{"wq1.0", "wq3.0", "wq5.0", "wq7.0"}, nil},
	} {
		for turn := range uint32(12) {
			order := d.orders.forCPU(c.cpu)
			var names []string
			for attempt := range len(order.queues) {
				names = append(names, order.at(turn, attempt).found.name)
			}
			near, far := names[:order.near], names[order.near:]
			first := near[0]
			if first != c.near[int(turn)%len(c.near)] {
				t.Errorf("processor %d, turn %d: %s is tried first", c.cpu, turn, first)
			}
			slices.Sort(near)
			slices.Sort(far)
			if !slices.Equal(near, c.near) || !slices.Equal(far, c.far) {
				t.Errorf("processor %d: near are %v, far %v", c.cpu, near, far)
			}
		}
	}
	// Jobs go where the order says.
	cpu = 2
	jobs := make([]Job, 100)
	for i := range jobs {
		jobs[i] = Job{Src: []byte{1}, Dst: make([]byte, 1)}
	}
	d.trust = true
	wantNoError(t, d.Decompress(t.Context(), jobs))
	for _, q := range d.queues {
		fake, ok := q.node.(*fakeQueue)
		if !ok {
			t.Fatalf("node is a %T", q.node)
		}
		got := fake.enqcmds.Load() - 1 // the probe
		if want := map[string]int64{"wq1.0": 0, "wq3.0": 50, "wq5.0": 0, "wq7.0": 50}[q.found.name]; got != want {
			t.Errorf("%s got %d jobs, want %d", q.found.name, got, want)
		}
	}
}
