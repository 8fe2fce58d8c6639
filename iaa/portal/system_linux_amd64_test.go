package portal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// machineCode returns the first bytes of a function.
func machineCode(function any, lenBytes int) []byte {
	entry := reflect.ValueOf(function).Pointer()
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&entry))), lenBytes)
}

// TestInstructionBytes looks at what would be executed: few processors have the
// instructions, so the bytes are what can be tested everywhere.
func TestInstructionBytes(t *testing.T) {
	sfence := []byte{0x0f, 0xae, 0xf8}
	loadOperands := []byte{
		0x48, 0x8b, 0x44, 0x24, 0x08, // MOVQ 8(SP), AX
		0x48, 0x8b, 0x54, 0x24, 0x10, // MOVQ 16(SP), DX
	}
	for name, c := range map[string]struct {
		function any
		want     [][]byte
	}{
		"ENQCMD AX, (DX), then SETNE 24(SP)": {enqcmd, [][]byte{
			loadOperands, sfence, {0xf2, 0x0f, 0x38, 0xf8, 0x02}, {0x0f, 0x95, 0x44, 0x24, 0x18}, {0xc3},
		}},
		"MOVDIR64B AX, (DX)": {movdir64b, [][]byte{
			loadOperands, sfence, {0x66, 0x0f, 0x38, 0xf8, 0x02}, {0xc3},
		}},
	} {
		want := bytes.Join(c.want, nil)
		if got := machineCode(assembly(c.function), len(want)); !bytes.Equal(got, want) {
			t.Errorf("%s: the code is\n% x, want\n% x", name, got, want)
		}
	}
}

// assembly returns the function itself and not the wrapper that translates the
// calling convention, which is what a function value of it points to: the
// wrapper calls it with a relative CALL.
func assembly(function any) any {
	entry := reflect.ValueOf(function).Pointer()
	name := runtime.FuncForPC(entry).Name()
	for pc := entry; pc < entry+256; pc++ {
		code := unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&pc))), 5)
		if code[0] != 0xe8 {
			continue
		}
		target := pc + 5 + uintptr(int64(*(*int32)(unsafe.Pointer(&code[1]))))
		f := runtime.FuncForPC(target)
		if f != nil && f.Entry() == target && f.Name() == name && target != entry {
			holder := &target
			return *(*func())(unsafe.Pointer(&holder))
		}
	}
	return function
}

func TestPauseEnds(t *testing.T) {
	for _, count := range []uint32{0, 1, 2, 1000} {
		Pause(count)
	}
}

func TestInstructionsAgreeWithKernel(t *testing.T) {
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]bool{}
	for flag := range bytes.FieldsSeq(cpuinfo) {
		flags[string(flag)] = true
	}
	has := System().CPU()
	// The kernel may hide what the processor has, but not the reverse.
	if flags["enqcmd"] && !has.ENQCMD || flags["movdir64b"] && !has.MOVDIR64B {
		t.Errorf("found %+v, the kernel more", has)
	}
	if flags["rdtscp"] != hasRDTSCP() {
		t.Errorf("RDTSCP: %v, the kernel says %v", hasRDTSCP(), flags["rdtscp"])
	}
}

// TestCurrentCPU binds a thread to each processor in turn.
func TestCurrentCPU(t *testing.T) {
	if !hasRDTSCP() {
		if cpu := CurrentCPU(); cpu != -1 {
			t.Fatalf("processor is %d without RDTSCP", cpu)
		}
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Error(err)
		}
	}()
	tried := 0
	for cpu := range 4096 {
		if cpu >= len(before)*64 || !before.IsSet(cpu) {
			continue
		}
		var one unix.CPUSet
		one.Set(cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Fatal(err)
		}
		if got := CurrentCPU(); got != cpu {
			t.Errorf("on processor %d it says %d", cpu, got)
		}
		tried++
	}
	if tried == 0 {
		t.Error("no processor to run on")
	}
}

func TestOpenRefuses(t *testing.T) {
	file, err := os.CreateTemp("/dev/shm", "sabrefs-test-*")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file.Name())
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		node string
		want error
	}{
		"no such node":    {"iax/wq99.9", fs.ErrNotExist},
		"outside of /dev": {"../etc/passwd", fs.ErrInvalid},
		"absolute":        {"/dev/null", fs.ErrInvalid},
		"empty":           {"", fs.ErrInvalid},
		"a regular file":  {"shm/" + filepath.Base(file.Name()), errNotQueue},
	} {
		node, err := System().Open(c.node)
		if !errors.Is(err, c.want) || node != nil {
			t.Errorf("%s: opened %v, error %v, want %v", name, node, err, c.want)
		}
	}
}

// TestNodeSystemCalls uses devices that every machine has in place of a queue.
func TestNodeSystemCalls(t *testing.T) {
	zero, err := System().Open("zero")
	if err != nil {
		t.Fatal(err)
	}
	window, err := zero.Map()
	if err != nil {
		t.Fatal(err)
	}
	if err := window.Unmap(); err != nil {
		t.Error(err)
	}
	if err := zero.Close(); err != nil {
		t.Error(err)
	}
	if err := zero.Close(); err == nil {
		t.Error("closed twice")
	}
	null, err := System().Open("null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if n, err := null.Write(make([]byte, 128)); n != 128 || err != nil {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
	if _, err := null.Map(); !errors.Is(err, unix.ENODEV) {
		t.Errorf("mapping what cannot be mapped: %v", err)
	}
	full, err := System().Open("full")
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if n, err := full.Write(make([]byte, 64)); n != 0 || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
}

// TestCells checks that every address in the portal is one that the device
// takes, and that neighbors do not share one.
func TestCells(t *testing.T) {
	page := make([]byte, portalBytes)
	w := &systemWindow{mem: page, base: unsafe.Pointer(&page[0])}
	descriptors := make([][DescriptorBytes]byte, 256)
	seen := map[uintptr]int{}
	for i := range descriptors {
		off := uintptr(w.cell(&descriptors[i])) - uintptr(unsafe.Pointer(&page[0]))
		if off%DescriptorBytes != 0 || off > portalBytes-DescriptorBytes {
			t.Fatalf("descriptor %d goes to offset %d", i, off)
		}
		seen[off]++
	}
	if len(seen) != portalBytes/DescriptorBytes {
		t.Errorf("%d of %d addresses are used", len(seen), portalBytes/DescriptorBytes)
	}
}

func TestSysfsOfSystem(t *testing.T) {
	entries, err := fs.ReadDir(System().Sysfs(), ".")
	if err != nil || len(entries) == 0 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}
