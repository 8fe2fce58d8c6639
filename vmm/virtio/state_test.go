package virtio

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"sabrefs/vmm/bus"
)

// running returns a driver in the middle of its work, with an interrupt that it has
// not seen.
func running(tb testing.TB) *driver {
	tb.Helper()
	d := newDriver(tb, NewBlock(newDisk(testSectors), "root", false))
	d.start()
	for range 3 {
		d.request(requestIn, 1, d.data(512, true))
	}
	d.set(regDeviceFeaturesSel, 1)
	d.set(regDriverFeaturesSel, 0)
	return d
}

func save(tb testing.TB, d *driver) []byte {
	tb.Helper()
	data, err := d.Save()
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestStateGolden(t *testing.T) {
	want := strings.Join([]string{
		"01",                         // version
		"02000000",                   // device: block
		"01000000 00000000 00000000", // selectors: device's features, driver's features, queue
		"0f000000",                   // status
		"01000000",                   // interrupt status: used
		"4402001001000000",           // driver's features
		"01",                         // queues
		"08000000 01000000",          // size, ready
		"0010010000000000 0020010000000000 0030010000000000", // rings
		"0300 0300",                 // next available, next used
		"09", "2800000000000000 00", // identity: 40 sectors, writable
	}, "")
	want = strings.ReplaceAll(want, " ", "")
	if got := hex.EncodeToString(save(t, running(t))); got != want {
		t.Errorf("saved\n%s, expected\n%s", got, want)
	}
}

// A driver goes on with a device that was loaded as if nothing had happened.
func TestLoadGoesOn(t *testing.T) {
	before := running(t)
	after := newDriverIn(t, NewBlock(newDisk(testSectors), "root", false), before.mem)
	after.nextDesc, after.availIndex, after.usedIndex = before.nextDesc, before.availIndex, before.usedIndex
	if err := after.Load(save(t, before)); err != nil {
		t.Fatal(err)
	}
	after.wantEdges("loading with an interrupt that was not seen", 1)
	for _, reg := range []uint64{regStatus, regInterruptStatus, regDeviceFeatures, regQueueReady} {
		after.want("register", after.get(reg), before.get(reg))
	}
	after.set(regInterruptACK, interruptUsed)
	status, _ := after.request(requestIn, 2, after.data(512, true))
	after.want("status", uint32(status), statusOK)
	after.want("interrupt status", after.get(regInterruptStatus), interruptUsed)
}

func TestLoadRefuses(t *testing.T) {
	good := save(t, running(t))
	change := func(i int, value byte) []byte {
		b := bytes.Clone(good)
		b[i] = value
		return b
	}
	const regsOff, queueOff = 5, 5 + 28 + 1
	for name, data := range map[string][]byte{
		"nothing":                nil,
		"one byte":               good[:1],
		"cut off":                good[:len(good)-1],
		"more behind":            append(bytes.Clone(good), 0),
		"version 0":              change(0, 0),
		"version 2":              change(0, 2),
		"network device":         change(1, 1),
		"status of 32 bits":      change(regsOff+13, 1),
		"interrupt of no kind":   change(regsOff+16, 4),
		"legacy features":        change(regsOff+24, 0),
		"features not offered":   change(regsOff+20, 0x64),
		"runs without accepting": change(regsOff+12, 7),
		"two queues":             change(queueOff-1, 2),
		"size 7":                 change(queueOff, 7),
		"size 0":                 change(queueOff, 0),
		"ready twice":            change(queueOff+4, 2),
		"rings in no RAM":        change(queueOff+8+3, 1),
		"used ring far away":     change(queueOff+24+7, 0x80),
		"rings unaligned":        change(queueOff+8, 1),
		"another identity":       change(len(good)-9, 41),
		"was read-only":          change(len(good)-1, 1),
		"length of identity":     change(len(good)-10, 8),
	} {
		d := running(t)
		d.edges = 0
		if err := d.Load(data); !errors.Is(err, bus.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
		d.wantEdges("refusing", 0)
		if status, _ := d.request(requestIn, 0, d.data(512, true)); status != statusOK {
			t.Errorf("%s: a device that refused has status %d", name, status)
		}
	}
}

// A queue that is not in use may be anything: the driver has not finished.
func TestLoadUnfinished(t *testing.T) {
	d := newDriver(t, NewBlock(newDisk(testSectors), "", false))
	d.negotiate()
	d.set(regQueueNum, 7)
	d.set(regQueueDescLow, 1)
	data := save(t, d)
	other := newDriver(t, NewBlock(newDisk(testSectors), "", false))
	if err := other.Load(data); err != nil {
		t.Fatal(err)
	}
	other.wantEdges("loading", 0)
	if again := save(t, other); !bytes.Equal(again, data) {
		t.Errorf("saved %x, then %x", data, again)
	}
}

// A state is refused, or is what the device then saves; and the device lives.
func FuzzLoad(f *testing.F) {
	d := running(f)
	f.Add(save(f, d))
	f.Add(save(f, newDriver(f, NewBlock(newDisk(testSectors), "", false))))
	f.Fuzz(func(t *testing.T, data []byte) {
		other := newDriver(t, NewBlock(newDisk(testSectors), "", false))
		if other.Load(data) != nil {
			return
		}
		if again := save(t, other); !bytes.Equal(again, data) {
			t.Fatalf("loaded %x, saved %x", data, again)
		}
		other.kick()
		other.start()
		status, _ := other.request(requestIn, 0, other.data(512, true))
		other.want("status after a reset", uint32(status), statusOK)
	})
}
