package portal

import "io/fs"

// DescriptorBytes is the size and the alignment of what is submitted at once.
const DescriptorBytes = 64

// Host is where accelerators are looked for: this machine, or a model.
type Host interface {
	// Sysfs is the tree that a machine has at /sys.
	Sysfs() fs.FS
	// CPU tells which submission instructions the processor has.
	CPU() Instructions
	// Open opens a queue's device node for reading and writing. The node is
	// the name below /dev, for instance "iax/wq1.0".
	Open(node string) (Node, error)
}

// Instructions are the submission instructions of a processor.
type Instructions struct {
	ENQCMD    bool // for shared queues
	MOVDIR64B bool // for dedicated queues
}

// Node is an open device node of one queue.
type Node interface {
	// Map maps the queue's portal. EPERM means that the kernel lets only
	// processes with CAP_SYS_RAWIO do so; Write is left then.
	Map() (Window, error)
	// Write submits len(p)/DescriptorBytes descriptors by write(2) and returns
	// how many bytes of them were accepted. EAGAIN means that the queue is
	// full.
	Write(p []byte) (int, error)
	// Close closes the node. A mapped window keeps the queue open.
	Close() error
}

// Window is a mapped portal. Descriptors are at 64-byte aligned addresses
// outside the Go heap.
type Window interface {
	// Enqcmd submits to a shared queue and reports whether the queue took the
	// descriptor; it does not while it is full or disabled.
	Enqcmd(descriptor *[DescriptorBytes]byte) (accepted bool)
	// Movdir64b submits to a dedicated queue. There is no answer: what finds
	// the queue full is lost.
	Movdir64b(descriptor *[DescriptorBytes]byte)
	// Unmap removes the window.
	Unmap() error
}
