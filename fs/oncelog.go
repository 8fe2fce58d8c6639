package fs

import "sync"

// onceSet remembers what was said already, so that a finding is logged once
// and not for every page of every guest. It is bounded: when full it forgets
// everything, and a finding may be logged again.
type onceSet struct {
	mu   sync.Mutex
	seen map[string]struct{} // guarded by mu
}

const onceSetMax = 4096

// first reports whether key is new.
func (o *onceSet) first(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.seen[key]; ok {
		return false
	}
	if o.seen == nil || len(o.seen) >= onceSetMax {
		o.seen = make(map[string]struct{})
	}
	o.seen[key] = struct{}{}
	return true
}
