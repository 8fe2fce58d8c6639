package fs

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/iaa"
	"sabrefs/store"
)

// catalog answers what a file called *.sabre is, and remembers it as long as
// the file does not change: listing a directory of snapshots asks for each.
type catalog struct {
	dir    *storeDir
	engine iaa.Engine

	mu    sync.Mutex
	found map[fileIdent]finding // guarded by mu
}

// finding is what a file was found to be: an image with this header, or the
// error that says why it is none or cannot be read.
type finding struct {
	header *store.Header
	err    error
}

const (
	catalogMax = 8192
	// settledAfter is the age from which a file's times tell its states apart:
	// below it a second change could have the same timestamp.
	settledAfter = 2 * time.Second
)

// examine returns the header of the image at rel. The error is of class
// store.ErrNotImage if the file is something else.
func (c *catalog) examine(rel string, st *unix.Stat_t) (*store.Header, error) {
	ident := identOf(st)
	c.mu.Lock()
	known, ok := c.found[ident]
	c.mu.Unlock()
	if ok {
		return known.header, known.err
	}
	header, err := c.readHeader(rel)
	if isSettled(st) && (err == nil || isAny(err, imageErrors)) {
		c.remember(ident, finding{header, err})
	}
	return header, err
}

func (c *catalog) readHeader(rel string) (*store.Header, error) {
	img, err := c.open(rel)
	if err != nil {
		return nil, err
	}
	header := img.Header()
	if err := img.Close(); err != nil {
		return nil, fmt.Errorf("closing %s: %w", c.dir.display(rel), err)
	}
	return &header, nil
}

// open opens an image of the store. The descriptor pins the file that was
// found beneath the store's root; opening it again by way of /proc cannot lead
// anywhere else.
func (c *catalog) open(rel string) (*store.Image, error) {
	fd, err := c.dir.openFD(rel, unix.O_PATH)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", c.dir.display(rel), err)
	}
	img, err := store.Open(fmt.Sprintf("/proc/self/fd/%d", fd), store.OpenOptions{Engine: c.engine})
	return img, errors.Join(named(err, c.dir.display(rel)), unix.Close(fd))
}

// named puts the path that an operator knows into a finding about a file that
// was opened by another one.
func named(err error, path string) error {
	if err == nil {
		return nil
	}
	if fe, ok := errors.AsType[*store.FileError](err); ok {
		renamed := *fe
		renamed.Path = path
		return &renamed
	}
	return fmt.Errorf("%s: %w", path, err)
}

func (c *catalog) remember(ident fileIdent, f finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found == nil {
		c.found = make(map[fileIdent]finding)
	}
	if len(c.found) >= catalogMax {
		for old := range c.found { // any one: the map's order is random
			delete(c.found, old)
			break
		}
	}
	c.found[ident] = f
}

func isSettled(st *unix.Stat_t) bool {
	changed := time.Unix(st.Ctim.Unix())
	age := time.Since(changed)
	return age > settledAfter
}
