package guest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Client talks to one guest over its console.
type Client struct {
	in      io.Writer
	lines   chan string
	done    chan struct{}
	closing sync.Once // closes done
	readErr error     // why lines was closed; written before that
	broken  bool      // an answer may still be under way
}

// NewClient makes a client of what the guest prints, out, and what is typed, in.
// A goroutine reads out until it ends; close it, and then the client.
func NewClient(out io.Reader, in io.Writer) *Client {
	c := &Client{in: in, lines: make(chan string, 16), done: make(chan struct{})}
	go c.read(out)
	return c
}

// Close lets the reading goroutine end as soon as its reader returns. It may be
// called more than once.
func (c *Client) Close() { c.closing.Do(func() { close(c.done) }) }

// read passes lines on until there are no more.
func (c *Client) read(out io.Reader) {
	defer close(c.lines)
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 0, MaxAnswerBytes), MaxAnswerBytes)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		if line == "" {
			continue
		}
		select {
		case c.lines <- line:
		case <-c.done:
			return
		}
	}
	c.readErr = lines.Err()
}

// line returns the next line of the guest.
func (c *Client) line(ctx context.Context) (string, error) {
	select {
	case line, ok := <-c.lines:
		if ok {
			return line, ending(line)
		}
		if c.readErr != nil {
			return "", fmt.Errorf("%w: read its console: %w", ErrEnded, c.readErr)
		}
		return "", fmt.Errorf("%w: its console is closed", ErrEnded)
	case <-ctx.Done():
		return "", fmt.Errorf("wait for the guest: %w", context.Cause(ctx))
	}
}

// WaitReady waits until the guest says that it is ready. Lines before that, of
// firmware for instance, are skipped.
func (c *Client) WaitReady(ctx context.Context) (Ready, error) {
	for {
		line, err := c.line(ctx)
		if err != nil {
			return Ready{}, err
		}
		if strings.HasPrefix(line, readyPrefix) {
			return parseReady(line)
		}
	}
}

// Do sends a command and returns the line that answers it. When that has an
// error, the client can go on only if it is an ErrRefused.
func (c *Client) Do(ctx context.Context, command string) (string, error) {
	if len(command) > MaxCommandBytes || strings.ContainsAny(command, "\r\n") || strings.TrimSpace(command) == "" {
		return "", fmt.Errorf("%w: %q is no command of at most %d bytes", ErrRefused, command, MaxCommandBytes)
	}
	if c.broken {
		return "", ErrOutOfStep
	}
	c.broken = true
	if err := c.send(ctx, command); err != nil {
		return "", err
	}
	answer, err := c.answer(ctx, command)
	if err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	c.broken = false
	if err := refusal(answer); err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	return answer, nil
}

// send types the command. A console that takes no more input blocks, so a
// goroutine does it.
func (c *Client) send(ctx context.Context, command string) error {
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c.in, command+"\n")
		sent <- err
	}()
	select {
	case err := <-sent:
		if err != nil {
			return fmt.Errorf("send %q to the guest: %w", command, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("send %q to the guest: %w", command, context.Cause(ctx))
	}
}

// answer skips what is none: that the guest is ready, that it has survived an
// earlier poke, and the echo.
func (c *Client) answer(ctx context.Context, command string) (string, error) {
	for {
		line, err := c.line(ctx)
		if err != nil {
			return "", err
		}
		if line != command && line != survivedLine && !strings.HasPrefix(line, readyPrefix) {
			return line, nil
		}
	}
}

// ask sends a command and takes its answer apart.
func (c *Client) ask(ctx context.Context, command, format string, values ...any) error {
	answer, err := c.Do(ctx, command)
	if err != nil {
		return err
	}
	return scan(answer, format, values...)
}

// Get looks a key up. ErrAbsent when there is none.
func (c *Client) Get(ctx context.Context, key uint64) (uint64, error) {
	var value uint64
	err := c.ask(ctx, fmt.Sprintf("get %d", key), fmt.Sprintf("%d=0x%%016x", key), &value)
	return value, err
}

// Sum adds up the whole table.
func (c *Client) Sum(ctx context.Context) (uint64, error) {
	var sum uint64
	err := c.ask(ctx, "sum", "sum=0x%016x", &sum)
	return sum, err
}

// Verify compares every byte of the table with what it must be, and returns how
// many pages are damaged.
func (c *Client) Verify(ctx context.Context) (damaged uint64, err error) {
	answer, err := c.Do(ctx, "verify")
	if err != nil {
		return 0, err
	}
	var pages uint64
	counts, _, _ := strings.Cut(answer, " last=")
	err = scan(counts, verifiedFormat, &pages, &damaged)
	return damaged, err
}

// Stat asks what the guest has done.
func (c *Client) Stat(ctx context.Context) (Stat, error) {
	var stat Stat
	err := c.ask(ctx, "stat", statFormat, &stat.Lookups, &stat.Written, &stat.Ticks)
	return stat, err
}

// Write stamps so many pages, all different, and returns how many were written
// since boot.
func (c *Client) Write(ctx context.Context, pages uint64) (total uint64, err error) {
	err = c.ask(ctx, fmt.Sprintf("write %d", pages), "written=%d", &total)
	return total, err
}

// Tick starts or stops the timer.
func (c *Client) Tick(ctx context.Context, on bool) error {
	command := "tick off"
	if on {
		command = "tick on"
	}
	return c.ask(ctx, command, "ok")
}

// Processors starts all processors and returns how many there are.
func (c *Client) Processors(ctx context.Context) (int, error) {
	var count int
	err := c.ask(ctx, "smp", "processors=%d", &count)
	return count, err
}

// Peek reads where there is no memory and no device.
func (c *Client) Peek(ctx context.Context) (uint64, error) {
	var value uint64
	err := c.ask(ctx, "peek", "peek=0x%016x", &value)
	return value, err
}

// Quit ends the guest in order.
func (c *Client) Quit(ctx context.Context) error { return c.ask(ctx, "quit", "bye") }

// Crash ends it by a triple fault.
func (c *Client) Crash(ctx context.Context) error { return c.ask(ctx, "crash", "crashing") }

// Poke makes it write where there is no memory and no device. It is not awaited
// whether the guest survives that.
func (c *Client) Poke(ctx context.Context) error { return c.ask(ctx, "poke", "poking") }

// Spin makes it loop forever with interrupts off.
func (c *Client) Spin(ctx context.Context) error { return c.ask(ctx, "spin", "spinning") }
