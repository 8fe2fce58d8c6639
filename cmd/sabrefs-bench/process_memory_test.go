package main

import (
	"strings"
	"testing"
)

// TestParseSmaps reads what Linux 6.18 printed, shortened.
func TestParseSmaps(t *testing.T) {
	const smaps = `00400000-01a2d000 r-xp 00000000 08:01 1234                               /usr/bin/sabrefs
Size:              22708 kB
Rss:                6000 kB
Pss:                 300 kB
Private_Clean:       100 kB
VmFlags: rd ex mr mw me
7f0000000000-7f0002800000 rw-p 00000000 00:31 42                         /mnt/a b/guest/mem_file
Size:              40960 kB
Rss:               33000 kB
Pss:                1000 kB
Shared_Clean:      32500 kB
Private_Clean:        40 kB
Private_Dirty:       460 kB
THPeligible:           0
VmFlags: rd wr mr mw me hg
7f0010000000-7f0010400000 rw-p 00000000 00:00 0
Size:               4096 kB
Rss:                2000 kB
Pss:                2000 kB
`
	got, err := parseSmaps(strings.NewReader(smaps), "/mnt/a b/guest/mem_file")
	if err != nil {
		t.Fatal(err)
	}
	want := processMemory{guestRSSBytes: 33000 << 10, guestPSSBytes: 1000 << 10, guestPrivateBytes: 500 << 10,
		otherRSSBytes: 8000 << 10, otherPSSBytes: 2300 << 10}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := parseSmaps(strings.NewReader(smaps), "/mnt/elsewhere"); err == nil {
		t.Error("a process that does not map the file was counted")
	}
}
