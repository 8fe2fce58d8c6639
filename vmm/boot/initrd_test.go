package boot

import (
	"bytes"
	"errors"
	"testing"
)

func TestInitrdSpan(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name        string
		memoryBytes int64
		kernelEnd   uint64
		limit       uint64
		lenBytes    int64
		want        uint64
		err         error
	}{
		{"at the end of RAM", 64 * mib, 8 * mib, maxInitrdAddr, 5000, 64*mib - 8192, nil},
		{"whole pages", 64 * mib, 8 * mib, maxInitrdAddr, 4096, 64*mib - 4096, nil},
		{"odd memory", 64*mib + 100, 8 * mib, maxInitrdAddr, 100, 64 * mib, nil},
		{"kernel's limit", 64 * mib, 8 * mib, 32*mib - 1, 4096, 32*mib - 4096, nil},
		{"2 GiB", 2560 * mib, 8 * mib, maxInitrdAddr, 4096, 2048*mib - 4096, nil},
		{"below the hole", 8192 * mib, 8 * mib, 0xffffffff, 4096, 3072*mib - 4096, nil},
		{"fills all", 64 * mib, 8 * mib, maxInitrdAddr, 56 * mib, 8 * mib, nil},
		{"one byte more", 64 * mib, 8 * mib, maxInitrdAddr, 56*mib + 1, 0, ErrDoesNotFit},
		{"kernel's last page", 64 * mib, 8*mib + 1, maxInitrdAddr, 56*mib - 4096, 8*mib + 4096, nil},
		{"into kernel's page", 64 * mib, 8*mib + 1, maxInitrdAddr, 56*mib - 4095, 0, ErrDoesNotFit},
		{"limit in the kernel", 64 * mib, 8 * mib, 4 * mib, 1, 0, ErrDoesNotFit},
		{"limit 0", 64 * mib, 8 * mib, 0, 1, 0, ErrDoesNotFit},
	} {
		k := kernel{needs: span{mib, c.kernelEnd}, initrdLimit: c.limit}
		got, err := initrdSpan(c.memoryBytes, k, c.lenBytes)
		if !errors.Is(err, c.err) || got.start != c.want || err == nil && got.lenBytes() != uint64(c.lenBytes) {
			t.Errorf("%s: %#x to %#x, %v", c.name, got.start, got.end, err)
		}
	}
}

func TestInitrd(t *testing.T) {
	opt := bzOptions(t, bzImage())
	opt.Initrd = writeFile(t, "initrd", bytes.Repeat([]byte("initrd!"), 1000))
	mem := newRAM(20 << 20)
	if _, err := Load(mem, opt); err != nil {
		t.Fatal(err)
	}
	mem.wantAt(t, "initrd", 20<<20-8192, append(bytes.Repeat([]byte("initrd!"), 1000), 0))
}

func TestInitrdRefused(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		want error
	}{
		"empty":       {writeFile(t, "empty", nil), ErrOption},
		"a directory": {t.TempDir(), ErrNotFile},
		"missing":     {t.TempDir() + "/none", errNoFile},
		"too large":   {writeFile(t, "large", make([]byte, 3<<20)), ErrDoesNotFit},
	} {
		opt := bzOptions(t, bzImage())
		opt.Initrd = c.path
		t.Run(name, func(t *testing.T) {
			_, err := Load(newRAM(20<<20), opt)
			wantError(t, err, c.want)
		})
	}
}
