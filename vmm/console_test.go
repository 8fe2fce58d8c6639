//go:build linux && amd64

package vmm

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for a guest that should answer at once. The
// laboratory is twenty times slower than a real machine, and taken for stalled when it
// has said nothing for two minutes.
const patience = 100 * time.Second

// console keeps what a guest says, and waits for it.
type console struct {
	mu      sync.Mutex
	said    bytes.Buffer  // guarded by mu
	changed chan struct{} // guarded by mu; closed at the next output
}

func newConsole() *console { return &console{changed: make(chan struct{})} }

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
	return c.said.Write(b)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.String()
}

// wait waits until the guest has said text after the first from bytes of its
// output, and returns how many bytes that takes.
func (c *console) wait(t *testing.T, from int, text string) int {
	t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		said, changed := c.said.String(), c.changed
		c.mu.Unlock()
		if i := strings.Index(said[from:], text); i >= 0 {
			return from + i + len(text)
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the guest did not say %q, but %q", text, said[from:])
		}
	}
}
