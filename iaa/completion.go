package iaa

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// A completion record is 64 bytes that the device writes when a job is done,
// the status last. Source: Intel IAA Architecture Specification, "Completion
// Record"; Linux, include/uapi/linux/idxd.h, struct iax_completion_record.
//
//	offset size field
//	     0    1 status; bit 7: the fault was a write
//	     1    1 error code, for statusAnalytics
//	     8    8 fault address
//	    24    4 bytes of output
//	    32    4 CRC-32 of the uncompressed data (gzip polynomial)
//
// The bytes of input consumed (offset 4) are not looked at: they do not tell
// where a stream ended.
const recordBytes = 64

// Status codes, without the bit for a write.
const (
	statusPending          = 0x00
	statusSuccess          = 0x01
	statusPageFault        = 0x03
	statusBadPage          = 0x04 // a page request got an invalid response
	statusAnalytics        = 0x0A // see the error code
	statusOutputOverflow   = 0x0B
	statusBadOpcode        = 0x10
	statusBadFlags         = 0x11
	statusReserved         = 0x12
	statusBadSize          = 0x13
	statusOverlap          = 0x16
	statusBadInterrupt     = 0x19
	statusRecordFault      = 0x1A
	statusRecordMisaligned = 0x1B
	statusAECSMisaligned   = 0x1C
	statusPrivilege        = 0x1D
	statusTrafficClass     = 0x1E
	statusReadbackFault    = 0x1F
	statusHardware         = 0x20
	statusReadbackTimeout  = 0x21
	statusHardwareTimeout  = 0x22
	statusPageTimeout      = 0x23 // a page request was not answered in time
	statusWatchdog         = 0x24
	statusBadPASID         = 0x28
	statusBadModeFlags     = 0x30
	statusBadFilterFlags   = 0x31
	statusBadInputSize     = 0x32

	statusMask     = 0x7F
	statusWriteBit = 0x80
)

// Error codes that are acted upon; all others mean that the device cannot read
// the stream, which software may or may not.
const errorCodeNoRoom = 25 // the destination of a compression is too small

// completion is what a finished record says.
type completion struct {
	status       uint8 // without the bit for a write
	writeFault   bool
	errorCode    uint8
	faultAddress uint64
	outputBytes  uint32
	crc32        uint32
}

// pollRecord returns the first word of a record, whose low byte is 0 while the
// job is not done. The load is atomic, so that what is read of the record later
// is what the device wrote before the status.
func pollRecord(record *[recordBytes]byte) uint32 {
	// The record is 64-byte aligned memory outside the Go heap.
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(record))) //nolint:gosec // an atomic view of its first word
}

func isDone(word uint32) bool { return word&0xFF != statusPending }

// parseRecord reads a record that is done.
func parseRecord(word uint32, record *[recordBytes]byte) completion {
	le := binary.LittleEndian
	return completion{
		status:       uint8(word) & statusMask,
		writeFault:   word&statusWriteBit != 0,
		errorCode:    uint8(word >> 8),
		faultAddress: le.Uint64(record[8:]),
		outputBytes:  le.Uint32(record[24:]),
		crc32:        le.Uint32(record[32:]),
	}
}

// statusNames are used in counters.
var statusNames = [statusMask + 1]string{
	statusSuccess:          "success",
	statusPageFault:        "page-fault",
	statusBadPage:          "bad-page",
	statusAnalytics:        "analytics-error",
	statusOutputOverflow:   "output-overflow",
	statusBadOpcode:        "bad-opcode",
	statusBadFlags:         "bad-flags",
	statusReserved:         "reserved-field",
	statusBadSize:          "bad-size",
	statusOverlap:          "overlapping-buffers",
	statusBadInterrupt:     "bad-interrupt-handle",
	statusRecordFault:      "completion-record-fault",
	statusRecordMisaligned: "completion-record-misaligned",
	statusAECSMisaligned:   "aecs-misaligned",
	statusPrivilege:        "privilege",
	statusTrafficClass:     "traffic-class",
	statusReadbackFault:    "readback-fault",
	statusHardware:         "hardware-error",
	statusReadbackTimeout:  "readback-timeout",
	statusHardwareTimeout:  "hardware-timeout",
	statusPageTimeout:      "page-request-timeout",
	statusWatchdog:         "watchdog",
	statusBadPASID:         "bad-pasid",
	statusBadModeFlags:     "bad-mode-flags",
	statusBadFilterFlags:   "bad-filter-flags",
	statusBadInputSize:     "bad-input-size",
}

// errorNames are those of the error codes, for counters.
var errorNames = [...]string{
	1:  "header-truncated",
	2:  "undefined-code-length-code",
	3:  "literal-lengths-begin-with-repeat",
	4:  "distance-lengths-begin-with-repeat",
	5:  "no-literal-code",
	6:  "literal-length-count",
	7:  "distance-length-count",
	8:  "code-length-code-oversubscribed",
	9:  "literal-code-oversubscribed",
	10: "distance-code-oversubscribed",
	11: "bad-literal-code",
	12: "bad-distance-code",
	13: "reserved-block-type",
	14: "stored-length-mismatch",
	15: "stream-truncated",
	16: "bad-length-symbol",
	17: "distance-too-far",
	18: "distance-before-start",
	19: "no-progress",
	20: "parquet-format",
	21: "output-index",
	22: "aecs-invalid",
	23: "source-too-small",
	24: "source2-too-small",
	25: "no-room",
	26: "distance-crosses-mini-block",
	27: "length-crosses-mini-block",
	28: "bad-block-size",
	29: "zcompress-verify",
	30: "symbol-without-code",
	31: "rle-width",
	32: "rle-elements",
	33: "rle-count",
	34: "zdecompress-header",
	35: "too-many-literal-codes",
	36: "too-many-distance-codes",
	37: "administrative-timeout",
}

func statusName(status uint8) string {
	status &= statusMask
	if name := statusNames[status]; name != "" {
		return name
	}
	return fmt.Sprintf("status-%#02x", status)
}

func errorName(code uint8) string {
	if int(code) < len(errorNames) && errorNames[code] != "" {
		return errorNames[code]
	}
	return fmt.Sprintf("error-%d", code)
}
