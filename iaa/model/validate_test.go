//go:build linux || darwin

package model

import (
	"encoding/binary"
	"slices"
	"syscall"
	"testing"

	"sabrefs/tests/seedtest"
)

// TestValidation spoils one thing at a time in descriptors that are right.
func TestValidation(t *testing.T) {
	second := DeviceConfig{Generation: 2, Queues: []QueueConfig{{BlockOnFault: true, MaxTransferBytes: 1 << 20}}}
	first := DeviceConfig{Queues: []QueueConfig{{MaxTransferBytes: 1 << 20}}}
	machines := map[int]*machine{
		1: newMachine(t, Config{Devices: []DeviceConfig{first}}),
		2: newMachine(t, Config{Devices: []DeviceConfig{second}}),
	}
	raw := text(seedtest.Rand(t), 4000)
	packed := standardCompress(t, raw, 0)
	le := binary.LittleEndian
	patch := func(at int, v byte) func(*machine, *fields) {
		return func(_ *machine, f *fields) { f.patch = func(raw []byte) { raw[at] = v } }
	}
	word := func(at int, v uint64) func(*machine, *fields) {
		return func(_ *machine, f *fields) { f.patch = func(raw []byte) { le.PutUint64(raw[at:], v) } }
	}
	size := func(at int, v uint32) func(*machine, *fields) {
		return func(_ *machine, f *fields) { f.patch = func(raw []byte) { le.PutUint32(raw[at:], v) } }
	}
	mode := func(v uint16) func(*machine, *fields) { return func(_ *machine, f *fields) { f.mode = v } }
	flags := func(v uint32) func(*machine, *fields) { return func(_ *machine, f *fields) { f.flags |= v } }
	for name, c := range map[string]struct {
		generation int
		spoil      func(*machine, *fields)
		opcode     Opcode // of the descriptor that is spoiled
		status     Status
		invalid    uint32
	}{
		"good decompression":              {1, patch(4, 0x0c), OpcodeDecompress, StatusSuccess, 0},
		"good compression":                {1, patch(4, 0x0c), OpcodeCompress, StatusSuccess, 0},
		"cache control":                   {1, flags(0x100), OpcodeDecompress, StatusSuccess, 0},
		"destination readback":            {1, flags(0x4000), OpcodeDecompress, StatusSuccess, 0},
		"opcode":                          {1, patch(7, 0x50), OpcodeDecompress, StatusUnsupportedOpcode, 0},
		"opcode 0xff":                     {1, patch(7, 0xff), OpcodeDecompress, StatusUnsupportedOpcode, 0},
		"block on fault, queue does not":  {1, flags(2), OpcodeDecompress, StatusInvalidFlags, 2},
		"block on fault, queue does":      {2, flags(2), OpcodeDecompress, StatusSuccess, 0},
		"fence":                           {1, flags(1), OpcodeDecompress, StatusInvalidFlags, 1},
		"reserved flag":                   {1, flags(0x40), OpcodeDecompress, StatusInvalidFlags, 0x40},
		"filter as source 2":              {1, flags(0x20000), OpcodeDecompress, StatusInvalidFlags, 0x20000},
		"both ways to write source 2":     {1, flags(0xc0000), OpcodeDecompress, StatusInvalidFlags, 0xc0000},
		"overflow writes for compression": {1, flags(0x80000), OpcodeCompress, StatusInvalidFlags, 0x80000},
		"AECS for NOOP":                   {1, flags(0x10000), OpcodeNoop, StatusInvalidFlags, 0x10000},
		"AECS for CRC64":                  {1, flags(0x10000), OpcodeCRC64, StatusInvalidFlags, 0x10000},
		"interrupt":                       {1, flags(0x10), OpcodeDecompress, StatusInterruptHandle, 0},
		"PASID":                           {1, patch(0, 1), OpcodeDecompress, StatusReserved, 0},
		"privilege":                       {1, patch(3, 0x80), OpcodeDecompress, StatusReserved, 0},
		"interrupt handle":                {1, patch(37, 1), OpcodeDecompress, StatusReserved, 0},
		"elements, decompression":         {1, patch(63, 1), OpcodeDecompress, StatusReserved, 0},
		"elements, compression":           {1, patch(60, 1), OpcodeCompress, StatusReserved, 0},
		"unused source 2":                 {1, patch(45, 1), OpcodeDecompress, StatusReserved, 0},
		"unused size of source 2":         {1, patch(52, 32), OpcodeDecompress, StatusReserved, 0},
		"source of NOOP":                  {1, patch(20, 1), OpcodeNoop, StatusReserved, 0},
		"mode of NOOP":                    {1, mode(1), OpcodeNoop, StatusReserved, 0},
		"destination of CRC64":            {1, patch(26, 1), OpcodeCRC64, StatusReserved, 0},
		"size of CRC64's destination":     {1, patch(48, 1), OpcodeCRC64, StatusReserved, 0},
		"source of 0":                     {1, size(32, 0), OpcodeDecompress, StatusInvalidSize, 0},
		"source of 0, compression":        {1, size(32, 0), OpcodeCompress, StatusInvalidSize, 0},
		"source of 0, CRC64":              {1, size(32, 0), OpcodeCRC64, StatusInvalidSize, 0},
		"source above the limit":          {1, size(32, 1<<20+1), OpcodeDecompress, StatusInvalidSize, 0},
		"destination of 0":                {1, size(48, 0), OpcodeDecompress, StatusInvalidSize, 0},
		"destination of 0, compression":   {1, size(48, 0), OpcodeCompress, StatusInvalidSize, 0},
		"destination above the limit":     {1, size(48, 1<<20+1), OpcodeDecompress, StatusInvalidSize, 0},
		"destination at the limit":        {1, func(m *machine, f *fields) { f.destination = m.take(1 << 20) }, OpcodeDecompress, StatusSuccess, 0},
		"destination in the source":       {1, func(_ *machine, f *fields) { f.destination = f.source[len(f.source)-1:] }, OpcodeDecompress, StatusOverlap, 0},
		"destination is the source":       {1, func(_ *machine, f *fields) { f.destination = f.source }, OpcodeCompress, StatusOverlap, 0},
		"destination in the AECS":         {1, func(_ *machine, f *fields) { f.destination = f.source2[1500:] }, OpcodeCompress, StatusOverlap, 0},
		"record in the destination":       {1, func(_ *machine, f *fields) { f.patch = func(raw []byte) { copy(raw[24:32], raw[8:16]) } }, OpcodeDecompress, StatusOverlap, 0},
		"no overlap if output is none":    {1, func(_ *machine, f *fields) { f.destination, f.mode = slices.Clip(f.source), 0x21f }, OpcodeDecompress, StatusSuccess, 0},
		"misaligned AECS":                 {1, func(_ *machine, f *fields) { f.patch = func(raw []byte) { raw[40] += 16 } }, OpcodeCompress, StatusSource2Misaligned, 0},
		"size of AECS":                    {1, size(52, 1567), OpcodeCompress, StatusSource2Misaligned, 0},
		"not enabled":                     {1, mode(0x1e), OpcodeDecompress, StatusInvalidModeFlags, 0},
		"big-endian decompression":        {1, mode(0x3f), OpcodeDecompress, StatusInvalidModeFlags, 0},
		"indexing decompression":          {1, mode(0x041f), OpcodeDecompress, StatusInvalidModeFlags, 0},
		"reserved decompression flag":     {1, mode(0x201f), OpcodeDecompress, StatusInvalidModeFlags, 0},
		"reserved decompression flag 15":  {2, mode(0x801f), OpcodeDecompress, StatusInvalidModeFlags, 0},
		"ignored bits of generation 2":    {1, mode(0x401f), OpcodeDecompress, StatusInvalidModeFlags, 0},
		"ignored bits":                    {2, mode(0x401f), OpcodeDecompress, StatusAnalyticsError, 0},
		"filter flags":                    {1, patch(56, 4), OpcodeDecompress, StatusInvalidFilterFlags, 0},
		"big-endian compression":          {1, mode(0x26), OpcodeCompress, StatusInvalidModeFlags, 0},
		"indexing compression":            {1, mode(0x46), OpcodeCompress, StatusInvalidModeFlags, 0},
		"dictionary":                      {2, mode(0x406), OpcodeCompress, StatusInvalidModeFlags, 0},
		"header of generation 2":          {1, mode(0x3006), OpcodeCompress, StatusInvalidModeFlags, 0},
		"header kind 1":                   {2, mode(0x1006), OpcodeCompress, StatusInvalidModeFlags, 0},
		"header kind 4":                   {2, mode(0x4006), OpcodeCompress, StatusInvalidModeFlags, 0},
		"header and statistics":           {2, mode(0x3007), OpcodeCompress, StatusInvalidModeFlags, 0},
		"tables without a place":          {2, mode(0x7006), OpcodeCompress, StatusInvalidModeFlags, 0},
		"more compression flags":          {1, patch(56, 1), OpcodeCompress, StatusInvalidModeFlags, 0},
		"CRC64 flags":                     {1, mode(1), OpcodeCRC64, StatusInvalidModeFlags, 0},
		"null source":                     {1, word(16, 0), OpcodeDecompress, StatusUnresolvedFault, 0},
		"low source":                      {1, word(16, 0xffff), OpcodeDecompress, StatusUnresolvedFault, 0},
		"source that is no address":       {1, word(16, 1<<63), OpcodeDecompress, StatusUnresolvedFault, 0},
		"source beyond user addresses":    {1, word(16, 1<<47-100), OpcodeDecompress, StatusUnresolvedFault, 0},
		"null destination":                {1, word(24, 0), OpcodeDecompress, StatusUnresolvedFault | 0x80, 0},
		"destination that is no address":  {1, word(24, 0x00dead0000000000), OpcodeCompress, StatusUnresolvedFault | 0x80, 0},
		"null AECS":                       {1, word(40, 0), OpcodeCompress, StatusUnresolvedFault, 0},
	} {
		m := machines[c.generation]
		m.used = 0
		var f fields
		switch c.opcode {
		case OpcodeDecompress:
			f = m.decompress(packed, 4096)
		case OpcodeCompress:
			f = m.compress(raw, 8192)
			m.take(2 << 20)
		case OpcodeCRC64:
			f = fields{opcode: c.opcode, source: m.copyOf(raw)}
		case OpcodeNoop:
		}
		c.spoil(m, &f)
		a := m.run(f)
		if a.status != uint8(c.status) || a.invalid != c.invalid {
			t.Errorf("%s: %v, invalid flags %#x; want status %#02x, invalid flags %#x", name, a, a.invalid, uint8(c.status), c.invalid)
		}
	}
}

// TestQueueRestrictsOpcodes masks compression on one queue.
func TestQueueRestrictsOpcodes(t *testing.T) {
	m := newMachine(t, Config{Devices: []DeviceConfig{{Queues: []QueueConfig{{Opcodes: []Opcode{OpcodeNoop, OpcodeDecompress}}}}}})
	raw := text(seedtest.Rand(t), 100)
	wantStatus(t, m.run(m.compress(raw, 200)), StatusUnsupportedOpcode)
	wantStatus(t, m.run(m.decompress(standardCompress(t, raw, 0), 100)), StatusSuccess)
}

// TestNoRecord submits descriptors after which no record may be written.
func TestNoRecord(t *testing.T) {
	m := newMachine(t, Config{})
	page, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	wantNoError(t, err)
	t.Cleanup(func() { wantNoError(t, syscall.Munmap(page)) })
	le := binary.LittleEndian
	for name, patch := range map[string]func(raw []byte){
		"misaligned":     func(raw []byte) { raw[8] += 32 },
		"null":           func(raw []byte) { le.PutUint64(raw[8:], 0) },
		"no address":     func(raw []byte) { raw[15] = 0xff },
		"not mapped":     func(raw []byte) { le.PutUint64(raw[8:], address(page)) },
		"record invalid": func(raw []byte) { raw[4] &^= 4 },
	} {
		before := m.host.Counters()
		j := m.task(fields{patch: patch})
		around := m.take(128)
		wantEqual(t, name+": accepted", j.submit(), true)
		for m.host.Counters().InFlight > 0 {
			m.run(fields{})
		}
		c := m.host.Counters()
		wantEqual(t, name+": record was written", j.done(), false)
		wantBytes(t, name, around, make([]byte, 128))
		wantEqual(t, name+": unreported errors", c.Unreported-before.Unreported, 1)
		wantEqual(t, name+": aborted jobs", c.Aborted-before.Aborted, 1)
	}
	// Without a request there is a record of failures only.
	j := m.task(fields{patch: func(raw []byte) { raw[4] &^= 8 }})
	j.submit()
	for m.host.Counters().InFlight > 0 {
		m.run(fields{})
	}
	wantEqual(t, "record of a success", j.done(), false)
	j = m.task(fields{mode: 1, patch: func(raw []byte) { raw[4] &^= 8 }})
	j.submit()
	wantStatus(t, j.wait(), StatusReserved)
}

// TestUnmappedMemory names memory that is not mapped: nobody can provide it, and
// the process goes on.
func TestUnmappedMemory(t *testing.T) {
	hole, err := syscall.Mmap(-1, 0, 4*pageBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	wantNoError(t, err)
	t.Cleanup(func() { wantNoError(t, syscall.Munmap(hole)) })
	wantNoError(t, syscall.Mprotect(hole[2*pageBytes:], syscall.PROT_NONE))
	readOnly := hole[pageBytes : 2*pageBytes]
	raw, packed := textStream(t, seedtest.Rand(t), pageBytes)
	for _, blocks := range []bool{true, false} {
		m := newMachine(t, Config{Devices: []DeviceConfig{{Queues: []QueueConfig{{BlockOnFault: blocks}}}}})
		status, flags := StatusPageFault, uint32(0)
		if blocks {
			status, flags = StatusUnresolvedFault, blockOnFault
		}
		f := m.decompress(packed, pageBytes)
		f.flags = flags
		f.source = hole[2*pageBytes-16 : 3*pageBytes]
		copy(hole[2*pageBytes-16:2*pageBytes], packed)
		a := m.run(f)
		wantEqual(t, "fault on the source", a.fault&^(pageBytes-1), address(hole[2*pageBytes:]))
		wantStatus(t, a, status)

		f = m.decompress(packed, pageBytes)
		f.flags = flags
		f.destination = readOnly
		wantNoError(t, syscall.Mprotect(readOnly, syscall.PROT_READ))
		a = m.run(f)
		wantNoError(t, syscall.Mprotect(readOnly, syscall.PROT_READ|syscall.PROT_WRITE))
		wantEqual(t, "fault on the destination", a.fault&^(pageBytes-1), address(readOnly))
		wantStatus(t, a, status|writeFault)

		f = m.compress(raw, 2*pageBytes)
		f.flags |= flags
		f.source2 = hole[2*pageBytes : 2*pageBytes+1568]
		wantStatus(t, m.run(f), status)

		// The engine lives.
		wantStatus(t, m.run(m.decompress(packed, pageBytes)), StatusSuccess)
	}
}
