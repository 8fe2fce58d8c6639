// Package boot puts into a guest's memory what a kernel expects to find there
// when it starts, and says with which registers its first CPU starts.
//
// # Concepts
//
// There is no firmware. The Linux boot protocol (Documentation/arch/x86/boot.rst)
// has an entry for loaders that bring the CPU into 64-bit mode themselves: the
// kernel is entered with flat segments, paging on, every address mapped to itself,
// and RSI pointing at the zero page, a struct of 4 KiB which says where RAM, the
// command line and the initrd are. [Load] does that for
//
//   - a bzImage, the compressed kernel that distributions ship;
//   - an ELF file, an uncompressed kernel (vmlinux), loaded by its program headers;
//   - a flat image: raw bytes at 1 MiB, entered at the first. It gets the same
//     registers and the same zero page.
//
// How many CPUs there are and where interrupts go is told twice: in a table of
// the MP specification 1.4, for kernels without ACPI, and in ACPI tables, for those
// that read nothing else. The ACPI tables describe a machine with reduced hardware:
// no PM timer, no SCI; their DSDT names the devices that cannot be probed, virtio
// above all.
//
// # The first megabyte
//
//	0x00000500  GDT
//	0x00007000  zero page
//	0x00009000  page tables: 4 GiB in pages of 2 MiB
//	0x00020000  command line
//	0x0009fc00  MP table (reserved in the e820 map from here to 1 MiB)
//	0x000e0000  ACPI tables
//	0x000ffff0  reset vector
//	0x00100000  flat image; bzImages and ELF files go where they ask to be
//
// The initrd lies at the end of the RAM below 3 GiB.
//
// The reset vector is all the firmware there is. Linux on a machine with reduced
// hardware, but without EFI, reboots by jumping there in 16-bit mode; the few
// instructions at that place reset the machine by its keyboard controller.
//
// # Invariants
//
// Nothing of what Load places overlaps; what does not fit is an error
// ([ErrDoesNotFit]), and so is a kernel that contradicts itself ([ErrNotKernel]).
// Kernel and initrd go straight from the file into guest memory, with no copy of
// the whole in between.
//
// # What it refuses
//
// Kernels without a 64-bit entry, and 16-bit boot. It touches guest memory through
// [Memory] only.
package boot
