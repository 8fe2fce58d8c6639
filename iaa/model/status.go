package model

import (
	"errors"
	"fmt"
)

// ErrStatus is the class of errors that carry a device's verdict on a job.
var ErrStatus = errors.New("job was not completed successfully")

// Status is the first byte of a completion record without its bit 7. Source:
// Linux, include/uapi/linux/idxd.h, enum iax_completion_status, and Intel IAA
// Architecture Specification, "Completion Record".
type Status uint8

// The statuses that the model gives.
const (
	// StatusPending is what software puts into a record before it submits.
	StatusPending Status = 0x00
	StatusSuccess Status = 0x01
	// StatusPageFault is a page that was not there, for a job that may not
	// wait for it.
	StatusPageFault Status = 0x03
	// StatusUnresolvedFault is a page that nobody could provide.
	StatusUnresolvedFault Status = 0x04
	// StatusAnalyticsError is a fault of the data; an ErrorCode says which.
	StatusAnalyticsError Status = 0x0a
	// StatusOutputOverflow is a stream with more output than the job has room.
	StatusOutputOverflow    Status = 0x0b
	StatusUnsupportedOpcode Status = 0x10
	// StatusInvalidFlags is a bit among the operation flags, see the record's
	// invalid flags for which.
	StatusInvalidFlags Status = 0x11
	// StatusReserved is a reserved field that is not zero.
	StatusReserved Status = 0x12
	// StatusInvalidSize is an input size or an output size of zero or beyond
	// the queue's limit.
	StatusInvalidSize Status = 0x13
	// StatusOverlap is an output that lies in an input.
	StatusOverlap         Status = 0x16
	StatusInterruptHandle Status = 0x19
	// StatusRecordFault is a record whose page is not there. No record can
	// tell of it, so that software only sees a job that never ends.
	StatusRecordFault        Status = 0x1a
	StatusRecordMisaligned   Status = 0x1b
	StatusSource2Misaligned  Status = 0x1c
	StatusHardwareError      Status = 0x20
	StatusReadbackTimeout    Status = 0x21
	StatusHardwareTimeout    Status = 0x22
	StatusPageRequestTimeout Status = 0x23
	// StatusWatchdog is a job that ran for too long.
	StatusWatchdog Status = 0x24
	// StatusInvalidModeFlags are wrong compression, decompression or CRC flags.
	StatusInvalidModeFlags   Status = 0x30
	StatusInvalidFilterFlags Status = 0x31
	StatusInvalidInputSize   Status = 0x32
)

// writeFault is the bit of the first byte that tells a fault on a write from
// one on a read.
const writeFault = 0x80

// ErrorCode is the second byte of a completion record; it has a meaning with
// StatusAnalyticsError only. Source: Intel IAA Architecture Specification,
// "Error Codes"; the names are those of Linux and QPL, shortened.
type ErrorCode uint8

// The error codes that the model gives.
const (
	// CodeHeaderTruncated is an input that ends in a block header.
	CodeHeaderTruncated ErrorCode = 1
	// CodeUndefinedHeaderSymbol is a bit pattern that the code for code
	// lengths does not have.
	CodeUndefinedHeaderSymbol ErrorCode = 2
	// CodeLiteralRepeatFirst and CodeDistanceRepeatFirst are lists of code
	// lengths that begin with "repeat the previous one".
	CodeLiteralRepeatFirst  ErrorCode = 3
	CodeDistanceRepeatFirst ErrorCode = 4
	// CodeNoLiteralCode is a header in which no literal/length has a code.
	CodeNoLiteralCode ErrorCode = 5
	// CodeLiteralCount and CodeDistanceCount are lists of code lengths that
	// are not as long as announced: a repetition runs beyond the end. The
	// device reads the two lists apart, RFC 1951 (3.2.7) reads them as one.
	CodeLiteralCount  ErrorCode = 6
	CodeDistanceCount ErrorCode = 7
	// CodeHeaderOversubscribed and its two siblings are sets of lengths that
	// no prefix code can have, because there are too many short ones.
	CodeHeaderOversubscribed   ErrorCode = 8
	CodeLiteralOversubscribed  ErrorCode = 9
	CodeDistanceOversubscribed ErrorCode = 10
	// CodeBadLiteral and CodeBadDistance are bit patterns that stand for
	// nothing, in data of a block.
	CodeBadLiteral  ErrorCode = 11
	CodeBadDistance ErrorCode = 12
	CodeBlockType   ErrorCode = 13
	// CodeStoredLength is a stored block whose length and complement differ.
	CodeStoredLength ErrorCode = 14
	// CodeNoEndOfBlock is a stream that ends before the end-of-block symbol
	// that the job asked to check for.
	CodeNoEndOfBlock ErrorCode = 15
	// CodeBadLength is a length symbol that has no length (286 and 287).
	CodeBadLength ErrorCode = 16
	// CodeDistanceTooFar is a match that is beyond 4096 bytes back, or a
	// distance symbol that has no distance (30 and 31).
	CodeDistanceTooFar ErrorCode = 17
	// CodeDistanceBeforeStart is a match that begins before the output does.
	CodeDistanceBeforeStart ErrorCode = 18
	// CodeState is an AECS with contents that a device could not have written.
	CodeState ErrorCode = 22
	// CodeSource2TooSmall is an AECS that is too short for its operation.
	CodeSource2TooSmall ErrorCode = 24
	// CodeOutputTooSmall is compression into too small a destination.
	CodeOutputTooSmall ErrorCode = 25
	// CodeNoCode is compression of a symbol that has no code in the table.
	CodeNoCode ErrorCode = 30
	// CodeTooManyLiterals and CodeTooManyDistances are headers that announce
	// more than 286 or 30 codes.
	CodeTooManyLiterals  ErrorCode = 35
	CodeTooManyDistances ErrorCode = 36
)

// String describes the status for messages.
func (s Status) String() string {
	if text, known := statusTexts[s]; known {
		return text
	}
	return fmt.Sprintf("status %#02x", uint8(s))
}

var statusTexts = map[Status]string{
	StatusPending:            "not finished",
	StatusSuccess:            "success",
	StatusPageFault:          "page fault",
	StatusUnresolvedFault:    "page fault that could not be resolved",
	StatusAnalyticsError:     "error in the data",
	StatusOutputOverflow:     "output is larger than its buffer",
	StatusUnsupportedOpcode:  "unsupported opcode",
	StatusInvalidFlags:       "invalid operation flags",
	StatusReserved:           "reserved field is not zero",
	StatusInvalidSize:        "invalid transfer size",
	StatusOverlap:            "buffers overlap",
	StatusInterruptHandle:    "invalid interrupt handle",
	StatusRecordFault:        "page fault on the completion record",
	StatusRecordMisaligned:   "misaligned completion record",
	StatusSource2Misaligned:  "misaligned AECS",
	StatusHardwareError:      "hardware error",
	StatusReadbackTimeout:    "readback timeout",
	StatusHardwareTimeout:    "hardware timeout",
	StatusPageRequestTimeout: "page request timeout",
	StatusWatchdog:           "watchdog expired",
	StatusInvalidModeFlags:   "invalid compression, decompression or CRC flags",
	StatusInvalidFilterFlags: "invalid filter flags",
	StatusInvalidInputSize:   "invalid input size",
}

// String describes the error code for messages.
func (c ErrorCode) String() string {
	if text, known := codeTexts[c]; known {
		return text
	}
	return fmt.Sprintf("error code %d", uint8(c))
}

var codeTexts = map[ErrorCode]string{
	CodeHeaderTruncated:        "input ends in a block header",
	CodeUndefinedHeaderSymbol:  "undefined symbol in the code lengths",
	CodeLiteralRepeatFirst:     "literal/length code lengths begin with a repetition",
	CodeDistanceRepeatFirst:    "distance code lengths begin with a repetition",
	CodeNoLiteralCode:          "no literal/length has a code",
	CodeLiteralCount:           "literal/length code lengths run beyond their end",
	CodeDistanceCount:          "distance code lengths run beyond their end",
	CodeHeaderOversubscribed:   "code of code lengths is over-subscribed",
	CodeLiteralOversubscribed:  "literal/length code is over-subscribed",
	CodeDistanceOversubscribed: "distance code is over-subscribed",
	CodeBadLiteral:             "undefined literal/length code",
	CodeBadDistance:            "undefined distance code",
	CodeBlockType:              "reserved block type",
	CodeStoredLength:           "length of a stored block does not match its complement",
	CodeNoEndOfBlock:           "stream is truncated",
	CodeBadLength:              "invalid length symbol",
	CodeDistanceTooFar:         "match distance is above 4096 or invalid",
	CodeDistanceBeforeStart:    "match begins before the output",
	CodeState:                  "invalid contents of the AECS",
	CodeSource2TooSmall:        "AECS is too small",
	CodeOutputTooSmall:         "compressed data does not fit the destination",
	CodeNoCode:                 "symbol has no code in the table",
	CodeTooManyLiterals:        "more than 286 literal/length codes",
	CodeTooManyDistances:       "more than 30 distance codes",
}

// outcome is how a step of a job ended. The zero value is "go on".
type outcome struct {
	status Status
	code   ErrorCode
}

// dataError is the outcome of data that the device does not accept.
func dataError(code ErrorCode) outcome {
	return outcome{status: StatusAnalyticsError, code: code}
}

// failed reports whether the job is over and was no success.
func (o outcome) failed() bool { return o.status > StatusSuccess }

// err is nil for a success.
func (o outcome) err() error {
	switch o.status {
	case StatusSuccess:
		return nil
	case StatusAnalyticsError:
		return fmt.Errorf("%w: %v (status %#02x, error code %d)", ErrStatus, o.code, uint8(o.status), uint8(o.code))
	default:
		return fmt.Errorf("%w: %v (status %#02x)", ErrStatus, o.status, uint8(o.status))
	}
}
