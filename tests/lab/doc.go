// Package lab is the laboratory: a machine with KVM, wherever Go and QEMU run.
//
// Virtual machines need a processor that helps, and what tests run on often has
// none, or a /dev/kvm that starts no Linux. QEMU's emulator offers AMD's extensions
// in software, nested paging included, so a Debian kernel that runs in it has a
// real kvm_amd. That kernel, with an init of our own, is the laboratory. It takes
// some seconds to boot, and what runs in it is 10 to 20 times slower than outside.
//
// # What is inside
//
// The initramfs holds cmd/labinit, the modules that it loads (kvm_amd, fuse, 9p)
// and busybox. Everything else comes from the host over 9p: the tree, at the path
// that it has on the host, read-only so that no test changes it, and a work
// directory with what was built for the run. /tmp is memory. Both ways were timed:
// seven test binaries cost 0.9 s more in the initramfs than over 9p, which in turn
// needs no second copy of them in memory and gives results back file by file.
//
// # What happens
//
// cmd/lab finds the tests whose names begin with TestKVM ([FindTests]), builds
// their packages' test binaries, the sabrefs command and a Linux guest, writes a
// [Plan] into the initramfs and starts QEMU ([Machine]). cmd/labinit carries the
// plan out and writes a [Report]. The laboratory lets nothing pass unseen: a test that skips,
// one that was found but gave no result, a process or a mount left behind, each is
// a failure, and so is a run of no tests.
//
// # The Linux guest
//
// TestKVMLinux... start Debian's cloud kernel in our launcher. Its init is
// cmd/guestinit, which keeps data in memory and answers questions on the serial
// port, see package linuxguest. These tests find the command and the guest in the directory that
// [FilesVariable] names; without it they skip.
//
// # By hand
//
//	make lab
//	go run ./tests/lab/cmd/lab --run 'TestKVMLinux.*'
//	go run ./tests/lab/cmd/lab -- sh
//	go run ./tests/lab/cmd/lab -- sabrefs doctor
//
// Kernels are fetched once, with apt-get, and kept in the cache of
// [sabrefs/tests/cache].
package lab
