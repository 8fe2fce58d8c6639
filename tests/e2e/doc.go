// Package e2e tests sabrefs through the doors that its users use: the sabrefs
// command, a real mount, and an unmodified QEMU that resumes a real guest
// ([sabrefs/tests/guest]) from that mount.
//
// The tests need root and /dev/fuse. Without them they fail, so that nobody
// takes a run that tested nothing for a success; to leave them out, set
// SABREFS_SKIP_E2E to the reason. The first run builds the guest, which takes
// some minutes and a network.
//
// The mounted files are read in this process, which is safe since the daemon
// that serves them is another. Each test ends its own daemon, and TestMain fails
// the run if a process or a mount of the tests is left.
package e2e
