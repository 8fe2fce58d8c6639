package virtio

import (
	"encoding/binary"
	"errors"
	"testing"

	"sabrefs/vmm/bus"
)

var (
	_ bus.Device = (*MMIO)(nil)
	_ bus.Saver  = (*MMIO)(nil)
	_ Disk       = (*FileDisk)(nil)
	_ Device     = (*Block)(nil)
)

var errUnmapped = errors.New("no memory there")

// ram is a guest's memory from ramBase on; below it there is none.
type ram struct {
	bytes   []byte
	written map[uint64]bool // pages that were asked for to write
}

const (
	ramBase  = 0x10000
	ramBytes = 0x40000
	ramEnd   = ramBase + ramBytes
)

func newRAM() *ram { return &ram{make([]byte, ramBytes), map[uint64]bool{}} }

func (r *ram) Slice(gpa uint64, lenBytes int) ([]byte, error) {
	if lenBytes < 0 || gpa < ramBase || gpa > ramEnd || uint64(lenBytes) > ramEnd-gpa {
		return nil, errUnmapped
	}
	return r.bytes[gpa-ramBase:][:lenBytes:lenBytes], nil
}

func (r *ram) SliceForWrite(gpa uint64, lenBytes int) ([]byte, error) {
	b, err := r.Slice(gpa, lenBytes)
	for page := gpa >> 12; err == nil && page <= (gpa+uint64(lenBytes)-1)>>12; page++ {
		r.written[page] = true
	}
	return b, err
}

// at is the guest's own access to its memory.
func (r *ram) at(gpa uint64) []byte { return r.bytes[gpa-ramBase:] }

// Where the driver of these tests has its things.
const (
	descAddr  = 0x11000
	availAddr = 0x12000
	usedAddr  = 0x13000
	tableAddr = 0x14000 // an indirect table
	headAddr  = 0x15000 // request header
	dataAddr  = 0x16000
	tailAddr  = 0x1f000 // status
)

// driver does what Linux' virtio_mmio, virtio_ring and virtio_blk do.
type driver struct {
	t testing.TB
	*MMIO
	mem                   *ram
	edges                 int
	errs                  []error
	size                  uint16
	indirect              bool
	nextDesc              uint16
	availIndex, usedIndex uint16
}

func newDriver(tb testing.TB, device Device) *driver {
	tb.Helper()
	return newDriverIn(tb, device, newRAM())
}

func newDriverIn(tb testing.TB, device Device, mem *ram) *driver {
	tb.Helper()
	d := &driver{t: tb, mem: mem, size: 8}
	d.MMIO = NewMMIO(device, mem, func() { d.edges++ })
	d.OnError(func(err error) { d.errs = append(d.errs, err) })
	return d
}

func (d *driver) get(reg uint64) uint32 {
	data := make([]byte, 4)
	d.Read(reg, data)
	return binary.LittleEndian.Uint32(data)
}

func (d *driver) set(reg uint64, value uint32) {
	d.Write(reg, binary.LittleEndian.AppendUint32(nil, value))
}

func (d *driver) want(what string, got, want uint32) {
	d.t.Helper()
	if got != want {
		d.t.Errorf("%s is %#x, expected %#x", what, got, want)
	}
}

// wantEdges checks how many interrupts came since the last call.
func (d *driver) wantEdges(when string, want int) {
	d.t.Helper()
	if d.edges != want {
		d.t.Errorf("%s: %d interrupts, expected %d", when, d.edges, want)
	}
	d.edges = 0
}

// negotiate goes as far as FEATURES_OK, with all features that are offered.
func (d *driver) negotiate() {
	d.set(regStatus, 0)
	d.set(regStatus, 1)
	d.set(regStatus, 1|2)
	for sel := range uint32(2) {
		d.set(regDeviceFeaturesSel, sel)
		features := d.get(regDeviceFeatures)
		d.set(regDriverFeaturesSel, sel)
		d.set(regDriverFeatures, features)
	}
	d.set(regStatus, 1|2|8)
	d.want("status after features", d.get(regStatus), 1|2|8)
}

// setUpQueue tells where the queue is.
func (d *driver) setUpQueue() {
	d.set(regQueueSel, 0)
	d.want("ready", d.get(regQueueReady), 0)
	d.want("largest size", d.get(regQueueNumMax), 256)
	d.set(regQueueNum, uint32(d.size))
	for reg, value := range map[uint64]uint32{
		regQueueDescLow: descAddr, regQueueDescHigh: 0, regQueueDriverLow: availAddr, regQueueDriverHigh: 0,
		regQueueDeviceLow: usedAddr, regQueueDeviceHigh: 0,
	} {
		d.set(reg, value)
	}
	d.set(regQueueReady, 1)
}

func (d *driver) start() {
	d.t.Helper()
	d.negotiate()
	d.setUpQueue()
	d.want("ready", d.get(regQueueReady), 1)
	d.set(regStatus, 1|2|8|4)
	d.want("status", d.get(regStatus), 1|2|8|4)
}

// buffer is one descriptor of a request.
type buffer struct {
	addr     uint64
	lenBytes uint32
	write    bool
}

func putDescriptor(b []byte, d descriptor) {
	le := binary.LittleEndian
	le.PutUint64(b, d.addr)
	le.PutUint32(b[8:], d.lenBytes)
	le.PutUint16(b[12:], d.flags)
	le.PutUint16(b[14:], d.next)
}

func (d *driver) setDescriptor(index uint16, desc descriptor) {
	putDescriptor(d.mem.at(descAddr+uint64(index)*16), desc)
}

// add makes a chain available, directly or by an indirect table, and returns its
// head.
func (d *driver) add(buffers ...buffer) (head uint16) {
	head = d.nextDesc % d.size
	if d.indirect {
		d.link(d.mem.at(tableAddr), 0, 1<<15, buffers)
		d.setDescriptor(head, descriptor{tableAddr, uint32(16 * len(buffers)), flagIndirect, 0})
		d.nextDesc++
	} else {
		d.link(d.mem.at(descAddr), head, d.size, buffers)
		d.nextDesc += uint16(len(buffers))
	}
	d.makeAvailable(head)
	return head
}

func (d *driver) link(table []byte, first, size uint16, buffers []buffer) {
	for i, b := range buffers {
		desc := descriptor{b.addr, b.lenBytes, 0, 0}
		if b.write {
			desc.flags |= flagWrite
		}
		if i+1 < len(buffers) {
			desc.flags |= flagNext
			desc.next = (first + uint16(i) + 1) % size
		}
		putDescriptor(table[int((first+uint16(i))%size)*16:], desc)
	}
}

func (d *driver) makeAvailable(head uint16) {
	ring := d.mem.at(availAddr)
	binary.LittleEndian.PutUint16(ring[4+2*(d.availIndex%d.size):], head)
	d.availIndex++
	binary.LittleEndian.PutUint16(ring[2:], d.availIndex)
}

func (d *driver) kick() { d.set(regQueueNotify, 0) }

// used returns the next element of the used ring, if there is one.
func (d *driver) used() (head, lenBytes uint32, ok bool) {
	ring := d.mem.at(usedAddr)
	if binary.LittleEndian.Uint16(ring[2:]) == d.usedIndex {
		return 0, 0, false
	}
	entry := ring[4+8*(d.usedIndex%d.size):]
	d.usedIndex++
	return binary.LittleEndian.Uint32(entry), binary.LittleEndian.Uint32(entry[4:]), true
}

// header writes a request's header at headAddr.
func (d *driver) header(kind uint32, sector uint64) buffer {
	b := d.mem.at(headAddr)
	binary.LittleEndian.PutUint32(b, kind)
	binary.LittleEndian.PutUint32(b[4:], 0)
	binary.LittleEndian.PutUint64(b[8:], sector)
	return buffer{addr: headAddr, lenBytes: 16}
}

// request carries out one, and returns its status and the length in the used ring.
func (d *driver) request(kind uint32, sector uint64, data ...buffer) (status byte, lenBytes uint32) {
	d.t.Helper()
	d.mem.at(tailAddr)[0] = 0xee
	buffers := append([]buffer{d.header(kind, sector)}, data...)
	head := d.add(append(buffers, buffer{tailAddr, 1, true})...)
	d.kick()
	usedHead, lenBytes, ok := d.used()
	if !ok || usedHead != uint32(head) {
		d.t.Fatalf("request at %d: used %v, %d; %v", head, ok, usedHead, d.errs)
	}
	return d.mem.at(tailAddr)[0], lenBytes
}

// wantBroken checks that the device gave up on the driver.
func (d *driver) wantBroken() {
	d.t.Helper()
	if d.get(regStatus)&statusNeedsReset == 0 {
		d.t.Error("the device does not need a reset")
	}
	if len(d.errs) != 1 || !errors.Is(d.errs[0], ErrDriver) {
		d.t.Errorf("reported %v", d.errs)
	}
}
