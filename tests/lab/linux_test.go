package lab

import (
	"fmt"
	"path/filepath"
	"testing"
)

// goesOn checks that a restored guest goes on where it stopped after having
// counted to counted.
func (g *guest) goesOn(t *testing.T, counted, changedPages, processors int) {
	t.Helper()
	g.expect(t, "count", fmt.Sprint("count ", counted+1))
	g.expectHealth(t, testMiB, changedPages, processors)
	g.awaitTick(t)
}

// countTo3 leaves something behind that no fresh guest has.
func (g *guest) countTo3(t *testing.T) {
	t.Helper()
	for number := 1; number <= 3; number++ {
		g.expect(t, "count", fmt.Sprint("count ", number))
	}
}

// One snapshot goes on from the plain files, from a mount, and from the packed
// directory, which the launcher mounts by itself; and so does the machine that it
// was taken of.
func TestKVMLinuxGoesOnFromMount(t *testing.T) {
	g := boot(t, 1)
	g.expectHealth(t, testMiB, 0, 1)
	g.countTo3(t)
	snapshot := g.snapshot(t)
	g.resume(t)
	g.goesOn(t, 3, 0, 1)
	g.off(t)

	raw := restore(t, snapshot)
	raw.goesOn(t, 3, 0, 1)
	raw.kill(t)

	store, name := pack(t, snapshot)
	mounted := restore(t, filepath.Join(mount(t, store), name))
	mounted.goesOn(t, 3, 0, 1)
	mounted.off(t)

	packed := restore(t, filepath.Join(store, name))
	packed.goesOn(t, 3, 0, 1)
	packed.off(t)
}

// Two processors and a disk, through a diff snapshot.
func TestKVMLinuxGoesOnWithTwoProcessorsAndDisk(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	writeDisk(t, disk, "sector zero")
	g := boot(t, 2, "--drive", "path="+disk, "--track-dirty-pages")
	g.expectHealth(t, testMiB, 0, 2)
	g.countTo3(t)
	g.expect(t, "disk", fmt.Sprint("disk ", diskBytes))
	g.expect(t, "read 0", "read 0: sector zero")
	g.expect(t, "write 5 before", "wrote 5")
	g.expect(t, "change 100", "changed 100")
	snapshot := g.snapshot(t, "--diff")
	g.kill(t)
	if text := readDisk(t, disk, 5); text != "before" {
		t.Errorf("the disk holds %q where the guest wrote", text)
	}

	store, name := pack(t, snapshot)
	restored := restore(t, filepath.Join(mount(t, store), name))
	restored.goesOn(t, 3, 100, 2)
	restored.expect(t, "read 5", "read 5: before")
	restored.expect(t, "write 6 after", "wrote 6")
	restored.expect(t, "read 0", "read 0: sector zero")
	restored.off(t)
	if text := readDisk(t, disk, 6); text != "after" {
		t.Errorf("the disk holds %q where the restored guest wrote", text)
	}
}
