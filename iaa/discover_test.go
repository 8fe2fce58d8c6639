package iaa

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sabrefs/iaa/portal"
)

// fakeHost is a machine whose parts a test chooses. It starts without devices.
type fakeHost struct {
	tree fstest.MapFS
	cpu  portal.Instructions
	open func(node string) (portal.Node, error)
}

func (h *fakeHost) Sysfs() fs.FS             { return h.tree }
func (h *fakeHost) CPU() portal.Instructions { return h.cpu }

func (h *fakeHost) Open(node string) (portal.Node, error) {
	if h.open == nil {
		return nil, &fs.PathError{Op: "open", Path: "/dev/" + node, Err: fs.ErrNotExist}
	}
	return h.open(node)
}

// set writes an attribute below /sys/bus/dsa/devices, remove deletes it.
func (h *fakeHost) set(name, value string) {
	h.tree["bus/dsa/devices/"+name] = &fstest.MapFile{Data: []byte(value + "\n")}
}

func (h *fakeHost) remove(name string) { delete(h.tree, "bus/dsa/devices/"+name) }

const (
	allOperations = "00000000,00000000,00000000,00000000,00000000,007f331c,00000000,0000000d"
	noCompress    = "00000000,00000000,00000000,00000000,00000000,00000004,00000000,0000000d"
	noDecompress  = "00000000,00000000,00000000,00000000,00000000,00000008,00000000,0000000d"
)

// addDevice adds a healthy device with one shared queue of all slots and all
// engines, as the documentation recommends it.
func (h *fakeHost) addDevice(id int) {
	device := fmt.Sprintf("iax%d/", id)
	for name, value := range map[string]string{
		"state": "enabled", "version": "0x100", "gen_cap": "0x71f10901f0105", "op_cap": allOperations,
		"pasid_enabled": "1", "numa_node": "0", "max_work_queues_size": "128", "cdev_major": "234",
	} {
		h.set(device+name, value)
	}
	for i := range 8 {
		h.set(fmt.Sprintf("engine%d.%d/group_id", id, i), "0")
	}
	h.addQueue(id, 0)
}

func (h *fakeHost) addQueue(device, index int) {
	queue := fmt.Sprintf("wq%d.%d/", device, index)
	for name, value := range map[string]string{
		"state": "enabled", "type": "user", "driver_name": "user", "mode": "shared", "size": "128",
		"group_id": "0", "block_on_fault": "1", "max_transfer_size": "2097152", "cdev_minor": "3",
		"clients": "0", "prs_disable": "0", "op_config": allOperations, "name": "app1",
	} {
		h.set(queue+name, value)
	}
}

func newFakeHost(devices ...int) *fakeHost {
	h := &fakeHost{
		cpu: portal.Instructions{ENQCMD: true, MOVDIR64B: true},
		tree: fstest.MapFS{
			"devices/system/cpu/cpu0/topology/physical_package_id": {Data: []byte("0\n")},
			"devices/system/node/node0/cpulist":                    {Data: []byte("0\n")},
		},
	}
	for _, id := range devices {
		h.addDevice(id)
	}
	return h
}

func TestDiscoverHealthy(t *testing.T) {
	h := newFakeHost(3, 1)
	h.set("iax1/version", "0x200")
	h.set("engine1.7/group_id", "-1")
	h.set("wq3.0/mode", "dedicated")
	h.set("dsa0/state", "enabled") // another kind of device, in the same directory
	h.set("wq0.0/state", "enabled")
	h.set("engine0.0/group_id", "0")
	report := Discover(h)
	if report.Usable != Yes || report.Reason != "2 usable queues of 2 accelerators" || len(report.Fix) != 0 {
		t.Errorf("report is %+v", report)
	}
	want := []DeviceReport{{
		Name: "iax1", Usable: Yes, Reason: "1 usable queue", State: "enabled", Generation: 2, NUMANode: 0, Engines: 7,
		Queues: []QueueReport{{Name: "wq1.0", Node: "iax/wq1.0", Usable: Yes, Reason: "ready", Mode: "shared", Size: 128}},
	}, {
		Name: "iax3", Usable: Yes, Reason: "1 usable queue", State: "enabled", Generation: 1, NUMANode: 0, Engines: 8,
		Queues: []QueueReport{{Name: "wq3.0", Node: "iax/wq3.0", Usable: Yes, Reason: "ready", Mode: "dedicated", Size: 128}},
	}}
	if got, want := fmt.Sprintf("%+v", report.Devices), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("devices are\n%s, want\n%s", got, want)
	}
}

// Commands that make the healthy device's queue what it is.
func recipe(before ...string) []string {
	lines := slices.Clone(before)
	for i := range 8 {
		lines = append(lines, fmt.Sprintf("accel-config config-engine iax1/engine1.%d -g 0", i))
	}
	return append(lines,
		"accel-config config-wq iax1/wq1.0 -g 0 -s 128 -t 128 -p 10 -b 1 -m shared -y user -n sabrefs -d user",
		"accel-config enable-device iax1",
		"accel-config enable-wq iax1/wq1.0",
		"setfacl -m u:USER:rw /dev/iax/wq1.0  # USER runs sabrefs",
	)
}

const (
	disableDevice = "accel-config disable-device iax1"
	disableQueue  = "accel-config disable-wq iax1/wq1.0"
	enableDevice  = "accel-config enable-device iax1"
	enableQueue   = "accel-config enable-wq iax1/wq1.0"
	grantQueue    = "setfacl -m u:USER:rw /dev/iax/wq1.0  # USER runs sabrefs"
)

// TestDiscoverObstacles changes one thing of a healthy machine at a time.
func TestDiscoverObstacles(t *testing.T) {
	for name, c := range map[string]struct {
		change func(h *fakeHost)
		usable Verdict
		reason string // a part of the queue's
		fix    []string
	}{
		"shared virtual memory is off": {func(h *fakeHost) { h.set("iax1/pasid_enabled", "0") },
			No, "intel_iommu=on,sm_on",
			[]string{"# add intel_iommu=on,sm_on to the kernel command line and reboot; in the BIOS, VT-d must be on", grantQueue}},
		"device is disabled": {func(h *fakeHost) { h.set("iax1/state", "disabled"); h.set("wq1.0/state", "disabled") },
			No, "device is disabled", []string{enableDevice, enableQueue, grantQueue}},
		"device is halted": {func(h *fakeHost) { h.set("iax1/state", "halted") },
			No, "device is halted", []string{enableDevice, enableQueue, grantQueue}},
		"state of the device is missing": {func(h *fakeHost) { h.remove("iax1/state") },
			Unknown, "state of the device cannot be read", []string{grantQueue}},
		"queue is disabled": {func(h *fakeHost) { h.set("wq1.0/state", "disabled") },
			No, "queue is disabled", []string{enableQueue, grantQueue}},
		"state of the queue is missing": {func(h *fakeHost) { h.remove("wq1.0/state") },
			Unknown, "state of the queue cannot be read", []string{grantQueue}},
		"queue is not configured": {func(h *fakeHost) {
			h.set("iax1/state", "disabled")
			for name, value := range map[string]string{"state": "disabled", "type": "none", "driver_name": "", "group_id": "-1", "size": "0"} {
				h.set("wq1.0/"+name, value)
			}
		}, No, "not configured", recipe()},
		"queue belongs to iaa_crypto": {func(h *fakeHost) {
			h.set("wq1.0/type", "kernel")
			h.set("wq1.0/driver_name", "crypto")
			h.set("wq1.0/mode", "dedicated")
		}, No, "belongs to the kernel (its type is kernel, its driver crypto)",
			recipe("modprobe -r iaa_crypto  # it comes back at boot unless it is blacklisted", disableQueue, disableDevice)},
		"queue belongs to the kernel": {func(h *fakeHost) { h.set("wq1.0/type", "kernel"); h.remove("wq1.0/driver_name") },
			No, "belongs to the kernel (its type is kernel)",
			[]string{disableQueue, disableDevice, withoutDriverName}},
		"driver is another one": {func(h *fakeHost) { h.set("wq1.0/driver_name", "dmaengine") },
			No, "driver of the queue is dmaengine", recipe(disableQueue, disableDevice)},
		"type is missing": {func(h *fakeHost) { h.remove("wq1.0/type") },
			Unknown, "type of the queue cannot be read", recipe(disableQueue, disableDevice)},
		"queue is in no group": {func(h *fakeHost) { h.set("wq1.0/group_id", "-1") },
			No, "in no group", recipe(disableQueue, disableDevice)},
		"group is missing": {func(h *fakeHost) { h.remove("wq1.0/group_id") },
			Unknown, "group of the queue cannot be read", recipe(disableQueue, disableDevice)},
		"queue has no slots": {func(h *fakeHost) { h.set("wq1.0/size", "0") },
			No, "no slots", recipe(disableQueue, disableDevice)},
		"group has no engine": {func(h *fakeHost) { h.set("wq1.0/group_id", "1") },
			No, "group 1 of the queue has no engine", recipe(disableQueue, disableDevice)},
		"engines are missing": {func(h *fakeHost) {
			for i := range 8 {
				h.set(fmt.Sprintf("engine1.%d/group_id", i), "")
			}
		}, Unknown, "engines of the queue's group cannot be read", recipe(disableQueue, disableDevice)},
		"queue does not decompress": {func(h *fakeHost) { h.set("wq1.0/op_config", noDecompress) },
			No, "does not run decompression", recipe(disableQueue, disableDevice)},
		"device does not decompress": {func(h *fakeHost) { h.set("iax1/op_cap", noDecompress) },
			No, "does not run decompression", nil},
		"device was built without decompression": {func(h *fakeHost) { h.set("iax1/gen_cap", "0x71e10901f0105") },
			No, "does not run decompression", nil},
		"mode is missing": {func(h *fakeHost) { h.remove("wq1.0/mode") },
			Unknown, "mode of the queue cannot be read", recipe(disableQueue, disableDevice)},
		"mode is strange": {func(h *fakeHost) { h.set("wq1.0/mode", "odd") },
			No, "mode of the queue is odd", recipe(disableQueue, disableDevice)},
		"no ENQCMD": {func(h *fakeHost) { h.cpu.ENQCMD = false },
			No, "processor has no ENQCMD", nil},
		"no MOVDIR64B": {func(h *fakeHost) { h.cpu.MOVDIR64B = false; h.set("wq1.0/mode", "dedicated") },
			No, "processor has no MOVDIR64B", nil},
	} {
		h := newFakeHost(1)
		c.change(h)
		report := Discover(h)
		queue := report.Devices[0].Queues[0]
		if queue.Usable != c.usable || !strings.Contains(queue.Reason, c.reason) {
			t.Errorf("%s: queue is usable: %v, %q", name, queue.Usable, queue.Reason)
		}
		if report.Usable != c.usable || report.Reason != "iax1: wq1.0: "+queue.Reason {
			t.Errorf("%s: report is usable: %v, %q", name, report.Usable, report.Reason)
		}
		if device := report.Devices[0]; device.Usable != c.usable || !slices.Equal(device.Fix, queue.Fix) || !slices.Equal(report.Fix, queue.Fix) {
			t.Errorf("%s: device is usable: %v, fix %q, report's %q", name, device.Usable, device.Fix, report.Fix)
		}
		if want := recipeVariant(c.fix); !slices.Equal(queue.Fix, want) {
			t.Errorf("%s: fix is\n%s, want\n%s", name, strings.Join(queue.Fix, "\n"), strings.Join(want, "\n"))
		}
		for _, line := range queue.Fix {
			if strings.ContainsAny(line, "\"\n\\") {
				t.Errorf("%s: %q is no line for a shell", name, line)
			}
		}
	}
}

// recipeVariant completes the recipe that differs within.
func recipeVariant(fix []string) []string {
	if len(fix) == 0 {
		return nil
	}
	before, last := fix[:len(fix)-1], fix[len(fix)-1]
	if last != withoutDriverName {
		return fix
	}
	full := recipe(before...)
	for i, line := range full {
		full[i] = strings.TrimSuffix(line, " -d user")
	}
	return full
}

// withoutDriverName ends a recipe for a kernel that knows no driver names.
const withoutDriverName = "without driver name"

// TestDiscoverAbsent removes attributes that older kernels do not have. None of
// them may make a queue look unusable, or be taken for 0.
func TestDiscoverAbsent(t *testing.T) {
	h := newFakeHost(1)
	for _, name := range []string{
		"iax1/version", "iax1/gen_cap", "iax1/op_cap", "iax1/pasid_enabled", "iax1/numa_node",
		"iax1/max_work_queues_size", "iax1/cdev_major",
		"wq1.0/driver_name", "wq1.0/size", "wq1.0/block_on_fault", "wq1.0/max_transfer_size", "wq1.0/cdev_minor",
		"wq1.0/clients", "wq1.0/prs_disable", "wq1.0/op_config", "wq1.0/name",
	} {
		h.remove(name)
		report := Discover(h)
		if report.Usable != Yes {
			t.Errorf("without %s: usable: %v, %s", name, report.Usable, report.Reason)
		}
	}
	device := Discover(h).Devices[0]
	if device.Generation != 0 || device.NUMANode != -1 || device.Queues[0].Size != -1 {
		t.Errorf("device is %+v", device)
	}
	// Engines by the other attribute.
	for i := range 8 {
		h.remove(fmt.Sprintf("engine1.%d/group_id", i))
	}
	h.set("group1.0/engines", "engine1.0 engine1.1")
	if report := Discover(h); report.Usable != Yes || report.Devices[0].Engines != -1 {
		t.Errorf("usable: %v, %s, %d engines", report.Usable, report.Reason, report.Devices[0].Engines)
	}
	h.set("group1.0/engines", "")
	if report := Discover(h); report.Usable != No {
		t.Errorf("a group without engines is usable: %v", report.Usable)
	}
}

func TestDiscoverNothing(t *testing.T) {
	pci := func(vendor, device string) *fakeHost {
		h := newFakeHost()
		h.tree["bus/pci/devices/0000:6a:02.0/vendor"] = &fstest.MapFile{Data: []byte(vendor + "\n")}
		h.tree["bus/pci/devices/0000:6a:02.0/device"] = &fstest.MapFile{Data: []byte(device + "\n")}
		return h
	}
	dsa := newFakeHost()
	dsa.set("dsa0/state", "enabled")
	for name, c := range map[string]struct {
		host   *fakeHost
		usable Verdict
		reason string
		fix    []string
	}{
		"no accelerator":      {newFakeHost(), No, "no accelerator found", nil},
		"another kind only":   {dsa, No, "no accelerator found", nil},
		"another PCI device":  {pci("0x8086", "0x0b25"), No, "no accelerator found", nil},
		"another vendor":      {pci("0x1022", "0x0cfe"), No, "no accelerator found", nil},
		"driver is missing":   {pci("0x8086", "0x0cfe"), No, "PCI 0000:6a:02.0", []string{"modprobe idxd"}},
		"sysfs is not there":  {&fakeHost{tree: fstest.MapFS{}}, Unknown, "sysfs cannot be read", nil},
		"name that lies":      {hostWith("iax1x/state"), No, "no accelerator found", nil},
		"name with a newline": {hostWith("iax1\n/state"), No, "no accelerator found", nil},
	} {
		report := Discover(c.host)
		if report.Usable != c.usable || !strings.Contains(report.Reason, c.reason) || !slices.Equal(report.Fix, c.fix) || report.Devices == nil {
			t.Errorf("%s: report is %+v", name, report)
		}
	}
}

func hostWith(attribute string) *fakeHost {
	h := newFakeHost()
	h.set(attribute, "enabled")
	return h
}

func TestDiscoverDeviceWithoutQueues(t *testing.T) {
	h := newFakeHost()
	h.set("iax1/state", "enabled")
	report := Discover(h)
	if report.Usable != No || report.Reason != "iax1: no work queue is shown" {
		t.Errorf("usable: %v, %s", report.Usable, report.Reason)
	}
	h.set("iax1/pasid_enabled", "0")
	if report := Discover(h); report.Usable != No || !strings.Contains(report.Reason, "sm_on") {
		t.Errorf("usable: %v, %s", report.Usable, report.Reason)
	}
}

// TestDiscoverSeveral has queues and devices in different states: the best one
// decides, and the reason is that of the one that is nearest.
func TestDiscoverSeveral(t *testing.T) {
	h := newFakeHost(1, 3)
	h.set("wq1.0/type", "none")
	h.addQueue(1, 1)
	h.set("wq1.1/state", "disabled")
	h.set("iax3/state", "disabled")
	report := Discover(h)
	want := "none of 2 accelerators is usable; iax1: wq1.1: queue is disabled"
	if report.Usable != No || report.Reason != want {
		t.Errorf("usable: %v, %s", report.Usable, report.Reason)
	}
	wantFix := []string{
		"accel-config enable-wq iax1/wq1.1", "setfacl -m u:USER:rw /dev/iax/wq1.1  # USER runs sabrefs",
		"accel-config enable-device iax3", "accel-config enable-wq iax3/wq3.0", "setfacl -m u:USER:rw /dev/iax/wq3.0  # USER runs sabrefs",
	}
	if !slices.Equal(report.Fix, wantFix) {
		t.Errorf("fix is %q", report.Fix)
	}
	h.remove("wq1.1/state")
	if usable := Discover(h).Usable; usable != Unknown {
		t.Errorf("with one queue unknown, usable: %v", usable)
	}
	h.set("iax3/state", "enabled")
	report = Discover(h)
	if report.Usable != Yes || report.Reason != "1 usable queue of 2 accelerators" || report.Fix != nil {
		t.Errorf("with one queue ready: %+v", report)
	}
	if report.Devices[0].Usable != Unknown || len(report.Devices[0].Fix) == 0 {
		t.Errorf("the other device is %+v", report.Devices[0])
	}
}

// TestFixSparesNobody checks what is said of queues that are in the way.
func TestFixSparesNobody(t *testing.T) {
	h := newFakeHost(1)
	h.set("iax1/gen_cap", "0x10000000000") // cannot block on faults
	h.set("iax1/max_work_queues_size", "64")
	h.set("wq1.0/group_id", "-1")
	h.addQueue(1, 1)
	h.set("wq1.1/group_id", "2")
	h.set("wq1.1/size", "16")
	h.set("wq1.1/clients", "1")
	fix := Discover(h).Devices[0].Queues[0].Fix
	want := []string{
		disableQueue, "# wq1.1 has 1 client, who will lose it", "accel-config disable-wq iax1/wq1.1", disableDevice,
		"echo 0 > /sys/bus/dsa/devices/wq1.1/size",
	}
	want = recipe(want...)
	for i, line := range want {
		want[i] = strings.ReplaceAll(line, "-s 128 -t 128 -p 10 -b 1", "-s 64 -t 64 -p 10 -b 0")
	}
	if !slices.Equal(fix, want) {
		t.Errorf("fix is\n%s, want\n%s", strings.Join(fix, "\n"), strings.Join(want, "\n"))
	}
}

// FuzzDiscover puts any contents into any attributes.
func FuzzDiscover(f *testing.F) {
	var names []string
	for name := range newFakeHost(1).tree {
		names = append(names, name)
	}
	slices.Sort(names)
	f.Add(uint8(0), "", uint8(1), "-1")
	f.Add(uint8(5), "0x", uint8(9), ",,,,,,,,")
	f.Add(uint8(11), "99999999999999999999", uint8(17), "\x00\xff")
	f.Add(uint8(20), strings.Repeat("f", 5000), uint8(21), "enabled; rm -rf /")
	f.Fuzz(func(t *testing.T, first uint8, firstValue string, second uint8, secondValue string) {
		h := newFakeHost(1)
		h.tree[names[int(first)%len(names)]].Data = []byte(firstValue)
		h.tree[names[int(second)%len(names)]].Data = []byte(secondValue)
		report := Discover(h)
		lines := append(slices.Clone(report.Fix), report.Reason)
		for _, device := range report.Devices {
			lines = append(append(lines, device.Fix...), device.Reason)
			for _, queue := range device.Queues {
				lines = append(append(lines, queue.Fix...), queue.Reason)
			}
		}
		for _, line := range lines {
			for _, char := range line {
				if char < ' ' || char > '~' {
					t.Fatalf("line %q is not fit for a terminal", line)
				}
			}
			if strings.Contains(line, "rm -rf") && strings.HasPrefix(line, "accel-config") {
				t.Fatalf("a command has text of an attribute: %q", line)
			}
		}
	})
}
