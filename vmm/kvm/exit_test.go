//go:build linux && amd64

package kvm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// pageWith is a vCPU whose page says what the kernel could have written.
func pageWith(reason uint32, detail ...byte) *VCPU {
	words := make([]uint64, 2*pageBytes/8) // aligned like a page
	page := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 2*pageBytes)
	binary.LittleEndian.PutUint32(page[8:], reason)
	copy(page[32:], detail)
	return &VCPU{page: page}
}

func wordsOf(words ...uint64) (b []byte) {
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

func TestExits(t *testing.T) {
	for _, test := range []struct {
		reason uint32
		detail []byte
		want   Exit
		text   string
	}{
		{exitIO, wordsOf(1|2<<8|0x3f8<<16|3<<32, pageBytes), Exit{Reason: IO, Write: true, Port: 0x3f8, Size: 2, Count: 3, Data: make([]byte, 6)}, "write of port 0x3f8: 3 times 2 bytes"},
		{exitMMIO, wordsOf(0xd0000000, 0x11223344, 4|1<<32), Exit{Reason: MMIO, Write: true, GPA: 0xd0000000, Data: []byte{0x44, 0x33, 0x22, 0x11}}, "write of address 0xd0000000: 4 bytes"},
		{exitMMIO, wordsOf(0xd0000000, 0, 1), Exit{Reason: MMIO, GPA: 0xd0000000, Data: []byte{0}}, "read of address 0xd0000000: 1 bytes"},
		{exitHLT, nil, Exit{Reason: Halt}, "halt"},
		{exitShutdown, nil, Exit{Reason: Shutdown}, "shutdown"},
		{exitFailEntry, wordsOf(0x80000021), Exit{Reason: FailEntry, Detail: 0x80000021}, "fail entry 0x80000021"},
		{exitInternalError, wordsOf(1|2<<32, 7, 8, 9), Exit{Reason: InternalError, Detail: 1, Extra: []uint64{7, 8}}, "internal error of KVM: emulation failed, data [0x7 0x8]"},
		{exitInternalError, wordsOf(9), Exit{Reason: InternalError, Detail: 9}, "internal error of KVM: suberror 9, data []"},
		{exitSystemEvent, wordsOf(2|1<<32, 5), Exit{Reason: SystemEvent, Detail: 2, Extra: []uint64{5}}, "system event 0x2"},
		{4, nil, Exit{Reason: Other, Detail: 4}, "other 0x4"},
	} {
		got, err := pageWith(test.reason, test.detail...).exit()
		wantNoError(t, err)
		if got.Reason != test.want.Reason || got.Write != test.want.Write || got.Port != test.want.Port || got.Size != test.want.Size ||
			got.Count != test.want.Count || got.GPA != test.want.GPA || got.Detail != test.want.Detail || !bytes.Equal(got.Data, test.want.Data) {
			t.Errorf("got %+v, want %+v", got, test.want)
		}
		if got.String() != test.text {
			t.Errorf("got %q, want %q", got, test.text)
		}
	}
}

// Data that would lie outside the page is an error, and a count of error data
// that is too large is cut.
func TestExitsThatCannotBe(t *testing.T) {
	for name, c := range map[string]*VCPU{
		"port, far":  pageWith(exitIO, wordsOf(1|1<<8|1<<32, 1<<40)...),
		"port, long": pageWith(exitIO, wordsOf(1|4<<8|(pageBytes/4+1)<<32, pageBytes)...),
		"address":    pageWith(exitMMIO, wordsOf(0, 0, 9)...),
	} {
		if exit, err := c.exit(); !errors.Is(err, ErrExit) {
			t.Errorf("%s: %v, %v", name, exit, err)
		}
	}
	exit, err := pageWith(exitInternalError, wordsOf(1|uint64(1)<<63)...).exit()
	wantNoError(t, err)
	if len(exit.Extra) != 16 {
		t.Errorf("%d words of data", len(exit.Extra))
	}
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for r := Other; r <= SystemEvent; r++ {
		seen[r.String()] = true
	}
	if len(seen) != int(SystemEvent)+1 || Reason(99).String() != "99" {
		t.Errorf("names: %v", seen)
	}
}

func TestOpenErrors(t *testing.T) {
	for errno, class := range map[error]error{
		syscall.ENOENT: ErrNoKVM, syscall.ENODEV: ErrNoKVM, syscall.EACCES: ErrPermission, syscall.EPERM: ErrPermission,
	} {
		err := openError(errno)
		if !errors.Is(err, class) || !errors.Is(err, errno) || !strings.Contains(err.Error(), devicePath) {
			t.Errorf("%v: %v", errno, err)
		}
	}
	if errors.Is(openError(fs.ErrPermission), ErrNoKVM) {
		t.Error("no permission is taken for no KVM")
	}
}

func TestSameSpeed(t *testing.T) {
	for _, test := range []struct {
		a, b uint32
		want bool
	}{
		{2_000_000, 2_000_000, true}, {2_000_000, 2_000_499, true}, {2_000_499, 2_000_000, true},
		{2_000_000, 2_001_000, false}, {0, 1, false}, {1 << 31, 1<<31 + 1000, true},
	} {
		if got := sameSpeed(test.a, test.b); got != test.want {
			t.Errorf("%d and %d kHz: %v", test.a, test.b, got)
		}
	}
}

func TestSavedMSRs(t *testing.T) {
	got := savedMSRs([]uint32{0xc0000102, 0x10, 0x40000000, 0x40000105, 0x174, 0x4b564d01})
	want := []uint32{0x10, 0x174, 0x6e0, 0x4b564d01, 0xc0000102}
	if len(got) != len(want) {
		t.Fatalf("got %#x, want %#x", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %#x, want %#x", got, want)
		}
	}
}
