package guest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"sabrefs/vmm/guest"
)

// ready boots a guest with a small table and waits for it.
func ready(t *testing.T, args ...string) *emulated {
	t.Helper()
	e := bootQEMU(t, 32, guest.CommandLine(smallMiB), args...)
	if _, err := e.WaitReady(e.ctx); err != nil {
		t.Fatal(err)
	}
	return e
}

const smallMiB = 3

// answers checks what the guest answers to a command, error or not.
func (e *emulated) answers(t *testing.T, command, want string) {
	t.Helper()
	if answer, err := e.Do(e.ctx, command); err != nil || answer != want {
		t.Errorf("%s: %q, %v, want %q", command, answer, err, want)
	}
}

// refuses checks that the guest refuses a command with an error of a class, and
// says why.
func (e *emulated) refuses(t *testing.T, command string, class error, why string) {
	t.Helper()
	answer, err := e.Do(e.ctx, command)
	if !errors.Is(err, class) || !strings.Contains(err.Error(), why) {
		t.Errorf("%s: %q, %v, want %v: %s", command, answer, err, class, why)
	}
}

func TestTableIsAsComputed(t *testing.T) {
	e := ready(t)
	if sum, err := e.Sum(e.ctx); err != nil || sum != guest.Sum(smallMiB) {
		t.Errorf("sum = %#x, %v, want %#x", sum, err, guest.Sum(smallMiB))
	}
	if damaged, err := e.Verify(e.ctx); err != nil || damaged != 0 {
		t.Errorf("verify: %d damaged pages, %v", damaged, err)
	}
	table := e.dump(t, guest.TableAddress, smallMiB<<20)
	checkEntries(t, table)
	checkCompressibility(t, table)
}

// checkEntries looks every key up in the guest's memory.
func checkEntries(t *testing.T, table []byte) {
	t.Helper()
	pages := guest.PageCount(smallMiB)
	for key := range guest.EntryCount(smallMiB) {
		page := table[guest.PageAddress(smallMiB, key)-guest.TableAddress:]
		slot := 16 + 16*(key/pages)
		gotKey, value := binary.LittleEndian.Uint64(page[slot:]), binary.LittleEndian.Uint64(page[slot+8:])
		if gotKey != key || value != guest.Value(key) {
			t.Fatalf("in the slot of key %d: key %d, value %#x, want %#x", key, gotKey, value, guest.Value(key))
		}
	}
}

// checkCompressibility compresses the table in frames as images have them.
func checkCompressibility(t *testing.T, table []byte) {
	t.Helper()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	seen := map[string]bool{}
	for _, frameBytes := range []int{guest.PageBytes, 16 << 10, 64 << 10, 256 << 10} {
		packed := 0
		for rawOff := 0; rawOff < len(table); rawOff += frameBytes {
			packed += len(encoder.EncodeAll(table[rawOff:rawOff+frameBytes], nil))
		}
		ratio := float64(len(table)) / float64(packed)
		t.Logf("frames of %d bytes: ratio %.2f", frameBytes, ratio)
		if ratio < 2 || ratio > 4 {
			t.Errorf("frames of %d bytes compress by %.2f, want 2 to 4", frameBytes, ratio)
		}
	}
	for rawOff := 0; rawOff < len(table); rawOff += guest.PageBytes {
		seen[string(table[rawOff:rawOff+guest.PageBytes])] = true
	}
	if uint64(len(seen)) != guest.PageCount(smallMiB) {
		t.Errorf("%d different pages of %d", len(seen), guest.PageCount(smallMiB))
	}
}

// Writes must change as many pages as they say, those that they say, and what
// they leave must be known even after every page was written more than once.
func TestWrite(t *testing.T) {
	e := ready(t)
	pages := guest.PageCount(smallMiB)
	before := e.dump(t, guest.TableAddress, smallMiB<<20)
	if total, err := e.Write(e.ctx, 7); err != nil || total != 7 {
		t.Fatalf("write 7 = %d, %v", total, err)
	}
	after := e.dump(t, guest.TableAddress, smallMiB<<20)
	changed := map[uint64]bool{}
	for rawOff := uint64(0); rawOff < smallMiB<<20; rawOff += guest.PageBytes {
		if !bytes.Equal(before[rawOff:rawOff+guest.PageBytes], after[rawOff:rawOff+guest.PageBytes]) {
			changed[guest.TableAddress+rawOff] = true
		}
	}
	for w := range uint64(7) {
		if !changed[guest.PageAddress(smallMiB, w)] {
			t.Errorf("write %d did not change the page of key %d", w, w)
		}
	}
	if len(changed) != 7 {
		t.Errorf("7 writes changed %d pages", len(changed))
	}
	total := uint64(7)
	for _, more := range []uint64{0, pages, pages - 9, 2, 1, 1} {
		total += more
		if got, err := e.Write(e.ctx, more); err != nil || got != total {
			t.Fatalf("write %d = %d, %v, want %d", more, got, err, total)
		}
		if sum, err := e.Sum(e.ctx); err != nil || sum != guest.SumAfter(smallMiB, total) {
			t.Errorf("sum after %d writes = %#x, %v, want %#x", total, sum, err, guest.SumAfter(smallMiB, total))
		}
		if damaged, err := e.Verify(e.ctx); err != nil || damaged != 0 {
			t.Errorf("after %d writes %d pages are damaged, %v", total, damaged, err)
		}
	}
	e.refuses(t, "write 769", guest.ErrRefused, "more pages than the table has: 768")
	if stat, err := e.Stat(e.ctx); err != nil || stat != (guest.Stat{Written: total}) {
		t.Errorf("stat = %+v, %v", stat, err)
	}
}

func TestBadInput(t *testing.T) {
	e := ready(t)
	for command, why := range map[string]string{
		"gett 1": "unknown command", "ge": "unknown command", "GET 1": "unknown command", "?": "unknown command",
		"get": "a number", "get ": "a number", "get x": "a number", "get 1x": "a number", "get -1": "a number",
		"get 1 2": "a number", "get 0x": "a number", "get 0xg": "a number", "get 12a": "a number",
		"get 18446744073709551616": "a number", "get 99999999999999999999": "a number",
		"get 0x10000000000000000": "a number", "write": "a number", "write 1.5": "a number",
		"tick": "on or off", "tick onn": "on or off", "tick of": "on or off", "echo 1": "on or off",
	} {
		e.refuses(t, command, guest.ErrRefused, why)
	}
	for command, key := range map[string]string{
		"get 3072": "3072", "get 18446744073709551615": "18446744073709551615", "get 0xffffffffffffffff": "18446744073709551615",
	} {
		e.refuses(t, command, guest.ErrAbsent, key)
	}
	e.answers(t, "get 0xB", "11=0x"+hex(guest.Value(11)))
	e.answers(t, "get   012  ", "12=0x"+hex(guest.Value(12)))
	e.answers(t, "stat", "lookups=2 written=0 ticks=0")
	e.refuses(t, "", guest.ErrRefused, "no command")
	e.refuses(t, "get 1\nget 2", guest.ErrRefused, "no command")
	e.refuses(t, strings.Repeat("x", 64), guest.ErrRefused, "no command")
	e.refuses(t, strings.Repeat("x", 63), guest.ErrRefused, "unknown command")
	e.answers(t, "peek", "peek=0x0000000000000000") // so QEMU answers for nobody
	e.answers(t, "poke", "poking")                  // QEMU ignores it
	e.answers(t, "stat", "lookups=2 written=0 ticks=0")
}

// The client refuses lines that are too long; other users may send them.
func TestLongLine(t *testing.T) {
	for _, length := range []int{64, 65, 5000} {
		e := ready(t)
		got := e.transcript(t, strings.Repeat("g", length)+"\r\nstat\nquit\n")
		want := "error: the line is longer than 63 bytes\r\nlookups=0 written=0 ticks=0\r\nbye\r\n"
		if got != want {
			t.Errorf("%d bytes: %q, want %q", length, got, want)
		}
	}
}

// Whatever is typed, each line has one answer, and the table stays as it is.
func TestGarbage(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	words := []string{"get", "write", "sum", "stat", "tick", "echo", "off", "help", " ", "  ", "0x", "7", "99999999999999999999", "\b", "\x7f", "\x00", "\xff", "\t", "\x1b[A"}
	var input strings.Builder
	for range 300 {
		for range random.IntN(9) {
			input.WriteString(words[random.IntN(len(words))])
		}
		input.WriteString("\n")
	}
	got := ready(t).transcript(t, input.String()+"verify\nquit\n")
	lines := strings.Split(strings.TrimSuffix(got, "\r\n"), "\r\n")
	if len(lines) < 2 || lines[len(lines)-2] != "verified=768 damaged=0" || lines[len(lines)-1] != "bye" {
		t.Errorf("the guest said last %q", lines[max(0, len(lines)-2):])
	}
	for _, line := range lines[:len(lines)-1] {
		if word, _, _ := strings.Cut(line, "="); !slices.Contains([]string{
			"7", "77", "777", "119", "1911", "sum", "lookups", "written", "verified", "ok",
		}, word) && !strings.HasPrefix(line, "error: ") && !strings.HasPrefix(line, "get KEY") {
			t.Errorf("the guest said %q", line)
		}
	}
}

func TestTick(t *testing.T) {
	e := ready(t)
	if err := e.Tick(e.ctx, true); err != nil {
		t.Fatal(err)
	}
	for ticks := uint64(0); ticks < 5; {
		stat, err := e.Stat(e.ctx)
		if err != nil {
			t.Fatal(err)
		}
		ticks = stat.Ticks
	}
	if err := e.Tick(e.ctx, false); err != nil {
		t.Fatal(err)
	}
	if value, err := e.Get(e.ctx, 5); err != nil || value != guest.Value(5) {
		t.Errorf("get 5 = %#x, %v", value, err)
	}
}

func TestProcessors(t *testing.T) {
	e := ready(t, "-smp", "3")
	for range 2 {
		if count, err := e.Processors(e.ctx); err != nil || count != 3 {
			t.Errorf("smp = %d, %v, want 3", count, err)
		}
	}
}

func TestEndings(t *testing.T) {
	for name, test := range map[string]func(*emulated, *testing.T) error{
		"quit":         (*emulated).quits,
		"crash":        (*emulated).crashes,
		"exception":    (*emulated).endsByException,
		"Ctrl-Alt-Del": (*emulated).endsByKeys,
		"other keys":   (*emulated).survivesKeys,
	} {
		t.Run(name, func(t *testing.T) {
			e := ready(t)
			if err := test(e, t); err != nil {
				t.Fatal(err)
			}
			e.ended(t)
		})
	}
}

func (e *emulated) quits(_ *testing.T) error { return e.Quit(e.ctx) }

func (e *emulated) crashes(_ *testing.T) error { return e.Crash(e.ctx) }

// endsByException: a page fault is reported with where it was.
func (e *emulated) endsByException(_ *testing.T) error {
	_, err := e.Do(e.ctx, "fault")
	want := "sabrefs guest: exception 14, error 0x0000000000000000, at 0x0000000000100"
	if !errors.Is(err, guest.ErrEnded) || !strings.Contains(err.Error(), want) ||
		!strings.HasSuffix(err.Error(), ", address 0x0000123456789000") {
		return fmt.Errorf("%w, want %s", err, want)
	}
	return nil
}

// press presses keys together.
func (e *emulated) press(t *testing.T, keys ...string) {
	t.Helper()
	var codes []map[string]string
	for _, key := range keys {
		codes = append(codes, map[string]string{"type": "qcode", "data": key})
	}
	e.control(t, "send-key", map[string]any{"keys": codes})
}

func (e *emulated) endsByKeys(t *testing.T) error {
	t.Helper()
	e.press(t, "ctrl", "alt", "delete")
	_, err := e.WaitReady(e.ctx)
	if !errors.Is(err, guest.ErrEnded) || !strings.Contains(err.Error(), "Ctrl-Alt-Del") {
		return fmt.Errorf("%w, want Ctrl-Alt-Del", err)
	}
	return nil
}

// survivesKeys: the three keys, one after the other, mean nothing.
func (e *emulated) survivesKeys(t *testing.T) error {
	t.Helper()
	for _, key := range []string{"ctrl", "alt", "delete", "a"} {
		e.press(t, key)
	}
	e.answers(t, "stat", "lookups=0 written=0 ticks=0")
	return e.Quit(e.ctx)
}

// A guest that cannot run says why and ends; it does not run over the end of
// its memory.
func TestDoesNotFit(t *testing.T) {
	for commandLine, why := range map[string]string{
		"mib=14":                     "the table needs memory up to 16 MiB, and it ends at 15 MiB",
		"":                           "the table needs memory up to 34 MiB, and it ends at 15 MiB",
		"mib=0":                      "mib must be a number from 1 to 3070",
		"mib=3071":                   "mib must be a number from 1 to 3070",
		"mib=":                       "mib must be a number from 1 to 3070",
		"a mib=18446744073709551616": "mib must be a number from 1 to 3070",
		"mib=5k":                     "mib must be a number from 1 to 3070",
	} {
		t.Run(commandLine, func(t *testing.T) {
			e := bootQEMU(t, 16, commandLine)
			_, err := e.WaitReady(e.ctx)
			if !errors.Is(err, guest.ErrRefused) || !strings.Contains(err.Error(), why) {
				t.Fatalf("%v, want %s", err, why)
			}
			e.ended(t)
		})
	}
	e := bootQEMU(t, 16, "mib=13 notmib=0 mi mib") // just fits
	if ready, err := e.WaitReady(e.ctx); err != nil || ready.MiB != 13 {
		t.Errorf("ready = %+v, %v", ready, err)
	}
}

// Echo is for people: they see what they type, and can take it back.
func TestEcho(t *testing.T) {
	e := bootQEMU(t, 32, "echo mib=3")
	if _, err := e.WaitReady(e.ctx); err != nil {
		t.Fatal(err)
	}
	got := e.transcript(t, "\x7f\x08gey\x7ft 13\b2\r\recho off\nget 3\necho on\nquit\n")
	want := "gey\b \bt 13\b \b2\r\n12=0x" + hex(guest.Value(12)) +
		"\r\necho off\r\nok\r\n3=0x" + hex(guest.Value(3)) + "\r\nok\r\nquit\r\nbye\r\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A guest that spins answers nothing, and its client notices.
func TestSpin(t *testing.T) {
	e := ready(t)
	if err := e.Spin(e.ctx); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(e.ctx, 100*time.Millisecond)
	defer cancel()
	if stat, err := e.Stat(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stat = %+v, %v, want no answer", stat, err)
	}
	if _, err := e.Get(e.ctx, 1); !errors.Is(err, guest.ErrOutOfStep) {
		t.Errorf("get: %v, want %v", err, guest.ErrOutOfStep)
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	e := ready(t)
	help, err := e.Do(e.ctx, "help")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"get", "sum", "verify", "stat", "write", "tick", "echo", "smp", "quit", "crash", "fault", "poke", "peek", "spin", "help"} {
		if !strings.Contains(" "+help+" ", " "+command+" ") {
			t.Errorf("help does not name %s: %s", command, help)
		}
	}
}

func hex(value uint64) string {
	const digits = "0123456789abcdef"
	var text [16]byte
	for i := range text {
		text[i] = digits[value>>(60-4*i)&0xf]
	}
	return string(text[:])
}
