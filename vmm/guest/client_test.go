package guest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"sabrefs/vmm/guest"
)

// impostor is a client of a guest that answers each command by what answer
// returns; an empty answer closes its console.
func impostor(t *testing.T, answer func(command string) string) *guest.Client {
	t.Helper()
	commands, in := io.Pipe()
	out, console := io.Pipe()
	go func() {
		defer console.Close()
		lines := bufio.NewScanner(commands)
		for lines.Scan() {
			said := answer(lines.Text())
			if said == "" {
				return
			}
			if _, err := io.WriteString(console, said); err != nil {
				return
			}
		}
	}()
	client := guest.NewClient(out, in)
	t.Cleanup(func() {
		client.Close()
		_, _ = in.Close(), out.Close()
	})
	return client
}

// always is an impostor that always says the same.
func always(t *testing.T, said string) *guest.Client {
	t.Helper()
	return impostor(t, func(string) string { return said })
}

func TestClientTakesAnswersOnlyAsTheyAre(t *testing.T) {
	for _, said := range []string{
		"7=0x00000000000000aa", "8=0xaa", "8=aa", "8=0x00000000000000AA", "8=0x00000000000000aa ", "8=0x00000000000000aag",
		"8=0x100000000000000aa", "8=", "ok", "8=0x-0000000000000aa", "\x00", "sum=0x00000000000000aa",
	} {
		if value, err := always(t, said+"\r\n").Get(t.Context(), 8); !errors.Is(err, guest.ErrAnswer) {
			t.Errorf("get 8 answered by %q: %#x, %v, want %v", said, value, err, guest.ErrAnswer)
		}
	}
	client := always(t, "\r\nget 8\r\n"+guest.ReadyLine(1)+"\r\n8=0x00000000000000aa\r\n")
	for range 3 {
		if value, err := client.Get(t.Context(), 8); err != nil || value != 0xaa {
			t.Errorf("get 8 = %#x, %v, want 0xaa", value, err)
		}
	}
}

func TestClientKnowsErrors(t *testing.T) {
	for said, class := range map[string]error{
		"error: no such key: 8\n":                            guest.ErrAbsent,
		"error: unknown command, try help\r\n":               guest.ErrRefused,
		"sabrefs guest: error: no memory\r\n":                guest.ErrRefused,
		"sabrefs guest: exception 13, error 0x0, at 0x10\n":  guest.ErrEnded,
		"sabrefs guest: Ctrl-Alt-Del\n":                      guest.ErrEnded,
		"":                                                   guest.ErrEnded,
		strings.Repeat("x", guest.MaxAnswerBytes+1) + "\r\n": bufio.ErrTooLong,
	} {
		if value, err := always(t, said).Get(t.Context(), 8); !errors.Is(err, class) {
			t.Errorf("get 8 answered by %.50q: %#x, %v, want %v", said, value, err, class)
		}
	}
}

// After an answer that did not come the client does not take the next one for
// that of another command.
func TestClientIsOutOfStep(t *testing.T) {
	client := always(t, "half an answer")
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := client.Sum(ctx); !errors.Is(err, cause) {
		t.Errorf("sum: %v, want %v", err, cause)
	}
	if _, err := client.Sum(t.Context()); !errors.Is(err, guest.ErrOutOfStep) {
		t.Errorf("sum: %v, want %v", err, guest.ErrOutOfStep)
	}
}

// A console that takes no input does not hang the client.
func TestClientWhoseInputBlocks(t *testing.T) {
	out, console := io.Pipe()
	unread, in := io.Pipe()
	client := guest.NewClient(out, in)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		first := make([]byte, 1)
		_, _ = io.ReadFull(unread, first)
		cancel()
	}()
	if _, err := client.Stat(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("stat: %v, want %v", err, context.Canceled)
	}
	client.Close()
	client.Close()
	_, _, _ = console.Close(), unread.Close(), in.Close()
}

func TestWaitReadyRefusesWhatIsNone(t *testing.T) {
	ready := guest.ReadyLine(2)
	for _, said := range []string{
		ready[:len(ready)-1], ready + "0", strings.Replace(ready, " MiB", " MB", 1), "sabrefs guest: ready, ",
		strings.Replace(ready, "2048", "2049", 1), strings.Replace(ready, "2 MiB", "-2 MiB", 1),
		"sabrefs guest: ready, 3144704 entries in 3071 MiB, sum 0x0000000000000000", "sabrefs guest: ready, 0 entries in 0 MiB, sum 0x0000000000000000",
	} {
		out, console := io.Pipe()
		client := guest.NewClient(out, io.Discard)
		go func() {
			_, _ = fmt.Fprintf(console, "firmware\r\n%s\r\n", said)
			_ = console.Close()
		}()
		if ready, err := client.WaitReady(t.Context()); !errors.Is(err, guest.ErrAnswer) {
			t.Errorf("%q: %+v, %v, want %v", said, ready, err, guest.ErrAnswer)
		}
		client.Close()
	}
}

// FuzzClient: whatever a guest says, a client ends with an answer or an error,
// and an answer is one that the guest has said.
func FuzzClient(f *testing.F) {
	f.Add([]byte("5=0x00000000000000aa\r\n"))
	f.Add([]byte("sabrefs guest: ready, 1 entries in 1 MiB, sum 0x0000000000000000\n5=0x1\n"))
	f.Add([]byte("error: no such key: 5\nverified=1 damaged=2 last=0x3"))
	f.Fuzz(func(t *testing.T, said []byte) {
		client := guest.NewClient(strings.NewReader(string(said)), io.Discard)
		defer client.Close()
		value, err := client.Get(t.Context(), 5)
		if err == nil && !strings.Contains(string(said), fmt.Sprintf("5=0x%016x", value)) {
			t.Errorf("%q gave %#x", said, value)
		}
	})
}
