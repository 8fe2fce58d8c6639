//go:build amd64

package main

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// vmConsole connects the guest's serial port with standard input and output. On a
// terminal every key goes to the guest, Ctrl-C too; Ctrl-A x ends the machine.
type vmConsole struct {
	in      *os.File
	restore func()
	quit    chan struct{}
	once    sync.Once
}

// newVMConsole sets the terminal to pass every key, if there is one.
func newVMConsole(in *os.File) (*vmConsole, error) {
	c := &vmConsole{in: in, restore: func() {}, quit: make(chan struct{})}
	fd := int(in.Fd())
	if !term.IsTerminal(fd) {
		return c, nil
	}
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, err
	}
	c.restore = func() { _ = term.Restore(fd, before) }
	return c, nil
}

// isTerminal reports whether there is somebody to type.
func (c *vmConsole) isTerminal() bool { return term.IsTerminal(int(c.in.Fd())) }

// feed passes on what is typed, until it ends or the user leaves.
func (c *vmConsole) feed(guest io.Writer) {
	if !c.isTerminal() {
		_, _ = io.Copy(guest, c.in) // the end of the input is not the machine's end
		return
	}
	keys := escapeReader{in: c.in}
	if _, err := io.Copy(guest, &keys); err == nil && keys.left {
		c.leave()
	}
}

func (c *vmConsole) leave() { c.once.Do(func() { close(c.quit) }) }

// close gives the terminal back.
func (c *vmConsole) close() { c.restore() }

const (
	ctrlA   = 'A' - '@'
	quitKey = 'x'
)

// escapeReader passes keys, and ends at Ctrl-A x. Ctrl-A twice is Ctrl-A.
type escapeReader struct {
	in      io.Reader
	escaped bool
	left    bool
}

// Read returns io.EOF after the quit key, with left set.
func (r *escapeReader) Read(p []byte) (int, error) {
	for !r.left {
		n, err := r.in.Read(p)
		if kept := r.filter(p[:n]); kept > 0 || err != nil {
			return kept, err
		}
	}
	return 0, io.EOF
}

// filter keeps in p what is for the guest, and returns how much that is.
func (r *escapeReader) filter(p []byte) int {
	kept := 0
	for _, key := range p {
		switch {
		case r.escaped && key == quitKey:
			r.left = true
			return kept
		case !r.escaped && key == ctrlA:
			r.escaped = true
			continue
		}
		r.escaped = false
		p[kept] = key
		kept++
	}
	return kept
}
