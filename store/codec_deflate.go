package store

import (
	"context"
	"errors"
	"slices"

	"sabrefs/iaa"
)

// deflateLevels are those of the engine.
var deflateLevels = [...]int{LevelFast: 2, LevelDefault: iaa.DefaultLevel, LevelBetter: 7, LevelBest: iaa.MaxLevel}

// deflateEncoder compresses with an engine, and with shared tables if it has any.
type deflateEncoder struct {
	engine iaa.Engine
	level  int
	tables []*iaa.Table
}

func (e deflateEncoder) encode(dst, src []byte) (encoded, error) {
	jobs := [1]iaa.Job{{Src: src, Dst: dst[:len(src)-1], Level: e.level, Tables: e.tables}}
	if err := e.engine.Compress(context.Background(), jobs[:]); err != nil {
		return encoded{}, err
	}
	job := &jobs[0]
	if errors.Is(job.Err, iaa.ErrNoGain) {
		return encoded{}, nil
	}
	result := encodedIn(job.N, len(src))
	result.sharedTable = uint8(slices.Index(e.tables, job.Table) + 1) // 0 if it has its own
	return result, job.Err
}

// deflateEngine is the engine for DEFLATE. The default one is looked for only
// when a frame needs it: it may lock memory and open queues.
func (d decoder) deflateEngine() iaa.Engine {
	if d.engine == nil {
		return iaa.Default()
	}
	return d.engine
}

// inflate decodes one DEFLATE frame.
func (d decoder) inflate(ctx context.Context, dst, packed []byte, table *iaa.Table) (uint32, error) {
	jobs := [1]iaa.Job{{Src: packed, Dst: dst, Table: table}}
	if err := d.deflateEngine().Decompress(ctx, jobs[:]); err != nil {
		return 0, err
	}
	return jobs[0].CRC32, jobs[0].Err
}
