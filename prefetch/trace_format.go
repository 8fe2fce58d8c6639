package prefetch

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"sabrefs/store"
)

// TraceVersion is the version of the trace format that this package writes and
// the newest that it reads. Version 1 is the first: see docs/WORKING-SETS.md.
const TraceVersion = 1

// magic begins every trace. Its first byte is not ASCII and its last two are a
// line end, so that a transfer as text is noticed, as in images.
const magic = "\x89SABWS\r\n"

// Byte offsets of the header's fields; docs/WORKING-SETS.md holds the same table.
const (
	hdrMagic     = 0
	hdrVersion   = 8
	hdrBytes     = 12
	hdrUUID      = 16
	hdrDigest    = 32
	hdrRawBytes  = 64
	hdrPageBytes = 72
	hdrRuns      = 76
	hdrTouches   = 80
	hdrCreated   = 88
	hdrCRC       = headerBytes - 4

	headerBytes = 128
)

// Byte offsets of the fields of a touch.
const (
	touchPage = 0
	touchAt   = 4
	touchRuns = 8

	touchBytes = 12
)

// crcBytes is the size of the checksum that follows the touches.
const crcBytes = 4

// touchOff is where a touch begins in the file.
func touchOff(i int) int64 { return headerBytes + int64(i)*touchBytes }

// traceBytes is the size of a file of so many touches.
func traceBytes(touches int64) int64 { return headerBytes + touches*touchBytes + crcBytes }

// Encode returns the bytes of a trace file, or ErrTrace if the trace is not
// sound.
func (t *Trace) Encode() ([]byte, error) {
	if err := t.validate(); err != nil {
		return nil, err
	}
	b := make([]byte, headerBytes, traceBytes(int64(len(t.Touches))))
	t.putHeader(b)
	le := binary.LittleEndian
	for _, touch := range t.Touches {
		b = le.AppendUint32(b, touch.Page)
		b = le.AppendUint32(b, touch.AtMicros)
		b = le.AppendUint32(b, touch.Runs)
	}
	return le.AppendUint32(b, crc32.ChecksumIEEE(b[headerBytes:])), nil
}

func (t *Trace) putHeader(b []byte) {
	le := binary.LittleEndian
	copy(b[hdrMagic:], magic)
	le.PutUint32(b[hdrVersion:], TraceVersion)
	le.PutUint32(b[hdrBytes:], headerBytes)
	copy(b[hdrUUID:], t.Image.UUID[:])
	copy(b[hdrDigest:], t.Image.Digest[:])
	le.PutUint64(b[hdrRawBytes:], uint64(t.RawBytes))
	le.PutUint32(b[hdrPageBytes:], store.PageBytes)
	le.PutUint32(b[hdrRuns:], t.Runs)
	le.PutUint32(b[hdrTouches:], uint32(len(t.Touches)))
	if !t.CreatedAt.IsZero() {
		le.PutUint64(b[hdrCreated:], uint64(t.CreatedAt.UnixNano()))
	}
	le.PutUint32(b[hdrCRC:], crc32.ChecksumIEEE(b[:hdrCRC]))
}

// Decode reads the bytes of a trace file. What it returns is sound; anything
// else is an ErrTrace that says where.
func Decode(b []byte) (*Trace, error) {
	t, err := parseHeader(b[:min(len(b), headerBytes)], int64(len(b)))
	if err != nil {
		return nil, err
	}
	if err := t.parseTouches(b[headerBytes:]); err != nil {
		return nil, err
	}
	return t, nil
}

// parseHeader decodes the header of a trace file of fileBytes bytes. What it
// returns has as many touches as the file has room for, still empty.
func parseHeader(b []byte, fileBytes int64) (*Trace, error) {
	if err := checkPreamble(b); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	t := &Trace{RawBytes: int64(le.Uint64(b[hdrRawBytes:])), Runs: le.Uint32(b[hdrRuns:])}
	copy(t.Image.UUID[:], b[hdrUUID:])
	copy(t.Image.Digest[:], b[hdrDigest:])
	if nanos := int64(le.Uint64(b[hdrCreated:])); nanos != 0 {
		t.CreatedAt = time.Unix(0, nanos).UTC()
	}
	if err := t.validate(); err != nil {
		return nil, err
	}
	touches := int64(le.Uint32(b[hdrTouches:]))
	switch want := traceBytes(touches); {
	case touches > maxTouchesOf(t.RawBytes):
		return nil, findingAt(hdrTouches, "%d pages touched, at most %d in a memory of %d bytes", touches, maxTouchesOf(t.RawBytes), t.RawBytes)
	case fileBytes < want:
		return nil, findingAt(fileBytes, "truncated: the file has %d bytes of %d", fileBytes, want)
	case fileBytes > want:
		return nil, findingAt(want, "the file has %d bytes more than the trace", fileBytes-want)
	}
	t.Touches = make([]Touch, touches)
	return t, nil
}

// checkPreamble answers, before any other field is believed, whether this is a
// trace, of a known version, with an intact header.
func checkPreamble(b []byte) error {
	le := binary.LittleEndian
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return findingAt(hdrMagic, "wrong magic bytes")
	}
	if len(b) < headerBytes {
		return findingAt(int64(len(b)), "truncated: the header has %d bytes of %d", len(b), headerBytes)
	}
	// before the checksum, so that a newer layout is not reported as damage
	if v := le.Uint32(b[hdrVersion:]); v == 0 || v > TraceVersion {
		return classAt(ErrTraceVersion, hdrVersion, "version %d, this build reads up to %d", v, TraceVersion)
	}
	if want, got := le.Uint32(b[hdrCRC:]), crc32.ChecksumIEEE(b[:hdrCRC]); want != got {
		return findingAt(hdrCRC, "header checksum is %08x, computed %08x", want, got)
	}
	if n := le.Uint32(b[hdrBytes:]); n != headerBytes {
		return findingAt(hdrBytes, "header size %d, expected %d", n, headerBytes)
	}
	if n := le.Uint32(b[hdrPageBytes:]); n != store.PageBytes {
		return findingAt(hdrPageBytes, "page size %d, this build reads %d", n, store.PageBytes)
	}
	return nil
}

// parseTouches fills t.Touches from what follows the header: the touches and
// their checksum, which parseHeader has found to be as long as they must be.
func (t *Trace) parseTouches(b []byte) error {
	le := binary.LittleEndian
	end := len(b) - crcBytes
	if want, got := le.Uint32(b[end:]), crc32.ChecksumIEEE(b[:end]); want != got {
		return findingAt(headerBytes+int64(end), "checksum of the touches is %08x, computed %08x", want, got)
	}
	for i := range t.Touches {
		entry := b[i*touchBytes:]
		t.Touches[i] = Touch{
			Page:     le.Uint32(entry[touchPage:]),
			AtMicros: le.Uint32(entry[touchAt:]),
			Runs:     le.Uint32(entry[touchRuns:]),
		}
	}
	return t.validateTouches()
}
