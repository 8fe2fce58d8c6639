package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

const pageBytes = 4096

// touchReport is what the touching process found.
type touchReport struct {
	Pages   int     `json:"pages"`
	MeanUS  float64 `json:"mean_us"`
	P50US   float64 `json:"p50_us"`
	P95US   float64 `json:"p95_us"`
	P99US   float64 `json:"p99_us"`
	MaxUS   float64 `json:"max_us"`
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"`
	CRC32   uint32  `json:"crc32"` // of what was read, in the order of reading
}

// What the touching process does with a file.
const (
	readBuffered = "sequential" // read(2), large
	readDirect   = "direct"     // the same with O_DIRECT
	touchFaults  = "faults"     // touch pages of a private mapping
)

// newTouchCommand is the process that touches a file. It is a command, and not
// a goroutine, because a page fault holds a thread of the Go scheduler.
func newTouchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "touch sequential|direct FILE [BYTES] or touch faults FILE [ADVICE]",
		Short:  "Read a file once, or touch pages of a mapping (page numbers on standard input)",
		Hidden: true,
		Args:   cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			debug.SetGCPercent(-1)
			runtime.LockOSThread()
			report, err := touch(cmd.InOrStdin(), args)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
		},
	}
	return cmd
}

func touch(pages io.Reader, args []string) (touchReport, error) {
	number := -1
	if len(args) == 3 {
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return touchReport{}, fmt.Errorf("touching %s: %w", args[1], err)
		}
		number = n
	}
	switch args[0] {
	case readBuffered:
		return readSequentially(args[1], os.O_RDONLY, number)
	case readDirect:
		return readSequentially(args[1], os.O_RDONLY|unix.O_DIRECT, number)
	case touchFaults:
		if number < 0 {
			number = unix.MADV_RANDOM
		}
		return touchPages(args[1], pages, number)
	default:
		return touchReport{}, fmt.Errorf("touching %q: expected %s, %s or %s", args[0], readBuffered, readDirect, touchFaults)
	}
}

// readSequentially reads the file with large reads: all of it, or at least so many
// bytes unless limitBytes is negative.
func readSequentially(path string, flags, limitBytes int) (r touchReport, err error) {
	const bufferBytes = 1 << 20
	file, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return r, err
	}
	defer file.Close()
	// aligned, as O_DIRECT needs it
	buf, err := unix.Mmap(-1, 0, bufferBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, unix.Munmap(buf)) }()
	begin := time.Now()
	for {
		n, err := file.Read(buf)
		r.Bytes += int64(n)
		if errors.Is(err, io.EOF) || limitBytes >= 0 && r.Bytes >= int64(limitBytes) {
			r.Seconds = time.Since(begin).Seconds()
			return r, nil
		}
		if err != nil {
			return r, err
		}
	}
}

// touchPages maps the file and touches the pages in the given order, timing
// each.
func touchPages(path string, pages io.Reader, advice int) (touchReport, error) {
	order, err := readPageNumbers(pages)
	if err != nil {
		return touchReport{}, err
	}
	mapping, err := mapPrivately(path)
	if err != nil {
		return touchReport{}, err
	}
	if err := unix.Madvise(mapping, advice); err != nil {
		return touchReport{}, fmt.Errorf("madvise: %w", err)
	}
	for _, page := range order {
		if (int(page)+1)*pageBytes > len(mapping) {
			return touchReport{}, fmt.Errorf("%s: no whole page %d in %d bytes", path, page, len(mapping))
		}
	}
	latencies := make([]time.Duration, len(order))
	begin := time.Now()
	for i, page := range order {
		before := time.Now()
		touchByte(mapping, int(page)*pageBytes)
		latencies[i] = time.Since(before)
	}
	r := summarize(latencies, time.Since(begin))
	for _, page := range order { // the bytes must be right as well
		r.CRC32 = crc32.Update(r.CRC32, crc32.IEEETable, mapping[int(page)*pageBytes:][:pageBytes])
	}
	return r, unix.Munmap(mapping)
}

// touchByte is not inlined, which would drop the load.
//
//go:noinline
func touchByte(mapping []byte, off int) byte { return mapping[off] }

func mapPrivately(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	mapping, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	return mapping, nil
}

func readPageNumbers(in io.Reader) ([]uint32, error) {
	b, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	if len(b)%4 != 0 {
		return nil, fmt.Errorf("%d bytes of page numbers, expected four each", len(b))
	}
	pages := make([]uint32, len(b)/4)
	for i := range pages {
		pages[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return pages, nil
}

func summarize(latencies []time.Duration, total time.Duration) touchReport {
	r := touchReport{Pages: len(latencies), Seconds: total.Seconds(), Bytes: int64(len(latencies)) * pageBytes}
	if len(latencies) == 0 {
		return r
	}
	sum := time.Duration(0)
	for _, l := range latencies {
		sum += l
	}
	slices.Sort(latencies)
	r.MeanUS = microseconds(sum) / float64(len(latencies))
	r.P50US = microseconds(latencies[len(latencies)/2])
	r.P95US = microseconds(latencies[len(latencies)*95/100])
	r.P99US = microseconds(latencies[len(latencies)*99/100])
	r.MaxUS = microseconds(latencies[len(latencies)-1])
	return r
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// runTouch runs the touching process on a file.
func runTouch(ctx context.Context, stdin io.Reader, args ...string) (touchReport, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"touch"}, args...)...)
	cmd.Stdin, cmd.Stderr = stdin, os.Stderr
	out, err := cmd.Output()
	var r touchReport
	if err != nil {
		return r, fmt.Errorf("touching %v: %w", args, err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("output of the touching process: %w", err)
	}
	return r, nil
}

// pickPages returns count different pages of the file that are not zero, or all
// of them if there are fewer, in a random order that the seed determines.
func pickPages(path string, count int, seed uint64) ([]uint32, error) {
	pages, err := dataPages(path)
	if err != nil {
		return nil, err
	}
	if len(pages) == 0 {
		return nil, fmt.Errorf("%s: no page that is not zero", path)
	}
	random := rand.New(rand.NewPCG(seed, 0))
	random.Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
	return pages[:min(count, len(pages))], nil
}

// dataPages lists the whole pages that hold anything but zeros.
func dataPages(path string) ([]uint32, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	const bufferBytes = 1 << 20
	buf, zero := make([]byte, bufferBytes), make([]byte, pageBytes)
	var pages []uint32
	for first := uint32(0); ; first += bufferBytes / pageBytes {
		n, err := io.ReadFull(file, buf)
		for i := 0; i+pageBytes <= n; i += pageBytes {
			if !slices.Equal(buf[i:i+pageBytes], zero) {
				pages = append(pages, first+uint32(i/pageBytes))
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return pages, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func encodePageNumbers(pages []uint32) []byte {
	b := make([]byte, 0, 4*len(pages))
	for _, p := range pages {
		b = binary.LittleEndian.AppendUint32(b, p)
	}
	return b
}

// pagesCRC is the CRC-32 of pages of a file in the given order.
func pagesCRC(path string, pages []uint32) (uint32, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	crc := uint32(0)
	page := make([]byte, pageBytes)
	for _, number := range pages {
		n, err := file.ReadAt(page, int64(number)*pageBytes)
		if err != nil && (n < pageBytes || !errors.Is(err, io.EOF)) {
			return 0, fmt.Errorf("%s: page %d: %w", path, number, err)
		}
		crc = crc32.Update(crc, crc32.IEEETable, page)
	}
	return crc, nil
}
