package fs

import (
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
	dir     *storeDir
	engine  iaa.Engine
	parents *store.Parents

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

// readHeader opens the image without its parents: a listing of deep chains stays
// cheap, and what is remembered does not depend on other files.
func (c *catalog) readHeader(rel string) (*store.Header, error) {
	img, err := c.openWith(rel, store.OpenOptions{Alone: true})
	if err != nil {
		return nil, err
	}
	header := img.Header()
	if err := img.Close(); err != nil {
		return nil, fmt.Errorf("closing %s: %w", c.dir.display(rel), err)
	}
	return &header, nil
}

// open opens an image of the store and its parents. A finding about a parent is never
// remembered: when the parent is there again, the next open succeeds.
func (c *catalog) open(rel string) (*store.Image, error) {
	return c.openWith(rel, store.OpenOptions{Engine: c.engine, Parents: c.parents})
}

func (c *catalog) openWith(rel string, options store.OpenOptions) (*store.Image, error) {
	file, err := c.dir.open(rel)
	if err != nil {
		return nil, err
	}
	return store.OpenFile(file, file.Name(), options)
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
