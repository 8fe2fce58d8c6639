package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"sabrefs/tests/guest"
)

// directoryDigests maps each file of a directory to the SHA-256 of its bytes.
func directoryDigests(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	digests := make(map[string]string, len(entries))
	for _, entry := range entries {
		digests[entry.Name()] = fileDigest(t, filepath.Join(dir, entry.Name()))
	}
	return digests
}

func fileDigest(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	_, err = io.Copy(hash, file)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func TestPackVerifyUnpackGivesTheSameBytes(t *testing.T) {
	snapshot := guestSnapshot(t)
	packed := filepath.Join(t.TempDir(), snapshotName)
	report := mustRunSabrefs(t, "pack", snapshot.Dir, packed, "--json")
	if !json.Valid([]byte(report)) {
		t.Errorf("pack --json printed %q, which is not JSON", report)
	}
	mustRunSabrefs(t, "verify", packed)
	unpacked := filepath.Join(t.TempDir(), "unpacked")
	mustRunSabrefs(t, "unpack", packed, unpacked)
	want, got := directoryDigests(t, snapshot.Dir), directoryDigests(t, unpacked)
	if !maps.Equal(got, want) {
		t.Errorf("unpacked files are %v, want %v", got, want)
	}
}

func TestPackedGuestIsMuchSmaller(t *testing.T) {
	snapshot := guestSnapshot(t)
	raw, packed := directoryBytes(t, snapshot.Dir), directoryBytes(t, filepath.Join(packedStore(t), snapshotName))
	// EROFS with lz4hc reaches 0.27 of the raw size and squashfs with zstd 0.20.
	if packed*3 > raw {
		t.Errorf("packed size %d of %d bytes, want at most a third", packed, raw)
	}
}

// directoryBytes is the size of all files below a directory, or of one file.
func directoryBytes(t *testing.T, path string) (totalBytes int64) {
	t.Helper()
	err := filepath.Walk(path, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			totalBytes += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return totalBytes
}

func TestInspectPrintsJSON(t *testing.T) {
	report := mustRunSabrefs(t, "inspect", filepath.Join(packedStore(t), snapshotName), "--json")
	if !json.Valid([]byte(report)) {
		t.Errorf("inspect --json printed %q, which is not JSON", report)
	}
}

func TestVerifyFindsADamagedByte(t *testing.T) {
	snapshot := guestSnapshot(t)
	packed := filepath.Join(t.TempDir(), snapshotName)
	mustRunSabrefs(t, "pack", snapshot.Dir, packed)
	invertMiddleByte(t, largestFile(t, packed))
	if output, err := runSabrefs(deadlineContext(t), "verify", packed); err == nil {
		t.Errorf("verify accepts a damaged image and prints %q", output)
	}
}

// largestFile is the path of the largest file below path, or path itself.
func largestFile(t *testing.T, path string) (largest string) {
	t.Helper()
	var largestBytes int64 = -1
	err := filepath.Walk(path, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() > largestBytes {
			largest, largestBytes = path, info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return largest
}

func invertMiddleByte(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var one [1]byte
	middle := info.Size() / 2
	_, readErr := file.ReadAt(one[:], middle)
	one[0] ^= 0xff
	_, writeErr := file.WriteAt(one[:], middle)
	if err := errors.Join(readErr, writeErr, file.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestMountedFilesAreTheOriginals(t *testing.T) {
	snapshot := guestSnapshot(t)
	mountPoint := mountStore(t, packedStore(t))
	want := directoryDigests(t, snapshot.Dir)
	got := directoryDigests(t, filepath.Join(mountPoint, snapshotName))
	if !maps.Equal(got, want) {
		t.Errorf("mounted files are %v, want %v", got, want)
	}
}

// QEMU 7.2 opens the memory file for writing even when it maps it privately, so
// the opening must succeed, and it is the write that must not.
func TestMountedMemoryOpensForWritingAndRefusesIt(t *testing.T) {
	mountPoint := mountStore(t, packedStore(t))
	mounted := guest.Snapshot{Dir: filepath.Join(mountPoint, snapshotName)}
	before := fileDigest(t, mounted.MemPath())
	file, err := os.OpenFile(mounted.MemPath(), os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("open for reading and writing: %v", err)
	}
	_, writeErr := file.WriteAt([]byte("overwritten"), 4096)
	if writeErr == nil && file.Sync() == nil {
		t.Error("a write to the mounted memory file succeeded")
	}
	if err := file.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if after := fileDigest(t, mounted.MemPath()); after != before {
		t.Errorf("after the write the file has digest %s, before %s", after, before)
	}
}

func TestUmountLeavesNothing(t *testing.T) {
	mountPoint := mountStore(t, packedStore(t))
	if !isMounted(t, mountPoint) {
		t.Fatal("mount returned, but nothing is mounted")
	}
	mustRunSabrefs(t, "umount", mountPoint)
	if isMounted(t, mountPoint) {
		t.Error("umount returned, but the mount is still there")
	}
	waitDaemonsGone(t)
	entries, err := os.ReadDir(mountPoint)
	if err != nil || len(entries) != 0 {
		t.Errorf("the mount point holds %v (%v), want nothing", entries, err)
	}
}
