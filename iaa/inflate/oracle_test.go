package inflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"testing"

	kflate "github.com/klauspost/compress/flate"
)

// verdict is what must become of a stream: its raw bytes, or an error of one of
// the classes. A stream that is damaged behind more bytes than expected may be
// refused for either reason: it depends on how far a decoder looks ahead.
type verdict struct {
	raw     []byte
	classes []error // none if the stream is valid and has the length
}

func (v verdict) allows(r result) bool {
	if len(v.classes) == 0 {
		return r.err == nil && bytes.Equal(r.raw, v.raw)
	}
	for _, class := range v.classes {
		if errors.Is(r.err, class) {
			return true
		}
	}
	return false
}

// oracle decodes with another implementation of DEFLATE.
type oracle struct {
	name   string
	reader io.Reader
	reset  func(in io.Reader) error
	raw    bytes.Buffer
	// lenient says that it accepts more than it should: that of klauspost, with
	// an empty code, takes the codes of the block before.
	lenient bool
}

func newOracles() []*oracle {
	standard, klauspost := flate.NewReader(nil), kflate.NewReader(nil)
	return []*oracle{
		{name: "compress/flate", reader: standard, reset: func(in io.Reader) error {
			return standard.(flate.Resetter).Reset(in, nil)
		}},
		{name: "klauspost/compress/flate", reader: klauspost, lenient: true, reset: func(in io.Reader) error {
			return klauspost.(kflate.Resetter).Reset(in, nil)
		}},
	}
}

// decode returns the verdict on a stream, which is valid until the next call.
func (o *oracle) decode(tb testing.TB, packed []byte, rawBytes int) verdict {
	tb.Helper()
	longest := 2*rawBytes + 1<<10 // what is longer is not decoded to its end
	in := bytes.NewReader(packed)
	wantNoError(tb, o.reset(in))
	o.raw.Reset()
	_, err := o.raw.ReadFrom(io.LimitReader(o.reader, int64(longest)))
	whole := err == nil && o.raw.Len() < longest
	most := o.raw.Len()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		// compress/flate waits for as many bits as the end of the block has
		// before it decodes another symbol of fewer.
		most += maxCodeBits * 258
	}
	switch {
	case whole && in.Len() == 0 && o.raw.Len() == rawBytes:
		return verdict{raw: o.raw.Bytes()}
	case whole && in.Len() == 0:
		return verdict{classes: []error{ErrLength}}
	case whole && o.raw.Len() == rawBytes, err != nil && most <= rawBytes:
		return verdict{classes: []error{ErrStream}}
	default:
		return verdict{classes: []error{ErrStream, ErrLength}}
	}
}

// classIs reports whether an error is of the class, or both are nil.
func classIs(err, class error) bool {
	if class == nil {
		return err == nil
	}
	return errors.Is(err, class)
}
