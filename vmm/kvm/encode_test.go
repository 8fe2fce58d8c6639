//go:build linux && amd64

package kvm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"sabrefs/tests/seedtest"
)

// fillRandom sets every number in a value.
func fillRandom(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fillRandom(r, field)
		}
	case reflect.Array, reflect.Slice:
		for i := range v.Len() {
			fillRandom(r, v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(int64(r.Uint64()))
	default:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()))
	}
}

func randomVCPU(r *rand.Rand, cpuid, msrs, xsaveBytes int) VCPUState {
	s := VCPUState{CPUID: make([]CPUIDEntry, cpuid), MSRs: make([]MSR, msrs), XSAVE: make([]byte, xsaveBytes)}
	fillRandom(r, reflect.ValueOf(&s).Elem())
	s.XCRs.Count = r.Uint32N(17)
	return s
}

func marshalVCPU(tb testing.TB, s VCPUState) []byte {
	tb.Helper()
	b, err := s.MarshalBinary()
	wantNoError(tb, err)
	return b
}

func TestVCPURoundTrip(t *testing.T) {
	r := seedtest.Rand(t)
	for _, size := range [][3]int{{0, 0, 4096}, {60, 120, 4096}, {256, 1024, 11008}} {
		want := randomVCPU(r, size[0], size[1], size[2])
		b := marshalVCPU(t, want)
		var got VCPUState
		wantNoError(t, got.UnmarshalBinary(b))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v: got %+v\nwant %+v", size, got, want)
		}
		for i := range b {
			b[i] = 0 // what was decoded does not share memory
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v: changed with the bytes it came from", size)
		}
	}
}

func TestVMRoundTrip(t *testing.T) {
	var want, got VMState
	fillRandom(seedtest.Rand(t), reflect.ValueOf(&want).Elem())
	b, err := want.MarshalBinary()
	wantNoError(t, err)
	wantNoError(t, got.UnmarshalBinary(b))
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestVCPUDecodingRefuses(t *testing.T) {
	whole := marshalVCPU(t, randomVCPU(seedtest.Rand(t), 2, 3, 4096))
	for name, change := range map[string]func(b []byte) []byte{
		"empty":        func([]byte) []byte { return nil },
		"short":        func(b []byte) []byte { return b[:len(b)-1] },
		"long":         func(b []byte) []byte { return append(b, 0) },
		"fixed only":   func(b []byte) []byte { return b[:vcpuFixedBytes] },
		"version":      func(b []byte) []byte { return put(b, 0, 2) },
		"no vectors":   func(b []byte) []byte { return put(b, 4, 0) },
		"huge vectors": func(b []byte) []byte { return put(b, 4, 1<<31) },
		"odd vectors":  func(b []byte) []byte { return put(b, 4, 4097) },
		"huge CPUID":   func(b []byte) []byte { return put(b, 8, 1<<30) },
		"huge MSRs":    func(b []byte) []byte { return put(b, 12, 1<<31) },
		"other counts": func(b []byte) []byte { return put(b, 8, 3) },
		"flag":         func(b []byte) []byte { return put(b, 24, 2) },
		"XCRs":         func(b []byte) []byte { return put(b, vcpuFixedBytes-392, 17) },
	} {
		var s VCPUState
		if err := s.UnmarshalBinary(change(bytes.Clone(whole))); !errors.Is(err, ErrDamagedState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func put(b []byte, off int, value uint32) []byte {
	binary.LittleEndian.PutUint32(b[off:], value)
	return b
}

func TestVMDecodingRefuses(t *testing.T) {
	whole, err := (&VMState{}).MarshalBinary()
	wantNoError(t, err)
	for name, b := range map[string][]byte{
		"empty": nil, "short": whole[1:], "long": append(bytes.Clone(whole), 0),
		"version": put(bytes.Clone(whole), 0, 0), "reserved": put(bytes.Clone(whole), 4, 1),
	} {
		var s VMState
		if err := s.UnmarshalBinary(b); !errors.Is(err, ErrDamagedState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVCPUEncodingRefuses(t *testing.T) {
	for name, s := range map[string]VCPUState{
		"no vectors": {}, "CPUID": {XSAVE: make([]byte, 4096), CPUID: make([]CPUIDEntry, 257)},
		"MSRs": {XSAVE: make([]byte, 4096), MSRs: make([]MSR, 1025)},
	} {
		if _, err := s.MarshalBinary(); !errors.Is(err, ErrDamagedState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// wantCanonical checks that bytes are refused, or encode to themselves again.
func wantCanonical(t *testing.T, b []byte) {
	t.Helper()
	var s VCPUState
	if err := s.UnmarshalBinary(b); err != nil {
		if !errors.Is(err, ErrDamagedState) {
			t.Fatal(err)
		}
		return
	}
	if again := marshalVCPU(t, s); !bytes.Equal(again, b) {
		t.Error("encodes otherwise")
	}
}

func FuzzVCPUState(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	f.Add(marshalVCPU(f, randomVCPU(r, 0, 0, 4096)))
	f.Add(marshalVCPU(f, randomVCPU(r, 3, 2, 4104)))
	f.Fuzz(wantCanonical)
}

// FuzzVCPUCounts has any counts in front of any number of bytes, for a fuzzer does
// not find out that they belong together.
func FuzzVCPUCounts(f *testing.F) {
	f.Add(uint32(4096), uint32(1), uint32(1), uint32(1), uint32(1), uint32(0))
	f.Add(uint32(4104), uint32(256), uint32(1024), uint32(16), uint32(0), uint32(0))
	f.Add(uint32(1<<31), uint32(1<<31), uint32(1<<31), uint32(17), uint32(2), uint32(7))
	f.Fuzz(func(t *testing.T, xsaveBytes, cpuid, msrs, xcrs, flag, moreBytes uint32) {
		const mostBytes = 1 << 17
		sum := uint64(vcpuFixedBytes+lapicBytes) + uint64(xsaveBytes) + 40*uint64(cpuid) + 16*uint64(msrs) + uint64(moreBytes)
		b := bytes.Repeat([]byte{0xa5}, int(min(sum, mostBytes)))
		for off, value := range map[int]uint32{0: vcpuVersion, 4: xsaveBytes, 8: cpuid, 12: msrs, 24: flag, 28: 0, vcpuFixedBytes - 392: xcrs} {
			put(b, off, value)
		}
		wantCanonical(t, b)
	})
}

func FuzzVMState(f *testing.F) {
	whole, err := (&VMState{ClockNanos: 7}).MarshalBinary()
	wantNoError(f, err)
	f.Add(whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		var s VMState
		if err := s.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, ErrDamagedState) {
				t.Fatal(err)
			}
			return
		}
		again, err := s.MarshalBinary()
		wantNoError(t, err)
		if !bytes.Equal(again, b) {
			t.Error("encodes otherwise")
		}
	})
}
