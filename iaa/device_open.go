package iaa

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"
	"time"

	"sabrefs/iaa/portal"
)

// ErrNoDevice is returned by OpenDevice if no queue of the host can be used; the
// error and the report say why.
var ErrNoDevice = errors.New("no accelerator can be used")

// DeviceOptions are choices for OpenDevice. The zero value is good.
type DeviceOptions struct {
	// Name is what the engine calls itself, "device" by default.
	Name string
	// Logger hears of queues taken out of service; nil means slog.Default().
	Logger *slog.Logger
	// JobTimeout is how long the device may take for a job, besides a little
	// for its size. Then the job is run in software, and the queue is not used
	// any more. 0 means 200 ms: queues may be shared with other processes,
	// whose jobs may be large.
	JobTimeout time.Duration
	// ProbeTimeout is how long a queue may take for the first, empty job; 0
	// means 10 ms.
	ProbeTimeout time.Duration
	// SmallSlots and LargeSlots bound how many jobs are in flight at once, and
	// the memory that is locked: 36 KiB for each small one, for inputs and
	// outputs of up to 17 KiB, and 516 KiB for each large one, for up to 257
	// KiB. 0 means 128 and 6, 7.5 MiB together.
	SmallSlots, LargeSlots int

	// TrustDevice leaves out what the driver does to find a device that yields
	// wrong bytes: the checksum of the output is computed again in software,
	// and the device decodes once more what it compressed. With it, a device is
	// taken to have done what its completion record says.
	TrustDevice bool

	// currentCPU is replaced by tests.
	currentCPU func() int
}

const (
	usualJobTimeout   = 200 * time.Millisecond
	usualProbeTimeout = 10 * time.Millisecond
	// usualSlotPatience is about the time in which software does a small job.
	usualSlotPatience = 20 * time.Microsecond
)

func (o DeviceOptions) withDefaults() DeviceOptions {
	if o.Name == "" {
		o.Name = "device"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.JobTimeout <= 0 {
		o.JobTimeout = usualJobTimeout
	}
	if o.ProbeTimeout <= 0 {
		o.ProbeTimeout = usualProbeTimeout
	}
	if o.SmallSlots <= 0 {
		o.SmallSlots = usualSlots[smallSlot]
	}
	if o.LargeSlots <= 0 {
		o.LargeSlots = usualSlots[largeSlot]
	}
	if o.currentCPU == nil {
		o.currentCPU = portal.CurrentCPU
	}
	return o
}

func (o DeviceOptions) slots() [slotClasses]int {
	return [slotClasses]int{smallSlot: o.SmallSlots, largeSlot: o.LargeSlots}
}

// LockedBytes is how much memory an engine with these options locks.
func (o DeviceOptions) LockedBytes() int { return arenaBytes(o.withDefaults().slots()) }

// OpenDevice opens every usable queue of the host and returns an engine that
// runs jobs on them. What the device does not run, the fallback engine does; it
// is not closed with the device. The report says which queues are used and why
// others are not.
//
// The error is of class ErrNoDevice if no queue can be used. Other errors tell
// that memory could not be locked.
//
// A queue should be open once in a process only.
func OpenDevice(host portal.Host, fallback Engine, options DeviceOptions) (Engine, Report, error) {
	options = options.withDefaults()
	found := discover(host)
	candidates := found.candidates()
	if len(candidates) == 0 {
		report := found.report()
		return nil, report, fmt.Errorf("%w: %s", ErrNoDevice, report.Reason)
	}
	arena, err := newArena(options.slots())
	if err != nil {
		return nil, found.report(), fmt.Errorf("buffers of the accelerator: %w", err)
	}
	d := &device{
		name: options.Name, fallback: fallback, log: options.Logger, found: found,
		arena: arena, group: 1, onePass: true, trust: options.TrustDevice,
		jobTimeout: options.JobTimeout, slotPatience: usualSlotPatience, currentCPU: options.currentCPU, started: time.Now(),
	}
	for _, candidate := range candidates {
		d.addQueue(host, candidate, options.ProbeTimeout)
	}
	report := found.report()
	if len(d.queues) == 0 {
		return nil, report, errors.Join(fmt.Errorf("%w: %s", ErrNoDevice, report.Reason), d.release())
	}
	d.orders = newQueueOrders(d.queues, found.topology)
	return d, report, nil
}

// candidates are the queues that nothing is known to speak against.
func (d *discovery) candidates() (candidates []*foundQueue) {
	for _, device := range d.devices {
		for _, queue := range device.queues {
			if queue.report.Usable != No {
				candidates = append(candidates, queue)
			}
		}
	}
	return candidates
}

// addQueue opens a queue, and keeps it if it answers. The queue's report says
// what happened.
func (d *device) addQueue(host portal.Host, found *foundQueue, timeout time.Duration) {
	node, err := openNode(host, found)
	if err != nil {
		found.report.Usable, found.report.Reason = No, err.Error()
		if errors.Is(err, fs.ErrPermission) {
			found.report.Fix = []string{found.grantAccess()}
		}
		return
	}
	q := newQueue(found, node)
	err = q.connect(host.CPU())
	if err == nil {
		err = d.probe(q, timeout)
	}
	if err != nil {
		// Closing waits for the probe, so that its slot may be used again.
		err = errors.Join(err, q.close())
		found.report.Usable, found.report.Reason, found.report.Submit = No, err.Error(), q.submit
		return
	}
	q.flags = found.descriptorFlags()
	found.report.Usable, found.report.Reason, found.report.Submit = Yes, "answers", q.submit
	if q.submit == submitWrite {
		found.report.Reason = "answers by write(2), which is slower: the portal may be mapped only with CAP_SYS_RAWIO"
		d.group = writeGroup
	}
	d.onePass = d.onePass && found.device.headerGeneration()
	d.queues = append(d.queues, q)
}

// openNode opens the device node, under whichever name it has.
func openNode(host portal.Host, found *foundQueue) (portal.Node, error) {
	var firstErr error
	for _, name := range found.nodes() {
		node, err := host.Open(name)
		if err == nil {
			found.report.Node = name
			return node, nil
		}
		if firstErr == nil {
			firstErr = err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return nil, firstErr
}

// errSilent is returned for a queue that does not answer.
var errSilent = errors.New("queue does not answer")

// probe submits a job that does nothing. A queue may be configured and still not
// run: no device behind it, no address space, a kernel that forbids it.
func (d *device) probe(q *queue, timeout time.Duration) error {
	slots := d.arena.pools[smallSlot].take(nil, 1)
	defer d.arena.pools[smallSlot].give(slots...)
	s := slots[0]
	s.phase, s.inputBytes, s.roomBytes = phaseProbe, 0, 0
	desc := descriptor{operation: opcodeNoop, flags: flagsRecord, record: addressOf(&s.record[0])}
	desc.encode(s.descriptor)

	end := time.Now().Add(timeout)
	for {
		var packed [writeGroup * descriptorBytes]byte
		n, err := q.offer(slots, &packed)
		if n > 0 {
			break
		}
		if !errors.Is(err, errRefused) {
			return explainWrite(err)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%w: it takes no job within %v", errSilent, timeout)
		}
		time.Sleep(timeout / 100)
	}
	return awaitProbe(q, s, end, timeout)
}

func awaitProbe(q *queue, s *slot, end time.Time, timeout time.Duration) error {
	for {
		word := pollRecord(s.record)
		if isDone(word) {
			q.inFlight.Add(-1)
			c := parseRecord(word, s.record)
			if c.status != statusSuccess {
				return fmt.Errorf("%w: an empty job ends with %s", errSilent, statusName(c.status))
			}
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%w within %v", errSilent, timeout)
		}
		time.Sleep(timeout / 1000)
	}
}

// explainWrite adds what an error of write(2) to a queue means.
func explainWrite(err error) error {
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("%w (the portal may be mapped only with CAP_SYS_RAWIO, and this kernel takes no jobs by write)", err)
	}
	return err
}

var _ Engine = (*device)(nil)
