//go:build linux && amd64

// Labinit is the first process of the laboratory (see sabrefs/tests/lab). It makes
// the machine usable, starts itself as a second process that carries out the plan,
// buries the dead meanwhile, and turns the machine off.
//
// That second process is needed because the first one must wait for every orphan
// of the machine: a daemon that a test has ended would otherwise remain as a
// zombie, and waiting for any child would take from os/exec those that it has
// started.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"sabrefs/tests/lab"
	"sabrefs/tests/lab/early"
)

// moduleParameters: tests shall see guests that cannot run guests of their own,
// so that no state of such is missing in a snapshot.
var moduleParameters = map[string]string{"kvm-amd.ko": "nested=0"}

func main() {
	if os.Getpid() != 1 {
		os.Exit(work())
	}
	if err := prepareAndWork(); err != nil {
		fmt.Fprintln(os.Stderr, "labinit:", err)
	}
	// Had it returned, the kernel's panic would end the machine as well.
	fmt.Fprintln(os.Stderr, "labinit:", early.End(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

func prepareAndWork() error {
	plan, err := readPlan()
	if err != nil {
		return err
	}
	if err := prepare(plan); err != nil {
		return err
	}
	held, err := holdMachine()
	if err != nil {
		return err
	}
	child, err := startWorker()
	if err == nil {
		err = buryUntil(child)
	}
	return errors.Join(err, held.close())
}

func readPlan() (plan lab.Plan, err error) {
	text, err := os.ReadFile(lab.PlanPath)
	if err != nil {
		return plan, err
	}
	err = json.Unmarshal(text, &plan)
	return plan, err
}

// startWorker starts this program again, on the serial console as its terminal,
// so that shells can control jobs there.
func startWorker() (pid int, err error) {
	console, err := os.OpenFile("/dev/ttyS0", os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer console.Close()
	process, err := os.StartProcess("/init", []string{"labinit"}, &os.ProcAttr{
		Files: []*os.File{console, console, console},
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: true},
	})
	if err != nil {
		return 0, err
	}
	pid = process.Pid // which Release forgets
	return pid, process.Release()
}

// buryUntil waits for every process until the worker is among them.
func buryUntil(worker int) error {
	for {
		pid, err := syscall.Wait4(-1, nil, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("wait for processes: %w", err)
		case pid == worker:
			return nil
		}
	}
}

// work carries out the plan and reports; its exit status has no reader.
func work() int {
	plan, err := readPlan()
	if err == nil {
		err = carryOut(plan)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "labinit:", err)
		return 1
	}
	return 0
}

func carryOut(plan lab.Plan) error {
	if len(plan.Command) > 0 {
		return writeReport(plan.ReportPath, runCommand(plan))
	}
	return runTests(plan)
}

// writeReport replaces what was there, as a whole: the machine may be turned off, or
// stall, at any time.
func writeReport(path string, report lab.Report) error {
	text, err := json.Marshal(report)
	if err != nil {
		return err
	}
	const ownerOnly = 0o600
	if err := os.WriteFile(path+".new", text, ownerOnly); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
