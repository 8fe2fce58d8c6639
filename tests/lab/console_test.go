package lab

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"sabrefs/tests/lab/linuxguest"
)

// replyTimeout only ends a test that has failed: nothing is that slow. It is shorter than
// the silence after which the machine is taken for stalled.
const replyTimeout = 100 * time.Second

// conversation is one with a Linux guest on its serial console.
type conversation struct {
	keys  io.Writer
	lines chan string

	mu  sync.Mutex
	all strings.Builder // for the log of a test that fails
}

// converse reads output until its end, so that the guest never waits for us.
func converse(t *testing.T, keys io.Writer, output io.Reader) *conversation {
	t.Helper()
	c := &conversation{keys: keys, lines: make(chan string, 10000)}
	go func() {
		defer close(c.lines)
		scanner := bufio.NewScanner(output)
		for scanner.Scan() {
			line := strings.TrimRight(scanner.Text(), "\r")
			c.mu.Lock()
			fmt.Fprintln(&c.all, line)
			c.mu.Unlock()
			c.lines <- line
		}
	}()
	t.Cleanup(func() {
		if t.Failed() {
			c.mu.Lock()
			defer c.mu.Unlock()
			t.Logf("console:\n%s", &c.all)
		}
	})
	return c
}

// await returns the first line that fits, and drops those before it.
func (c *conversation) await(t *testing.T, what string, fits func(line string) bool) string {
	t.Helper()
	deadline := time.After(replyTimeout)
	for {
		select {
		case line, open := <-c.lines:
			if !open {
				t.Fatalf("the console ended before %s", what)
			}
			if fits(line) {
				return line
			}
		case <-deadline:
			logThreads(t)
			t.Fatalf("no %s within %v", what, replyTimeout)
		}
	}
}

func (c *conversation) awaitReady(t *testing.T, processors int) {
	t.Helper()
	ready := linuxguest.Ready(processors)
	c.await(t, fmt.Sprintf("%q", ready), func(line string) bool { return strings.HasSuffix(line, ready) })
}

// awaitTick shows that the guest's timers go.
func (c *conversation) awaitTick(t *testing.T) {
	t.Helper()
	c.await(t, "tick", linuxguest.IsTick)
}

// ask sends a request and returns the reply: the next line that is neither a tick
// nor the kernel's.
func (c *conversation) ask(t *testing.T, request string) string {
	t.Helper()
	if _, err := io.WriteString(c.keys, request+"\n"); err != nil {
		t.Fatalf("request %q: %v", request, err)
	}
	return c.await(t, fmt.Sprintf("reply to %q", request), func(line string) bool {
		return line != "" && !linuxguest.IsTick(line) && !strings.HasPrefix(line, "[")
	})
}

// expect asks and compares.
func (c *conversation) expect(t *testing.T, request, want string) {
	t.Helper()
	if reply := c.ask(t, request); reply != want {
		t.Errorf("request %q: reply %q, want %q", request, reply, want)
	}
}

// expectAll asks for what every healthy guest answers in the same way.
func (c *conversation) expectHealth(t *testing.T, memoryMiB, changedPages, processors int) {
	t.Helper()
	c.expect(t, "sum", fmt.Sprint("sum ", linuxguest.Sum(memoryMiB)+uint64(changedPages)))
	alive := "processors"
	for number := range processors {
		alive += fmt.Sprint(" ", number)
	}
	c.expect(t, "processors", alive)
}
