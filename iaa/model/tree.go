package model

import (
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// attributeBytes is the size that sysfs states for every attribute.
const attributeBytes = 4096

// tree is a filesystem in memory whose files are rendered when they are opened.
// It does not change its shape after it was built.
type tree struct {
	files map[string]func() (string, error)
	dirs  map[string][]fs.DirEntry // sorted
}

// newTree makes the directories that the files need.
func newTree(files map[string]func() (string, error)) *tree {
	children := map[string]map[string]fs.DirEntry{".": {}}
	for file := range files {
		child := entry{name: path.Base(file)}
		for dir := path.Dir(file); ; dir = path.Dir(dir) {
			if children[dir] == nil {
				children[dir] = map[string]fs.DirEntry{}
			}
			children[dir][child.name] = child
			if dir == "." {
				break
			}
			child = entry{name: path.Base(dir), dir: true}
		}
	}
	t := &tree{files: files, dirs: map[string][]fs.DirEntry{}}
	for dir, entries := range children {
		t.dirs[dir] = slices.SortedFunc(maps.Values(entries), func(a, b fs.DirEntry) int {
			return strings.Compare(a.Name(), b.Name())
		})
	}
	return t
}

// Open implements fs.FS.
func (t *tree) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if entries, ok := t.dirs[name]; ok {
		return &openDir{about: entry{name: path.Base(name), dir: true}, path: name, left: entries}, nil
	}
	render, ok := t.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	text, err := render()
	return &openFile{
		about: entry{name: path.Base(name)}, path: name, text: strings.NewReader(text), err: err,
	}, nil
}

// entry is the directory entry and the description of a file.
type entry struct {
	name string
	dir  bool
}

func (e entry) Name() string               { return e.name }
func (e entry) IsDir() bool                { return e.dir }
func (e entry) Type() fs.FileMode          { return e.Mode().Type() }
func (e entry) Info() (fs.FileInfo, error) { return e, nil }
func (e entry) ModTime() time.Time         { return time.Time{} }
func (e entry) Sys() any                   { return nil }

func (e entry) Size() int64 {
	if e.dir {
		return 0
	}
	return attributeBytes
}

func (e entry) Mode() fs.FileMode {
	if e.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// openFile is an attribute that was rendered. As in sysfs, one that cannot be
// read can be opened.
type openFile struct {
	about entry
	path  string
	text  *strings.Reader
	err   error
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.about, nil }
func (f *openFile) Close() error               { return nil }

func (f *openFile) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, &fs.PathError{Op: "read", Path: f.path, Err: f.err}
	}
	return f.text.Read(p)
}

type openDir struct {
	about entry
	path  string
	left  []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.about, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: fs.ErrInvalid}
}

// ReadDir implements fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.left) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.left) {
		n = len(d.left)
	}
	entries := slices.Clone(d.left[:n])
	d.left = d.left[n:]
	return entries, nil
}
