package portal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// portalBytes is the length of a mapping; the kernel refuses more. Source:
// Linux, drivers/dma/idxd/cdev.c, idxd_cdev_mmap.
const portalBytes = 4096

// errNotQueue is returned for a node that is no character device.
var errNotQueue = errors.New("not a character device")

// System returns this machine.
func System() Host { return system{} }

type system struct{}

func (system) Sysfs() fs.FS { return os.DirFS("/sys") }

func (system) CPU() Instructions { return instructions() }

func (system) Open(node string) (Node, error) {
	if !fs.ValidPath(node) {
		return nil, fmt.Errorf("device node %q: %w", node, fs.ErrInvalid)
	}
	name := path.Join("/dev", node)
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if err := checkCharacterDevice(fd); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "open", Path: name, Err: err}, unix.Close(fd))
	}
	return &systemNode{fd: fd, name: name}, nil
}

func checkCharacterDevice(fd int) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFCHR {
		return errNotQueue
	}
	return nil
}

// systemNode is not an os.File: the runtime's poller must not learn of the
// descriptor, because poll(2) on it has a meaning of its own (errors of the
// device).
type systemNode struct {
	fd   int
	name string
}

func (n *systemNode) Map() (Window, error) {
	mem, err := unix.Mmap(n.fd, 0, portalBytes, unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, &fs.PathError{Op: "mmap", Path: n.name, Err: err}
	}
	return &systemWindow{mem: mem, base: unsafe.Pointer(&mem[0])}, nil //nolint:gosec // the portal is addressed, never read
}

// Write is one write(2): the kernel takes whole descriptors and says how many
// bytes of them, so that a short count is no error.
func (n *systemNode) Write(p []byte) (int, error) {
	for {
		written, err := unix.Write(n.fd, p)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, &fs.PathError{Op: "write", Path: n.name, Err: err}
		}
		return written, nil
	}
}

func (n *systemNode) Close() error {
	if err := unix.Close(n.fd); err != nil {
		return &fs.PathError{Op: "close", Path: n.name, Err: err}
	}
	return nil
}

// systemWindow is a portal. Its memory is write-only: a load from it is an
// error on some platforms and slow on all.
type systemWindow struct {
	mem  []byte
	base unsafe.Pointer
}

func (w *systemWindow) Enqcmd(descriptor *[DescriptorBytes]byte) bool {
	return enqcmd(w.cell(descriptor), unsafe.Pointer(descriptor)) //nolint:gosec // the operand of the instruction
}

func (w *systemWindow) Movdir64b(descriptor *[DescriptorBytes]byte) {
	movdir64b(w.cell(descriptor), unsafe.Pointer(descriptor)) //nolint:gosec // the operand of the instruction
}

// cell chooses one of the portal's 64 addresses, which all mean the same.
// Stores to different ones need not wait for each other; the descriptor's own
// address is a choice that costs nothing and has no state.
func (w *systemWindow) cell(descriptor *[DescriptorBytes]byte) unsafe.Pointer {
	address := uintptr(unsafe.Pointer(descriptor)) //nolint:gosec // only to derive a number
	cell := (address>>12 ^ address>>6) % (portalBytes / DescriptorBytes)
	return unsafe.Add(w.base, cell*DescriptorBytes)
}

func (w *systemWindow) Unmap() error {
	mem := w.mem
	w.mem, w.base = nil, nil
	if err := unix.Munmap(mem); err != nil {
		return fmt.Errorf("unmapping a portal: %w", err)
	}
	return nil
}

// canTellCPU is whether CurrentCPU can know.
var canTellCPU = sync.OnceValue(hasRDTSCP)

// CurrentCPU returns the number of the processor that runs the caller, which
// may be another one a moment later, or -1 if it cannot be told.
func CurrentCPU() int {
	if !canTellCPU() {
		return -1
	}
	const cpuMask = 0xfff // Linux, VDSO_CPUNODE_MASK
	return int(rdtscp() & cpuMask)
}
