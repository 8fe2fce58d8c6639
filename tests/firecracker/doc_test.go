// Package firecracker_test drives `sabrefs vm run` with the unmodified
// firecracker-go-sdk, through the six flows for which vHive uses Firecracker:
// start and stop; start, snapshot, stop, resume and stop; the same with a diff
// snapshot; the diff packed, mounted and resumed from the mount; a working set
// recorded and replayed; recorded, packed and replayed. In each the guest must
// go on where it stopped, and nothing may be left behind.
//
// It is a module of its own, so that the SDK and what it depends on, which is
// old, stays out of sabrefs.
//
//	cd tests/firecracker && go test ./...
//
// runs everything that needs no KVM: the same flows with a program that has
// our API in front of a made-up guest, on real sockets, processes and mounts
// (that needs root and FUSE). Tests that begin with TestKVM make virtual
// machines. SABREFS names the binary that is tested; without it, it is built.
package firecracker_test
