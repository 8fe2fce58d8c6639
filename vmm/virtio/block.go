package virtio

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Block devices (chapter 5.2).
const (
	blockID = 2

	featureSegMax    = 1 << 2
	featureReadOnly  = 1 << 5
	featureBlockSize = 1 << 6
	featureFlush     = 1 << 9

	configCapacity  = 0
	configSegMax    = 12
	configBlockSize = 20
	configBytes     = 60

	requestIn    = 0
	requestOut   = 1
	requestFlush = 4
	requestGetID = 8

	requestHeaderBytes = 16
	idBytes            = 20

	statusOK          = 0
	statusIOError     = 1
	statusUnsupported = 2

	// SectorBytes is the unit of everything.
	SectorBytes = 512
	// segMax is how many buffers of data fit into a chain, with header and status.
	segMax = MaxQueueSize/2 - 2
)

// Disk is what a block device reads and writes. Its size is a multiple of
// SectorBytes and never changes.
type Disk interface {
	ReadAt(b []byte, rawOff int64) (int, error)
	WriteAt(b []byte, rawOff int64) (int, error)
	// Sync returns when all that was written is safe.
	Sync() error
	SizeBytes() int64
}

// Block is a block device. Its transport calls it from one thread at a time.
type Block struct {
	disk     Disk
	id       [idBytes]byte
	readOnly bool
	onError  func(error)
}

// NewBlock returns a device of a disk. The guest sees the id, or its first 20 bytes, as
// the disk's serial number.
func NewBlock(disk Disk, id string, readOnly bool) *Block {
	b := &Block{disk: disk, readOnly: readOnly}
	copy(b.id[:], id)
	return b
}

// OnError has f told when the disk fails: the guest learns that, but not why. It
// belongs to the time before the first request.
func (b *Block) OnError(f func(error)) { b.onError = f }

func (b *Block) failed(err error) {
	if b.onError != nil {
		b.onError(err)
	}
}

// ID is the type of block devices.
func (*Block) ID() uint32 { return blockID }

// QueueCount is one: for requests.
func (*Block) QueueCount() int { return 1 }

// Features are those of a disk whose writes are safe when flushed.
func (b *Block) Features() uint64 {
	features := uint64(featureSegMax | featureBlockSize | featureFlush)
	if b.readOnly {
		features |= featureReadOnly
	}
	return features
}

// Config tells the size of the disk.
func (b *Block) Config() []byte {
	le := binary.LittleEndian
	config := make([]byte, configBytes)
	le.PutUint64(config[configCapacity:], b.sectorCount())
	le.PutUint32(config[configSegMax:], segMax)
	le.PutUint32(config[configBlockSize:], SectorBytes)
	return config
}

// Identity is the size and whether the disk is read-only: a guest that was told
// both goes on only with the same.
func (b *Block) Identity() []byte {
	identity := binary.LittleEndian.AppendUint64(nil, b.sectorCount())
	if b.readOnly {
		return append(identity, 1)
	}
	return append(identity, 0)
}

func (b *Block) sectorCount() uint64 { return uint64(b.disk.SizeBytes()) / SectorBytes }

// Handle carries out a request: a header to read, data, and a byte to write, the
// status. A request without room for a status is none.
func (b *Block) Handle(_ int, chain *Chain) (writtenBytes uint32, err error) {
	status := chain.takeLastWritable()
	if status == nil {
		return 0, fmt.Errorf("request without room for a status: %w", ErrDriver)
	}
	writtenBytes = uint32(min(chain.writableBytes, math.MaxUint32-1)) + 1
	status[0] = b.request(chain)
	return writtenBytes, nil
}

// request returns the status.
func (b *Block) request(chain *Chain) byte {
	var header [requestHeaderBytes]byte
	if chain.takeReadable(header[:]) < len(header) {
		return statusIOError
	}
	sector := binary.LittleEndian.Uint64(header[8:])
	switch binary.LittleEndian.Uint32(header[:]) {
	case requestIn:
		return b.transfer(sector, chain.writable, chain.writableBytes, b.disk.ReadAt)
	case requestOut:
		if b.readOnly {
			return statusIOError
		}
		return b.transfer(sector, chain.readable, chain.readableBytes, b.disk.WriteAt)
	case requestFlush:
		return b.flush()
	case requestGetID:
		return b.getID(chain.writable)
	}
	return statusUnsupported
}

// transfer moves whole sectors between disk and buffers.
func (b *Block) transfer(sector uint64, buffers [][]byte, lenBytes uint64, move func([]byte, int64) (int, error)) byte {
	sectors := b.sectorCount()
	if lenBytes%SectorBytes != 0 || sector > sectors || lenBytes/SectorBytes > sectors-sector {
		return statusIOError
	}
	rawOff := int64(sector * SectorBytes)
	for _, buffer := range buffers {
		if len(buffer) == 0 {
			continue
		}
		if n, err := move(buffer, rawOff); n != len(buffer) {
			b.failed(fmt.Errorf("%d of %d bytes at offset %#x of a disk: %w", n, len(buffer), rawOff, err))
			return statusIOError
		}
		rawOff += int64(len(buffer))
	}
	return statusOK
}

func (b *Block) flush() byte {
	if b.readOnly {
		return statusOK
	}
	if err := b.disk.Sync(); err != nil {
		b.failed(fmt.Errorf("flushing a disk: %w", err))
		return statusIOError
	}
	return statusOK
}

func (b *Block) getID(buffers [][]byte) byte {
	rest := b.id[:]
	for _, buffer := range buffers {
		rest = rest[copy(buffer, rest):]
	}
	if len(rest) > 0 {
		return statusIOError
	}
	return statusOK
}
