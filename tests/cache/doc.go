// Package cache keeps what the tests build once and use often: snapshots of
// guests, kernels. It lies in the user's cache directory, below sabrefs, or where
// SABREFS_CACHE says.
//
// What is kept has a name with a key in it, a hash of everything that decides
// what a build makes ([Key]). Another recipe has another name, so nothing stale is
// ever used, and nothing in the cache is ever changed.
//
// [Make] may be called by several processes at once: a file lock makes all but
// one wait. A build that was interrupted leaves nothing that a later call would
// take for a result.
package cache
