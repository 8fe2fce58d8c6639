package fs

import (
	"strings"
	"testing"
	"time"
)

func TestFindMountIn(t *testing.T) {
	const table = `22 28 0:20 / /sys rw,nosuid shared:7 - sysfs none rw
100 28 0:50 / /mnt/with\040space\134x rw shared:1 master:2 - ext4 /dev/vda rw
101 100 0:51 / /mnt/with\040space\134x rw - fuse.sabrefs sabrefs:/s rw,max_read=1048576
bad line
`
	m, ok, err := findMountIn(strings.NewReader(table), `/mnt/with space\x`)
	if err != nil || !ok || m.device != "0:51" || m.fsType != "fuse.sabrefs" {
		t.Errorf("%+v, %v, %v", m, ok, err)
	}
	if _, ok, err := findMountIn(strings.NewReader(table), "/mnt"); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestMemoryName(t *testing.T) {
	for name, want := range map[string]string{"a.sabre": "a", ".a.sabre": ".a", "a.sabre.sabre": "a.sabre", ".sabre": "", "a": "", "sabre": ""} {
		if got, ok := memoryName(name); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
}

func TestHashedAttrIsNeverReserved(t *testing.T) {
	seen := make(map[uint64]bool)
	for i := range 10000 {
		attr := hashedAttr(0, []byte{byte(i), byte(i >> 8)})
		if attr.Reserved() || attr.Ino>>62 != 1 || seen[attr.Ino] {
			t.Fatalf("%+v", attr)
		}
		seen[attr.Ino] = true
	}
}

// TestRefusals: what is asked for again at once is not refused twice.
func TestRefusals(t *testing.T) {
	var r refusals
	for i := range int64(3 * recentRefusals) {
		if !r.refuse(i, 8192) || i%2 == 0 && r.refuse(i, 8192) {
			t.Fatalf("request %d", i)
		}
		if len(r.known) > recentRefusals {
			t.Fatalf("%d are remembered", len(r.known))
		}
	}
	if !r.refuse(5, 8192) || !r.refuse(5, 4096+8192) {
		t.Error("a request that is long forgotten, or of another length, was not refused")
	}
	r.known[request{5, 8192}] = time.Now().Add(-2 * refusalAge)
	if !r.refuse(5, 8192) {
		t.Error("a request was taken for one of long ago")
	}
}

func TestOnceSetIsBounded(t *testing.T) {
	var o onceSet
	for i := range 3 * onceSetMax {
		key := strings.Repeat("x", i%7) + string(rune(i))
		o.first(key)
		if o.first(key) {
			t.Fatal("said twice")
		}
	}
	if len(o.seen) > onceSetMax {
		t.Errorf("%d remembered", len(o.seen))
	}
}

func TestPrefetchModes(t *testing.T) {
	for m := PrefetchNone; m <= PrefetchEager; m++ {
		if got, err := ParsePrefetchMode(m.String()); err != nil || got != m {
			t.Errorf("%v: %v, %v", m, got, err)
		}
	}
	if _, err := ParsePrefetchMode("some"); err == nil {
		t.Error("accepted")
	}
}
