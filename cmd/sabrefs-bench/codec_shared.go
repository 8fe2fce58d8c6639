package main

import (
	"context"
	"fmt"

	"sabrefs/iaa"
	"sabrefs/iaa/deflate"
)

const (
	// sharedTables is how many tables the frames of an image share, as in `sabrefs
	// pack`, and trainingBytes how much of the memory they are made from.
	sharedTables  = 16
	trainingBytes = 4 * mib
)

// sharedStreams are the streams with shared tables. They are meant for single
// pages; frames of four show what larger ones would have of it.
var sharedStreams = []struct{ level, frameBytes int }{
	{iaa.DefaultLevel, pageBytes}, {iaa.MaxLevel, pageBytes}, {iaa.DefaultLevel, 4 * pageBytes},
}

// addShared enters the streams with shared tables. Only our engines read them.
func (b *codecBench) addShared(ctx context.Context) error {
	for _, set := range sharedStreams {
		tables, err := b.trainTables(ctx, set.frameBytes)
		if err != nil {
			return err
		}
		encoder, table := encodeWithTables(ctx, b.software(), set.level, tables)
		s := b.addStream(partDeflate, b.software().Name(), set.level, set.frameBytes, encoder)
		s.mode, s.table = modeShared, table
		for _, engine := range b.engines {
			b.addEngine(ctx, s, engine)
		}
	}
	return nil
}

// trainTables makes tables from frames that are spread evenly over the sample.
func (b *codecBench) trainTables(ctx context.Context, frameBytes int) ([]*iaa.Table, error) {
	all := frameCount(len(b.raw), frameBytes)
	count := min(all, trainingBytes/frameBytes)
	var frames [][]byte
	for i := range count {
		frames = append(frames, frameOf(b.raw, frameBytes, i*all/count))
	}
	trained, err := deflate.Train(ctx, frames, iaa.DefaultLevel, sharedTables)
	if err != nil {
		return nil, err
	}
	var tables []*iaa.Table
	for i := range trained {
		table, err := iaa.NewTable(&trained[i])
		if err != nil {
			return nil, fmt.Errorf("shared table %d of %d: %w", i, len(trained), err)
		}
		tables = append(tables, table)
	}
	return tables, nil
}
