// Package guest makes snapshots of real Linux guests, for tests and measurements
// that must show that an unmodified virtual machine monitor works on a mount.
//
// A guest is Debian's cloud kernel with the packages of its [Kind] in an initramfs.
// Its only program holds some tens of megabytes of the data that services hold and
// answers request lines on a serial port. Every answer is a function of guest memory
// alone, so a wrong byte delivered by the mount shows as a wrong answer, or as a
// guest that crashes. There are two kinds: [Python], with numpy and PIL, and [Node].
//
// Two snapshots are taken in one guest's life: the second ([Later]) after it has
// taken in more data, for tests of snapshots that share most of their pages. What a
// snapshot consists of, and how it is restored, is in
// [sabrefs/cmd/sabrefs-bench/qemu], which the benchmarks use as well.
//
// [Kind.Build] may be called by several processes at once: a file lock makes all but
// one wait.
package guest
