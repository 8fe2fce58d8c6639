package model

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"sabrefs/tests/seedtest"
)

const greeting = "Join us now and share the software "

// atDistance is a stream of 4096 or more bytes and then 3 bytes that were there
// distance bytes before. Its last match has that distance.
func atDistance(distance int) (packed, raw []byte) {
	s := newStream().block(1, blockFixed).fixedSymbol('A')
	n := 1
	for ; n+maxMatchBytes <= distance; n += maxMatchBytes {
		s.fixedMatch(maxMatchBytes, 1)
	}
	raw = bytes.Repeat([]byte{'A'}, n)
	for ; n < distance; n++ {
		s.fixedSymbol('B')
		raw = append(raw, 'B')
	}
	return s.fixedMatch(3, distance).fixedSymbol(endOfBlock).bytes(), append(raw, "AAA"...)
}

func TestDecodeVectors(t *testing.T) {
	far, farRaw := atDistance(4096)
	tooFar, _ := atDistance(4097)
	for _, c := range []struct {
		name   string
		packed string // hexadecimal
		raw    string
		status Status
		code   ErrorCode
	}{
		{"empty stored block", "010000ffff", "", StatusSuccess, 0},
		{"fixed block", "4b4c4a0600", "abc", StatusSuccess, 0},
		{
			"dynamic block of a device",
			"85cac10900200805d055fe3c6e2164d845210dd7b726e8f8e0912fc3099817d80642790b5205e133eb813ee5a201",
			greeting + greeting, StatusSuccess, 0,
		},
		{
			"run of zeros across both lists", "edfdb5b56ddbb66ddbfa6f758c9ec46888", "",
			StatusAnalyticsError, CodeLiteralCount,
		},
		{"distance of 4096", hex.EncodeToString(far), string(farRaw), StatusSuccess, 0},
		{"distance of 4097", hex.EncodeToString(tooFar), "", StatusAnalyticsError, CodeDistanceTooFar},
		{"reserved block type", "07", "", StatusAnalyticsError, CodeBlockType},
		{"cut stream", "4b4c", "", StatusAnalyticsError, CodeNoEndOfBlock},
	} {
		packed, err := hex.DecodeString(c.packed)
		wantNoError(t, err)
		dst := make([]byte, len(c.raw)+10000)
		r, err := Decode(dst, packed)
		wantOutcome(t, c.name, r, c.status, c.code)
		if (err == nil) != (c.status == StatusSuccess) || err != nil && !errors.Is(err, ErrStatus) {
			t.Errorf("%s: error is %v", c.name, err)
		}
		if err == nil {
			wantBytes(t, c.name, dst[:r.OutputBytes], []byte(c.raw))
			wantEqual(t, "CRC of "+c.name, r.CRC32, crc32.ChecksumIEEE([]byte(c.raw)))
		}
	}
}

// TestDecodeChecksums checks against figures that were computed elsewhere.
func TestDecodeChecksums(t *testing.T) {
	packed, raw := atDistance(4096)
	dst := make([]byte, len(raw))
	r, err := Decode(dst, packed)
	wantNoError(t, err)
	wantEqual(t, "length", r.OutputBytes, 4099)
	wantEqual(t, "CRC", r.CRC32, 0x47585655)

	r, err = Decode(dst, []byte{0x4b, 0x4c, 0x4a, 0x06, 0x00})
	wantNoError(t, err)
	wantEqual(t, "CRC of abc", r.CRC32, 0x352441c2)
	wantEqual(t, "XOR of abc", r.XOR, 0x6202)
}

// TestDecodeErrorCodes has a stream for each error code of decoding.
func TestDecodeErrorCodes(t *testing.T) {
	dynamic := func() *stream { return newStream().dynamicHeader(257, 1, plainHeader) }
	fixed := func() *stream { return newStream().block(1, blockFixed) }
	for name, c := range map[string]struct {
		packed []byte
		code   ErrorCode
	}{
		"input ends behind a stored block's type": {newStream().block(1, blockStored).bytes(), CodeHeaderTruncated},
		"input ends in a stored length":           {[]byte{1, 5, 0, 0xfa}, CodeHeaderTruncated},
		"input ends in the counts":                {newStream().block(1, blockDynamic).bits(0, 5).bytes(), CodeHeaderTruncated},
		"input ends in the header code":           {dynamic().bytes()[:7], CodeHeaderTruncated},
		"input ends in the lengths":               {dynamic().zeros(65).bytes(), CodeHeaderTruncated},
		"input ends in a repetition":              {dynamic().zeros(138).plain(plain18).bytes(), CodeHeaderTruncated},
		"input ends in the distance lengths":      {trimmedTo(dynamic().twoLiterals()), CodeHeaderTruncated},
		"symbol without a code in the lengths": {
			newStream().dynamicHeader(257, 1, map[int]uint64{1: 2, 18: 2}).bits(0xffff, 16).bits(0xffff, 16).bytes(),
			CodeUndefinedHeaderSymbol,
		},
		"repetition first":           {dynamic().plain(plain16).bits(0, 2).bits(0, 40).bytes(), CodeLiteralRepeatFirst},
		"repetition first, distance": {dynamic().twoLiterals().plain(plain16).bits(0, 2).bits(0, 40).bytes(), CodeDistanceRepeatFirst},
		"no literal has a code":      {dynamic().zeros(138).zeros(119).plain(plain0).bits(0, 40).bytes(), CodeNoLiteralCode},
		"literals run on":            {dynamic().zeros(138).zeros(120).bits(0, 40).bytes(), CodeLiteralCount},
		"literals repeat on": {
			dynamic().zeros(138).zeros(117).plain(plain1).plain(plain16).bits(0, 2).bits(0, 40).bytes(), CodeLiteralCount,
		},
		"distances run on": {dynamic().twoLiterals().plain(plain17).bits(0, 3).bits(0, 40).bytes(), CodeDistanceCount},
		"distances repeat on": {
			newStream().dynamicHeader(257, 3, plainHeader).twoLiterals().plain(plain1, plain16).bits(0, 2).bits(0, 40).bytes(),
			CodeDistanceCount,
		},
		"header code over-subscribed": {
			newStream().dynamicHeader(257, 1, map[int]uint64{0: 1, 1: 1, 2: 1}).bits(0, 40).bytes(), CodeHeaderOversubscribed,
		},
		"literals over-subscribed": {dynamic().plain(plain1, plain1, plain1).zeros(138).zeros(116).plain(plain0).bits(0, 40).bytes(), CodeLiteralOversubscribed},
		"distances over-subscribed": {
			newStream().dynamicHeader(257, 3, plainHeader).twoLiterals().plain(plain1, plain1, plain1).bits(0, 40).bytes(),
			CodeDistanceOversubscribed,
		},
		"literal without a code": {
			dynamic().zeros(65).plain(plain2).zeros(138).zeros(52).plain(plain2).plain(plain1).bits(0xffff, 16).bytes(),
			CodeBadLiteral,
		},
		"distance without a code": {
			newStream().dynamicHeader(258, 1, plainHeader).zeros(65).plain(plain2).zeros(138).zeros(52).plain(plain2, plain1, plain1).
				code(2, 2).code(0, 1).bits(0xffff, 16).bits(0xffff, 16).bytes(),
			CodeBadDistance,
		},
		"match without any distance code": {
			newStream().dynamicHeader(258, 1, plainHeader).zeros(65).plain(plain2).zeros(138).zeros(52).plain(plain2, plain1, plain0).
				code(2, 2).code(0, 1).bits(0, 32).bytes(),
			CodeBadDistance,
		},
		"reserved block type":       {newStream().block(0, 3).bytes(), CodeBlockType},
		"stored length":             {[]byte{1, 5, 0, 5, 0, 1, 2, 3, 4, 5}, CodeStoredLength},
		"nothing":                   {[]byte{0x03}, CodeNoEndOfBlock},
		"only a block of several":   {newStream().block(0, blockFixed).fixedSymbol(200, 200, 200, 200, endOfBlock).bytes(), CodeNoEndOfBlock},
		"stored data cut":           {[]byte{1, 5, 0, 0xfa, 0xff, 1, 2, 3, 4}, CodeNoEndOfBlock},
		"cut in extra bits":         {fixed().fixedSymbol('A', 284).bytes(), CodeNoEndOfBlock},
		"cut before the distance":   {fixed().fixedSymbol('A', 'A', 257).bits(0, 1).bytes(), CodeNoEndOfBlock},
		"length symbol 286":         {fixed().fixedSymbol('A', 286).bits(0, 40).bytes(), CodeBadLength},
		"length symbol 287":         {fixed().fixedSymbol('A', 287).bits(0, 40).bytes(), CodeBadLength},
		"distance symbol 30":        {fixed().fixedSymbol('A', 257).code(30, 5).bits(0, 40).bytes(), CodeDistanceTooFar},
		"distance symbol 31":        {fixed().fixedSymbol('A', 257).code(31, 5).bits(0, 40).bytes(), CodeDistanceTooFar},
		"distance of 32768":         {fixed().fixedSymbol('A').fixedMatch(3, 32768).bytes(), CodeDistanceTooFar},
		"distance before the start": {fixed().fixedSymbol('A').fixedMatch(3, 2).bytes(), CodeDistanceBeforeStart},
		"match first":               {fixed().fixedMatch(3, 1).bytes(), CodeDistanceBeforeStart},
		"287 literals":              {newStream().dynamicHeader(287, 1, plainHeader).bytes(), CodeTooManyLiterals},
		"288 literals":              {newStream().dynamicHeader(288, 1, plainHeader).bytes(), CodeTooManyLiterals},
		"31 distances":              {newStream().dynamicHeader(257, 31, plainHeader).bytes(), CodeTooManyDistances},
		"32 distances":              {newStream().dynamicHeader(257, 32, plainHeader).bytes(), CodeTooManyDistances},
	} {
		r, err := Decode(make([]byte, 4096), c.packed)
		wantOutcome(t, name, r, StatusAnalyticsError, c.code)
		if err == nil || !strings.Contains(err.Error(), c.code.String()) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// trimmedTo drops bits that pad the last byte, by dropping that byte.
func trimmedTo(s *stream) []byte { return slices.Clone(s.out) }

// TestDecodeAccepts has streams at the edge of what is accepted.
func TestDecodeAccepts(t *testing.T) {
	stored := bytes.Repeat([]byte{7}, 65535)
	for name, c := range map[string]struct {
		packed []byte
		raw    []byte
	}{
		"bytes behind the stream": {append([]byte{0x4b, 0x4c, 0x4a, 0x06, 0x00}, 1, 2, 3, 4, 5, 6, 7, 8, 9), []byte("abc")},
		"largest stored block":    {newStream().stored(1, stored).bytes(), stored},
		"blocks of all types": {
			newStream().stored(0, []byte("ab")).block(0, blockFixed).fixedSymbol('c').fixedMatch(4, 3).fixedSymbol(endOfBlock).
				stored(0, nil).dynamicHeader(257, 1, plainHeader).twoLiterals().plain(plain0).bits(0, 3).bits(1, 1).bytes(),
			[]byte("abcabcaAAA"),
		},
		"single literal code, of end-of-block": {
			newStream().dynamicHeader(257, 1, plainHeader).zeros(138).zeros(118).plain(plain1, plain0).bits(0, 1).bytes(), nil,
		},
		"single distance code": {
			newStream().dynamicHeader(258, 1, plainHeader).zeros(65).plain(plain2).zeros(138).zeros(52).plain(plain2, plain1, plain1).
				code(2, 2).code(0, 1).code(0, 1).code(3, 2).bytes(),
			[]byte("AAAA"),
		},
		"codes of 15 bits": {
			// Literals 0 to 2 have two codes of 15 bits in an incomplete code.
			newStream().dynamicHeader(257, 1, plainHeader).plain(plain15, plain15).zeros(138).zeros(116).plain(plain1, plain0).
				code(1<<14, 15).code(1<<14+1, 15).code(0, 1).bytes(),
			[]byte{0, 1},
		},
		"length 258 by extra bits": {
			newStream().block(1, blockFixed).fixedSymbol('A', 284).bits(31, 5).fixedDistance(1).fixedSymbol(endOfBlock).bytes(),
			bytes.Repeat([]byte{'A'}, 259),
		},
		"all counts at most": {
			newStream().dynamicHeader(286, 30, plainHeader).plain(repeated(plain8, 254)...).plain(plain0, plain0, plain8).
				plain(repeated(plain0, 28)...).plain(plain8).plain(repeated(plain0, 30)...).code(254, 8).bytes(),
			nil,
		},
	} {
		dst := make([]byte, len(c.raw)+1)
		r, err := Decode(dst, c.packed)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantBytes(t, name, dst[:r.OutputBytes], c.raw)
	}
}

// TestDecodeOverflow checks that a destination is filled to the last byte and
// not beyond, and that one of the exact length is enough.
func TestDecodeOverflow(t *testing.T) {
	r := seedtest.Rand(t)
	raw, matches := textStream(t, r, 4096)
	for _, packed := range [][]byte{
		matches, standardCompress(t, raw, flate.HuffmanOnly), newStream().stored(1, raw).bytes(),
	} {
		for _, room := range []int{1, 2, 100, 257, 4095, 4096, 4097} {
			dst := bytes.Repeat([]byte{0xa5}, 5000)
			got, err := Decode(dst[:room], packed)
			if room < len(raw) {
				wantClass(t, err, ErrStatus)
				wantEqual(t, "status", got.Status, StatusOutputOverflow)
			} else {
				wantNoError(t, err)
			}
			n := min(room, len(raw))
			wantEqual(t, "output", got.OutputBytes, n)
			wantBytes(t, "output", dst[:n], raw[:n])
			wantEqual(t, "CRC", got.CRC32, crc32.ChecksumIEEE(raw[:n]))
			wantBytes(t, "memory behind the destination", dst[n:], bytes.Repeat([]byte{0xa5}, len(dst)-n))
		}
	}
}

func TestDecodeEmpty(t *testing.T) {
	for _, c := range [][2][]byte{{nil, {3, 0}}, {make([]byte, 1), nil}} {
		r, err := Decode(c[0], c[1])
		wantClass(t, err, ErrStatus)
		wantEqual(t, "status", r.Status, StatusInvalidSize)
	}
}

// stricter are the reasons for which a device refuses what others accept.
var stricter = []ErrorCode{CodeLiteralCount, CodeDistanceRepeatFirst, CodeDistanceTooFar}

// TestDecodeStandardStreams reads the standard library's streams of no more
// than a window: all but the few whose code lengths run across the border of
// the two lists. Those differ by that alone.
func TestDecodeStandardStreams(t *testing.T) {
	r := seedtest.Rand(t)
	accepted, refused := 0, 0
	for i := range 2000 {
		lenBytes := 1 + r.IntN(historyBytes)
		raw := text(r, lenBytes)
		if i%10 == 0 {
			raw = noise(r, lenBytes)
		}
		levels := []int{flate.HuffmanOnly, 0, 1, 3, 6, 9}
		packed := standardCompress(t, raw, levels[i%len(levels)])
		dst := make([]byte, lenBytes)
		got, err := Decode(dst, packed)
		if err != nil {
			if !slices.Contains(stricter[:2], got.ErrorCode) {
				t.Fatalf("stream %d of %d bytes: %v", i, lenBytes, err)
			}
			refused++
			continue
		}
		accepted++
		wantEqual(t, "length", got.OutputBytes, lenBytes)
		wantBytes(t, "output", dst, raw)
		wantEqual(t, "CRC", got.CRC32, crc32.ChecksumIEEE(raw))
		wantEqual(t, "XOR", got.XOR, slowXOR(raw))
	}
	t.Logf("%d accepted, %d refused", accepted, refused)
	if refused > accepted/20 {
		t.Errorf("%d of %d streams were refused", refused, accepted+refused)
	}
}

func slowXOR(p []byte) (sum uint16) {
	for i, b := range p {
		sum ^= uint16(b) << (8 * (i % 2))
	}
	return sum
}

// TestDecodeFarMatches checks that streams of a full window are refused for
// that reason once they use it.
func TestDecodeFarMatches(t *testing.T) {
	r := seedtest.Rand(t)
	half := noise(r, 6000)
	packed := standardCompress(t, append(slices.Clone(half), half...), 9)
	got, err := Decode(make([]byte, 12000), packed)
	wantClass(t, err, ErrStatus)
	wantOutcome(t, "far matches", got, StatusAnalyticsError, CodeDistanceTooFar)
	// Everything before the first far match was decoded.
	if got.OutputBytes < 5000 || got.OutputBytes > 6100 {
		t.Errorf("refused after %d bytes", got.OutputBytes)
	}
}

// TestDecodeLong crosses many chunks of the window, with matches of all
// distances and lengths.
func TestDecodeLong(t *testing.T) {
	r := seedtest.Rand(t)
	s := newStream().block(1, blockFixed)
	var raw []byte
	for len(raw) < 400_000 {
		if len(raw) == 0 || r.IntN(3) == 0 {
			b := byte(r.Uint32())
			s.fixedSymbol(uint32(b))
			raw = append(raw, b)
			continue
		}
		distance := 1 + r.IntN(min(len(raw), historyBytes))
		lenBytes := minMatchBytes + r.IntN(maxMatchBytes-minMatchBytes+1)
		s.fixedMatch(lenBytes, distance)
		for range lenBytes {
			raw = append(raw, raw[len(raw)-distance])
		}
	}
	packed := s.fixedSymbol(endOfBlock).bytes()
	wantStream(t, packed, raw)
	dst := make([]byte, len(raw))
	got, err := Decode(dst, packed)
	wantNoError(t, err)
	wantBytes(t, "output", dst[:got.OutputBytes], raw)
	wantEqual(t, "CRC", got.CRC32, crc32.ChecksumIEEE(raw))
	wantEqual(t, "XOR", got.XOR, slowXOR(raw))
}

// TestEveryCut checks that no part of a stream passes for the whole.
func TestEveryCut(t *testing.T) {
	_, packed := textStream(t, seedtest.Rand(t), 2000)
	for n := 1; n < len(packed); n++ {
		got, err := Decode(make([]byte, 2000), packed[:n])
		if err == nil || got.ErrorCode != CodeNoEndOfBlock && got.ErrorCode != CodeHeaderTruncated {
			t.Errorf("%d of %d bytes: %v", n, len(packed), err)
		}
	}
}

func TestStatusTexts(t *testing.T) {
	wantEqual(t, "text", StatusOutputOverflow.String(), "output is larger than its buffer")
	wantEqual(t, "text", Status(0x7f).String(), "status 0x7f")
	wantEqual(t, "text", CodeLiteralCount.String(), "literal/length code lengths run beyond their end")
	wantEqual(t, "text", ErrorCode(99).String(), "error code 99")
	wantEqual(t, "text", outcome{status: StatusOutputOverflow}.err().Error(),
		"job was not completed successfully: output is larger than its buffer (status 0x0b)")
}

func BenchmarkDecode(b *testing.B) {
	raw, packed := textStream(b, seedtest.Rand(b), 4096)
	dst := make([]byte, len(raw))
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(dst, packed); err != nil {
			b.Fatal(err)
		}
	}
}
