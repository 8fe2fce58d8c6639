package store

import (
	"errors"
	"slices"

	"github.com/google/uuid"
)

// imageState names one image, by its file and by what it says of itself.
type imageState struct {
	file fileState
	uuid uuid.UUID
}

// keptCacheIDs is of how many images the numbers are remembered when they are closed.
const keptCacheIDs = 4096

// openParent opens the parent of the image at childPath; trail are the files of the
// image and of its descendants that are being opened.
func (p *Parents) openParent(childPath string, ref ParentRef, opt OpenOptions, trail []fileState) (*Image, error) {
	if len(trail) > MaxDepth {
		return nil, findingAt(ErrLimit, wholeFile, "more than %d ancestors; flatten one of them", MaxDepth)
	}
	f, err := p.find(childPath, ref, trail)
	if err != nil {
		return nil, err
	}
	return p.openShared(f, opt, trail)
}

// openShared opens an image, or returns it if it is open already. It takes the file
// over.
func (p *Parents) openShared(f *imageFile, opt OpenOptions, trail []fileState) (*Image, error) {
	if img := p.lookup(f.state); img != nil {
		return img, f.Close()
	}
	img, err := openFile(f, opt, append(slices.Clip(trail), f.state))
	if err != nil {
		return nil, errors.Join(inFile(f.path, err), f.Close())
	}
	img.cacheID = p.cacheID(imageState{f.state, img.header.UUID}, img.cacheID)
	return p.share(f.state, img)
}

// cacheID returns the number by which frames of an image are known in a cache: fresh
// if the image was not open before. Those that were decoded the last time can be used
// again.
func (p *Parents) cacheID(state imageState, fresh uint32) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.cacheIDs[state]; ok {
		return known
	}
	if len(p.cacheIDs) >= keptCacheIDs {
		for old := range p.cacheIDs { // any one: the map's order is random
			delete(p.cacheIDs, old)
			break
		}
	}
	p.cacheIDs[state] = fresh
	return fresh
}

// lookup returns an open image, with a use for the caller, or nil.
func (p *Parents) lookup(state fileState) *Image {
	p.mu.Lock()
	defer p.mu.Unlock()
	if img := p.open[state]; img != nil && img.Retain() {
		return img
	}
	return nil
}

// share makes an image known, unless another goroutine was faster.
func (p *Parents) share(state fileState, img *Image) (*Image, error) {
	if other := p.shareOrOther(state, img); other != nil {
		return other, img.Close()
	}
	return img, nil
}

// shareOrOther returns the image that is known already, or nil.
func (p *Parents) shareOrOther(state fileState, img *Image) *Image {
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := p.open[state]; other != nil && other.Retain() {
		return other
	}
	p.open[state] = img
	img.forget = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.open[state] == img {
			delete(p.open, state)
		}
	}
	return nil
}
