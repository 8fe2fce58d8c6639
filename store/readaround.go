package store

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// readAroundBytes is the unit in which packed bytes are requested from the disk.
const readAroundBytes = 512 << 10

// readAround makes the disk read the surroundings of the frames that were asked
// for. Packed bytes are several times denser than the pages they become, so that
// what lies around a frame is cheap to read and likely to be asked for; and a
// guest that waits for one frame leaves the disk idle while it is decoded.
//
// It only gives hints, once for each unit: if they fail, or if the page cache
// forgets, frames are read one by one.
type readAround struct {
	requested bitmap // units that were asked for
	hints     sync.WaitGroup
}

// request asks for the surroundings of a frame that has just been read. It does
// so on another goroutine, for the hint itself takes a while and somebody waits
// for the frame.
func (r *readAround) request(file *os.File, entry FrameEntry) {
	unit := entry.PackedOff / readAroundBytes
	if r.requested.has(unit) {
		return
	}
	r.requested.set(unit)
	r.hints.Go(func() {
		_ = unix.Fadvise(int(file.Fd()), unit*readAroundBytes, readAroundBytes, unix.FADV_WILLNEED)
	})
}

// wait returns when no hint is under way.
func (r *readAround) wait() { r.hints.Wait() }
