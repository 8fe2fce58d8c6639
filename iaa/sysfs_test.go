package iaa

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestNumbersInNames(t *testing.T) {
	for name, want := range map[string]int{"iax0": 0, "iax1": 1, "iax127": 127} {
		if got, ok := numberAfter("iax", name); !ok || got != want {
			t.Errorf("%s: %d, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "iax", "iax-1", "iax+1", "iax01", "iax1.0", "dsa0", "iax1 ", "iax99999999999", "xiax1"} {
		if got, ok := numberAfter("iax", name); ok {
			t.Errorf("%q is %d", name, got)
		}
	}
	if device, index, ok := pairAfter("wq", "wq12.7"); !ok || device != 12 || index != 7 {
		t.Errorf("wq12.7 is %d and %d, %v", device, index, ok)
	}
	for _, name := range []string{"wq", "wq1", "wq1.", "wq.1", "wq1.0.0", "wq1.00", "wq-1.0", "engine1.0"} {
		if device, index, ok := pairAfter("wq", name); ok {
			t.Errorf("%q is %d and %d", name, device, index)
		}
	}
}

func TestOperations(t *testing.T) {
	sapphireRapids := "00000000,00000000,00000000,00000000,00000000,007f331c,00000000,0000000d"
	for text, want := range map[string]map[uint8]Verdict{
		sapphireRapids:                 {0x00: Yes, 0x01: No, 0x02: Yes, 0x0a: No, 0x42: Yes, 0x43: Yes, 0x45: No, 0x56: Yes, 0xff: No},
		"4,00000000,00000000":          {0x42: Yes, 0x43: No, 0xff: No},
		"00000000":                     {0x00: No, 0x42: No},
		"0xd":                          {0x00: Yes, 0x01: No, 0x3f: No, 0x40: Unknown, 0x42: Unknown},
		"80000000,0,0,0,0,0,0,1":       {0x00: Yes, 0xff: Yes, 0x42: No},
		"":                             {0x00: Unknown, 0x42: Unknown},
		"rubbish":                      {0x42: Unknown},
		"0,0,0,0,0,0,0,0,0":            {0x42: Unknown},
		"0xffffffffffffffffffffffffff": {0x00: Unknown},
		"1ffffffff":                    {0x00: Unknown},
	} {
		s := sysfs{fstest.MapFS{"op_cap": {Data: []byte(text + "\n")}}}
		o := s.operations("op_cap")
		for operation, verdict := range want {
			if got := o.has(operation); got != verdict {
				t.Errorf("%q: %#02x is %v, want %v", text, operation, got, verdict)
			}
		}
	}
	absent := sysfs{fstest.MapFS{}}.operations("op_cap")
	if got := absent.has(0x42); got != Unknown {
		t.Errorf("without the attribute: %v", got)
	}
}

func TestAttributes(t *testing.T) {
	s := sysfs{fstest.MapFS{
		"number":    {Data: []byte("128\n")},
		"negative":  {Data: []byte("-1\n")},
		"register":  {Data: []byte("0x71f10901f0105\n")},
		"bare":      {Data: []byte("71f10901f0105")},
		"word":      {Data: []byte("  enabled\n")},
		"empty":     {Data: []byte("\n")},
		"long":      {Data: []byte(strings.Repeat("7", 1<<20))},
		"directory": {Mode: fs.ModeDir},
	}}
	wantOptional(t, s.integer("number"), 128, true)
	wantOptional(t, s.integer("negative"), -1, true)
	wantOptional(t, s.register("register"), 0x71f10901f0105, true)
	wantOptional(t, s.register("bare"), 0x71f10901f0105, true)
	wantOptional(t, s.word("word"), "enabled", true)
	for _, name := range []string{"word", "empty", "long", "directory", "absent", "no/such"} {
		if got := s.integer(name); got.known {
			t.Errorf("%s is the number %d", name, got.value)
		}
	}
	for _, name := range []string{"empty", "directory", "absent"} {
		if got := s.word(name); got.known {
			t.Errorf("%s is the word %q", name, got.value)
		}
	}
	if text, ok := s.text("long"); !ok || len(text) != attributeBytes {
		t.Errorf("%d bytes of a long attribute were read", len(text))
	}
	if names := s.names("absent"); names != nil {
		t.Errorf("a directory that is not there has %q", names)
	}
	if names := s.names("number"); names != nil {
		t.Errorf("a file has %q", names)
	}
}

func wantOptional[T comparable](t *testing.T, got optional[T], value T, known bool) {
	t.Helper()
	if got.value != value || got.known != known {
		t.Errorf("got %+v, want %v, known %v", got, value, known)
	}
}

// failingFile opens, but cannot be read, as an attribute whose device is gone.
type failingFile struct{ fs.File }

func (failingFile) Read([]byte) (int, error) { return 0, errors.New("no such device") }

type failingFS struct{ fstest.MapFS }

func (f failingFS) Open(name string) (fs.File, error) {
	file, err := f.MapFS.Open(name)
	return failingFile{file}, err
}

func TestAttributeThatCannotBeRead(t *testing.T) {
	s := sysfs{failingFS{fstest.MapFS{"state": {Data: []byte("enabled\n")}}}}
	if got := s.word("state"); got.known {
		t.Errorf("state is %q", got.value)
	}
}

func TestTopology(t *testing.T) {
	s := sysfs{fstest.MapFS{
		"devices/system/cpu/cpu0/topology/physical_package_id":         {Data: []byte("0\n")},
		"devices/system/cpu/cpu1/topology/physical_package_id":         {Data: []byte("0\n")},
		"devices/system/cpu/cpu2/topology/physical_package_id":         {Data: []byte("1\n")},
		"devices/system/cpu/cpu3/topology/physical_package_id":         {Data: []byte("-1\n")},
		"devices/system/cpu/cpu4/online":                               {Data: []byte("0\n")},
		"devices/system/cpu/cpufreq/boost":                             {Data: []byte("1\n")},
		"devices/system/cpu/cpu999999999/topology/physical_package_id": {Data: []byte("1\n")},
		// Sub-NUMA clustering: two nodes on one socket.
		"devices/system/node/node0/cpulist": {Data: []byte("0\n")},
		"devices/system/node/node1/cpulist": {Data: []byte("1,5-7\n")},
		"devices/system/node/node2/cpulist": {Data: []byte("2-3\n")},
		"devices/system/node/node3/cpulist": {Data: []byte("\n")}, // memory only
		"devices/system/node/node4/cpulist": {Data: []byte("4\n")},
	}}
	topology := readTopology(s)
	if len(topology.packages) != 3 {
		t.Errorf("sockets of processors are %v", topology.packages)
	}
	for node, want := range map[int]optional[int]{
		0: {0, true}, 1: {0, true}, 2: {1, true}, 3: {}, 4: {}, 5: {}, -1: {},
	} {
		got := topology.ofNode(s, optional[int]{node, true})
		if got.known != want.known || got.known && got.value != want.value {
			t.Errorf("node %d is on %+v, want %+v", node, got, want)
		}
	}
	if got := topology.ofNode(s, optional[int]{}); got.known {
		t.Errorf("an unknown node is on %+v", got)
	}
}
