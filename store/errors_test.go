package store

import (
	"errors"
	"io"
	"testing"
)

func asFileError(err error, fe **FileError) bool { return errors.As(err, fe) }

func TestFileErrorText(t *testing.T) {
	for want, err := range map[string]error{
		"f: at offset 8: image is corrupt: why": &FileError{Path: "f", PackedOff: 8, Detail: "why", Err: ErrCorrupt},
		"f: target exists":                      &FileError{Path: "f", PackedOff: wholeFile, Err: ErrExists},
		"f: image is truncated: at 7":           inFile("f", findingAt(ErrTruncated, wholeFile, "at %d", 7)),
		"f: unexpected EOF":                     inFile("f", io.ErrUnexpectedEOF),
		"image is corrupt: why":                 corruptAt(1, "why"),
	} {
		wantEqual(t, "text", err.Error(), want)
	}
	if inFile("f", nil) != nil {
		t.Error("no error became one")
	}
}

func TestInFileNamesOneFileOnly(t *testing.T) {
	inner := &FileError{Path: "inner", PackedOff: wholeFile, Err: ErrChanged}
	wantEqual(t, "text", inFile("outer", inner).Error(), inner.Error())
	wantClass(t, inFile("f", corruptAt(3, "why")), ErrCorrupt)
	wantClass(t, inFile("f", io.EOF), io.EOF)
	for err, class := range map[error]error{shortRead(io.EOF, 1): ErrTruncated, shortRead(io.ErrUnexpectedEOF, 1): ErrTruncated, shortRead(io.ErrClosedPipe, 1): io.ErrClosedPipe} {
		wantClass(t, err, class)
	}
}
