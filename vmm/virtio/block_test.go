package virtio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"sabrefs/tests/seedtest"
)

const testSectors = 40

func (d *driver) data(lenBytes uint32, write bool) buffer { return buffer{dataAddr, lenBytes, write} }

// both runs a test with direct and with indirect descriptors.
func both(t *testing.T, test func(t *testing.T, d *driver, disk *fakeDisk)) {
	t.Helper()
	for name, indirect := range map[string]bool{"direct": false, "indirect": true} {
		t.Run(name, func(t *testing.T) {
			disk := newDisk(testSectors)
			d := newDriver(t, NewBlock(disk, "root", false))
			d.indirect = indirect
			d.start()
			test(t, d, disk)
		})
	}
}

func TestRead(t *testing.T) {
	both(t, func(t *testing.T, d *driver, disk *fakeDisk) {
		t.Helper()
		status, lenBytes := d.request(requestIn, 3, d.data(1024, true))
		d.want("status", uint32(status), statusOK)
		d.want("length", lenBytes, 1025)
		if !bytes.Equal(d.mem.at(dataAddr)[:1024], disk.bytes[3*512:5*512]) {
			t.Error("not what is on the disk")
		}
		d.wantEdges("one request", 1)
		d.want("interrupt status", d.get(regInterruptStatus), interruptUsed)
		d.set(regInterruptACK, interruptUsed)
		d.want("interrupt status, seen", d.get(regInterruptStatus), 0)
		if !d.mem.written[dataAddr>>12] || !d.mem.written[usedAddr>>12] || !d.mem.written[tailAddr>>12] ||
			d.mem.written[descAddr>>12] || d.mem.written[headAddr>>12] {
			t.Errorf("pages written %v", d.mem.written)
		}
	})
}

func TestWriteAndFlush(t *testing.T) {
	both(t, func(t *testing.T, d *driver, disk *fakeDisk) {
		t.Helper()
		copy(d.mem.at(dataAddr), bytes.Repeat([]byte("new."), 256))
		before := bytes.Clone(disk.bytes)
		status, lenBytes := d.request(requestOut, testSectors-2, d.data(512, false), buffer{dataAddr + 512, 512, false})
		d.want("status", uint32(status), statusOK)
		d.want("length", lenBytes, 1)
		copy(before[(testSectors-2)*512:], bytes.Repeat([]byte("new."), 256))
		if !bytes.Equal(disk.bytes, before) {
			t.Error("the disk is not as expected")
		}
		if status, _ := d.request(requestFlush, 0); status != statusOK || disk.syncs != 1 {
			t.Errorf("flush: status %d, %d syncs", status, disk.syncs)
		}
	})
}

func TestGetID(t *testing.T) {
	both(t, func(t *testing.T, d *driver, _ *fakeDisk) {
		t.Helper()
		status, _ := d.request(requestGetID, 0, d.data(20, true))
		d.want("status", uint32(status), statusOK)
		if got := string(d.mem.at(dataAddr)[:20]); got != "root"+string(make([]byte, 16)) {
			t.Errorf("ID %q", got)
		}
		status, _ = d.request(requestGetID, 0, d.data(19, true))
		d.want("status without room", uint32(status), statusIOError)
	})
}

func TestConfig(t *testing.T) {
	d := newDriver(t, NewBlock(newDisk(testSectors), "root", true))
	d.want("capacity", d.get(regConfig), testSectors)
	d.want("seg_max", d.get(regConfig+12), 126)
	d.want("blk_size", d.get(regConfig+20), 512)
	d.want("behind the end", d.get(regConfig+60), 0)
	wide := make([]byte, 8)
	d.Read(regConfig, wide)
	if binary.LittleEndian.Uint64(wide) != testSectors {
		t.Errorf("capacity %x", wide)
	}
	d.Read(regConfig+56, wide)
	d.set(regConfig, 1)
	d.want("capacity, written to", d.get(regConfig), testSectors)
	d.set(regDeviceFeaturesSel, 0)
	d.want("features", d.get(regDeviceFeatures), 1<<2|1<<5|1<<6|1<<9|1<<28)
	d.set(regDeviceFeaturesSel, 1)
	d.want("features", d.get(regDeviceFeatures), 1)
}

// Requests that fail by their status; the device goes on.
func TestFailedRequests(t *testing.T) {
	for name, c := range map[string]struct {
		kind   uint32
		sector uint64
		data   []buffer
		want   byte
	}{
		"beyond the end":        {requestIn, testSectors, []buffer{{dataAddr, 512, true}}, statusIOError},
		"across the end":        {requestIn, testSectors - 1, []buffer{{dataAddr, 1024, true}}, statusIOError},
		"far beyond":            {requestOut, 1 << 55, []buffer{{dataAddr, 512, false}}, statusIOError},
		"last sector of all":    {requestOut, ^uint64(0), []buffer{{dataAddr, 512, false}}, statusIOError},
		"part of a sector":      {requestIn, 0, []buffer{{dataAddr, 100, true}}, statusIOError},
		"part of a sector, out": {requestOut, 0, []buffer{{dataAddr, 513, false}}, statusIOError},
		"unknown":               {7, 0, []buffer{{dataAddr, 512, true}}, statusUnsupported},
		"discard":               {11, 0, []buffer{{dataAddr, 16, false}}, statusUnsupported},
		"nothing":               {requestIn, 0, nil, statusOK},
		"empty buffers":         {requestIn, 0, []buffer{{dataAddr, 0, true}, {dataAddr, 512, true}, {dataAddr, 0, true}}, statusOK},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newDisk(testSectors)
			before := bytes.Clone(disk.bytes)
			d := newDriver(t, NewBlock(disk, "", false))
			d.start()
			status, _ := d.request(c.kind, c.sector, c.data...)
			d.want("status", uint32(status), uint32(c.want))
			status, _ = d.request(requestIn, 0, d.data(512, true))
			d.want("status of the next", uint32(status), statusOK)
			if !bytes.Equal(disk.bytes, before) {
				t.Error("the disk changed")
			}
		})
	}
}

func TestShortHeader(t *testing.T) {
	d := newDriver(t, NewBlock(newDisk(testSectors), "", false))
	d.start()
	d.header(requestIn, 0)
	d.add(buffer{headAddr, 15, false}, buffer{tailAddr, 1, true})
	d.kick()
	if _, _, ok := d.used(); !ok || d.mem.at(tailAddr)[0] != statusIOError {
		t.Errorf("used %v, status %d", ok, d.mem.at(tailAddr)[0])
	}
}

func TestReadOnly(t *testing.T) {
	disk := newDisk(testSectors)
	before := bytes.Clone(disk.bytes)
	d := newDriver(t, NewBlock(disk, "", true))
	d.start()
	status, _ := d.request(requestOut, 0, d.data(512, false))
	d.want("writing", uint32(status), statusIOError)
	status, _ = d.request(requestFlush, 0)
	d.want("flushing", uint32(status), statusOK)
	if !bytes.Equal(disk.bytes, before) || disk.syncs != 0 {
		t.Error("the disk was touched")
	}
}

func TestDiskFails(t *testing.T) {
	disk := newDisk(testSectors)
	disk.err = errors.New("head crash")
	block := NewBlock(disk, "", false)
	var told []error
	block.OnError(func(err error) { told = append(told, err) })
	d := newDriver(t, block)
	d.start()
	for kind, data := range map[uint32][]buffer{
		requestIn: {{dataAddr, 512, true}}, requestOut: {{dataAddr, 512, false}}, requestFlush: nil,
	} {
		status, _ := d.request(kind, 0, data...)
		d.want("status", uint32(status), statusIOError)
	}
	if len(told) != 3 || !errors.Is(told[0], disk.err) || !errors.Is(told[2], disk.err) {
		t.Errorf("told %v", told)
	}
}

// However header, data and status are spread over buffers, they mean the same.
func TestAnyLayout(t *testing.T) {
	random := seedtest.Rand(t)
	split := func(whole buffer) (parts []buffer) {
		for whole.lenBytes > 0 && len(parts) < 20 {
			n := random.Uint32N(whole.lenBytes + 1)
			parts = append(parts, buffer{whole.addr, n, whole.write})
			whole.addr, whole.lenBytes = whole.addr+uint64(n), whole.lenBytes-n
		}
		return append(parts, whole)
	}
	for range 100 {
		disk := newDisk(testSectors)
		d := newDriver(t, NewBlock(disk, "", false))
		d.size, d.indirect = 256, random.IntN(2) == 0
		d.start()
		sector := random.Uint64N(testSectors - 4)
		// Header and data to write out lie one behind the other, as do data to
		// read in and status.
		d.header(requestOut, sector)
		out := d.mem.at(headAddr)[16:][:2048]
		for i := range out {
			out[i] = byte(random.Uint32())
		}
		d.add(append(split(buffer{headAddr, 16 + 2048, false}), split(buffer{tailAddr, 1, true})...)...)
		d.kick()
		if d.mem.at(tailAddr)[0] != statusOK || !bytes.Equal(disk.bytes[sector*512:][:2048], out) {
			t.Fatalf("wrote something else, status %d, %v", d.mem.at(tailAddr)[0], d.errs)
		}
		d.header(requestIn, sector)
		d.mem.at(dataAddr)[2048] = 0xee
		d.add(append(split(buffer{headAddr, 16, false}), split(buffer{dataAddr, 2049, true})...)...)
		d.kick()
		if d.mem.at(dataAddr)[2048] != statusOK || !bytes.Equal(d.mem.at(dataAddr)[:2048], out) {
			t.Fatalf("read something else, status %d, %v", d.mem.at(dataAddr)[2048], d.errs)
		}
	}
}
