package memfile

import (
	"context"
	"fmt"
	"io"
	"os"
)

// Merge writes the memory file that a diff and its base make: each page from
// diff where it has data, else from base. The result may replace either.
func Merge(ctx context.Context, base, diff, out string) error {
	b, err := os.Open(base)
	if err != nil {
		return err
	}
	defer b.Close()
	d, err := os.Open(diff)
	if err != nil {
		return err
	}
	defer d.Close()
	sizeBytes, err := commonSize(b, d)
	if err != nil {
		return err
	}
	s, err := stage(out)
	if err != nil {
		return err
	}
	m := merger{ctx: ctx, out: s.file, sizeBytes: sizeBytes, buffer: make([]byte, runBytes)}
	if s, err = s.sealed(m.merge(b, d)); err != nil {
		return err
	}
	return s.Commit()
}

func commonSize(base, diff *os.File) (int64, error) {
	b, err := base.Stat()
	if err != nil {
		return 0, err
	}
	d, err := diff.Stat()
	if err != nil {
		return 0, err
	}
	if b.Size() != d.Size() || b.Size()%pageBytes != 0 || !b.Mode().IsRegular() || !d.Mode().IsRegular() {
		return 0, fmt.Errorf("%w: %s has %d bytes, %s has %d", ErrSize, base.Name(), b.Size(), diff.Name(), d.Size())
	}
	return b.Size(), nil
}

type merger struct {
	ctx       context.Context //nolint:containedctx // lives for one call of Merge
	out       *os.File
	sizeBytes int64
	buffer    []byte
}

// merge walks the diff: its data goes to the result, and under its holes the
// base shows.
func (m *merger) merge(base, diff *os.File) error {
	if err := m.out.Truncate(m.sizeBytes); err != nil {
		return err
	}
	for fileOff := int64(0); fileOff < m.sizeBytes; {
		data, err := nextData(diff, fileOff, m.sizeBytes)
		if err != nil {
			return fmt.Errorf("%s: %w", diff.Name(), err)
		}
		if err := m.copyData(base, extent{fileOff, data.start}); err != nil {
			return err
		}
		if err := m.copyExtent(diff, data); err != nil {
			return err
		}
		fileOff = data.end
	}
	return nil
}

// copyData copies the data that lies within an extent, and skips holes.
func (m *merger) copyData(from *os.File, within extent) error {
	for fileOff := within.start; fileOff < within.end; {
		data, err := nextData(from, fileOff, m.sizeBytes)
		if err != nil {
			return fmt.Errorf("%s: %w", from.Name(), err)
		}
		data.start, data.end = min(data.start, within.end), min(data.end, within.end)
		if err := m.copyExtent(from, data); err != nil {
			return err
		}
		fileOff = data.end
	}
	return nil
}

// copyExtent copies one extent, but for its pages of zeros.
func (m *merger) copyExtent(from *os.File, e extent) error {
	for e.start < e.end {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		raw := m.buffer[:min(int64(len(m.buffer)), e.end-e.start)]
		if _, err := io.ReadFull(io.NewSectionReader(from, e.start, e.end-e.start), raw); err != nil {
			return fmt.Errorf("%s: at offset %d: %w", from.Name(), e.start, err)
		}
		if err := m.writePages(raw, e.start); err != nil {
			return err
		}
		e.start += int64(len(raw))
	}
	return nil
}

func (m *merger) writePages(raw []byte, fileOff int64) error {
	notZero := func(at int) bool { return !isZero(raw[at : at+pageBytes]) }
	for start := 0; start < len(raw); {
		from, to := nextRun(raw, start, notZero)
		if _, err := m.out.WriteAt(raw[from:to], fileOff+int64(from)); err != nil {
			return fmt.Errorf("at offset %d: %w", fileOff+int64(from), err)
		}
		start = to
	}
	return nil
}
