package virtio

import (
	"testing"
)

func TestIdentityRegisters(t *testing.T) {
	d := newDriver(t, NewBlock(newDisk(1), "", false))
	d.want("magic", d.get(regMagic), 0x74726976)
	d.want("version", d.get(regVersion), 2)
	d.want("device", d.get(regDeviceID), 2)
	d.want("generation", d.get(regConfigGeneration), 0)
	d.want("shared memory", d.get(regSHMLenLow), 0xffffffff)
	d.want("nothing", d.get(0x0c0), 0)
	d.set(regDeviceFeaturesSel, 2)
	d.want("features beyond", d.get(regDeviceFeatures), 0)
	d.set(regQueueSel, 1)
	d.want("size of no queue", d.get(regQueueNumMax), 0)
	d.set(regQueueNum, 8)
	d.set(regQueueReady, 1)
	d.want("ready of no queue", d.get(regQueueReady), 0)
}

// Registers are accessed by 4 aligned bytes; other accesses do nothing.
func TestOddAccesses(t *testing.T) {
	d := newDriver(t, NewBlock(newDisk(1), "", false))
	for _, c := range []struct {
		offset   uint64
		lenBytes int
	}{{0, 1}, {0, 2}, {0, 8}, {1, 4}, {2, 4}, {3, 1}, {0xffc, 8}} {
		data := []byte{9, 9, 9, 9, 9, 9, 9, 9}[:c.lenBytes]
		d.Read(c.offset, data)
		for _, v := range data {
			if v != 0 {
				t.Errorf("%d bytes at %#x: %x", c.lenBytes, c.offset, data)
				break
			}
		}
	}
	d.Write(regStatus, []byte{1})
	d.Write(regStatus, make([]byte, 8))
	d.Write(regStatus+1, []byte{1, 0, 0, 0})
	d.want("status", d.get(regStatus), 0)
}

func TestFeatures(t *testing.T) {
	for name, c := range map[string]struct {
		low, high uint32
		accepted  bool
	}{
		"virtio 1":           {0, 1, true},
		"all":                {1<<2 | 1<<6 | 1<<9 | 1<<28, 1, true},
		"legacy":             {1 << 9, 0, false},
		"not offered":        {1 << 5, 1, false},
		"not offered, high":  {0, 1 | 1<<2, false},
		"event index":        {1 << 29, 1, false},
		"nothing whatsoever": {0, 0, false},
	} {
		d := newDriver(t, NewBlock(newDisk(1), "", false))
		d.set(regStatus, 3)
		for sel, value := range []uint32{c.low, c.high, 0xffffffff} {
			d.set(regDriverFeaturesSel, uint32(sel))
			d.set(regDriverFeatures, value)
		}
		d.set(regStatus, 3|8)
		if accepted := d.get(regStatus)&8 != 0; accepted != c.accepted {
			t.Errorf("%s: accepted %v", name, accepted)
		}
		d.set(regStatus, 3|8|4)
		if running := d.get(regStatus)&4 != 0; running != c.accepted {
			t.Errorf("%s: running %v", name, running)
		}
	}
}

// Features count until they are accepted, and stages are not taken back.
func TestStages(t *testing.T) {
	d := newDriver(t, NewBlock(newDisk(testSectors), "", false))
	d.negotiate()
	d.set(regDriverFeaturesSel, 1)
	d.set(regDriverFeatures, 0xff)
	d.set(regStatus, 1)
	d.want("status", d.get(regStatus), 1|2|8)
	d.set(regStatus, statusNeedsReset)
	d.want("status, a bit of the device's", d.get(regStatus), 1|2|8)
	d.setUpQueue()
	d.set(regQueueNum, 3) // is in use
	d.set(regStatus, 15)
	status, _ := d.request(requestIn, 0, d.data(512, true))
	d.want("status of a request", uint32(status), statusOK)
	d.set(regStatus, statusFailed)
	d.add(d.header(requestFlush, 0), buffer{tailAddr, 1, true})
	d.kick()
	if _, _, ok := d.used(); ok {
		t.Error("a request of a driver that failed was carried out")
	}
	d.set(regStatus, 0)
	d.want("status", d.get(regStatus), 0)
	d.want("interrupt status", d.get(regInterruptStatus), 0)
	d.want("ready", d.get(regQueueReady), 0)
}

// Nothing is carried out before DRIVER_OK, for no queue, or for one that is not
// ready.
func TestTooEarly(t *testing.T) {
	d := newDriver(t, NewBlock(newDisk(testSectors), "", false))
	d.negotiate()
	d.setUpQueue()
	d.add(d.header(requestFlush, 0), buffer{tailAddr, 1, true})
	d.kick()
	d.set(regQueueReady, 0)
	d.set(regStatus, 15)
	d.kick()
	d.set(regQueueNotify, 1)
	d.set(regQueueNotify, 0xffffffff)
	if _, _, ok := d.used(); ok {
		t.Error("carried out")
	}
	d.set(regQueueReady, 1)
	d.kick()
	if _, _, ok := d.used(); !ok || len(d.errs) > 0 {
		t.Errorf("not carried out, %v", d.errs)
	}
}

func TestNoInterrupt(t *testing.T) {
	d := newDriver(t, NewBlock(newDisk(testSectors), "", false))
	d.start()
	d.mem.at(availAddr)[0] = availNoInterrupt
	d.request(requestIn, 0, d.data(512, true))
	d.wantEdges("not wanted", 0)
	d.mem.at(availAddr)[0] = 0
	d.kick()
	d.wantEdges("nothing to do", 0)
	for range 2 {
		d.add(d.header(requestFlush, 0), buffer{tailAddr, 1, true})
	}
	d.kick()
	d.wantEdges("two at once", 1)
}

// Indices wrap at 65536, rings at their size.
func TestManyRequests(t *testing.T) {
	disk := newDisk(testSectors)
	d := newDriver(t, NewBlock(disk, "", false))
	d.start()
	for i := range 70000 {
		sector := uint64(i % testSectors)
		status, _ := d.request(requestIn, sector, d.data(512, true))
		if status != statusOK || d.mem.at(dataAddr)[1] != disk.bytes[sector*512+1] {
			t.Fatalf("request %d: status %d", i, status)
		}
	}
}
