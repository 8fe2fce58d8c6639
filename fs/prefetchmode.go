package fs

import "fmt"

// PrefetchMode says what is decoded, and pushed into the page cache, ahead of the
// guest.
type PrefetchMode int

// The prefetch modes.
const (
	PrefetchNone  PrefetchMode = iota // nothing
	PrefetchWS                        // the working set, when the file is opened
	PrefetchAll                       // the same, and then the rest of the image in the background
	PrefetchEager                     // the working sets of all images, when the mount begins
)

var prefetchNames = [...]string{PrefetchNone: "none", PrefetchWS: "ws", PrefetchAll: "all", PrefetchEager: "eager"}

// String returns the name that the command line uses.
func (m PrefetchMode) String() string {
	if m >= 0 && int(m) < len(prefetchNames) {
		return prefetchNames[m]
	}
	return fmt.Sprintf("prefetch-%d", int(m))
}

// ParsePrefetchMode returns the mode of a name.
func ParsePrefetchMode(name string) (PrefetchMode, error) {
	for m, n := range prefetchNames {
		if n == name {
			return PrefetchMode(m), nil
		}
	}
	return 0, fmt.Errorf("%w: prefetch mode %q, expected none, ws, all or eager", ErrConfig, name)
}
