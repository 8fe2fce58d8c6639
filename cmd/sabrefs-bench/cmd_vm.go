//go:build amd64

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sabrefs/vmm/kvm"
)

// vmFlags are the options of vm.
type vmFlags struct {
	sabrefs, workDir  string
	runs, clones, mib int
	json              bool
}

func newVMCommand() *cobra.Command {
	var flags vmFlags
	cmd := &cobra.Command{
		Use:   "vm",
		Short: "Time restoring the built-in guest, and count the memory of its clones",
		Long: `Start the built-in guest, take a snapshot of it, pack and mount it. Then restore it
again and again, in turn from the raw file and from the mount, all pages of both being
in the page cache, and ask it for a value. In the same rounds, make and end a machine
with one processor by KVM alone: the floor, which the kernel takes whoever asks.

  floor      making VM, interrupt controllers, timer and processor
  restore    from the beginning of the restore to the first instruction
  beyond     the difference of the two medians
  answer     from the start of the process to the guest's first answer

The memory of a machine's process beside the guest's is what is resident outside the
mapping of the memory file, its program included. With --clones, so many machines are
restored from the mount, each adds up the whole table, and what they take is counted by
the kernel's proportional shares (PSS): pages that N processes share count 1/N in each.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runVMBench(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.sabrefs, "sabrefs", "", "sabrefs binary (default: beside this program, or in PATH)")
	f.StringVar(&flags.workDir, "work-dir", "", "directory for the snapshot and the image (default: a temporary one)")
	f.IntVar(&flags.runs, "runs", 21, "rounds of measurements")
	f.IntVar(&flags.clones, "clones", 50, "machines at once; 0 leaves them out")
	f.IntVar(&flags.mib, "mib", 32, "size of the guest's table in MiB")
	f.BoolVar(&flags.json, "json", false, `print {"rows": [...]}`)
	return cmd
}

// vmRow is the result for one place of the memory file. Times are medians.
type vmRow struct {
	From            string  `json:"from"`
	Runs            int     `json:"runs"`
	FloorMS         float64 `json:"floor_ms"`
	RestoreMS       float64 `json:"restore_ms"`
	RestoreMaxMS    float64 `json:"restore_max_ms"`
	BeyondMS        float64 `json:"beyond_ms"`
	AnswerMS        float64 `json:"answer_ms"`
	ProcessRSSBytes int64   `json:"process_rss_bytes"` // beside the guest's pages, the median
	ProcessRSSMax   int64   `json:"process_rss_max_bytes"`
	ProcessPSSBytes int64   `json:"process_pss_bytes"` // the same with shared pages by share
	// The rest is of --clones.
	Clones               int   `json:"clones"`
	GuestRSSBytes        int64 `json:"guest_rss_bytes"` // of all clones, shared pages counted in each
	GuestPSSBytes        int64 `json:"guest_pss_bytes"` // of all clones, shared pages counted once
	GuestPrivateBytes    int64 `json:"guest_private_bytes"`
	AllProcessesPSSBytes int64 `json:"all_processes_pss_bytes"` // beside the guests' pages

	memoryPath               string
	floors, restores, answer []time.Duration
	rss, pss                 []int64
}

// vmBench is one run of vm.
type vmBench struct {
	flags   vmFlags
	log     io.Writer
	sabrefs sabrefsBinary
	dir     string
	rows    []vmRow
}

func runVMBench(ctx context.Context, out, log io.Writer, flags vmFlags) error {
	if flags.runs < 1 || flags.clones < 0 {
		return fmt.Errorf("%d runs, %d clones: expected at least one run", flags.runs, flags.clones)
	}
	sabrefs, err := findSabrefs(flags.sabrefs)
	if err != nil {
		return err
	}
	b := &vmBench{flags: flags, log: log, sabrefs: sabrefs}
	err = inWorkDir(flags.workDir, func(dir string) error {
		b.dir = dir
		return b.measure(ctx)
	})
	if err != nil {
		return err
	}
	return printResult(out, b.rows, flags.json, printVM)
}

func (b *vmBench) snapshotDir() string { return filepath.Join(b.dir, "snapshot") }
func (b *vmBench) point() string       { return filepath.Join(b.dir, "mnt") }

func (b *vmBench) measure(ctx context.Context) (err error) {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	defer func() {
		_, umountErr := b.sabrefs.run(context.WithoutCancel(ctx), "umount", b.point())
		err = errors.Join(err, umountErr)
	}()
	b.rows = []vmRow{
		{From: "raw file", memoryPath: filepath.Join(b.snapshotDir(), memoryName)},
		{From: "mount", memoryPath: filepath.Join(b.point(), "guest", memoryName)},
	}
	for i := range b.rows {
		if err := readAll(b.rows[i].memoryPath); err != nil {
			return err
		}
	}
	for round := range b.flags.runs {
		fmt.Fprintf(b.log, "round %d of %d\n", round+1, b.flags.runs)
		for i := range b.rows {
			if err := b.round(ctx, &b.rows[i]); err != nil {
				return fmt.Errorf("from the %s: %w", b.rows[i].From, err)
			}
		}
	}
	for i := range b.rows {
		b.rows[i].finish()
	}
	if b.flags.clones > 0 {
		return b.countClones(ctx, &b.rows[1])
	}
	return nil
}

// prepare takes a snapshot of a new guest, packs and mounts it.
func (b *vmBench) prepare(ctx context.Context) error {
	socket := filepath.Join(b.dir, "vm.sock")
	m, err := b.startGuest(ctx, "vm", "run", "--builtin-guest", "--cmdline", fmt.Sprintf("mib=%d", b.flags.mib),
		"--memory", fmt.Sprintf("%dM", b.flags.mib+guestOverheadMiB), "--api-sock", socket)
	if err != nil {
		return err
	}
	_, err = m.client.WaitReady(ctx)
	if err == nil {
		_, err = b.sabrefs.run(ctx, "vm", "snapshot", "--api-sock", socket, b.snapshotDir())
	}
	if err := errors.Join(err, m.stop()); err != nil {
		return err
	}
	storeDir := filepath.Join(b.dir, "store")
	if err := os.Mkdir(storeDir, 0o755); err != nil {
		return err
	}
	if _, err := b.sabrefs.run(ctx, "pack", b.snapshotDir(), filepath.Join(storeDir, "guest")); err != nil {
		return err
	}
	if err := os.Mkdir(b.point(), 0o755); err != nil {
		return err
	}
	_, err = b.sabrefs.run(ctx, "mount", storeDir, b.point())
	return err
}

// guestOverheadMiB is what the guest needs beside its table, and then some.
const guestOverheadMiB = 8

// readAll puts a file into the page cache.
func readAll(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

// round restores the guest once from a memory file, and measures the floor once.
func (b *vmBench) round(ctx context.Context, r *vmRow) error {
	floor, err := measureKVMFloor()
	if err != nil {
		return err
	}
	began := time.Now()
	m, err := b.startGuest(ctx, "vm", "restore", "--json", "--memory", r.memoryPath, b.snapshotDir())
	if err != nil {
		return err
	}
	_, err = m.client.Get(ctx, 1)
	answered := time.Since(began)
	var used processMemory
	if err == nil {
		used, err = memoryOf(m.cmd.Process.Pid, r.memoryPath)
	}
	if err := errors.Join(err, m.stop()); err != nil {
		return err
	}
	times, err := m.times()
	if err != nil {
		return err
	}
	r.floors, r.answer = append(r.floors, floor), append(r.answer, answered)
	r.restores = append(r.restores, times.restore())
	r.rss, r.pss = append(r.rss, used.otherRSSBytes), append(r.pss, used.otherPSSBytes)
	return nil
}

// measureKVMFloor makes a machine with one processor and ends it.
func measureKVMFloor() (took time.Duration, err error) {
	began := time.Now()
	system, err := kvm.Open()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, system.Close()) }()
	vm, err := system.CreateVM()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	if err := vm.CreateIRQChip(); err != nil {
		return 0, err
	}
	if err := vm.CreatePIT(); err != nil {
		return 0, err
	}
	if _, err := vm.CreateVCPU(0); err != nil { // ends with the VM
		return 0, err
	}
	return time.Since(began), nil
}

func (r *vmRow) finish() {
	r.Runs = len(r.restores)
	r.FloorMS, r.RestoreMS, r.AnswerMS = milliseconds(middle(r.floors)), milliseconds(middle(r.restores)), milliseconds(middle(r.answer))
	r.ProcessRSSBytes, r.ProcessRSSMax, r.ProcessPSSBytes = middle(r.rss), slices.Max(r.rss), middle(r.pss)
	r.RestoreMaxMS, r.BeyondMS = milliseconds(slices.Max(r.restores)), r.RestoreMS-r.FloorMS
}

// middle is the median of at least one value; it sorts them.
func middle[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

// countClones restores many machines at once from one memory file.
func (b *vmBench) countClones(ctx context.Context, r *vmRow) (err error) {
	var clones []*guestProcess
	defer func() {
		for _, m := range clones {
			err = errors.Join(err, m.stop())
		}
	}()
	for range b.flags.clones {
		m, err := b.startGuest(ctx, "vm", "restore", "--memory", r.memoryPath, b.snapshotDir())
		if err != nil {
			return err
		}
		clones = append(clones, m)
		if _, err := m.client.Sum(ctx); err != nil {
			return err
		}
	}
	r.Clones = len(clones)
	for _, m := range clones {
		used, err := memoryOf(m.cmd.Process.Pid, r.memoryPath)
		if err != nil {
			return err
		}
		r.GuestRSSBytes += used.guestRSSBytes
		r.GuestPSSBytes += used.guestPSSBytes
		r.GuestPrivateBytes += used.guestPrivateBytes
		r.AllProcessesPSSBytes += used.otherPSSBytes
	}
	return nil
}

func printVM(out io.Writer, rows []vmRow) error {
	const mib = 1 << 20
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "from\truns\tfloor ms\trestore ms\tmax ms\tbeyond ms\tanswer ms\tprocess RSS MiB\tmax MiB\tPSS MiB\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t%.1f\t%.1f\t%.1f\t%.1f\t\n", r.From, r.Runs, r.FloorMS, r.RestoreMS, r.RestoreMaxMS, r.BeyondMS, r.AnswerMS,
			float64(r.ProcessRSSBytes)/mib, float64(r.ProcessRSSMax)/mib, float64(r.ProcessPSSBytes)/mib)
	}
	fmt.Fprintln(w, "\nfrom\tclones\tguests RSS MiB\tguests PSS MiB\tguests private MiB\tprocesses PSS MiB\t")
	for _, r := range rows {
		if r.Clones > 0 {
			fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t\n", r.From, r.Clones, float64(r.GuestRSSBytes)/mib, float64(r.GuestPSSBytes)/mib,
				float64(r.GuestPrivateBytes)/mib, float64(r.AllProcessesPSSBytes)/mib)
		}
	}
	return w.Flush()
}
