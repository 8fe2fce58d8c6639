package store

import "golang.org/x/sys/unix"

const (
	// warmTablesBytes is how much of the tables of an image Warm requests.
	warmTablesBytes = 4 << 20
	// warmFramesBytes is how much of the first frames it requests.
	warmFramesBytes = 4 << 20
)

// Warm requests what is read first when a working set is prefetched: the tables of
// the image, or their begin if they are large, and the begin of the frames that hold
// the working set, in each image of the chain that is laid out by one. Who looks many
// pages up then does not wait for the disk piece by piece. It is a hint, as
// WillReadFrames.
func (img *Image) Warm() {
	begin, end := img.header.FileBytes, int64(0)
	for _, s := range img.header.sections {
		begin, end = min(begin, s.packedOff), max(end, s.packedOff+s.lenBytes)
	}
	img.willNeed(begin, min(end, begin+warmTablesBytes))
	left := int64(warmFramesBytes)
	for _, layer := range img.chain {
		if layer.header.HotFrames > 0 && left > 0 {
			lenBytes := min(layer.header.FramesBytes, left)
			layer.willNeed(layer.header.FramesOff, layer.header.FramesOff+lenBytes)
			left -= lenBytes
		}
	}
}

// WillReadFrames requests packed bytes of the image of that depth, from packedOff to
// before packedEnd.
func (img *Image) WillReadFrames(layer int, packedOff, packedEnd int64) {
	img.chain[layer].willNeed(packedOff, packedEnd)
}

func (img *Image) willNeed(packedOff, packedEnd int64) {
	if packedEnd > packedOff {
		_ = unix.Fadvise(int(img.file.Fd()), packedOff, packedEnd-packedOff, unix.FADV_WILLNEED)
	}
}
