package model

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

func sysfsOf(tb testing.TB, config Config) (*Host, fs.FS) {
	tb.Helper()
	host, err := NewHost(config)
	wantNoError(tb, err)
	tb.Cleanup(func() { wantNoError(tb, host.Close()) })
	return host, host.Sysfs()
}

func attribute(tb testing.TB, sysfs fs.FS, name string) string {
	tb.Helper()
	text, err := fs.ReadFile(sysfs, "bus/dsa/devices/"+name)
	wantNoError(tb, err)
	content, whole := strings.CutSuffix(string(text), "\n")
	if !whole {
		tb.Errorf("%s does not end with a newline: %q", name, text)
	}
	return content
}

// TestSysfsIsAFilesystem holds the tree to the contract of package fs.
func TestSysfsIsAFilesystem(t *testing.T) {
	_, sysfs := sysfsOf(t, Config{
		Devices: []DeviceConfig{{
			Queues: []QueueConfig{{Attributes: map[string]Attribute{"occupancy": Text("0")}}},
		}},
		Files: map[string]Attribute{"module/idxd/parameters/sva": Text("Y")},
	})
	wantNoError(t, fstest.TestFS(sysfs,
		"bus/dsa/devices/iax1/state", "bus/dsa/devices/iax1/wq1.0/size", "bus/dsa/devices/wq1.0/size",
		"bus/dsa/devices/engine1.7/group_id", "bus/dsa/devices/group1.3/engines", "module/idxd/parameters/sva"))
}

func TestSysfsErrors(t *testing.T) {
	_, sysfs := sysfsOf(t, Config{})
	for _, name := range []string{"bus/dsa/devices/iax3", "bus/dsa/devices/iax1/state/x", "bus/dsa/devices/wq1.1/state"} {
		_, err := sysfs.Open(name)
		wantClass(t, err, fs.ErrNotExist)
	}
	_, err := sysfs.Open("/bus")
	wantClass(t, err, fs.ErrInvalid)
	directory, err := sysfs.Open("bus/dsa")
	wantNoError(t, err)
	_, err = directory.Read(make([]byte, 1))
	wantClass(t, err, fs.ErrInvalid)
}

// TestSysfsAttributes reads every attribute of the default machine.
func TestSysfsAttributes(t *testing.T) {
	_, sysfs := sysfsOf(t, Config{})
	for name, want := range map[string]string{
		"iax1/version":              "0x100",
		"iax1/state":                "enabled",
		"iax1/numa_node":            "0",
		"iax1/gen_cap":              "0x71f10901f0105",
		"iax1/op_cap":               "00000000,00000000,00000000,00000000,00000000,0000001c,00000000,00000001",
		"iax1/max_groups":           "4",
		"iax1/max_work_queues":      "8",
		"iax1/max_engines":          "8",
		"iax1/max_work_queues_size": "128",
		"iax1/max_transfer_size":    "2147483648",
		"iax1/pasid_enabled":        "1",
		"iax1/cdev_major":           "234",
		"iax1/configurable":         "1",
		"iax1/cmd_status":           "0x0",
		"iax1/clients":              "0",
		"iax1/errors":               strings.TrimSpace(strings.Repeat("0x0000000000000000 ", 4)),
		"wq1.0/state":               "enabled",
		"wq1.0/type":                "user",
		"wq1.0/driver_name":         "user",
		"wq1.0/mode":                "shared",
		"wq1.0/size":                "128",
		"wq1.0/threshold":           "128",
		"wq1.0/priority":            "10",
		"wq1.0/group_id":            "0",
		"wq1.0/block_on_fault":      "1",
		"wq1.0/max_transfer_size":   "2097152",
		"wq1.0/name":                "model",
		"wq1.0/cdev_minor":          "0",
		"wq1.0/clients":             "0",
		"wq1.0/ats_disable":         "0",
		"wq1.0/prs_disable":         "0",
		"wq1.0/enqcmds_retries":     "32",
		"wq1.0/op_config":           "00000000,00000000,00000000,00000000,00000000,0000001c,00000000,00000001",
		"engine1.0/group_id":        "0",
		"group1.0/engines":          "engine1.0 engine1.1 engine1.2 engine1.3 engine1.4 engine1.5 engine1.6 engine1.7",
		"group1.0/work_queues":      "wq1.0",
		"group1.1/engines":          "",
		"group1.1/work_queues":      "",
		"group1.0/traffic_class_a":  "1",
		"group1.0/traffic_class_b":  "1",
	} {
		wantEqual(t, name, attribute(t, sysfs, name), want)
		if !strings.HasPrefix(name, "iax1/") {
			wantEqual(t, name, attribute(t, sysfs, "iax1/"+name), want)
		}
	}
	// Not on this kind of device, and not of the first generation.
	for _, name := range []string{"iax1/max_batch_size", "iax1/iaa_cap", "iax1/event_log_size", "wq1.0/max_batch_size"} {
		_, err := fs.ReadFile(sysfs, "bus/dsa/devices/"+name)
		wantClass(t, err, fs.ErrNotExist)
	}
	_, err := fs.ReadFile(sysfs, "bus/dsa/devices/wq1.0/occupancy")
	wantClass(t, err, syscall.EOPNOTSUPP)
}

// TestSysfsShowsTheConfiguration has several devices, none of them plain.
func TestSysfsShowsTheConfiguration(t *testing.T) {
	_, sysfs := sysfsOf(t, Config{
		Devices: []DeviceConfig{
			{State: StateHalted, Queues: []QueueConfig{{}, {}}},
			{ID: 8, Generation: 2, NUMANode: -1, EngineGroups: []int{1, -1, 1}, Queues: []QueueConfig{
				{Mode: ModeDedicated, Size: 20, Group: 1, Type: "kernel", Priority: 3, Name: "iaa_crypto"},
				{Size: 30, Threshold: 20, Group: -1, MaxTransferBytes: 4096, Opcodes: []Opcode{OpcodeDecompress}, State: StateDisabled},
			}},
			{Queues: []QueueConfig{{Attributes: map[string]Attribute{
				"driver_name": Absent, "size": Text("many"), "clients": Unreadable(syscall.EIO),
			}}}, Attributes: map[string]Attribute{"pasid_enabled": Text("0")}, GroupAttributes: map[string]Attribute{"engines": Text("")}},
		},
		Files: map[string]Attribute{"bus/dsa/devices/iax8/gen_cap": Absent},
	})
	entries, err := fs.ReadDir(sysfs, "bus/dsa/devices")
	wantNoError(t, err)
	var devices []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "iax") {
			devices = append(devices, e.Name())
		}
	}
	if !slices.Equal(devices, []string{"iax1", "iax10", "iax8"}) {
		t.Errorf("devices are %v", devices)
	}
	for name, want := range map[string]string{
		"iax1/state":              "halted",
		"wq1.0/state":             "disabled",
		"wq1.0/size":              "64",
		"iax8/version":            "0x200",
		"iax8/iaa_cap":            "0x101",
		"iax8/numa_node":          "-1",
		"group8.1/engines":        "engine8.0 engine8.2",
		"group8.1/work_queues":    "wq8.0",
		"engine8.1/group_id":      "-1",
		"wq8.0/mode":              "dedicated",
		"wq8.0/threshold":         "0",
		"wq8.0/driver_name":       "crypto",
		"wq8.0/priority":          "3",
		"wq8.1/state":             "disabled",
		"wq8.1/threshold":         "20",
		"wq8.1/group_id":          "-1",
		"wq8.1/block_on_fault":    "0",
		"wq8.1/max_transfer_size": "4096",
		"wq8.1/op_config":         "00000000,00000000,00000000,00000000,00000000,00000004,00000000,00000000",
		"wq10.0/cdev_minor":       "4",
		"wq10.0/size":             "many",
		"iax10/pasid_enabled":     "0",
		"group10.0/engines":       "",
	} {
		wantEqual(t, name, attribute(t, sysfs, name), want)
	}
	for name, class := range map[string]error{
		"wq10.0/driver_name": fs.ErrNotExist,
		"wq10.0/clients":     syscall.EIO,
		"wq8.0/cdev_minor":   syscall.ENXIO,
		"wq1.0/cdev_minor":   syscall.ENXIO,
		"iax8/gen_cap":       fs.ErrNotExist,
	} {
		if _, err := fs.ReadFile(sysfs, "bus/dsa/devices/"+name); !errors.Is(err, class) {
			t.Errorf("%s: error is %v, want %v", name, err, class)
		}
	}
}

// TestSysfsIsLive reads what changes.
func TestSysfsIsLive(t *testing.T) {
	host, sysfs := sysfsOf(t, Config{Devices: []DeviceConfig{{Queues: make([]QueueConfig, 2)}}})
	file, err := sysfs.Open("bus/dsa/devices/wq1.0/clients")
	wantNoError(t, err)
	first, err := host.Open("iax/wq1.0")
	wantNoError(t, err)
	second, err := host.Open("iax/wq1.1")
	wantNoError(t, err)
	wantEqual(t, "clients of the queue", attribute(t, sysfs, "wq1.0/clients"), "1")
	wantEqual(t, "clients of the device", attribute(t, sysfs, "iax1/clients"), "2")
	old, err := io.ReadAll(file)
	wantNoError(t, err)
	wantEqual(t, "file that was opened before", string(old), "0\n")
	wantNoError(t, first.Close())
	wantNoError(t, second.Close())
	wantEqual(t, "clients of the device", attribute(t, sysfs, "iax1/clients"), "0")
	wantNoError(t, host.SetDeviceState("iax1", "unknown"))
	wantEqual(t, "state", attribute(t, sysfs, "iax1/state"), "unknown")
	wantEqual(t, "state of a queue", attribute(t, sysfs, "wq1.1/state"), "disabled")
}
