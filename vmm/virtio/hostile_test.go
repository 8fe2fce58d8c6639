package virtio

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// Chains that are none. Each begins with descriptor 0, which is made available.
func TestHostileChains(t *testing.T) {
	head := descriptor{headAddr, 16, flagNext, 1}
	status := descriptor{tailAddr, 1, flagWrite, 0}
	indirect := func(lenBytes uint32, flags uint16) []descriptor {
		return []descriptor{{tableAddr, lenBytes, flagIndirect | flags, 1}}
	}
	for name, c := range map[string]struct {
		direct, table []descriptor
		index         uint16 // what is made available, usually 0
	}{
		"head beyond the table":      {index: 8},
		"head far beyond":            {index: 0xffff},
		"next beyond the table":      {direct: []descriptor{{headAddr, 16, flagNext, 8}}},
		"loop of one":                {direct: []descriptor{{headAddr, 16, flagNext, 0}}},
		"loop of two":                {direct: []descriptor{head, {dataAddr, 512, flagNext, 0}}},
		"loop of nothing":            {direct: []descriptor{{headAddr, 0, flagNext, 0}}},
		"loop to write":              {direct: []descriptor{{headAddr, 16, flagNext | flagWrite, 0}}},
		"read behind write":          {direct: []descriptor{{tailAddr, 1, flagNext | flagWrite, 1}, {headAddr, 16, 0, 0}}},
		"nothing to write":           {direct: []descriptor{head, {dataAddr, 512, 0, 0}}},
		"empty status":               {direct: []descriptor{head, {tailAddr, 0, flagWrite, 0}}},
		"no RAM":                     {direct: []descriptor{{0, 16, flagNext, 1}, status}},
		"across the end":             {direct: []descriptor{head, {ramEnd - 1, 2, flagWrite, 0}}},
		"at the end":                 {direct: []descriptor{head, {ramEnd, 1, flagWrite, 0}}},
		"wraps around":               {direct: []descriptor{head, {^uint64(0), 2, flagWrite, 0}}},
		"to the last address":        {direct: []descriptor{head, {^uint64(0) - 0xfffffffe, 0xffffffff, flagWrite, 0}}},
		"4 GiB":                      {direct: []descriptor{head, {dataAddr, 0xffffffff, flagWrite, 0}}},
		"indirect, empty":            {direct: indirect(0, 0)},
		"indirect, odd":              {direct: indirect(17, 0)},
		"indirect, too long":         {direct: indirect(16*257, 0), table: []descriptor{head, status}},
		"indirect, 4 GiB":            {direct: indirect(0xfffffff0, 0)},
		"indirect and next":          {direct: indirect(32, flagNext), table: []descriptor{head, status}},
		"indirect in no RAM":         {direct: []descriptor{{8, 16, flagIndirect, 0}}},
		"indirect across the end":    {direct: []descriptor{{ramEnd - 16, 32, flagIndirect, 0}}},
		"indirect in indirect":       {direct: indirect(32, 0), table: []descriptor{head, {tableAddr, 32, flagIndirect, 0}}},
		"indirect, next beyond":      {direct: indirect(16, 0), table: []descriptor{head, status}},
		"indirect, loop":             {direct: indirect(16, 0), table: []descriptor{{headAddr, 16, flagNext, 0}}},
		"all of one and of another":  {direct: []descriptor{head, {tableAddr, 16 * 256, flagIndirect, 0}}, table: longTable()},
		"indirect, read after write": {direct: indirect(32, 0), table: []descriptor{{tailAddr, 1, flagNext | flagWrite, 1}, {headAddr, 16, 0, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newDisk(testSectors)
			before := bytes.Clone(disk.bytes)
			d := newDriver(t, NewBlock(disk, "", false))
			d.start()
			d.header(requestOut, 0)
			for i, desc := range c.direct {
				d.setDescriptor(uint16(i), desc)
			}
			for i, desc := range c.table {
				putDescriptor(d.mem.at(tableAddr+uint64(i)*16), desc)
			}
			d.makeAvailable(c.index)
			d.kick()
			d.wantBroken()
			d.wantEdges("broken", 1)
			d.want("interrupt status", d.get(regInterruptStatus), interruptConfig)
			if _, _, ok := d.used(); ok {
				t.Error("the chain was used")
			}
			if !bytes.Equal(disk.bytes, before) {
				t.Error("the disk changed")
			}
			beginAgain(t, d)
		})
	}
}

// longTable is a chain of 256 descriptors, the most that are allowed in all.
func longTable() []descriptor {
	table := make([]descriptor, 256)
	for i := range table {
		table[i] = descriptor{dataAddr, 0, flagNext, uint16(i + 1)}
	}
	table[255] = descriptor{tailAddr, 1, flagWrite, 0}
	return table
}

// beginAgain begins again, as a driver does whose device needs a reset.
func beginAgain(t *testing.T, d *driver) {
	t.Helper()
	d.errs, d.nextDesc, d.availIndex, d.usedIndex = nil, 0, 0, 0
	clear(d.mem.at(availAddr)[:4+2*d.size])
	clear(d.mem.at(usedAddr)[:4+8*d.size])
	d.start()
	status, _ := d.request(requestIn, 0, d.data(512, true))
	d.want("status after a reset", uint32(status), statusOK)
}

// The longest chain that is allowed works.
func TestLongestChain(t *testing.T) {
	d := newDriver(t, NewBlock(newDisk(testSectors), "", false))
	d.start()
	table := longTable()
	table[0] = descriptor{headAddr, 16, flagNext, 1}
	for i, desc := range table {
		putDescriptor(d.mem.at(tableAddr+uint64(i)*16), desc)
	}
	d.header(requestFlush, 0)
	d.setDescriptor(0, descriptor{tableAddr, 16 * 256, flagIndirect, 0})
	d.mem.at(tailAddr)[0] = 0xee
	// One descriptor points at the table: 257 in all.
	d.makeAvailable(0)
	d.kick()
	d.wantBroken()
	table[254] = table[255]
	putDescriptor(d.mem.at(tableAddr+254*16), table[254])
	d.errs, d.availIndex = nil, 0
	d.start()
	d.makeAvailable(0)
	d.kick()
	d.want("status", uint32(d.mem.at(tailAddr)[0]), statusOK)
}

func TestHostileQueues(t *testing.T) {
	for name, c := range map[string]struct {
		reg   uint64
		value uint32
	}{
		"size 0":                  {regQueueNum, 0},
		"size 3":                  {regQueueNum, 3},
		"size 512":                {regQueueNum, 512},
		"size 4 Gi":               {regQueueNum, 0x80000000},
		"descriptors unaligned":   {regQueueDescLow, descAddr + 8},
		"available unaligned":     {regQueueDriverLow, availAddr + 1},
		"used unaligned":          {regQueueDeviceLow, usedAddr + 2},
		"descriptors in no RAM":   {regQueueDescLow, 0},
		"descriptors at the end":  {regQueueDescLow, ramEnd - 16},
		"available at the end":    {regQueueDriverLow, ramEnd - 4},
		"used at the end":         {regQueueDeviceLow, ramEnd - 64},
		"used far away":           {regQueueDeviceHigh, 0xffffffff},
		"descriptors wrap around": {regQueueDescHigh, 0xffffffff},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDriver(t, NewBlock(newDisk(testSectors), "", false))
			d.negotiate()
			d.setUpQueue()
			d.set(regQueueReady, 0)
			d.set(c.reg, c.value)
			d.set(regQueueReady, 1)
			d.want("ready", d.get(regQueueReady), 0)
			d.wantBroken()
			d.wantEdges("before DRIVER_OK", 0)
			d.kick()
			beginAgain(t, d)
		})
	}
}

func TestAvailableIndexJumps(t *testing.T) {
	for _, jump := range []uint16{9, 100, 0x8000, 0xffff} {
		d := newDriver(t, NewBlock(newDisk(testSectors), "", false))
		d.start()
		d.request(requestIn, 0, d.data(512, true))
		d.availIndex += jump - 1
		d.makeAvailable(0)
		d.kick()
		d.wantBroken()
		beginAgain(t, d)
	}
}

// What was done before a driver broke the rules is done.
func TestBrokenHalfWay(t *testing.T) {
	d := newDriver(t, NewBlock(newDisk(testSectors), "", false))
	d.start()
	d.add(d.header(requestFlush, 0), buffer{tailAddr, 1, true})
	d.makeAvailable(99)
	d.kick()
	d.wantBroken()
	if head, _, ok := d.used(); !ok || head != 0 {
		t.Errorf("used %v, %d", ok, head)
	}
	d.wantEdges("one used, one broken", 2)
	d.want("interrupt status", d.get(regInterruptStatus), interruptUsed|interruptConfig)
	d.kick()
	d.wantEdges("after that", 0)
}

// Requests that point at the queue itself, at each other's buffers, or at the
// device's own answers, do no harm to anything but themselves.
func TestBuffersInTheQueue(t *testing.T) {
	for _, addr := range []uint64{descAddr, availAddr, usedAddr} {
		d := newDriver(t, NewBlock(newDisk(testSectors), "", false))
		d.start()
		d.add(d.header(requestIn, 1), buffer{addr, 512, true}, buffer{tailAddr, 1, true})
		d.kick()
		d.kick()
		if status := d.get(regStatus); status&statusDriverOK == 0 {
			t.Errorf("status %#x", status)
		}
	}
}

// FuzzQueue has the device process whatever lies in memory: descriptors, rings,
// an indirect table and a header, one after the other.
func FuzzQueue(f *testing.F) {
	le := binary.LittleEndian
	seed := make([]byte, 8*16+32+96)
	for i, desc := range []descriptor{
		{fuzzAddr + 224, 16, flagNext, 1}, {dataAddr, 512, flagNext | flagWrite, 2}, {tailAddr, 1, flagWrite, 0},
		{fuzzAddr + 160, 64, flagIndirect, 0},
	} {
		putDescriptor(seed[i*16:], desc)
	}
	le.PutUint16(seed[130:], 2)
	le.PutUint16(seed[134:], 3)
	f.Add(seed, uint8(2))
	// A chain that loops, one whose table is the ring itself, a queue of one.
	loop := bytes.Clone(seed)
	le.PutUint16(loop[2*16+12:], flagNext|flagWrite)
	f.Add(loop, uint8(3))
	ring := bytes.Clone(seed)
	le.PutUint64(ring[3*16:], fuzzAddr)
	f.Add(ring, uint8(3))
	le.PutUint16(ring[130:], 1)
	f.Add(ring, uint8(0))
	f.Add(seed, uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		mem := newRAM()
		copy(mem.at(fuzzAddr)[:2048], data)
		d := newDriverIn(t, NewBlock(newDisk(testSectors), "id", false), mem)
		d.negotiate()
		d.size = 1 << (size % 4)
		d.setUpQueue()
		d.set(regQueueReady, 0)
		d.set(regQueueDescLow, fuzzAddr)
		d.set(regQueueDriverLow, fuzzAddr+128)
		d.set(regQueueReady, 1)
		d.set(regStatus, 15)
		before := bytes.Clone(mem.bytes)
		clear(mem.written)
		d.kick()
		used := le.Uint16(mem.at(usedAddr)[2:])
		if broken := d.get(regStatus)&statusNeedsReset != 0; broken != (len(d.errs) == 1) {
			t.Fatalf("needs a reset: %v, errors %v", broken, d.errs)
		}
		if d.queues[0].NextUsed > d.size || d.queues[0].NextAvail != d.queues[0].NextUsed {
			t.Fatalf("queue %+v", d.queues[0])
		}
		if !mem.written[usedAddr>>12] {
			t.Fatalf("used index %d without asking for the page", used)
		}
		for page := uint64(ramBase >> 12); page < ramEnd>>12; page++ {
			at := page<<12 - ramBase
			if !mem.written[page] && !bytes.Equal(before[at:at+4096], mem.bytes[at:at+4096]) {
				t.Fatalf("page %#x was written without being asked for", page)
			}
		}
	})
}

// fuzzAddr is where the input of FuzzQueue lies: 8 descriptors, the available ring
// at 128.
const fuzzAddr = 0x20000
