package fs

import (
	"context"
	"path"
	"sort"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// rootRel is the path of the root in the store.
const rootRel = "."

// dirNode is a directory of the store.
type dirNode struct {
	gofs.Inode
	readOnlyDir
	tree *tree
	rel  string // rootRel for the root
}

// Lookup finds a name and fills in its attributes.
func (d *dirNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	rel := path.Join(d.rel, name)
	e, err := d.tree.find(rel)
	if err != nil {
		return nil, d.tree.errno("lookup", rel, err)
	}
	if e.header != nil {
		return d.memoryChild(ctx, name, e, out), 0
	}
	fillPlainAttr(&out.Attr, &e.st)
	return d.plainChild(ctx, name, e), 0
}

// memoryChild returns the node of a memory file: the one that is known by this
// name, brought up to date, if it has the same content.
func (d *dirNode) memoryChild(ctx context.Context, name string, e *entry, out *fuse.EntryOut) *gofs.Inode {
	out.SetAttrTimeout(memoryAttrTimeout)
	id := memoryAttr(e.header.Identity, e.rel)
	if known := d.GetChild(name); known != nil && known.StableAttr() == id {
		if node, ok := known.Operations().(*memNode); ok {
			node.refresh(e)
			node.fillAttr(&out.Attr)
			return known
		}
	}
	node := newMemNode(d.tree, e)
	node.fillAttr(&out.Attr)
	return d.NewInode(ctx, node, id)
}

// plainChild returns the node of any other file. Such a node holds nothing
// that ages, so go-fuse may well prefer one that it knows already.
func (d *dirNode) plainChild(ctx context.Context, name string, e *entry) *gofs.Inode {
	id := plainAttr(&e.st, e.rel)
	if known := d.GetChild(name); known != nil && known.StableAttr() == id {
		return known
	}
	ident := identOf(&e.st)
	switch e.st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return d.NewInode(ctx, &dirNode{tree: d.tree, rel: e.rel}, id)
	case unix.S_IFLNK:
		return d.NewInode(ctx, &linkNode{tree: d.tree, rel: e.rel, ident: ident}, id)
	default:
		return d.NewInode(ctx, &plainNode{tree: d.tree, rel: e.rel, ident: ident}, id)
	}
}

// Getattr describes the directory.
func (d *dirNode) Getattr(_ context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	st, err := d.tree.dir.stat(d.rel)
	if err != nil {
		return d.tree.errno("stat", d.rel, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return d.tree.errno("stat", d.rel, errStale)
	}
	fillPlainAttr(&out.Attr, &st)
	return 0
}

// Readdir lists the names that Lookup finds, sorted.
func (d *dirNode) Readdir(context.Context) (gofs.DirStream, syscall.Errno) {
	list, err := d.list()
	if err != nil {
		return nil, d.tree.errno("readdir", d.rel, err)
	}
	return gofs.NewListDirStream(list), 0
}

func (d *dirNode) list() ([]fuse.DirEntry, error) {
	dir, err := d.tree.dir.open(d.rel)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	shown := make(map[string]uint32, len(names)) // file type by shown name
	for _, name := range names {
		d.show(shown, name)
	}
	list := []fuse.DirEntry{{Name: ".", Mode: unix.S_IFDIR}, {Name: "..", Mode: unix.S_IFDIR}}
	for name, fileType := range shown {
		list = append(list, fuse.DirEntry{Name: name, Mode: fileType})
	}
	sort.Slice(list, func(i, k int) bool { return list[i].Name < list[k].Name })
	return list, nil
}

// show adds what a name of the store appears as. A file that is gone by now
// adds nothing.
func (d *dirNode) show(shown map[string]uint32, name string) {
	if isHidden(name) {
		return
	}
	rel := path.Join(d.rel, name)
	st, err := d.tree.dir.stat(rel)
	if err != nil {
		return
	}
	if base, ok := memoryName(name); ok && d.tree.isImageFile(rel, &st) {
		shown[base] = unix.S_IFREG
		return
	}
	if _, taken := shown[name]; !taken { // by an image
		shown[name] = st.Mode & unix.S_IFMT
	}
}

// Statfs describes the filesystem under the store, as full: nothing can be
// written here.
func (d *dirNode) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	st, err := d.tree.dir.statfs()
	if err != nil {
		return d.tree.errno("statfs", d.rel, err)
	}
	*out = fuse.StatfsOut{
		Blocks: st.Blocks - st.Bfree, Bsize: uint32(st.Bsize), Frsize: uint32(st.Frsize),
		Files: st.Files - st.Ffree, NameLen: uint32(st.Namelen),
	}
	return 0
}

// fillPlainAttr copies what stat(2) says.
func fillPlainAttr(attr *fuse.Attr, st *unix.Stat_t) {
	attr.Size, attr.Blocks, attr.Blksize = uint64(st.Size), uint64(st.Blocks), uint32(st.Blksize)
	attr.Mode, attr.Nlink, attr.Rdev = st.Mode, uint32(st.Nlink), uint32(st.Rdev)
	attr.Owner = fuse.Owner{Uid: st.Uid, Gid: st.Gid}
	attr.Atime, attr.Atimensec = uint64(st.Atim.Sec), uint32(st.Atim.Nsec)
	attr.Mtime, attr.Mtimensec = uint64(st.Mtim.Sec), uint32(st.Mtim.Nsec)
	attr.Ctime, attr.Ctimensec = uint64(st.Ctim.Sec), uint32(st.Ctim.Nsec)
}
