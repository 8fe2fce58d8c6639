// Package fs is the mounted view of a store: a read-only FUSE filesystem in
// which every packed image appears as the memory file it was made from.
//
// # The tree
//
// A mount shows the store directory as the tree that was packed. A file
// X.sabre appears as X with its raw size, its holes, and the mode, owner and
// times of the image file. Every other file, directory and symbolic link
// appears under its own name. Names that the packer uses while it works
// (.NAME.sabrefs-staging) are hidden, and nothing else is.
//
//   - X and X.sabre both exist: the image is shown, a warning is logged once.
//   - X.sabre is no image (other magic bytes): shown as the file X.sabre.
//   - X.sabre is an image that cannot be read (damaged, truncated, of a newer
//     version): X is listed, and stat and open fail with EIO. A raw file X
//     beside it is not shown in its place.
//
// The store may change under a mount. Directory entries are trusted by the
// kernel for a second, missing names not at all, so new snapshots appear. An
// image that is replaced by rename becomes another inode: files that are open
// keep the old content, lookups find the new.
//
// The store is opened once, as a directory descriptor; every access resolves
// beneath it and follows no symbolic link (openat2, Linux 5.6), so a link in a
// store is shown and never leads the daemon out of it.
//
// # Parents
//
// An image may have a parent and hold only what differs (see the store package). The
// chain is opened with the memory file, not for a listing: stat and readdir read one
// header, however deep the chain is. All images of a mount share the parents that are
// open, so the frames of a common ancestor are decoded once for all its descendants.
//
// Where its parent is, the image says relative to its own directory, and that is
// resolved like every path here: beneath the store and through no symbolic link
// (parents.go). Elsewhere parents are found only below Config.ParentDirs, by their
// content. A parent that is missing, is another one or leads in a circle makes open
// fail with EIO. Nothing of that is remembered: the next open looks again. Who has a
// file open keeps the parents that were found then, whatever becomes of their names.
//
// # Inode identity
//
// The kernel keeps pages by inode, so two contents must never share one. The
// identity of a memory file is its image's UUID, the digest of its content and
// its path; that of any other file is device, inode number and path. Both are
// hashed to 128 bits, of which half is the inode number shown, and are the
// same in every mount of the store.
//
// # What the kernel caches
//
// A memory file never changes. Its pages stay in the page cache between opens
// (FOPEN_KEEP_CACHE) and are shared by every process that maps it; its
// attributes hold for an hour. Other files may change: their pages are kept
// only while size and times are as at the previous open.
//
// A file of the mount may be opened for writing, because VMMs open memory
// files O_RDWR even when they map them private; bytes cannot be changed by it.
// The page cache is what running guests see, so keeping foreign bytes out of
// it is part of "right bytes or an error":
//
//   - write(2) copies into the page cache before it asks the filesystem. Before
//     that, though, the kernel strips file capabilities; a memory file claims to
//     have one (see xattr.go) and refuses to have it removed, which ends the
//     call with EROFS while the cache is untouched.
//   - A page dirtied through a shared writable mapping cannot be prevented. Its
//     write-back is refused with EROFS and the range dropped from the page
//     cache, so that it is read again (see scrub.go). Until the kernel writes
//     it back, by itself or by msync, every process sees it.
//
// # Being ahead, and recording
//
// With the first open of a memory file a session of prefetch begins (session.go): its
// working set, from a trace or from the image, is pushed into the page cache by a
// prefetch.Run; with the last close it ends. The kernel knows the inode then. For the
// eager mode another process looks the files up first (eager.go).
//
// A page outside the working set is served alone, although the kernel asks for what
// lies around it (coldread.go). A mount that records serves nothing but single pages,
// and so sees each that is touched (recording.go).
//
// # Errors and interrupts
//
// Errors become error numbers in errno.go and nowhere else. What the bytes of
// an image caused is EIO, with a log line that names file, offset and finding;
// the file is the parent's if the finding is about a parent.
//
// Reads of memory files ignore interrupts. A signal to a thread that waits in
// a page fault makes the kernel send one, and a fault that is answered with
// EINTR has no page: Linux 6.18 starts it over, so a guest whose vCPUs are
// kicked faster than a frame is decoded would stand still.
//
// # Concurrency
//
// Any number of requests run at once, of one file too. Image and cache are
// safe for that; a node's mutable fields have a mutex named beside them. An
// open image is counted by its users (handles, reads and pushes under way) and
// closed by whoever lets go of it last, because a RELEASE may be handled while
// a READ of the same handle still is.
//
// # Deadlocks
//
// The kernel locks a page, asks for its bytes and waits. Hence:
//
//   - The process that serves a mount never touches a path in it, least of all
//     maps one: the fault would hold a thread that the garbage collector needs.
//     Tests do all file operations from another process. (go-fuse itself opens
//     one name once, while mounting, and answers it on its own.)
//   - Notifications about pages (store, invalidate) take the page lock. They
//     run on goroutines of their own and never in a handler before its reply.
//   - No lock of this package is held while the kernel is notified.
//   - A push waits for READs of its pages. What such a READ needs, a frame that is
//     being decoded ahead for example, is there before the push begins.
//
// # What it refuses
//
// Every change (create, unlink, rename, link, chmod, truncate, fallocate,
// setxattr, write) is EROFS. It does not pass on extended attributes of the
// store's files, and keeps no locks of its own: flock and fcntl locks work
// within the host, as on any local filesystem.
package fs
