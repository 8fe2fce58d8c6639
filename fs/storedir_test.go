package fs

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestStoreDirClosedInUse: whoever still asks for files when the mount is gone gets an
// error, and never a file below a directory that has the same descriptor by now.
func TestStoreDirClosedInUse(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "file"), []byte("of the store"))
	d, err := openStoreDir(dir)
	mustNot(t, err)
	asked := make(chan struct{})
	var askers sync.WaitGroup
	for range 4 {
		askers.Go(func() {
			for i := 0; ; i++ {
				file, err := d.open("file")
				if i == 10 {
					asked <- struct{}{}
				}
				if errors.Is(err, os.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("opening a file of a store: %v", err)
					return
				}
				mustNot(t, file.Close())
			}
		})
	}
	for range 4 {
		<-asked
	}
	mustNot(t, d.close())
	askers.Wait()
	if _, err := d.statfs(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("statfs of a closed store: %v", err)
	}
}
