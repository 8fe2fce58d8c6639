// Guestsnap makes the snapshots of the test guest and resumes them.
//
//	guestsnap [--guest python|node]          builds, or finds in the cache, and prints the first snapshot's directory
//	guestsnap resume [--mem PATH] SNAPDIR    resumes, compares every answer, prints the timings as JSON
//
// Progress goes to standard error. The exit status is 1 if anything failed, in
// particular if a resumed guest answers otherwise than the live one did.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sabrefs/tests/guest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "guestsnap:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string, out, log io.Writer) error {
	if len(arguments) > 0 && arguments[0] == "resume" {
		return resume(ctx, arguments[1:], out, log)
	}
	return build(ctx, arguments, out, log)
}

func build(ctx context.Context, arguments []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("guestsnap", flag.ContinueOnError)
	flags.SetOutput(log)
	name := flags.String("guest", guest.Python().Name(), "the guest to build: python or node")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown command %q; usage: guestsnap [--guest python|node] or guestsnap resume [--mem PATH] SNAPDIR", flags.Arg(0))
	}
	kind, err := guest.ByName(*name)
	if err != nil {
		return err
	}
	snapshot, err := kind.Build(ctx, log)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, snapshot.Dir)
	return err
}

func resume(ctx context.Context, arguments []string, out, log io.Writer) (err error) {
	flags := flag.NewFlagSet("guestsnap resume", flag.ContinueOnError)
	flags.SetOutput(log)
	memPath := flags.String("mem", "", "file that holds the guest's RAM (default SNAPDIR/mem_file)")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("usage: guestsnap resume [--mem PATH] SNAPDIR")
	}
	snapshot := guest.Snapshot{Dir: flags.Arg(0)}
	if *memPath == "" {
		*memPath = snapshot.MemPath()
	}
	vm, err := guest.Resume(ctx, snapshot, *memPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	return checkAndReport(ctx, vm, snapshot, out)
}

// report is what resume prints.
type report struct {
	QEMUStartMillis   float64 `json:"qemu_start_ms"`
	IncomingMillis    float64 `json:"incoming_ms"`
	FirstAnswerMillis float64 `json:"first_answer_ms"`
	AllAnswersMillis  float64 `json:"all_answers_ms"`
}

func checkAndReport(ctx context.Context, vm *guest.VM, snapshot guest.Snapshot, out io.Writer) error {
	startedAt := time.Now()
	if err := vm.CheckAnswers(ctx, snapshot); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(report{
		QEMUStartMillis:   milliseconds(vm.Timings.QEMUStart),
		IncomingMillis:    milliseconds(vm.Timings.Incoming),
		FirstAnswerMillis: milliseconds(vm.Timings.FirstAnswer),
		AllAnswersMillis:  milliseconds(time.Since(startedAt)),
	})
}

func milliseconds(duration time.Duration) float64 {
	return float64(duration.Microseconds()) / 1000
}
