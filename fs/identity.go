package fs

import (
	"crypto/sha256"
	"encoding/binary"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"golang.org/x/sys/unix"

	"sabrefs/store"
)

// fileIdent names one state of one file of the store: it differs after any
// change that the filesystem below took note of.
type fileIdent struct {
	dev, ino     uint64
	sizeBytes    int64
	mtime, ctime unix.Timespec
}

func identOf(st *unix.Stat_t) fileIdent {
	return fileIdent{dev: st.Dev, ino: st.Ino, sizeBytes: st.Size, mtime: st.Mtim, ctime: st.Ctim}
}

// sameFile reports whether both are states of one file.
func (i fileIdent) sameFile(other fileIdent) bool { return i.dev == other.dev && i.ino == other.ino }

// memoryAttr is the inode identity of an image's memory file. The path is part
// of it because a node knows only the path it was found at.
func memoryAttr(id store.Identity, rel string) gofs.StableAttr {
	key := append([]byte("image\x00"), id.UUID[:]...)
	key = append(key, id.Digest[:]...)
	return hashedAttr(unix.S_IFREG, append(key, rel...))
}

// plainAttr is the inode identity of any other file.
func plainAttr(st *unix.Stat_t, rel string) gofs.StableAttr {
	key := []byte("plain\x00")
	key = binary.LittleEndian.AppendUint64(key, st.Dev)
	key = binary.LittleEndian.AppendUint64(key, st.Ino)
	return hashedAttr(st.Mode&unix.S_IFMT, append(key, rel...))
}

// hashedAttr spreads a key over inode number and generation. go-fuse takes
// equal attributes for the same file, so 64 bits would not be enough for a
// store whose files strangers may name. The highest bit is cleared and the
// next one set, which keeps clear of the numbers that go-fuse reserves (1 and
// the highest) or hands out itself.
func hashedAttr(fileType uint32, key []byte) gofs.StableAttr {
	sum := sha256.Sum256(key)
	ino := binary.LittleEndian.Uint64(sum[0:])&^(1<<63) | 1<<62
	return gofs.StableAttr{Mode: fileType, Ino: ino, Gen: binary.LittleEndian.Uint64(sum[8:])}
}
