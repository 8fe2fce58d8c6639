package lab

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"sabrefs/tests/lab/linuxguest"
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
	snapshot := g.snapshot(t, "--keep-paused")
	g.expectState(t, "Paused")
	g.resume(t)
	g.expectState(t, "Running")
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

// Two processors through two diff snapshots: the first is complete in itself, the
// second, of a machine restored from a mount, is packed as a layer on the first, and
// merged with it.
func TestKVMLinuxGoesOnFromDiffs(t *testing.T) {
	g := boot(t, 2, "--track-dirty-pages")
	g.expectHealth(t, testMiB, 0, 2)
	g.countTo3(t)
	g.expect(t, "change 100", "changed 100")
	first := g.snapshot(t, "--diff")
	g.expectState(t, "Running")
	g.kill(t)

	store, name := pack(t, first)
	g = restore(t, filepath.Join(mount(t, store), name), "--track-dirty-pages")
	g.goesOn(t, 3, 100, 2)
	g.expect(t, "change 50", "changed 50")
	second := g.snapshot(t, "--diff")
	g.kill(t)

	layer := filepath.Join(store, "layer")
	sabrefs(t, "pack", "--diff", "--parent", filepath.Join(store, name), second, layer)
	g = restore(t, layer)
	g.goesOn(t, 4, 150, 2)
	g.off(t)

	merged := filepath.Join(second, "mem_file")
	sabrefs(t, "vm", "merge", filepath.Join(first, "mem_file"), merged, merged)

	store, name = pack(t, second)
	g = restore(t, filepath.Join(mount(t, store), name))
	g.goesOn(t, 4, 150, 2)
	g.off(t)
}

// A disk has what the guest wrote to it before the snapshot, and takes what it
// writes afterwards.
func TestKVMLinuxKeepsItsDisk(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	writeDisk(t, disk, "sector zero")
	g := boot(t, 1, "--drive", "path="+disk)
	g.countTo3(t)
	g.expect(t, "disk", fmt.Sprint("disk ", diskBytes))
	g.expect(t, "read 0", "read 0: sector zero")
	g.expect(t, "write 5 before", "wrote 5")
	snapshot := g.snapshot(t, "--keep-paused")
	g.kill(t)
	expectSector(t, disk, 5, "before")

	store, name := pack(t, snapshot)
	g = restore(t, filepath.Join(store, name))
	g.goesOn(t, 3, 0, 1)
	g.expect(t, "read 5", "read 5: before")
	g.expect(t, "write 6 after", "wrote 6")
	g.expect(t, "read 0", "read 0: sector zero")
	g.off(t)
	expectSector(t, disk, 6, "after")
}

// A guest cannot write to a disk that it was given to read.
func TestKVMLinuxReadsReadOnlyDisk(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	writeDisk(t, disk, "sector zero")
	g := boot(t, 1, "--drive", "path="+disk+",readonly")
	g.expect(t, "read 0", "read 0: sector zero")
	if reply := g.ask(t, "write 0 changed"); !strings.HasPrefix(reply, linuxguest.Failure) {
		t.Errorf("reply %q to a write", reply)
	}
	g.off(t)
	expectSector(t, disk, 0, "sector zero")
}
