package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func newMemoryCommand() *cobra.Command {
	var input, sabrefs, workDir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "memory --input MEMORY_FILE",
		Short: "Measure the memory that packing and the mounted daemon take",
		Long: `Measure the peak resident size of pack for the input and for the input eight
times over, and the peak anonymous memory of the daemon, for several cache sizes,
while every page is touched in random order.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return inWorkDir(workDir, func(dir string) error {
				rows, err := measureMemory(cmd.Context(), sabrefs, input, dir)
				if err != nil {
					return err
				}
				return printResult(cmd.OutOrStdout(), rows, asJSON, printMemory)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&input, "input", "", "memory file (required)")
	f.StringVar(&sabrefs, "sabrefs", "", "sabrefs binary (default: beside this program, or in PATH)")
	f.StringVar(&workDir, "work-dir", "", "directory for the images (default: a temporary one)")
	f.BoolVar(&asJSON, "json", false, `print {"rows": [...]}`)
	_ = cmd.MarkFlagRequired("input")
	return cmd
}

// memoryRow is the memory of one activity.
type memoryRow struct {
	What       string `json:"what"`
	InputBytes int64  `json:"input_bytes"`
	CacheBytes int64  `json:"cache_bytes"`
	PeakBytes  int64  `json:"peak_bytes"` // resident for pack, anonymous for the daemon
}

func measureMemory(ctx context.Context, given, input, dir string) ([]memoryRow, error) {
	sabrefs, err := findSabrefs(given)
	if err != nil {
		return nil, err
	}
	storeDir := filepath.Join(dir, "store")
	if err := os.Mkdir(storeDir, 0o755); err != nil {
		return nil, err
	}
	image := filepath.Join(storeDir, memoryName+".sabre")
	once, err := packMemory(ctx, sabrefs, input, image)
	if err != nil {
		return nil, err
	}
	const copies = 8
	large := filepath.Join(dir, "large")
	if err := concatenate(large, input, copies); err != nil {
		return nil, err
	}
	eightfold, err := packMemory(ctx, sabrefs, large, filepath.Join(dir, "large.sabre"))
	if err := errors.Join(err, os.Remove(large), os.Remove(filepath.Join(dir, "large.sabre"))); err != nil {
		return nil, err
	}
	rows := []memoryRow{once, eightfold}
	for _, cacheBytes := range []int64{0, 64 << 20, 256 << 20} {
		row, err := daemonMemory(ctx, sabrefs, dir, input, cacheBytes)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// concatenate writes the input several times over, each copy different from the
// others in every page.
func concatenate(path, input string, copies int) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	for i := range copies {
		if err := appendCopy(out, input, byte(i)); err != nil {
			return errors.Join(err, out.Close())
		}
	}
	return out.Close()
}

func appendCopy(out io.Writer, input string, mark byte) error {
	in, err := os.Open(input)
	if err != nil {
		return err
	}
	defer in.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(in, buf)
		for i := 0; i < n; i += pageBytes {
			buf[i] += mark
		}
		if _, err := out.Write(buf[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// packMemory packs in a process of its own and returns its peak resident size.
func packMemory(ctx context.Context, sabrefs sabrefsBinary, src, dst string) (memoryRow, error) {
	cmd := exec.CommandContext(ctx, string(sabrefs), "pack", src, dst)
	if out, err := cmd.CombinedOutput(); err != nil {
		return memoryRow{}, fmt.Errorf("packing: %w: %s", err, out)
	}
	info, err := os.Stat(src)
	if err != nil {
		return memoryRow{}, err
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return memoryRow{}, errors.New("the system does not report the memory of processes")
	}
	const kib = 1024
	return memoryRow{What: "pack", InputBytes: info.Size(), PeakBytes: usage.Maxrss * kib}, nil
}

// daemonMemory mounts the store in dir and watches the daemon while all pages of the image
// are touched in random order.
func daemonMemory(ctx context.Context, sabrefs sabrefsBinary, dir, input string, cacheBytes int64) (row memoryRow, err error) {
	point := filepath.Join(dir, "mnt")
	if err := os.MkdirAll(point, 0o755); err != nil {
		return row, err
	}
	if _, err := sabrefs.run(ctx, "mount", "--cache-size", strconv.FormatInt(cacheBytes, 10), filepath.Join(dir, "store"), point); err != nil {
		return row, err
	}
	defer func() {
		_, umountErr := sabrefs.run(context.WithoutCancel(ctx), "umount", point)
		err = errors.Join(err, umountErr)
	}()
	pid, err := findDaemon(point)
	if err != nil {
		return row, err
	}
	pages, err := pickPages(input, int(^uint32(0)), 1)
	if err != nil {
		return row, err
	}
	peak := make(chan int64, 1)
	watchCtx, stop := context.WithCancel(ctx)
	go func() { peak <- watchAnonymous(watchCtx, pid) }()
	_, err = runTouch(ctx, bytes.NewReader(encodePageNumbers(pages)), touchFaults, filepath.Join(point, memoryName), strconv.Itoa(unix.MADV_RANDOM))
	stop()
	info, statErr := os.Stat(input)
	if err := errors.Join(err, statErr); err != nil {
		return row, err
	}
	return memoryRow{What: "daemon", InputBytes: info.Size(), CacheBytes: cacheBytes, PeakBytes: <-peak}, nil
}

// findDaemon returns the process that serves a mount, by its command line.
func findDaemon(point string) (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && bytes.HasSuffix(line, []byte("\x00"+point+"\x00")) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("no daemon serves %s", point)
}

// watchAnonymous returns the largest RssAnon that a process had, looked at
// every few milliseconds, until the context ends.
func watchAnonymous(ctx context.Context, pid int) int64 {
	const interval = 5 * time.Millisecond
	var peak int64
	for ctx.Err() == nil {
		if n, err := anonymousBytes(pid); err == nil {
			peak = max(peak, n)
		}
		time.Sleep(interval)
	}
	return peak
}

func anonymousBytes(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no RssAnon of process %d", pid)
}

func printMemory(out io.Writer, rows []memoryRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "what\tinput MiB\tcache MiB\tpeak MiB\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%d\t%d\t%.1f\t\n", r.What, r.InputBytes>>20, r.CacheBytes>>20, float64(r.PeakBytes)/(1<<20))
	}
	return w.Flush()
}
