// Package early is what the first process of a Linux machine has to do when
// nothing else is there: mount the kernel's filesystems, load modules, end the
// machine. The init of the laboratory and that of its guest share it.
//
// Modules lie in the directory [ModulesDir] of the initramfs, named in the order
// in which they are to be loaded.
package early
