//go:build linux || darwin

package model

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"sabrefs/iaa/portal"
)

// arena is memory outside the Go heap, as drivers use it.
type arena struct {
	memory []byte
	used   int
}

func newArena(tb testing.TB, lenBytes int) *arena {
	tb.Helper()
	memory, err := syscall.Mmap(-1, 0, lenBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	wantNoError(tb, err)
	tb.Cleanup(func() { wantNoError(tb, syscall.Munmap(memory)) })
	return &arena{memory: memory}
}

// take returns zeroed memory at a multiple of 64.
func (a *arena) take(lenBytes int) []byte {
	start := (a.used + 63) &^ 63
	a.used = start + lenBytes
	clear(a.memory[start:a.used])
	return a.memory[start:a.used:a.used]
}

func (a *arena) copyOf(p []byte) []byte {
	b := a.take(len(p))
	copy(b, p)
	return b
}

func address(p []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))) }

// machine is a model, one queue of it that is open and mapped, and memory. It
// is closed at the end of the test, and then nothing may be left over.
type machine struct {
	*arena

	tb     testing.TB
	host   *Host
	node   portal.Node
	window portal.Window
}

const arenaBytes = 32 << 20

func newMachine(tb testing.TB, config Config) *machine {
	tb.Helper()
	m := &machine{tb: tb, arena: newArena(tb, arenaBytes)}
	host, err := NewHost(config)
	wantNoError(tb, err)
	m.host = host
	m.node, err = host.Open("iax/wq1.0")
	wantNoError(tb, err)
	m.window, err = m.node.Map()
	wantNoError(tb, err)
	tb.Cleanup(m.close)
	return m
}

// reset is the machine for another test, with all its memory to give.
func (m *machine) reset(tb testing.TB) *machine {
	tb.Helper()
	return &machine{arena: &arena{memory: m.memory}, tb: tb, host: m.host, node: m.node, window: m.window}
}

func (m *machine) close() {
	wantNoError(m.tb, m.window.Unmap())
	wantNoError(m.tb, m.node.Close())
	wantEqual(m.tb, "jobs in flight after the queue was closed", m.host.Counters().InFlight, 0)
	wantNoError(m.tb, m.host.Close())
}

// fields are those of a descriptor by their offset, little-endian.
type fields struct {
	opcode                       Opcode
	flags                        uint32
	source, destination, source2 []byte
	mode                         uint16
	more                         uint32
	// patch changes the raw descriptor.
	patch func(raw []byte)
}

// task is a job of a test.
type task struct {
	m      *machine
	raw    *[portal.DescriptorBytes]byte
	record []byte
	output []byte
}

func (m *machine) task(f fields) *task {
	le := binary.LittleEndian
	t := &task{m: m, raw: (*[portal.DescriptorBytes]byte)(m.take(portal.DescriptorBytes)), record: m.take(64), output: f.destination}
	raw := t.raw[:]
	le.PutUint32(raw[4:], f.flags|0xc|uint32(f.opcode)<<24)
	le.PutUint64(raw[8:], address(t.record))
	if f.source != nil {
		le.PutUint64(raw[16:], address(f.source))
		le.PutUint32(raw[32:], uint32(len(f.source)))
	}
	if f.destination != nil {
		le.PutUint64(raw[24:], address(f.destination))
		le.PutUint32(raw[48:], uint32(len(f.destination)))
	}
	le.PutUint16(raw[38:], f.mode)
	if f.source2 != nil {
		le.PutUint64(raw[40:], address(f.source2))
		le.PutUint32(raw[52:], uint32(len(f.source2)))
	}
	le.PutUint32(raw[56:], f.more)
	if f.patch != nil {
		f.patch(raw)
	}
	return t
}

func (t *task) status() *uint64 { return (*uint64)(unsafe.Pointer(unsafe.SliceData(t.record))) }

func (t *task) done() bool { return atomic.LoadUint64(t.status())&0xff != 0 }

// submit clears the record and hands the descriptor over.
func (t *task) submit() bool {
	clear(t.record)
	return t.m.window.Enqcmd(t.raw)
}

const patience = 20 * time.Second

// wait returns what the record says.
func (t *task) wait() answer {
	t.m.tb.Helper()
	deadline := time.Now().Add(patience)
	for !t.done() {
		if time.Now().After(deadline) {
			t.m.tb.Fatalf("job does not complete; counters are %+v", t.m.host.Counters())
		}
		runtime.Gosched()
	}
	return t.answer()
}

// answer reads the record by the offsets of the specification.
func (t *task) answer() answer {
	le := binary.LittleEndian
	return answer{
		status: t.record[0], code: t.record[1],
		consumed: le.Uint32(t.record[4:]), fault: le.Uint64(t.record[8:]), invalid: le.Uint32(t.record[16:]),
		output: le.Uint32(t.record[24:]), bits: t.record[28], xor: le.Uint16(t.record[30:]),
		crc: le.Uint32(t.record[32:]), crc64: le.Uint64(t.record[40:]),
	}
}

// answer is a completion record.
type answer struct {
	status, code              uint8
	consumed, invalid, output uint32
	fault                     uint64
	bits                      uint8
	xor                       uint16
	crc                       uint32
	crc64                     uint64
}

// lenBits is the size of a compressed stream.
func (a answer) lenBits() int { return 8*int(a.output) - int(8-a.bits)%8 }

func (a answer) String() string {
	return fmt.Sprintf("status %#02x code %d, %d bytes", a.status, a.code, a.output)
}

// run submits a job and waits for it.
func (m *machine) run(f fields) answer {
	m.tb.Helper()
	t := m.task(f)
	if !t.submit() {
		m.tb.Fatalf("job was not accepted; counters are %+v", m.host.Counters())
	}
	return t.wait()
}

func wantStatus(tb testing.TB, a answer, status Status) {
	tb.Helper()
	if a.status != uint8(status) {
		tb.Fatalf("%v, want status %#02x", a, uint8(status))
	}
}

func wantCode(tb testing.TB, a answer, code ErrorCode) {
	tb.Helper()
	if a.status != uint8(StatusAnalyticsError) || a.code != uint8(code) {
		tb.Fatalf("%v, want code %d", a, code)
	}
}

// Flags as a driver writes them, in numbers on purpose.
const (
	wholeStream  = 0x1f
	oneFixed     = 0x0006 // flush, append end-of-block
	readAECS     = 0x010000
	writeAECS    = 0x040000
	overflowAECS = 0x080000
	crc32c       = 0x200000
	toggle       = 0x400000
	blockOnFault = 0x2
)

func (m *machine) decompress(packed []byte, roomBytes int) fields {
	return fields{opcode: 0x42, source: m.copyOf(packed), destination: m.take(roomBytes), mode: wholeStream}
}

// fixedTables is an AECS for one final block with the fixed code, with the
// entries as documents print them.
func (m *machine) fixedTables() []byte {
	aecs := m.take(1568)
	clear(aecs)
	aecs[28], aecs[32] = 3, 0x03
	le := binary.LittleEndian
	for i := range uint32(286) {
		var entry uint32
		switch {
		case i < 144:
			entry = 0x40030 + i
		case i < 256:
			entry = 0x48190 + i - 144
		case i < 280:
			entry = 0x38000 + i - 256
		default:
			entry = 0x400c0 + i - 280
		}
		le.PutUint32(aecs[288+4*i:], entry)
	}
	for i := range uint32(30) {
		le.PutUint32(aecs[1440+4*i:], 0x28000+i)
	}
	return aecs
}

func (m *machine) compress(raw []byte, roomBytes int) fields {
	return fields{
		opcode: 0x43, flags: readAECS, source: m.copyOf(raw), destination: m.take(roomBytes),
		source2: m.fixedTables(), mode: oneFixed,
	}
}
