package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

// forge changes a golden file and makes its checksums right again.
func forge(tb testing.TB, change func(file []byte) []byte) []byte {
	tb.Helper()
	file := change(encode(tb, goldenSections()))
	binary.LittleEndian.PutUint32(file[headerCRCOff:], crc(file[:headerCRCOff]))
	for off := headerBytes; off+sectionHeaderBytes <= len(file)-trailerBytes; {
		data, name := binary.LittleEndian.Uint32(file[off+8:]), binary.LittleEndian.Uint32(file[off+12:])
		end := off + storedBytes(int(name), int(data))
		if end > len(file)-trailerBytes {
			break
		}
		binary.LittleEndian.PutUint32(file[off+sectionCRCOff:], sectionCRC(file[off:end]))
		off = end
	}
	binary.LittleEndian.PutUint32(file[len(file)-4:], crc(file[:len(file)-4]))
	return file
}

func put32(off int, value uint32) func([]byte) []byte {
	return func(file []byte) []byte {
		binary.LittleEndian.PutUint32(file[off:], value)
		return file
	}
}

func TestForgedFiles(t *testing.T) {
	const first = headerBytes // the section with 13 bytes of data, 40 in all
	end := len(encode(t, goldenSections()))
	for name, test := range map[string]struct {
		change func([]byte) []byte
		class  error
		off    int64
	}{
		"magic":               {put32(0, 7), ErrNotState, 0},
		"version":             {put32(headerVersionOff, 2), ErrVersion, 8},
		"arch":                {put32(headerArchOff, 2), ErrArch, 12},
		"larger":              {put32(headerFileBytesOff, uint32(end)+8), ErrDamaged, int64(end)},
		"smaller":             {put32(headerFileBytesOff, uint32(end)-8), ErrDamaged, int64(end) - 8},
		"too many sections":   {put32(headerSectionsOff, 1<<31), ErrDamaged, 24},
		"one section more":    {put32(headerSectionsOff, 7), ErrDamaged, int64(end) - 16},
		"one section less":    {put32(headerSectionsOff, 5), ErrDamaged, int64(end) - 16 - 24},
		"reserved of header":  {put32(headerReservedOff, 1), ErrDamaged, 28},
		"huge section":        {put32(first+sectionDataOff, 1<<31), ErrDamaged, first},
		"section to the end":  {put32(first+sectionDataOff, uint32(end)), ErrDamaged, first},
		"huge name":           {put32(first+sectionNameOff, 256), ErrDamaged, first},
		"padding":             {put32(first+36, 1<<24), ErrDamaged, first},
		"reserved of section": {put32(first+sectionReservedOff, 1), ErrDamaged, first},
		"twice the same":      {put32(first+40, 1), ErrDamaged, first + 40},
		"trailer":             {put32(end-trailerBytes, 1), ErrDamaged, int64(end) - 16},
		"reserved of trailer": {put32(end-8, 1), ErrDamaged, int64(end) - 16},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(forge(t, test.change))
			where, ok := errors.AsType[*FileError](err)
			if !errors.Is(err, test.class) || !ok || where.Off != test.off {
				t.Errorf("got %v, want %v at %d", err, test.class, test.off)
			}
		})
	}
	if _, err := Decode(forge(t, func(file []byte) []byte { return file })); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	file := encode(t, goldenSections())
	for bit := range 8 * len(file) {
		changed := bytes.Clone(file)
		changed[bit/8] ^= 1 << (bit % 8)
		_, err := Decode(changed)
		where, ok := errors.AsType[*FileError](err)
		if !ok || where.Off > int64(bit/8) && !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d of byte %d: %v", bit%8, bit/8, err)
		}
		if bit/8 >= headerBytes && !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d of byte %d: %v", bit%8, bit/8, err)
		}
	}
}

func TestEveryTruncationIsNoticed(t *testing.T) {
	file := encode(t, goldenSections())
	for n := range file {
		want := ErrDamaged
		if n < len(magic) {
			want = ErrNotState
		}
		if _, err := Decode(file[:n]); !errors.Is(err, want) {
			t.Fatalf("%d bytes: %v, want %v", n, err, want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	many := make([]Section, MaxSections+1)
	large := make([]Section, 5)
	for i := range many {
		many[i].Index = uint32(i)
	}
	for i := range large {
		large[i] = Section{Index: uint32(i), Data: make([]byte, MaxSectionBytes)}
	}
	for name, sections := range map[string][]Section{
		"many":      many,
		"large":     {{Data: make([]byte, MaxSectionBytes+1)}},
		"all large": large,
		"name":      {{Name: fmt.Sprintf("%256d", 0)}},
		"twice":     {{Kind: KindVCPU, Index: 3}, {Kind: KindVM}, {Kind: KindVCPU, Index: 3}},
	} {
		if _, err := Encode(sections); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFind(t *testing.T) {
	s, found := Find(goldenSections(), KindVCPU, 1)
	if !found || string(s.Data) != "\x01ap" {
		t.Errorf("%v, %v", s, found)
	}
	if s, found := Find(goldenSections(), KindVCPU, 2); found {
		t.Errorf("found %v", s)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, goldenSections()))
	f.Add(encode(f, nil))
	f.Add(encode(f, []Section{{Kind: 99, Name: "x", Data: make([]byte, 100)}}))
	f.Fuzz(func(t *testing.T, file []byte) {
		sections, err := Decode(file)
		if err != nil {
			where, ok := errors.AsType[*FileError](err)
			if !ok || where.Off < 0 || where.Off > int64(len(file)) {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		if again := encode(t, sections); !bytes.Equal(again, file) {
			t.Errorf("decodes to %v, which encodes otherwise", sections)
		}
	})
}

// FuzzSections puts right checksums around whatever the sections say.
func FuzzSections(f *testing.F) {
	golden := encode(f, goldenSections())
	f.Add(uint32(6), golden[headerBytes:len(golden)-trailerBytes])
	f.Add(uint32(1), make([]byte, sectionHeaderBytes))
	f.Fuzz(func(t *testing.T, sectionCount uint32, body []byte) {
		file := forge(t, func(golden []byte) []byte {
			file := append(bytes.Clone(golden[:headerBytes]), body...)
			file = append(file, golden[len(golden)-trailerBytes:]...)
			binary.LittleEndian.PutUint64(file[headerFileBytesOff:], uint64(len(file)))
			binary.LittleEndian.PutUint32(file[headerSectionsOff:], sectionCount)
			return file
		})
		sections, err := Decode(file)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if again := encode(t, sections); !bytes.Equal(again, file) {
			t.Errorf("decodes to %v, which encodes otherwise", sections)
		}
	})
}
