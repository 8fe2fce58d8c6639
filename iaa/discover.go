package iaa

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"sabrefs/iaa/portal"
)

// Words in attributes.
const (
	wordEnabled   = "enabled"
	wordDisabled  = "disabled"
	wordUser      = "user"
	wordNone      = "none"
	wordShared    = "shared"
	wordDedicated = "dedicated"
)

// Bits of gen_cap and iaa_cap. Source: Linux, drivers/dma/idxd/registers.h.
const (
	capBlockOnFault     = 1 << 0
	capCacheControl     = 1 << 2
	capDecompress       = 1 << 40
	capHeaderGeneration = 1 << 8 // of iaa_cap

	generation2 = 0x200 // of version
)

// Discover says which accelerators the host has and what keeps each from being
// used. It only reads: nothing is opened, nothing is submitted. What only
// opening can tell (permissions, a queue that does not answer) is in the report
// of [OpenDevice].
func Discover(host portal.Host) Report {
	return discover(host).report()
}

// discovery is what sysfs tells about the accelerators of a host.
type discovery struct {
	sysfs    sysfs
	readable bool // sysfs is there at all
	cpu      portal.Instructions
	topology topology
	devices  []*foundDevice
}

// foundDevice is an accelerator.
type foundDevice struct {
	name       string
	id         int
	state      optional[string]
	version    optional[uint64]
	genCap     optional[uint64]
	iaaCap     optional[uint64]
	operations operations
	pasid      optional[int]
	node       optional[int]
	socket     optional[int]
	slots      optional[int] // of all queues together
	major      optional[int] // of the device nodes

	engines     []int // indexes
	engineGroup map[int]optional[int]
	queues      []*foundQueue
}

// foundQueue is a work queue.
type foundQueue struct {
	device *foundDevice
	name   string
	index  int

	state, kind, driver, mode optional[string]

	group, size, minor, clients optional[int]
	blockOnFault, prsDisable    optional[int]
	maxTransferBytes            optional[int]
	operations                  operations
	hasDriverName               bool // since Linux 6.7

	report QueueReport
}

func discover(host portal.Host) *discovery {
	d := &discovery{sysfs: sysfs{host.Sysfs()}, cpu: host.CPU()}
	d.readable = len(d.sysfs.names(".")) > 0
	d.topology = readTopology(d.sysfs)
	names := d.sysfs.names(accelerators)
	for _, name := range names {
		if id, ok := numberAfter("iax", name); ok {
			d.devices = append(d.devices, d.readDevice(name, id))
		}
	}
	slices.SortFunc(d.devices, func(a, b *foundDevice) int { return cmp.Compare(a.id, b.id) })
	for _, name := range names {
		d.addPart(name)
	}
	for _, device := range d.devices {
		slices.Sort(device.engines)
		slices.SortFunc(device.queues, func(a, b *foundQueue) int { return cmp.Compare(a.index, b.index) })
		for _, queue := range device.queues {
			queue.report = d.reportQueue(queue)
		}
	}
	return d
}

func (d *discovery) readDevice(name string, id int) *foundDevice {
	s, dir := d.sysfs, path.Join(accelerators, name)
	device := &foundDevice{
		name: name, id: id,
		state:       s.word(dir, "state"),
		version:     s.register(dir, "version"),
		genCap:      s.register(dir, "gen_cap"),
		iaaCap:      s.register(dir, "iaa_cap"),
		operations:  s.operations(dir, "op_cap"),
		pasid:       s.integer(dir, "pasid_enabled"),
		node:        s.integer(dir, "numa_node"),
		slots:       s.integer(dir, "max_work_queues_size"),
		major:       s.integer(dir, "cdev_major"),
		engineGroup: map[int]optional[int]{},
	}
	device.socket = d.topology.ofNode(s, device.node)
	return device
}

// addPart adds a queue or an engine to its device. Those of devices of another
// kind are in the same directory.
func (d *discovery) addPart(name string) {
	if id, index, ok := pairAfter("wq", name); ok {
		if device := d.device(id); device != nil {
			device.queues = append(device.queues, d.readQueue(device, name, index))
		}
	}
	if id, index, ok := pairAfter("engine", name); ok {
		if device := d.device(id); device != nil {
			device.engines = append(device.engines, index)
			device.engineGroup[index] = d.sysfs.integer(accelerators, name, "group_id")
		}
	}
}

func (d *discovery) device(id int) *foundDevice {
	for _, device := range d.devices {
		if device.id == id {
			return device
		}
	}
	return nil
}

func (d *discovery) readQueue(device *foundDevice, name string, index int) *foundQueue {
	s, dir := d.sysfs, path.Join(accelerators, name)
	_, hasDriverName := s.text(dir, "driver_name")
	return &foundQueue{
		device: device, name: name, index: index,
		hasDriverName:    hasDriverName,
		state:            s.word(dir, "state"),
		kind:             s.word(dir, "type"),
		driver:           s.word(dir, "driver_name"),
		mode:             s.word(dir, "mode"),
		group:            s.integer(dir, "group_id"),
		size:             s.integer(dir, "size"),
		minor:            s.integer(dir, "cdev_minor"),
		clients:          s.integer(dir, "clients"),
		blockOnFault:     s.integer(dir, "block_on_fault"),
		prsDisable:       s.integer(dir, "prs_disable"),
		maxTransferBytes: s.integer(dir, "max_transfer_size"),
		operations:       s.operations(dir, "op_config"),
	}
}

// nodes are the names below /dev that the queue may have.
func (q *foundQueue) nodes() []string {
	nodes := []string{"iax/" + q.name}
	if q.device.major.known && q.minor.known {
		nodes = append(nodes, fmt.Sprintf("char/%d:%d", q.device.major.value, q.minor.value))
	}
	return nodes
}

// enginesIn counts the engines of a group.
func (d *discovery) enginesIn(device *foundDevice, group int) optional[int] {
	count, known := 0, false
	for _, of := range device.engineGroup {
		known = known || of.known
		if of.is(group) {
			count++
		}
	}
	if known {
		return optional[int]{value: count, known: true}
	}
	text, ok := d.sysfs.text(accelerators, fmt.Sprintf("group%d.%d", device.id, group), "engines")
	return optional[int]{value: len(strings.Fields(text)), known: ok}
}

// runs tells whether the queue runs an operation, as far as device and queue
// say so.
func (q *foundQueue) runs(operation uint8) Verdict {
	verdict := q.operations.has(operation)
	if q.device.operations.has(operation) == No {
		verdict = No
	}
	if operation == opcodeDecompress && q.device.genCap.known && q.device.genCap.value&capDecompress == 0 {
		verdict = No
	}
	return verdict
}

// headerGeneration tells whether the device can build dynamic codes itself.
func (d *foundDevice) headerGeneration() bool {
	return d.version.known && d.version.value >= generation2 &&
		d.iaaCap.known && d.iaaCap.value&capHeaderGeneration != 0
}

// obstacle is the first thing that keeps a queue from being used.
type obstacle struct {
	verdict Verdict // No, or Unknown if something essential cannot be read
	reason  string
}

// obstacleTo returns what keeps the queue from being used, if anything does,
// beginning with what is hardest to change.
func (d *discovery) obstacleTo(q *foundQueue) (obstacle, bool) {
	for _, check := range []func(*foundQueue) obstacle{
		checkDevice, checkPurpose, checkState, d.checkGroup, d.checkOperations,
	} {
		if found := check(q); found.verdict != Yes {
			return found, true
		}
	}
	return obstacle{}, false
}

var noObstacle = obstacle{verdict: Yes}

func checkDevice(q *foundQueue) obstacle {
	device := q.device
	switch {
	case device.pasid.is(0):
		return obstacle{No, "shared virtual memory is off (pasid_enabled is 0): the kernel needs intel_iommu=on,sm_on"}
	case !device.state.known:
		return obstacle{Unknown, "state of the device cannot be read"}
	case device.state.isNot(wordEnabled) && device.state.isNot(wordDisabled):
		return obstacle{No, "device is " + quoted(device.state.value)}
	}
	return noObstacle
}

// checkPurpose looks at whom the queue is for.
func checkPurpose(q *foundQueue) obstacle {
	switch {
	case !q.kind.known:
		return obstacle{Unknown, "type of the queue cannot be read"}
	case q.kind.is(wordNone):
		return obstacle{No, "queue is not configured (its type is none)"}
	case q.kind.isNot(wordUser):
		reason := "queue belongs to the kernel (its type is " + quoted(q.kind.value)
		if q.driver.known {
			reason += ", its driver " + quoted(q.driver.value)
		}
		return obstacle{No, reason + ")"}
	case q.driver.isNot(wordUser):
		return obstacle{No, "driver of the queue is " + quoted(q.driver.value) + ", not user"}
	}
	return noObstacle
}

func checkState(q *foundQueue) obstacle {
	switch {
	case q.device.state.is(wordDisabled):
		return obstacle{No, "device is disabled"}
	case !q.state.known:
		return obstacle{Unknown, "state of the queue cannot be read"}
	case q.state.isNot(wordEnabled):
		return obstacle{No, "queue is " + quoted(q.state.value)}
	}
	return noObstacle
}

// checkGroup looks at what would run the jobs: without an engine nothing does,
// and nobody reports it.
func (d *discovery) checkGroup(q *foundQueue) obstacle {
	switch {
	case !q.group.known:
		return obstacle{Unknown, "group of the queue cannot be read"}
	case q.group.value < 0:
		return obstacle{No, "queue is in no group"}
	case q.size.known && q.size.value <= 0:
		return obstacle{No, "queue has no slots"}
	}
	engines := d.enginesIn(q.device, q.group.value)
	switch {
	case !engines.known:
		return obstacle{Unknown, "engines of the queue's group cannot be read"}
	case engines.value == 0:
		return obstacle{No, fmt.Sprintf("group %d of the queue has no engine", q.group.value)}
	}
	return noObstacle
}

func (d *discovery) checkOperations(q *foundQueue) obstacle {
	switch {
	case q.runs(opcodeDecompress) == No:
		return obstacle{No, "queue does not run decompression (op_cap, op_config or gen_cap)"}
	case !q.mode.known:
		return obstacle{Unknown, "mode of the queue cannot be read"}
	case q.mode.is(wordShared) && !d.cpu.ENQCMD:
		return obstacle{No, "queue is shared and the processor has no ENQCMD"}
	case q.mode.is(wordDedicated) && !d.cpu.MOVDIR64B:
		return obstacle{No, "queue is dedicated and the processor has no MOVDIR64B"}
	case q.mode.isNot(wordShared) && q.mode.isNot(wordDedicated):
		return obstacle{No, "mode of the queue is " + quoted(q.mode.value)}
	}
	return noObstacle
}

// quoted makes any text of an attribute fit for one line of a report.
func quoted(text string) string {
	const longest = 40
	if len(text) > longest {
		text = text[:longest]
	}
	return strings.Trim(strconv.QuoteToASCII(text), `"`)
}
