package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestBadImages gives every command each bad image: one line with the file and
// the place, the right exit code, and nothing is left behind.
func TestBadImages(t *testing.T) {
	good, _ := packedImage(t)
	for _, bad := range badImages() {
		t.Run(bad.name, func(t *testing.T) {
			dir := realTempDir(t)
			image := writeFile(t, filepath.Join(dir, "mem_file.sabre"), readFile(t, good))
			bad.spoil(t, image)
			words := append([]string{image + ": "}, bad.words...)
			target := filepath.Join(dir, "out")
			refused(t, bad.code, []string{"verify", image}, words...)
			refused(t, bad.code, []string{"verify", "--json", image}, words...)
			refused(t, bad.code, []string{"unpack", image, target}, words...)
			if !bad.intact {
				for _, args := range [][]string{{"inspect", image}, {"inspect", "--json", image}, {"inspect", "--frames", image}} {
					if printed := refused(t, bad.code, args, words...); printed != "" {
						t.Errorf("%v printed %q", args, printed)
					}
				}
				refused(t, bad.code, []string{"ls", dir}, words...)
			}
			wantNames(t, dir, "mem_file.sabre")
		})
	}
}

// TestBadImageInSnapshot unpacks a snapshot with a damaged image: nothing
// appears.
func TestBadImageInSnapshot(t *testing.T) {
	storeDir, _ := packedStore(t)
	image := filepath.Join(storeDir, "guest", "mem_file.sabre")
	flip(headerBytes+10)(t, image)
	out := realTempDir(t)
	refused(t, exitDamaged, []string{"unpack", filepath.Join(storeDir, "guest"), filepath.Join(out, "guest")}, image, "at offset")
	wantNames(t, out)
}

// TestBadPaths names things that are not what a command needs.
func TestBadPaths(t *testing.T) {
	dir := realTempDir(t)
	image, _ := packedImage(t)
	source := filepath.Join(filepath.Dir(image), "mem_file")
	missing := filepath.Join(dir, "missing")
	under := filepath.Join(image, "below")
	empty := makeDir(t, filepath.Join(dir, "empty"))
	tests := []struct {
		name string
		code int
		args []string
		word string
	}{
		{"pack missing", exitNotFound, []string{"pack", missing, filepath.Join(dir, "x")}, missing},
		{"pack into missing", exitNotFound, []string{"pack", source, filepath.Join(missing, "x")}, missing},
		{"pack directory into missing", exitNotFound, []string{"pack", filepath.Dir(image), filepath.Join(missing, "x")}, missing},
		{"pack onto itself", exitUsage, []string{"pack", "--force", source, source}, source},
		{"pack device", exitUsage, []string{"pack", os.DevNull, filepath.Join(dir, "x")}, os.DevNull},
		{"pack into itself", exitUsage, []string{"pack", filepath.Dir(image), filepath.Join(filepath.Dir(image), "x")}, "inside"},
		{"pack directory without memory", exitUsage, []string{"pack", empty, filepath.Join(dir, "x")}, empty},
		{"unpack missing", exitNotFound, []string{"unpack", missing, filepath.Join(dir, "x")}, missing},
		{"unpack into missing", exitNotFound, []string{"unpack", image, filepath.Join(missing, "x")}, missing},
		{"unpack what is no image", exitDamaged, []string{"unpack", source, filepath.Join(dir, "x")}, source},
		{"unpack directory without image", exitDamaged, []string{"unpack", empty, filepath.Join(dir, "x")}, empty},
		{"verify missing", exitNotFound, []string{"verify", missing}, missing},
		{"verify device", exitDamaged, []string{"verify", os.DevNull}, os.DevNull},
		{"verify empty", exitDamaged, []string{"verify", empty}, empty},
		{"inspect missing", exitNotFound, []string{"inspect", missing}, missing},
		{"inspect below a file", exitFailure, []string{"inspect", under}, under},
		{"ls missing", exitNotFound, []string{"ls", missing}, missing},
		{"man below a file", exitFailure, []string{"man", under}, image},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { refused(t, test.code, test.args, test.word) })
	}
	wantNames(t, dir, "empty")
	wantNames(t, filepath.Dir(image), "mem_file", "mem_file.sabre")
}
