package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sabrefs/tests/seedtest"
)

// smallDisk mounts a filesystem of lenBytes bytes, if this process may.
func smallDisk(t *testing.T, lenBytes int) (dir string, mounted bool) {
	t.Helper()
	dir = t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", lenBytes))
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return "", false
	}
	wantNoError(t, err)
	t.Cleanup(func() { wantNoError(t, unix.Unmount(dir, 0)) })
	return dir, true
}

// noise is memory that does not shrink.
func noise(seed uint64, lenBytes int) []byte {
	raw := make([]byte, lenBytes)
	fillNoise(seedtest.Fixed(seed), raw)
	return raw
}

// TestFullDisk fills the disk at every stage of packing: the old image stands,
// and nothing else takes room. Who may not mount gets the same stages from
// TestFileSizeLimit.
func TestFullDisk(t *testing.T) {
	dir, mounted := smallDisk(t, 2<<20)
	if !mounted {
		t.Log("not allowed to mount: limiting the file size instead")
		testFileSizeLimit(t)
		return
	}
	old := noise(1, 64<<10)
	oldSource := writeFile(t, filepath.Join(t.TempDir(), "mem_file"), old)
	image := filepath.Join(dir, "image.sabre")
	_, err := PackFile(t.Context(), oldSource, image, PackOptions{})
	wantNoError(t, err)
	free := freeBytes(t, dir)
	source := filepath.Join(t.TempDir(), "mem_file")
	// from an image that just does not fit to one that is far too large
	for _, lenBytes := range []int64{free - 16<<10, free - 4<<10, free, 2 * free, 8 * free} {
		writeFile(t, source, noise(2, int(lenBytes)))
		_, err := PackFile(t.Context(), source, image, PackOptions{Overwrite: true})
		wantClass(t, err, unix.ENOSPC)
		wantNames(t, dir, "image.sabre")
		wantContent(t, image, old)
		wantEqual(t, "free space", freeBytes(t, dir), free)
	}
	_, err = RepackFile(t.Context(), writeFile(t, filepath.Join(dir, "big.sabre"), readFile(t, packNoise(t, 1<<20))), PackOptions{})
	wantClass(t, err, unix.ENOSPC)
	wantNames(t, dir, "big.sabre", "image.sabre")
	wantContent(t, filepath.Join(dir, "big.sabre"), noise(3, 1<<20))
	wantNoError(t, os.Remove(filepath.Join(dir, "big.sabre")))
	_, err = UnpackFile(context.Background(), packNoise(t, 4<<20), filepath.Join(dir, "mem_file"), UnpackOptions{})
	wantClass(t, err, unix.ENOSPC)
	wantFullDiskSnapshot(t, dir)
	wantNames(t, dir, "image.sabre")
	wantEqual(t, "free space", freeBytes(t, dir), free)
}

func packNoise(t *testing.T, lenBytes int) string {
	t.Helper()
	path, _ := packBytes(t, noise(3, lenBytes), PackOptions{Raw: true})
	return path
}

// wantFullDiskSnapshot packs a directory that fits but for its last file.
func wantFullDiskSnapshot(t *testing.T, dir string) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "snapshot")
	wantNoError(t, os.Mkdir(source, 0o700))
	writeFile(t, filepath.Join(source, "mem_file"), noise(4, 64<<10))
	writeFile(t, filepath.Join(source, "vm.state"), noise(5, 4<<20))
	_, err := PackSnapshot(t.Context(), source, filepath.Join(dir, "packed"), MemoryNames{}, PackOptions{})
	wantClass(t, err, unix.ENOSPC)
}

func freeBytes(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	wantNoError(t, unix.Statfs(dir, &st))
	return int64(st.Bavail) * st.Bsize
}

// TestFileSizeLimit lets writes fail at many places of the image, in a child
// whose files may not grow beyond a limit.
func TestFileSizeLimit(t *testing.T) { testFileSizeLimit(t) }

func testFileSizeLimit(t *testing.T) {
	t.Helper()
	r := seedtest.Rand(t)
	raw := guestMemory(r, 1<<20)
	source := writeFile(t, filepath.Join(t.TempDir(), "mem_file"), raw)
	dir := t.TempDir()
	image := filepath.Join(dir, "image.sabre")
	durationOf(t, childCommand(t, rolePackFile, source, image))
	info, err := os.Stat(image)
	wantNoError(t, err)
	old := noise(6, 3*PageBytes)
	for round := range 12 {
		limit := r.Int64N(info.Size())
		if round == 0 {
			limit = info.Size() - 1
		}
		oldImage, _ := packBytes(t, old, PackOptions{})
		wantNoError(t, os.Rename(oldImage, image))
		cmd := childCommand(t, rolePackFile, source, image)
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", childLimitEnv, limit))
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Fatalf("an image of %d bytes was written within %d", info.Size(), limit)
		}
		wantEqual(t, "the child says why: "+string(out), strings.Contains(string(out), unix.EFBIG.Error()), true)
		wantContent(t, image, old)
		wantNames(t, dir, "image.sabre")
	}
}
