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
// The initramfs holds cmd/labinit, the modules that it loads (kvm_amd, fuse, 9p),
// busybox, and in [FilesDir] the tests and all that they need to run. The tree
// comes from the host over 9p, at the path that it has there, for testdata and for
// people; tests have it read-only. /tmp is memory. Binaries are not left to 9p
// since the emulated machine copes badly with it: to start the sabrefs command
// took 5 s from there and 0.6 s from memory.
//
// # What happens
//
// cmd/lab finds the tests whose names begin with TestKVM ([FindTests]), builds
// their packages' test binaries, the sabrefs command and a Linux guest, writes a
// [Plan] into the initramfs and starts QEMU ([Machine]). cmd/labinit carries the
// plan out and writes a [Report]. The laboratory lets nothing pass unseen: a test that skips,
// one that was found but gave no result, a process or a mount left behind, each is
// a failure, and so is a run of no tests. The emulator itself loses an interrupt now and
// then, so that it stalls ([ErrStalled]), or a guest in it: another machine then goes on
// with the package in which it did, and packages with a test that failed run once more.
// The output says so, and where the threads of the launcher were.
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
