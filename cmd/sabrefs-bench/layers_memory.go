package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// guestMemory is the memory file of a guest that has been made up, or a copy of a real
// one. Its changes are the same for the same seed.
type guestMemory struct {
	path     string
	rawBytes int64
	data     []uint32 // the pages that are not zero
	noise    *rand.ChaCha8
	random   *rand.Rand // on noise
}

// newGuestMemory makes the memory in dir.
func newGuestMemory(ctx context.Context, dir string, flags layersFlags) (*guestMemory, error) {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], flags.seed)
	m := &guestMemory{path: filepath.Join(dir, memoryName), noise: rand.NewChaCha8(key)}
	m.random = rand.New(m.noise)
	if err := m.make(ctx, flags); err != nil {
		return nil, err
	}
	info, err := os.Stat(m.path)
	if err != nil {
		return nil, err
	}
	m.rawBytes = info.Size()
	m.data, err = dataPages(m.path)
	if err == nil && len(m.data) == 0 {
		err = fmt.Errorf("%s: no page that is not zero", m.path)
	}
	return m, err
}

func (m *guestMemory) make(ctx context.Context, flags layersFlags) error {
	if flags.input != "" {
		_, err := runTool(ctx, "cp", "--sparse=always", flags.input, m.path)
		return err
	}
	return m.makeUp(int64(flags.mib)<<20, flags.dataPercent)
}

// makeUp writes runs of pages with data between holes.
func (m *guestMemory) makeUp(rawBytes int64, dataPercent int) (err error) {
	file, err := os.Create(m.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Truncate(rawBytes); err != nil {
		return err
	}
	const runBytes = 16 * pageBytes
	words := newPageWords(m.noise)
	run := make([]byte, runBytes)
	for rawOff := int64(0); rawOff < rawBytes; rawOff += runBytes {
		if rawOff > 0 && m.random.IntN(100) >= dataPercent { // never all holes
			continue
		}
		for page := range slices.Chunk(run, pageBytes) {
			words.fill(page, m.noise)
		}
		if _, err := file.WriteAt(run, rawOff); err != nil {
			return err
		}
	}
	return nil
}

// pageWords are what the pages of a made-up guest have in common, so that they shrink
// as those of real guests do: to about a third.
type pageWords [64][32]byte

func newPageWords(noise *rand.ChaCha8) *pageWords {
	w := new(pageWords)
	for i := range w {
		_, _ = noise.Read(w[i][:]) // documented never to fail
	}
	return w
}

// fill makes a page of which a quarter is noise and the rest words.
func (w *pageWords) fill(page []byte, noise *rand.ChaCha8) {
	const noiseBytes = pageBytes / 4
	_, _ = noise.Read(page[:noiseBytes])
	for i, word := range slices.Collect(slices.Chunk(page[noiseBytes:], len(w[0]))) {
		// the noise also chooses the words
		copy(word, w[binary.LittleEndian.Uint16(page[2*i:])%uint16(len(w))][:])
	}
}

// change alters so many pages, spread at random over those with data.
func (m *guestMemory) change(count int) error { return m.changeInto(count, nil) }

// writeDiff is change, and makes a file at path that has the changed pages and nothing
// else, as a VMM writes a diff: all between is a hole.
func (m *guestMemory) writeDiff(count int, path string) error {
	diff, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(diff.Truncate(m.rawBytes), m.changeInto(count, diff), diff.Close())
}

// changeInto also writes the pages to diff, unless that is nil.
func (m *guestMemory) changeInto(count int, diff *os.File) (err error) {
	file, err := os.OpenFile(m.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	page := make([]byte, pageBytes)
	for _, number := range m.pick(count) {
		rawOff := int64(number) * pageBytes
		if _, err := file.ReadAt(page, rawOff); err != nil {
			return err
		}
		m.alter(page)
		if _, err := file.WriteAt(page, rawOff); err != nil {
			return err
		}
		if diff == nil {
			continue
		}
		if _, err := diff.WriteAt(page, rawOff); err != nil {
			return err
		}
	}
	return nil
}

// pick returns so many different pages with data, in ascending order.
func (m *guestMemory) pick(count int) []uint32 {
	m.random.Shuffle(len(m.data), func(i, j int) { m.data[i], m.data[j] = m.data[j], m.data[i] })
	picked := slices.Clone(m.data[:min(count, len(m.data))])
	slices.Sort(picked)
	return picked
}

// alter overwrites a part of the page.
func (m *guestMemory) alter(page []byte) {
	const maxBytes = 512
	begin := m.random.IntN(len(page) - maxBytes)
	_, _ = m.noise.Read(page[begin:][:1+m.random.IntN(maxBytes)]) // documented never to fail
}

// changedPages is what a layer changes.
func (m *guestMemory) changedPages(permille int) int { return max(1, len(m.data)*permille/1000) }
