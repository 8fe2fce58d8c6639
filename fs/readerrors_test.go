package fs

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"sabrefs/store"
)

// flakyArg says what a disk that loses blocks is told: reads that touch the range
// fail as long as the file While exists.
type flakyArg struct {
	Dir, Point, While string
	FromOff, EndOff   int64
}

// flakyRole serves a directory in which reads of a part of every file fail, until
// its input ends.
func flakyRole(arg string) error {
	a := &flakyArg{}
	if err := json.Unmarshal([]byte(arg), a); err != nil {
		return err
	}
	root, err := gofs.NewLoopbackRoot(a.Dir)
	if err != nil {
		return err
	}
	loopback, ok := root.(*gofs.LoopbackNode)
	if !ok {
		return fmt.Errorf("the root is a %T", root)
	}
	server, err := gofs.Mount(a.Point, &flakyNode{loopback, a}, &gofs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "flaky", Name: "flaky", DisableSplice: true},
	})
	if err != nil {
		return err
	}
	fmt.Println("mounted")
	_, _ = io.ReadAll(os.Stdin)
	return server.Unmount()
}

type flakyNode struct {
	*gofs.LoopbackNode
	arg *flakyArg
}

// WrapChild makes what is found flaky too.
func (n *flakyNode) WrapChild(_ context.Context, child gofs.InodeEmbedder) gofs.InodeEmbedder {
	if node, ok := child.(*gofs.LoopbackNode); ok {
		return &flakyNode{node, n.arg}
	}
	return child
}

// Open opens the file beneath; pages are not kept, so that each read comes here.
func (n *flakyNode) Open(ctx context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	file, _, errno := n.LoopbackNode.Open(ctx, flags&^unix.O_DIRECT)
	return &flakyFile{file, n.arg}, 0, errno
}

type flakyFile struct {
	gofs.FileHandle
	arg *flakyArg
}

// Read fails as a disk does that lost a block.
func (f *flakyFile) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	a := f.arg
	if off < a.EndOff && off+int64(len(dest)) > a.FromOff {
		if _, err := os.Stat(a.While); err == nil {
			return nil, syscall.EIO
		}
	}
	reader, ok := f.FileHandle.(gofs.FileReader)
	if !ok {
		return nil, syscall.EINVAL
	}
	return reader.Read(ctx, dest, off)
}

// flakyStore serves a store with a disk of which reads of a frame fail, until repair
// is called.
func flakyStore(t *testing.T, dir string, frame store.FrameEntry) (point string, repair func()) {
	t.Helper()
	requireFUSE(t)
	point = t.TempDir()
	broken := filepath.Join(t.TempDir(), "broken")
	writeFile(t, broken, nil)
	const block = 4096
	arg, err := json.Marshal(&flakyArg{
		Dir: dir, Point: point, While: broken,
		FromOff: frame.PackedOff &^ (block - 1), EndOff: frame.PackedOff + int64(frame.PackedLen),
	})
	mustNot(t, err)
	m := &testMount{t: t, point: point, cmd: roleCommand("flaky", string(arg))}
	m.start()
	return point, func() { mustNot(t, os.Remove(broken)) }
}

// frameOf is the frame that holds a page.
func frameOf(t *testing.T, image string, page int64) store.FrameEntry {
	t.Helper()
	img, err := store.Open(image, store.OpenOptions{})
	mustNot(t, err)
	defer img.Close()
	var ref [1]store.PageRef
	mustNot(t, img.Pages(page, ref[:]))
	frame, err := img.Frame(ref[0].Frame)
	mustNot(t, err)
	return frame
}

// TestReadErrorWhilePrefetching that does not come again: the guest gets its bytes.
func TestReadErrorWhilePrefetching(t *testing.T) {
	dir, raw, traces, pages := tracedStore(t)
	bad := firstData(raw, pages)
	point, repair := flakyStore(t, dir, frameOf(t, filepath.Join(dir, "snap", "mem_file.sabre"), bad))
	m := mountStore(t, point, withPrefetch(PrefetchWS, traces))
	path := m.file("snap/mem_file")
	openHeld(t, path)
	if r := waitPrefetched(t, path); r.State != "done" || r.BadFrames == 0 || r.Used == 0 || r.Used >= r.Planned {
		t.Errorf("prefetch: %+v", r)
	}
	repair()
	mustNot(t, touchPages(t, path, raw, unix.MADV_NORMAL, pages).Run())
	wantContent(t, path, raw)
	if s := m.stats(); s.FailedReads != 0 {
		t.Errorf("%d reads of the guest failed", s.FailedReads)
	}
	if log := m.logged(); !strings.Contains(log, "input/output error") {
		t.Errorf("the log says:\n%s", log)
	}
}

// TestLostBlockWhilePrefetching: a guest that touches it gets an error, and only
// then.
func TestLostBlockWhilePrefetching(t *testing.T) {
	dir, raw, traces, pages := tracedStore(t)
	bad := firstData(raw, pages)
	point, _ := flakyStore(t, dir, frameOf(t, filepath.Join(dir, "snap", "mem_file.sabre"), bad))
	m := mountStore(t, point, withPrefetch(PrefetchWS, traces))
	path := m.file("snap/mem_file")
	f := openHeld(t, path)
	if r := waitPrefetched(t, path); r.State != "done" || r.BadFrames == 0 {
		t.Errorf("prefetch: %+v", r)
	}
	mustNot(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM))
	b := make([]byte, store.PageBytes)
	_, err := f.ReadAt(b, bad*store.PageBytes)
	wantErrno(t, "a page of the lost block", err, syscall.EIO)
	failed := 0
	for _, page := range pages {
		n, err := f.ReadAt(b, int64(page)*store.PageBytes)
		if n == 0 && err != nil {
			failed++
			continue
		}
		wantEqual(t, fmt.Sprintf("page %d", page), b[:n], raw[int(page)*store.PageBytes:][:n])
	}
	if failed == 0 || failed > 64 { // the frame, and those that share its disk blocks
		t.Errorf("%d pages failed", failed)
	}
}

// firstData is the first page of the list that is not zero.
func firstData(raw []byte, pages []uint32) int64 {
	for _, page := range pages {
		if end := int(page+1) * store.PageBytes; end <= len(raw) && !isZero(raw[end-store.PageBytes:end]) {
			return int64(page)
		}
	}
	return -1
}
