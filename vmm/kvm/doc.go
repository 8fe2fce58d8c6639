// Package kvm speaks to /dev/kvm: it makes virtual machines and their vCPUs,
// runs them, and takes their state out and puts it back.
//
// # Concepts
//
// A [System] is the open device. It makes machines and says what this host can
// do. A [VM] has memory slots, which show ranges of this process as RAM to the
// guest, and the kernel's own interrupt controllers and timer. A [VCPU] is one
// processor. [VCPU.Run] runs guest code until the guest does something that the
// kernel leaves to us, the exit: it touches a port or an address that is no RAM,
// resets itself, or cannot go on. The answer to a read goes into the exit's
// data, and the next Run finishes the instruction.
//
// State comes in two parts: that of the vCPU ([VCPUState]: registers, CPUID, MSRs,
// local APIC, timers) and that of the chips all share ([VMState]: PICs, IOAPIC,
// PIT, clock). Both are encoded to bytes, which another process decodes and puts
// into a new machine; the guest does not notice. What the guest was told about
// its processor travels along, and [CheckCPUID] refuses it on a processor that
// has less.
//
// # Kicks
//
// Only the kernel can leave guest code, and only when something happens to the
// thread. [VCPU.Kick] sets immediate_exit in the page that is shared with the
// kernel, and then sends SIGURG to the thread that is in Run, if one is. The
// signal interrupts a running guest; the flag catches a Run that was just about to
// start. SIGURG is the signal by which Go's runtime preempts goroutines: it has
// a handler for it, expects it without cause, and nobody else uses it. For the
// same reason a run may be interrupted although nobody kicked, and is then
// continued without a word.
//
// A kick is not lost: if the guest exits for another reason at the same moment,
// that exit is returned, and the next Run returns [Interrupted] after it has
// finished the instruction of that exit. So a vCPU whose Run returned Interrupted
// has no half-done instruction, and its state may be saved. After any other exit
// it may not: the kernel still waits for the answer.
//
// # Concurrency
//
// A VM's methods may be called from any goroutine. A vCPU belongs to one
// goroutine, which has locked its thread: the kernel keeps what it knows about a
// vCPU with the thread, and moving it is slow. Only Kick may be called from others.
// Close may not overlap with anything, Kick included.
//
// # What it refuses
//
// It knows no devices and no memory layout. It never looks into guest memory.
// State that is decoded is untrusted: lengths are bounded before use, and what the
// kernel refuses is an error that names it. Nested guests are not saved: the
// kernel is told to hide VMX and SVM from guests ([BootCPUID]).
package kvm
