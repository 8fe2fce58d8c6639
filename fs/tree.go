package fs

import (
	"errors"
	"log/slog"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"

	"sabrefs/store"
)

// tree is what all nodes of a mount share. Its fields do not change while the
// mount is served.
type tree struct {
	config  Config
	dir     *storeDir
	catalog *catalog
	cache   *store.FrameCache
	log     *slog.Logger
	logged  onceSet
	cold    *coldPusher
	scrub   *scrubber
	stats   counters

	ahead    *ahead
	recorder *recorder // nil unless the mount records
	files    fileTable
}

// entry is one name of the mount: a file of the store and, if that is a
// readable image, its header.
type entry struct {
	rel    string // of the file in the store
	st     unix.Stat_t
	header *store.Header // nil for anything but a memory file
}

// errNoEntry is returned when the store has nothing to show by a name.
var errNoEntry = os.NewSyscallError("lookup", syscall.ENOENT)

// find returns what the mount shows at rel: an image by the name of its memory
// file, anything else by its own. An image that cannot be read is an error
// even where a raw file of that name exists, for that may have other bytes.
func (t *tree) find(rel string) (*entry, error) {
	if isHidden(path.Base(rel)) {
		return nil, errNoEntry
	}
	e, err := t.findMemory(rel)
	if err == nil {
		t.warnIfShadowing(rel)
		return e, nil
	}
	if !errors.Is(err, errNoEntry) {
		return nil, err
	}
	return t.findPlain(rel)
}

// findMemory looks for the image of a memory file.
func (t *tree) findMemory(rel string) (*entry, error) {
	e := &entry{rel: rel + imageSuffix}
	var err error
	e.st, err = t.dir.stat(e.rel)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENAMETOOLONG) {
		return nil, errNoEntry
	}
	if err != nil {
		return nil, err
	}
	if e.st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errNoEntry
	}
	e.header, err = t.catalog.examine(e.rel, &e.st)
	if errors.Is(err, store.ErrNotImage) {
		return nil, errNoEntry
	}
	return e, err
}

// findPlain looks for a file that is shown as it is.
func (t *tree) findPlain(rel string) (*entry, error) {
	st, err := t.dir.stat(rel)
	if err != nil {
		return nil, err
	}
	if t.isImageFile(rel, &st) {
		return nil, errNoEntry // it is shown as its memory file
	}
	return &entry{rel: rel, st: st}, nil
}

// isImageFile reports whether a file of the store is shown as a memory file,
// be it that reading it would fail.
func (t *tree) isImageFile(rel string, st *unix.Stat_t) bool {
	if _, ok := memoryName(path.Base(rel)); !ok || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	_, err := t.catalog.examine(rel, st)
	return !errors.Is(err, store.ErrNotImage)
}

// warnIfShadowing says, once, that a raw file is hidden by its image.
func (t *tree) warnIfShadowing(rel string) {
	if _, err := t.dir.stat(rel); err == nil && t.logged.first("shadow\x00"+rel) {
		t.log.Warn("file is hidden by the image beside it", "file", t.dir.display(rel), "image", t.dir.display(rel+imageSuffix))
	}
}
