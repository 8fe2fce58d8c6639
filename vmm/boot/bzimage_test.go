package boot

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

const (
	testImageCode = 0x300 // bytes behind the setup code
	testPrefAddr  = 16 << 20
	testInitBytes = 2 << 20
)

// bzImage makes the smallest image that a loader takes: a boot sector, one sector
// of setup, and code.
func bzImage() []byte {
	le := binary.LittleEndian
	b := make([]byte, 2*sectorBytes+testImageCode)
	b[0x1f1] = 1
	le.PutUint32(b[0x1f4:], 2)
	le.PutUint16(b[0x1fe:], 0xaa55)
	b[0x200], b[0x201] = 0xeb, 0x62
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], 0x020f)
	b[0x211] = 1
	le.PutUint32(b[0x214:], 0x100000)
	le.PutUint32(b[0x22c:], 0x7fffffff)
	le.PutUint32(b[0x230:], 0x200000)
	b[0x234] = 1
	le.PutUint16(b[0x236:], 1)
	le.PutUint32(b[0x238:], 2047)
	le.PutUint64(b[0x258:], testPrefAddr)
	le.PutUint32(b[0x260:], testInitBytes)
	for i := range b[0x264:0x280] {
		b[0x264+i] = 0xcc // code behind the header, which is no part of it
	}
	for i := range testImageCode {
		b[2*sectorBytes+i] = byte(i%250 + 1)
	}
	return b
}

func writeFile(tb testing.TB, name string, data []byte) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func bzOptions(tb testing.TB, image []byte) Options {
	tb.Helper()
	return Options{Kernel: writeFile(tb, "bzImage", image), CommandLine: "console=ttyS0", VCPUCount: 1, MemoryBytes: 20 << 20}
}

func TestBzImage(t *testing.T) {
	image := bzImage()
	mem := newRAM(20 << 20)
	entry, err := Load(mem, bzOptions(t, image))
	if err != nil {
		t.Fatal(err)
	}
	if entry.RIP != testPrefAddr+0x200 {
		t.Errorf("entered at %#x", entry.RIP)
	}
	mem.wantAt(t, "code", testPrefAddr, append(bytes.Clone(image[1024:]), 0))
	mem.wantAt(t, "command line", 0x20000, []byte("console=ttyS0\x00"))
	mem.wantZero(t, 0x100000, testPrefAddr)
	zeroPage := mem.at(t, 0x7000, 4096)
	if zeroPage[0x263] != image[0x263] || zeroPage[0x264] != 0 {
		t.Error("the setup header does not end where its jump leads")
	}
}

// Images that name no address to run at run where the protocol always put them.
func TestBzImageWithoutPreference(t *testing.T) {
	image := bzImage()
	clear(image[0x258:0x260])
	image[0x1f1] = 0 // means 4
	image = append(image, make([]byte, 3*sectorBytes)...)
	image[5*sectorBytes] = 0x42
	mem := newRAM(4 << 20)
	opt := bzOptions(t, image)
	opt.MemoryBytes = 4 << 20
	entry, err := Load(mem, opt)
	if err != nil {
		t.Fatal(err)
	}
	if entry.RIP != 0x100200 {
		t.Errorf("entered at %#x", entry.RIP)
	}
	mem.wantAt(t, "code", 0x100000, []byte{0x42})
}

func TestBzImageRefused(t *testing.T) {
	le := binary.LittleEndian
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		want   error
	}{
		"empty":             {func([]byte) []byte { return nil }, ErrNotKernel},
		"text":              {func([]byte) []byte { return bytes.Repeat([]byte("no kernel\n"), 200) }, ErrNotKernel},
		"header cut off":    {func(b []byte) []byte { return b[:0x28f] }, ErrNotKernel},
		"no code":           {func(b []byte) []byte { return b[:1024] }, ErrNotKernel},
		"no entry":          {func(b []byte) []byte { return b[:1024+0x200] }, ErrNotKernel},
		"setup beyond file": {func(b []byte) []byte { b[0x1f1] = 255; return b }, ErrNotKernel},
		"no boot flag":      {func(b []byte) []byte { b[0x1fe] = 0; return b }, ErrNotKernel},
		"no HdrS":           {func(b []byte) []byte { b[0x202] = 'h'; return b }, ErrNotKernel},
		"protocol 2.11":     {func(b []byte) []byte { le.PutUint16(b[0x206:], 0x20b); return b }, ErrNotKernel},
		"32 bits only":      {func(b []byte) []byte { b[0x236] = 0; return b }, ErrNotKernel},
		"zImage":            {func(b []byte) []byte { b[0x211] = 0; return b }, ErrNotKernel},
		"short header":      {func(b []byte) []byte { b[0x201] = 0x61; return b }, ErrNotKernel},
		"runs below 1 MiB":  {func(b []byte) []byte { le.PutUint64(b[0x258:], 0xff000); return b }, ErrDoesNotFit},
		"runs beyond RAM":   {func(b []byte) []byte { le.PutUint64(b[0x258:], 1<<40); return b }, ErrDoesNotFit},
		"runs at the end":   {func(b []byte) []byte { le.PutUint64(b[0x258:], ^uint64(0)); return b }, ErrDoesNotFit},
		"needs too much":    {func(b []byte) []byte { le.PutUint32(b[0x260:], 4<<20+1); return b }, ErrDoesNotFit},
		"needs 4 GiB":       {func(b []byte) []byte { le.PutUint32(b[0x260:], ^uint32(0)); return b }, ErrDoesNotFit},
		"command line":      {func(b []byte) []byte { le.PutUint32(b[0x238:], 12); return b }, ErrDoesNotFit},
	} {
		_, err := Load(newRAM(20<<20), bzOptions(t, c.change(bzImage())))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		t.Run(name, func(t *testing.T) { wantError(t, err, c.want) })
	}
}

func TestKernelIsNoFile(t *testing.T) {
	opt := bzOptions(t, bzImage())
	opt.Kernel = t.TempDir()
	_, err := Load(newRAM(20<<20), opt)
	wantError(t, err, ErrNotFile)
	opt.Kernel += "/none"
	_, err = Load(newRAM(20<<20), opt)
	wantError(t, err, os.ErrNotExist)
}

func TestZeroPageGolden(t *testing.T) {
	f := kernelFile{mem: newRAM(20 << 20), ramEnd: LowMemoryEnd}
	image := bzImage()
	file, err := os.Open(writeFile(t, "bzImage", image))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f.File, f.fileBytes = file, int64(len(image))
	k, err := f.load()
	if err != nil {
		t.Fatal(err)
	}
	initrd, err := initrdSpan(5<<30, k, 0x1234)
	if err != nil {
		t.Fatal(err)
	}
	page, err := encodeZeroPage(5<<30, k, initrd, 10)
	if err != nil {
		t.Fatal(err)
	}
	wantGolden(t, "zeropage.txt", page)
}
