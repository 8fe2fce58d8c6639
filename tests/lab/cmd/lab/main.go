// Lab runs tests, or any command, in a machine with KVM (see sabrefs/tests/lab).
//
//	lab [--run REGEX]    runs the tests whose names begin with TestKVM and match
//	lab -- COMMAND...    runs a command, in the root of the tree
//
// Tests end with the line "N passed, N failed" and exit status 1 unless there
// were tests and all passed. A command's exit status becomes that of lab. For it
// the tree is writable, and the sabrefs command and busybox are in the PATH; `lab
// -- sh` gives a shell.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"sabrefs/tests/lab"
)

// errTests is returned after a run that did not pass; all has been said then.
var errTests = errors.New("not all tests passed")

// commandError is the exit status of a command.
type commandError int

func (e commandError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

type options struct {
	match     *regexp.Regexp
	deadline  time.Duration
	memoryMiB int
	command   []string
	out       io.Writer
}

func main() {
	// QEMU ends with the thread that has started it: that must be the one which
	// lives as long as the process.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if status, isCommand := errors.AsType[commandError](err); isCommand {
		os.Exit(int(status))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func parseOptions(arguments []string) (options, error) {
	o := options{out: os.Stdout}
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	pattern := flags.String("run", "", "only run tests whose names match this regular expression")
	flags.DurationVar(&o.deadline, "deadline", 15*time.Minute, "turn the machine off after this time")
	flags.IntVar(&o.memoryMiB, "memory", 3072, "memory of the machine in MiB")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	var err error
	if o.match, err = regexp.Compile(*pattern); err != nil {
		return o, fmt.Errorf("--run: %w", err)
	}
	o.command = flags.Args()
	return o, nil
}

func run(ctx context.Context, arguments []string) (err error) {
	o, err := parseOptions(arguments)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.deadline, fmt.Errorf("deadline of %s has passed", o.deadline))
	defer cancel()
	workshop, err := openWorkshop(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, workshop.Close()) }()
	report, err := experiment(ctx, workshop, o)
	if err != nil {
		return err
	}
	return conclude(o, report)
}

func openWorkshop(ctx context.Context) (lab.Workshop, error) {
	root, err := lab.TreeRoot(ctx)
	if err != nil {
		return lab.Workshop{}, err
	}
	downloads, err := lab.Download(ctx, os.Stderr)
	if err != nil {
		return lab.Workshop{}, err
	}
	return lab.OpenWorkshop(root, downloads)
}

// experiment builds what is needed and lets the machine run to its end.
func experiment(ctx context.Context, workshop lab.Workshop, o options) (report lab.Report, err error) {
	started := time.Now()
	plan := workshop.NewPlan(len(o.command) == 0)
	if plan.Command = o.command; len(o.command) == 0 {
		// Earlier than the machine, so that a hanging test can still say where.
		if plan.Tests, err = workshop.BuildTests(ctx, o.match, o.deadline*2/3); err != nil {
			return report, err
		}
	}
	if err := workshop.BuildFiles(ctx); err != nil {
		return report, err
	}
	built, usedBuilding := time.Now(), childrenCPU()
	report, err = runTwiceAtMost(ctx, workshop, plan, o)
	if len(o.command) == 0 {
		fmt.Fprintf(os.Stderr, "lab: built in %.1f s, ran for %.1f s, with %.1f s of processor time\n",
			built.Sub(started).Seconds(), time.Since(built).Seconds(), (childrenCPU() - usedBuilding).Seconds())
	}
	return report, err
}

const (
	// maxMachines bounds how often it is begun anew when the emulator stalls.
	maxMachines = 3
	// stallAfter is several times what the slowest test takes without a word, and more
	// than tests wait for a guest that does not answer.
	stallAfter = 2 * time.Minute
)

// runTwiceAtMost carries out the plan, and runs the packages once more in which a test
// failed: an interrupt that the emulator loses hangs a guest as well as a machine.
func runTwiceAtMost(ctx context.Context, workshop lab.Workshop, plan lab.Plan, o options) (lab.Report, error) {
	report, err := runPlan(ctx, workshop, plan, o)
	failed := report.FailedPackages()
	if err != nil || len(failed) == 0 {
		return report, err
	}
	fmt.Fprintf(o.out, "lab: tests failed in %s: what counts is how they end in another machine\n", strings.Join(failed, ", "))
	again, err := runPlan(ctx, workshop, plan.Only(failed), o)
	report.Supersede(again)
	return report, err
}

// runPlan carries out the plan. Where a machine stalls, another one runs the tests of
// those packages that were not done: of that in which it stalled, too. If it stalls there
// again, that is no accident.
func runPlan(ctx context.Context, workshop lab.Workshop, plan lab.Plan, o options) (report lab.Report, err error) {
	var stalledIn string
	for machines := 1; ; machines++ {
		err := runMachine(ctx, workshop, plan, o)
		if err != nil && !errors.Is(err, lab.ErrStalled) {
			return report, err
		}
		part, readErr := workshop.ReadReport(err != nil)
		if readErr != nil {
			return report, errors.Join(err, readErr)
		}
		report.Add(part)
		plan = plan.Without(part.Packages)
		if err == nil {
			return report, allDone(plan)
		}
		if machines == maxMachines || len(plan.Tests) == 0 || plan.Tests[0].Package == stalledIn {
			return report, err
		}
		stalledIn = plan.Tests[0].Package
		fmt.Fprintf(o.out, "lab: %v, in %s; another machine goes on there\n", err, stalledIn)
	}
}

// allDone is an error if something is left to do in a plan after a machine has ended by
// itself, as it does after a panic.
func allDone(rest lab.Plan) error {
	if len(rest.Tests) > 0 {
		return fmt.Errorf("the laboratory ended in %s before all tests were done", rest.Tests[0].Package)
	}
	return nil
}

// runMachine lets one machine run to its end.
func runMachine(ctx context.Context, workshop lab.Workshop, plan lab.Plan, o options) error {
	initramfsPath, err := workshop.BuildInitramfs(ctx, plan)
	if err != nil {
		return err
	}
	machine := lab.Machine{
		KernelPath: workshop.Downloads.KernelPath(), InitramfsPath: initramfsPath,
		Mounts: plan.Mounts, MemoryMiB: o.memoryMiB, Console: o.out,
		MonitorPath: workshop.MonitorPath(),
	}
	if len(o.command) > 0 {
		machine.Keys = os.Stdin
	} else {
		machine.StallAfter = stallAfter
	}
	return machine.Run(ctx)
}

// childrenCPU is the processor time of what was started and has ended: what a run
// costs however busy the machine is.
func childrenCPU() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// conclude prints what tests have come to, or makes an error of a command's end.
func conclude(o options, report lab.Report) error {
	if len(o.command) > 0 {
		if report.Failure != "" {
			fmt.Fprintln(os.Stderr, "lab:", report.Failure)
		}
		if report.CommandStatus != 0 {
			return commandError(report.CommandStatus)
		}
		return nil
	}
	if err := report.Write(o.out); err != nil {
		return err
	}
	if passed, failed := report.Count(); failed > 0 || passed == 0 {
		return errTests
	}
	return nil
}
