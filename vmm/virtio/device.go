package virtio

import "errors"

// ErrDriver is returned when a driver broke the rules in a way that leaves no
// request to fail: its device then needs a reset.
var ErrDriver = errors.New("virtio driver broke the rules")

// Memory is a guest's memory. Slice returns bytes to read, SliceForWrite bytes
// that are about to be written; both fail where there is no RAM.
type Memory interface {
	Slice(gpa uint64, lenBytes int) ([]byte, error)
	SliceForWrite(gpa uint64, lenBytes int) ([]byte, error)
}

// Device is what is behind a transport.
type Device interface {
	// ID is the type of the device (chapter 5).
	ID() uint32
	// Features are the bits that the device has of its own.
	Features() uint64
	// Config is the configuration space. It never changes.
	Config() []byte
	// QueueCount is the number of queues.
	QueueCount() int
	// Handle carries out a request and returns how many bytes it wrote into the
	// chain. An error is about a chain that is no request; see ErrDriver.
	Handle(queue int, chain *Chain) (writtenBytes uint32, err error)
	// Identity is compared when a state is loaded: a device of another identity
	// must not take over from the one that was saved.
	Identity() []byte
}

// Features of the transport (chapter 6).
const (
	featureIndirect = 1 << 28
	featureVersion1 = 1 << 32
	ringFeatures    = featureIndirect | featureVersion1
)
