package store

import (
	"context"
	"errors"
	"os"
)

// UnpackOptions say how images are unpacked.
type UnpackOptions struct {
	// Overwrite allows replacing an existing file.
	Overwrite bool
	// Parents finds the parents of images; nil means: where the images say.
	Parents *Parents
	// Progress, if not nil, is called from one goroutine with the raw bytes
	// that are done.
	Progress func(doneRawBytes int64)
}

// UnpackFile writes the memory file that the image at src holds to dst, with
// holes for zero pages. The file appears whole, after its digest was found to be
// the one that was packed, or not at all.
func UnpackFile(ctx context.Context, src, dst string, opt UnpackOptions) (Header, error) {
	img, err := Open(src, OpenOptions{Parents: opt.Parents})
	if err != nil {
		return Header{}, err
	}
	defer img.Close()
	info, err := os.Stat(src)
	if err != nil {
		return Header{}, err
	}
	if err := checkNotSame(info, dst); err != nil {
		return Header{}, err
	}
	out, err := createAtomic(dst, opt.Overwrite, info.Mode())
	if err != nil {
		return Header{}, err
	}
	if err := img.writeRaw(ctx, out, opt.Progress); err != nil {
		return Header{}, errors.Join(err, out.abort())
	}
	return img.Header(), out.commit()
}

// writeRaw writes the memory file sparsely.
func (img *Image) writeRaw(ctx context.Context, out *atomicFile, progress func(int64)) error {
	if err := out.Truncate(img.header.RawBytes); err != nil {
		return err
	}
	return img.walkContent(ctx, func(s *segment) error {
		if progress != nil {
			progress(s.endRawOff(img.header.RawBytes))
		}
		return s.writeData(out, img.header.RawBytes)
	})
}

// writeData writes the runs of pages that are not zero.
func (s *segment) writeData(out *atomicFile, rawBytes int64) error {
	for i := int64(0); i < s.pageCount; {
		if s.zero[i] {
			i++
			continue
		}
		run := i
		for i < s.pageCount && !s.zero[i] {
			i++
		}
		rawOff := (s.firstPage + run) * PageBytes
		n := min((i-run)*PageBytes, rawBytes-rawOff)
		if _, err := out.WriteAt(s.raw[run*PageBytes:][:n], rawOff); err != nil {
			return err
		}
	}
	return nil
}
