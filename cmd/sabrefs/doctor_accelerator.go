package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"sabrefs/iaa"
	"sabrefs/iaa/portal"
)

// arenaBytes is the most memory that the accelerator's engine locks.
const arenaBytes = 8 << 20

// findAccelerators looks for accelerators where those look that would use them:
// the environment may choose a model.
func findAccelerators() iaa.Report {
	host, err := iaa.SelectedHost(os.Getenv(iaa.EngineVariable))
	if err != nil {
		return iaa.Report{Reason: oneLine(err), Devices: []iaa.DeviceReport{}}
	}
	report := tryAccelerators(host)
	if modeled, isModel := host.(io.Closer); isModel {
		if err := modeled.Close(); err != nil {
			report.Usable, report.Reason = iaa.Unknown, oneLine(err)
		}
	}
	return report
}

// tryAccelerators opens what can be used, for only that tells whether a queue
// answers, and closes it.
func tryAccelerators(host portal.Host) iaa.Report {
	quiet := slog.New(slog.DiscardHandler) // the report says it all
	engine, report, err := iaa.OpenDevice(host, iaa.Software(), iaa.DeviceOptions{Logger: quiet})
	if err == nil {
		err = engine.Close()
	}
	if err != nil && !errors.Is(err, iaa.ErrNoDevice) {
		report.Usable, report.Reason = iaa.Unknown, oneLine(err)
	}
	return report
}

// checkAccelerator has a line for the whole, for each device and each queue.
func checkAccelerator(report iaa.Report) []check {
	checks := []check{acceleratorCheck("accelerator", report.Usable, report.Reason, report.Fix)}
	for _, dev := range report.Devices {
		checks = append(checks, acceleratorCheck(dev.Name, dev.Usable, deviceSeen(dev), dev.Fix))
		for _, queue := range dev.Queues {
			checks = append(checks, acceleratorCheck(queue.Name, queue.Usable, queueSeen(queue), queue.Fix))
		}
	}
	return checks
}

func acceleratorCheck(name string, usable iaa.Verdict, seen string, fix []string) check {
	switch usable {
	case iaa.Yes:
		return ok(name, seen)
	case iaa.No:
		return missing(name, seen, fix...)
	case iaa.Unknown:
	}
	c := unknown(name, seen)
	c.Do = append(c.Do, fix...)
	return c
}

func deviceSeen(dev iaa.DeviceReport) string {
	seen := fmt.Sprintf("%s; %s", dev.Reason, dev.State)
	if dev.Engines >= 0 {
		seen += fmt.Sprintf(", %d engines in groups", dev.Engines)
	}
	if dev.NUMANode >= 0 {
		seen += fmt.Sprintf(", NUMA node %d", dev.NUMANode)
	}
	return seen
}

func queueSeen(queue iaa.QueueReport) string {
	seen := fmt.Sprintf("%s; %s", queue.Reason, queue.Mode)
	if queue.Size >= 0 {
		seen += fmt.Sprintf(", %d slots", queue.Size)
	}
	if queue.Submit != "" {
		seen += ", by " + queue.Submit
	}
	return seen
}

// checkPortalMapping: since 2024 kernels let only CAP_SYS_RAWIO map a queue's
// portal. Source: Intel advisory INTEL-SA-01084, Linux 6.10.
func checkPortalMapping(m machine) check {
	const name = "portal-mapping"
	has, err := m.hasHostCapability(unix.CAP_SYS_RAWIO)
	switch {
	case err != nil:
		return unknown(name, "capabilities: "+cause(err))
	case !has:
		return missing(name, "no CAP_SYS_RAWIO; an accelerator is then driven by write(2), a system call for each batch",
			m.grantCapabilities(), "# in a container: start it with --cap-add SYS_RAWIO")
	default:
		return ok(name, "CAP_SYS_RAWIO lets queues of an accelerator be mapped")
	}
}

// checkLockedMemory: memory that the accelerator writes to must stay where it is.
func checkLockedMemory(m machine) check {
	const name = "locked-memory"
	if has, err := m.hasHostCapability(unix.CAP_IPC_LOCK); err == nil && has {
		return ok(name, "CAP_IPC_LOCK lets any amount be locked")
	}
	softBytes, hardBytes, err := m.memlock()
	if err != nil {
		return unknown(name, "limit of locked memory: "+cause(err))
	}
	if softBytes == unix.RLIM_INFINITY {
		return ok(name, "no limit")
	}
	seen := fmt.Sprintf("limit %s KiB, an accelerator needs up to %s", kibText(softBytes), kibText(arenaBytes))
	switch {
	case softBytes >= arenaBytes:
		return ok(name, seen)
	case hardBytes >= arenaBytes:
		return missing(name, seen, "ulimit -l "+kibText(arenaBytes), "# in a systemd unit: LimitMEMLOCK=8M")
	default:
		return missing(name, seen, "# in a systemd unit: LimitMEMLOCK=8M", "# in a container: start it with --ulimit memlock=8388608",
			"echo \"$USER - memlock "+kibText(arenaBytes)+"\" | sudo tee /etc/security/limits.d/sabrefs.conf", "# then log in again")
	}
}

// grantCapabilities lets whoever runs the program use an accelerator at its best.
func (m machine) grantCapabilities() string {
	return m.asRoot("setcap cap_sys_rawio,cap_ipc_lock+ep " + m.self)
}
