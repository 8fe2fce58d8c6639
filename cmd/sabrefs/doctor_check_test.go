package main

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"sabrefs/iaa"
)

// fakeDevice is a device node that opens.
type fakeDevice struct {
	version  int
	ioctlErr error
	closeErr error
}

func (d fakeDevice) ioctl(request uint) (int, error) {
	if request != kvmGetAPIVersion {
		return 0, syscall.ENOTTY
	}
	return d.version, d.ioctlErr
}

func (d fakeDevice) Close() error { return d.closeErr }

// Lines of /proc/self/status: all capabilities, none, and CAP_SYS_ADMIN only.
const (
	allCapabilities = "Name:\tsabrefs\nNoNewPrivs:\t0\nCapEff:\t000001ffffffffff\n"
	noCapabilities  = "Name:\tsabrefs\nNoNewPrivs:\t0\nCapEff:\t0000000000000000\n"
	onlySysAdmin    = "Name:\tsabrefs\nNoNewPrivs:\t0\nCapEff:\t0000000000200000\n"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }

// fakeMachine is one of a root to whom nothing is missing, or of a user to whom
// nothing is missing that a user can have.
func fakeMachine(euid int) machine {
	capabilities := allCapabilities
	if euid != 0 {
		capabilities = noCapabilities
	}
	return machine{
		files: fstest.MapFS{
			"proc/filesystems":                     file("nodev\tproc\n\text4\nnodev\tfuse\nnodev\tfusectl\n"),
			"proc/self/status":                     file(capabilities),
			"proc/self/uid_map":                    file("         0          0 4294967295\n"),
			"proc/cpuinfo":                         file("processor\t: 0\nflags\t\t: fpu vmx sse2\n\nprocessor\t: 1\nflags\t\t: fpu vmx sse2\n"),
			"proc/sys/fs/fuse/max_pages_limit":     file("256\n"),
			"proc/sys/vm/unprivileged_userfaultfd": file("0\n"),
			"sys/class/bdi/8:0/read_ahead_kb":      file("128\n"),
			"etc/fuse.conf":                        file("# comment\n  user_allow_other \n"),
			"usr/bin/fusermount3":                  &fstest.MapFile{Mode: 0o755 | fs.ModeSetuid},
		},
		euid: euid, arch: "amd64", self: "/opt/sabrefs",
		findProgram:       func(name string) (string, error) { return "/usr/bin/" + name, nil },
		openDevice:        func(string) (device, error) { return fakeDevice{version: kvmAPIVersion}, nil },
		mayWrite:          func(string) error { return nil },
		userfaultfd:       func(int) error { return nil },
		deviceUserfaultfd: func() error { return syscall.ENOENT },
		memlock:           func() (uint64, uint64, error) { return 16 << 20, 16 << 20, nil },
		release:           func() (string, error) { return "6.12.3-amd64", nil },
		accelerator:       func() iaa.Report { return iaa.Report{Usable: iaa.Yes, Reason: "1 queue"} },
	}
}

// with replaces files; a text of "" removes one.
func (m machine) with(texts map[string]string) machine {
	files, _ := m.files.(fstest.MapFS)
	files = maps.Clone(files)
	for path, text := range texts {
		files[path] = file(text)
		if text == "" {
			delete(files, path)
		}
	}
	m.files = files
	return m
}

// withDevice makes one device node fail to open, or be another.
func (m machine) withDevice(path string, dev device, err error) machine {
	others := m.openDevice
	m.openDevice = func(asked string) (device, error) {
		if asked != path {
			return others(asked)
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		return dev, nil
	}
	return m
}

func (m machine) withUserfaultfd(all, ofUsers error) machine {
	m.userfaultfd = func(flags int) error {
		if flags == faultsOfUsersOnly {
			return ofUsers
		}
		return all
	}
	return m
}

func (m machine) withMemlock(softBytes, hardBytes uint64, err error) machine {
	m.memlock = func() (uint64, uint64, error) { return softBytes, hardBytes, err }
	return m.with(map[string]string{"proc/self/status": noCapabilities})
}

func (m machine) withRelease(release string, err error) machine {
	m.release = func() (string, error) { return release, err }
	return m
}

func root() machine { return fakeMachine(0) }
func user() machine { return fakeMachine(1000) }

func status(text string) map[string]string { return map[string]string{"proc/self/status": text} }

// doctorCase is what one check says of one machine.
type doctorCase struct {
	situation string
	m         machine
	check     string
	verdict   verdict
	seen      string // part of it
	do        string // the beginning of one of its lines
}

var errOdd = errors.New("something odd")

func fuseCases() []doctorCase {
	const limit = "proc/sys/fs/fuse/max_pages_limit"
	noProgram := user()
	noProgram.findProgram = func(string) (string, error) { return "", fs.ErrNotExist }
	notSetuid := user().with(map[string]string{"usr/bin/fusermount3": "program"})
	return []doctorCase{
		{"all is there", root(), "fuse-device", verdictOK, "/dev/fuse", ""},
		{"no device", root().withDevice("/dev/fuse", nil, syscall.ENOENT), "fuse-device", verdictMissing, "no /dev/fuse", "modprobe fuse"},
		{"no device, user", user().withDevice("/dev/fuse", nil, syscall.ENOENT), "fuse-device", verdictMissing, "no /dev/fuse", "sudo modprobe fuse"},
		{"no driver", root().withDevice("/dev/fuse", nil, syscall.ENODEV), "fuse-device", verdictMissing, "driver", "modprobe fuse"},
		{"refused to root", root().withDevice("/dev/fuse", nil, syscall.EPERM), "fuse-device", verdictMissing, "operation not permitted", "# in a container"},
		{"refused to a user", user().withDevice("/dev/fuse", nil, syscall.EACCES), "fuse-device", verdictMissing, "permission denied", "sudo chmod 0666 /dev/fuse"},
		{"odd device", root().withDevice("/dev/fuse", nil, syscall.EIO), "fuse-device", verdictUnknown, "input/output error", ""},
		{"does not close", root().withDevice("/dev/fuse", fakeDevice{closeErr: syscall.EIO}, nil), "fuse-device", verdictUnknown, "close", ""},

		{"all is there", root(), "fuse-module", verdictOK, "knows", ""},
		{"only fusectl", root().with(map[string]string{"proc/filesystems": "nodev\tfusectl\n"}), "fuse-module", verdictMissing, "does not know", "modprobe fuse"},
		{"no proc", root().with(map[string]string{"proc/filesystems": ""}), "fuse-module", verdictUnknown, "/proc/filesystems", ""},

		{"all is there", root(), "fuse-mount", verdictOK, "CAP_SYS_ADMIN", ""},
		{"root without capabilities", root().with(status(noCapabilities)), "fuse-mount", verdictMissing, "CAP_SYS_ADMIN", "# in a container"},
		{"root of a user namespace", root().with(map[string]string{"proc/self/uid_map": "0 1000 1\n", "proc/self/status": onlySysAdmin}), "fuse-mount", verdictOK, "CAP_SYS_ADMIN", ""},
		{"odd capabilities", root().with(status("CapEff:\tall\n")), "fuse-mount", verdictUnknown, "capabilities", ""},
		{"no status", root().with(status("")), "fuse-mount", verdictUnknown, "capabilities", ""},
		{"user", user(), "fuse-mount", verdictOK, "/usr/bin/fusermount3", ""},
		{"no fusermount3", noProgram, "fuse-mount", verdictMissing, "no fusermount3", "sudo apt-get install fuse3"},
		{"fusermount3 is not setuid", notSetuid, "fuse-mount", verdictMissing, "not setuid", "sudo chmod 4755 /usr/bin/fusermount3"},
		{"fusermount3 cannot be seen", user().with(map[string]string{"usr/bin/fusermount3": ""}), "fuse-mount", verdictUnknown, "fusermount3", ""},
		{"no new privileges", user().with(status("NoNewPrivs:\t1\nCapEff:\t0\n")), "fuse-mount", verdictMissing, "no privileges", "# in a systemd unit: NoNewPrivileges=no"},

		{"root", root().with(map[string]string{"etc/fuse.conf": ""}), "fuse-allow-other", verdictOK, "root", ""},
		{"user", user(), "fuse-allow-other", verdictOK, "user_allow_other", ""},
		{"commented out", user().with(map[string]string{"etc/fuse.conf": "#user_allow_other\nmount_max = 5\n"}), "fuse-allow-other", verdictMissing, "no user_allow_other", "echo user_allow_other | sudo tee -a"},
		{"no configuration", user().with(map[string]string{"etc/fuse.conf": ""}), "fuse-allow-other", verdictMissing, "no /etc/fuse.conf", "echo"},

		{"all is there", root(), "fuse-request-size", verdictOK, "256", ""},
		{"lowered", root().with(map[string]string{limit: "64\n"}), "fuse-request-size", verdictMissing, "64", "sysctl -w fs.fuse.max_pages_limit=256"},
		{"odd limit", root().with(map[string]string{limit: "many"}), "fuse-request-size", verdictUnknown, limit, ""},
		{"fixed limit", root().with(map[string]string{limit: ""}), "fuse-request-size", verdictOK, "256", ""},
		{"old kernel", root().with(map[string]string{limit: ""}).withRelease("4.19.0", nil), "fuse-request-size", verdictMissing, "32 pages", "# use a kernel"},
		{"no version", root().with(map[string]string{limit: ""}).withRelease("", errOdd), "fuse-request-size", verdictUnknown, "odd", ""},
	}
}

func kvmCases() []doctorCase {
	noKVM := root().withDevice("/dev/kvm", nil, syscall.ENOENT)
	paraVirtual := root().with(map[string]string{"proc/cpuinfo": "flags : fpu hypervisor\n", "sys/module/kvm_pvm/refcnt": "1\n"})
	arm := root()
	arm.arch = "arm64"
	return []doctorCase{
		{"all is there", root(), "kvm", verdictOK, "API version 12", ""},
		{"another version", root().withDevice("/dev/kvm", fakeDevice{version: 11}, nil), "kvm", verdictMissing, "version 11", "# use another kernel"},
		{"no answer", root().withDevice("/dev/kvm", fakeDevice{ioctlErr: syscall.ENOTTY}, nil), "kvm", verdictUnknown, "version", ""},
		{"no device, Intel", noKVM, "kvm", verdictMissing, "no /dev/kvm", "modprobe kvm_intel"},
		{"no device, AMD", noKVM.with(map[string]string{"proc/cpuinfo": "flags : svm\n"}), "kvm", verdictMissing, "no /dev/kvm", "modprobe kvm_amd"},
		{"no device, neither", noKVM.with(map[string]string{"proc/cpuinfo": "flags : fpu\n"}), "kvm", verdictMissing, "no /dev/kvm", "modprobe kvm"},
		{"no driver", root().withDevice("/dev/kvm", nil, syscall.ENXIO), "kvm", verdictMissing, "driver", "modprobe kvm_intel"},
		{"refused to root", root().withDevice("/dev/kvm", nil, syscall.EPERM), "kvm", verdictMissing, "not permitted", "# in a container"},
		{"refused to a user", user().withDevice("/dev/kvm", nil, syscall.EACCES), "kvm", verdictMissing, "denied", "sudo setfacl -m u:$USER:rw /dev/kvm"},
		{"odd device", root().withDevice("/dev/kvm", nil, syscall.EIO), "kvm", verdictUnknown, "input/output", ""},

		{"Intel", root(), "hardware-virtualization", verdictOK, "vmx", ""},
		{"AMD", root().with(map[string]string{"proc/cpuinfo": "flags : svm\n"}), "hardware-virtualization", verdictOK, "svm", ""},
		{"para-virtual", paraVirtual, "hardware-virtualization", verdictMissing, "kvm_pvm", "# this machine is a VM"},
		{"turned off", root().with(map[string]string{"proc/cpuinfo": "flags : fpu\n"}), "hardware-virtualization", verdictMissing, "slowly", "# turn on"},
		{"no flags", root().with(map[string]string{"proc/cpuinfo": "model name : none\n"}), "hardware-virtualization", verdictUnknown, "flags", ""},
		{"another architecture", arm, "hardware-virtualization", verdictUnknown, "processor", ""},

		{"all is there", root(), "userfaultfd", verdictOK, "system call", ""},
		{"by the device", byDevice(user().withUserfaultfd(syscall.EPERM, nil)), "userfaultfd", verdictOK, "/dev/userfaultfd", ""},
		{"user mode only", user().withUserfaultfd(syscall.EPERM, nil), "userfaultfd", verdictMissing, "user mode only", "sudo setfacl -m u:$USER:rw /dev/userfaultfd"},
		{"filtered", user().withUserfaultfd(syscall.EPERM, syscall.EPERM).with(map[string]string{"proc/sys/vm/unprivileged_userfaultfd": "1\n"}), "userfaultfd", verdictMissing, "refused", "# in a container"},
		{"filtered for root", root().withUserfaultfd(syscall.EPERM, syscall.EPERM), "userfaultfd", verdictMissing, "refused", "# in a container"},
		{"no system call", user().withUserfaultfd(syscall.ENOSYS, syscall.ENOSYS), "userfaultfd", verdictMissing, "no userfaultfd", "# use a kernel"},
		{"no memory", user().withUserfaultfd(syscall.ENOMEM, syscall.ENOMEM), "userfaultfd", verdictUnknown, "memory", ""},
	}
}

func byDevice(m machine) machine {
	m.deviceUserfaultfd = func() error { return nil }
	return m
}

func limitCases() []doctorCase {
	readOnlySys := root()
	readOnlySys.mayWrite = func(string) error { return syscall.EROFS }
	return []doctorCase{
		{"all is there", root(), "read-ahead", verdictOK, "read-ahead", ""},
		{"sysfs is read-only", readOnlySys, "read-ahead", verdictMissing, "read-only", "echo 1024 | sudo tee"},
		{"no device", root().with(map[string]string{"sys/class/bdi/8:0/read_ahead_kb": ""}), "read-ahead", verdictUnknown, "/sys/class/bdi", ""},

		{"root", root(), "portal-mapping", verdictOK, "CAP_SYS_RAWIO", ""},
		{"user", user(), "portal-mapping", verdictMissing, "CAP_SYS_RAWIO", "sudo setcap cap_sys_rawio,cap_ipc_lock+ep /opt/sabrefs"},
		{"root of a user namespace", root().with(map[string]string{"proc/self/uid_map": "0 1000 1\n"}), "portal-mapping", verdictMissing, "CAP_SYS_RAWIO", "setcap"},
		{"no map of users", root().with(map[string]string{"proc/self/uid_map": ""}), "portal-mapping", verdictUnknown, "capabilities", ""},
		{"no status", root().with(status("")), "portal-mapping", verdictUnknown, "capabilities", ""},

		{"CAP_IPC_LOCK", root(), "locked-memory", verdictOK, "CAP_IPC_LOCK", ""},
		{"enough", user(), "locked-memory", verdictOK, "16384 KiB", ""},
		{"just enough", user().withMemlock(8<<20, 8<<20, nil), "locked-memory", verdictOK, "8192 KiB", ""},
		{"no limit", user().withMemlock(unix.RLIM_INFINITY, unix.RLIM_INFINITY, nil), "locked-memory", verdictOK, "no limit", ""},
		{"soft limit", user().withMemlock(4<<20, 16<<20, nil), "locked-memory", verdictMissing, "4096 KiB", "ulimit -l 8192"},
		{"hard limit", user().withMemlock(4<<20, 8<<20-1, nil), "locked-memory", verdictMissing, "4096 KiB", "# in a systemd unit: LimitMEMLOCK=8M"},
		{"no answer", user().withMemlock(0, 0, syscall.EFAULT), "locked-memory", verdictUnknown, "limit", ""},

		{"new kernel", root(), "kernel", verdictOK, "Linux 6.12.3-amd64, amd64", ""},
		{"kernel without queues", root().withRelease("5.10.0-1", nil), "kernel", verdictOK, "5.18", ""},
		{"old kernel", root().withRelease("4.19.7", nil), "kernel", verdictMissing, "4.19.7", "# use a kernel"},
		{"odd kernel", root().withRelease("next", nil), "kernel", verdictUnknown, `"next"`, ""},
	}
}

// TestArenaBytes: what doctor asks for is enough, and not too much.
func TestArenaBytes(t *testing.T) {
	if locked := (iaa.DeviceOptions{}).LockedBytes(); locked > arenaBytes || locked < arenaBytes/2 {
		t.Errorf("the engine locks %d bytes, doctor says %d", locked, arenaBytes)
	}
}

// oneOfEach is a report with a device and a queue of each verdict.
func oneOfEach() iaa.Report {
	queue := func(name string, usable iaa.Verdict, reason, submit string, fix ...string) iaa.QueueReport {
		return iaa.QueueReport{Name: name, Node: "iax/" + name, Usable: usable, Reason: reason, Fix: fix, Mode: "shared", Submit: submit, Size: 16}
	}
	return iaa.Report{
		Usable: iaa.Yes, Reason: "1 of 3 queues can be used",
		Devices: []iaa.DeviceReport{
			{
				Name: "iax1", Usable: iaa.Yes, Reason: "it answers", State: "enabled", Generation: 1, NUMANode: 0, Engines: 8,
				Queues: []iaa.QueueReport{
					queue("wq1.0", iaa.Yes, "it answers", "enqcmd"),
					queue("wq1.1", iaa.No, "it belongs to the kernel", "", "accel-config disable-wq iax1/wq1.1"),
				},
			},
			{
				Name: "iax3", Usable: iaa.No, Reason: "it is disabled", State: "disabled", NUMANode: -1, Engines: -1,
				Fix:    []string{"accel-config enable-device iax3"},
				Queues: []iaa.QueueReport{{Name: "wq3.0", Usable: iaa.Unknown, Reason: "its state cannot be read", Mode: "unknown", Size: -1}},
			},
		},
	}
}

func acceleratorCases() []doctorCase {
	none, each := root(), root()
	none.accelerator = func() iaa.Report { return iaa.Report{Usable: iaa.No, Reason: "no device"} }
	each.accelerator = oneOfEach
	return []doctorCase{
		{"no accelerator", none, "accelerator", verdictMissing, "no device", ""},
		{"one of each", each, "accelerator", verdictOK, "1 of 3 queues", ""},
		{"one of each", each, "iax1", verdictOK, "it answers; enabled, 8 engines in groups, NUMA node 0", ""},
		{"one of each", each, "wq1.0", verdictOK, "it answers; shared, 16 slots, by enqcmd", ""},
		{"one of each", each, "wq1.1", verdictMissing, "it belongs to the kernel; shared, 16 slots", "accel-config disable-wq iax1/wq1.1"},
		{"one of each", each, "iax3", verdictMissing, "it is disabled; disabled", "accel-config enable-device iax3"},
		{"one of each", each, "wq3.0", verdictUnknown, "its state cannot be read; unknown", ""},
	}
}

// TestDoctorVerdicts looks at one machine after the other.
func TestDoctorVerdicts(t *testing.T) {
	seen := map[string]map[verdict]bool{}
	for _, c := range slices.Concat(fuseCases(), kvmCases(), limitCases(), acceleratorCases()) {
		t.Run(c.check+"/"+c.situation, func(t *testing.T) {
			got := checkOf(t, diagnose(c.m), c.check)
			if got.Verdict != c.verdict || !strings.Contains(got.Seen, c.seen) {
				t.Errorf("%s: %q, want %s: ...%s...", got.Verdict, got.Seen, c.verdict, c.seen)
			}
			advised := slices.ContainsFunc(got.Do, func(line string) bool { return strings.HasPrefix(line, c.do) })
			if advised != (c.do != "") {
				t.Errorf("%s says to do %q, want %q", got.Name, got.Do, c.do)
			}
		})
		if seen[c.check] == nil {
			seen[c.check] = map[verdict]bool{}
		}
		seen[c.check][c.verdict] = true
	}
	for _, c := range diagnose(root()).Checks { // no check is left out
		for _, v := range []verdict{verdictOK, verdictMissing, verdictUnknown} {
			if !seen[c.Name][v] && (c.Name != "fuse-allow-other" && c.Name != "accelerator" || v != verdictUnknown) {
				t.Errorf("no case in which %s is %s", c.Name, v)
			}
		}
	}
}

func checkOf(t *testing.T, d diagnosis, name string) check {
	t.Helper()
	i := slices.IndexFunc(d.Checks, func(c check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no check %q in %+v", name, d.Checks)
	}
	return d.Checks[i]
}

// TestDoctorFailsForMountingOnly takes everything away, bit by bit.
func TestDoctorFailsForMountingOnly(t *testing.T) {
	for _, c := range slices.Concat(fuseCases(), kvmCases(), limitCases(), acceleratorCases()) {
		required := c.check == "fuse-device" || c.check == "fuse-module" || c.check == "fuse-mount"
		err := diagnose(c.m).err()
		if want := required && c.verdict == verdictMissing; want != errors.Is(err, errNotReady) || want && !strings.Contains(err.Error(), c.check) {
			t.Errorf("%s of %s: error is %v", c.situation, c.check, err)
		}
	}
}
