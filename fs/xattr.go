package fs

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"sabrefs/store"
)

// The extended attributes of a memory file, beside xattrStats. All but the last come
// from the image's header.
const (
	xattrRatio       = "user.sabrefs.ratio"
	xattrUUID        = "user.sabrefs.uuid"
	xattrDigest      = "user.sabrefs.digest"
	xattrRawBytes    = "user.sabrefs.raw_bytes"
	xattrPackedBytes = "user.sabrefs.packed_bytes"
	xattrFrameBytes  = "user.sabrefs.frame_bytes"
	xattrVersion     = "user.sabrefs.version"
	xattrCodec       = "user.sabrefs.codec"
)

var xattrNames = []string{xattrRatio, xattrUUID, xattrDigest, xattrRawBytes, xattrPackedBytes,
	xattrFrameBytes, xattrVersion, xattrCodec, xattrStats}

// writeGuardName is what makes write(2) fail before the kernel copies foreign
// bytes into pages that guests share. Every write(2) first removes the file's
// capabilities; that a file has some is enough to begin, that they cannot be
// removed ends the call. The attribute grants nothing: its sets are empty, and
// mounts are nosuid.
const writeGuardName = "security.capability"

// writeGuard is a struct vfs_cap_data of revision 2 with empty sets.
var writeGuard = []byte{3: 0x02, 19: 0}

// Getxattr returns one attribute.
func (n *memNode) Getxattr(_ context.Context, name string, dest []byte) (uint32, syscall.Errno) {
	switch name {
	case writeGuardName:
		return copyXattr(dest, writeGuard)
	case xattrStats:
		return copyJSON(dest, n.tree.files.of(n.name(), &n.header).report())
	case xattrCodec:
		codec, err := n.sampleCodec()
		if err != nil {
			return 0, n.tree.errno("getxattr", n.rel, err)
		}
		return copyXattr(dest, []byte(codec))
	}
	value, ok := headerXattr(&n.header, name)
	if !ok {
		return 0, syscall.ENODATA
	}
	return copyXattr(dest, []byte(value))
}

// Listxattr lists the names. The write guard is not for programs that copy
// attributes.
func (n *memNode) Listxattr(_ context.Context, dest []byte) (uint32, syscall.Errno) {
	return copyXattr(dest, []byte(strings.Join(xattrNames, "\x00")+"\x00"))
}

func headerXattr(h *store.Header, name string) (string, bool) {
	switch name {
	case xattrRatio:
		return fmt.Sprintf("%.2f", float64(h.RawBytes)/float64(h.FileBytes)), true
	case xattrUUID:
		return h.UUID.String(), true
	case xattrDigest:
		return h.Digest.String(), true
	case xattrRawBytes:
		return strconv.FormatInt(h.RawBytes, 10), true
	case xattrPackedBytes:
		return strconv.FormatInt(h.FileBytes, 10), true
	case xattrFrameBytes:
		return strconv.Itoa(h.MaxPagesPerFrame() * store.PageBytes), true
	case xattrVersion:
		return strconv.FormatUint(uint64(h.Version), 10), true
	default:
		return "", false
	}
}

// sampleCodec returns the codec of the first frame outside the working set;
// of the first at all if there is no other, "none" without frames. It looks at the
// image's own frames, unless all that it has is its parent's. Frames that do not
// shrink are stored raw, so this is a sample and not a promise.
func (n *memNode) sampleCodec() (string, error) {
	if n.header.FrameCount == 0 && n.header.InheritedFrames == 0 {
		return "none", nil
	}
	image, err := n.acquire()
	if err != nil {
		return "", err
	}
	defer n.release(image)
	sample := int64(0)
	if n.header.FrameCount > 0 {
		sample = image.FirstFrame() + n.header.HotFrames%n.header.FrameCount
	}
	frame, err := image.Frame(uint32(sample))
	return frame.Codec.String(), err
}

// copyXattr answers as the getxattr and listxattr calls do: the size always,
// ERANGE if there is no room. go-fuse makes a probe with an empty buffer of it.
func copyXattr(dest, value []byte) (uint32, syscall.Errno) {
	if len(dest) < len(value) {
		return uint32(len(value)), syscall.ERANGE
	}
	copy(dest, value)
	return uint32(len(value)), 0
}
