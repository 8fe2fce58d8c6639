// Package virtio is a device for guests that know they are guests: the virtio-mmio
// transport (virtio 1.2, chapter 4.2) with a block device behind it (chapter 5.2).
//
// # Concepts
//
// A driver talks to its device through registers (the transport, [MMIO]) and
// through queues in its own memory. A queue is three arrays, laid out by the
// driver: descriptors, each a buffer with an optional successor; the available
// ring, heads of descriptor chains that the device should take; the used ring,
// the heads that it is done with. A chain is one request: first buffers to read,
// then buffers to write ([Chain]). A descriptor may point at a table of further
// ones (indirect).
//
// Registers negotiate features and tell where queues are. A write to QueueNotify
// has the device carry out, there and then, all that is available at that moment;
// at the end it interrupts, unless the driver asked it not to. So nothing is ever
// under way while no virtual CPU runs, and the saved state of a device is its
// registers and two indices per queue.
//
// # Hostile drivers
//
// Everything in guest memory may be wrong, and may change while it is read: each
// field is read once and then checked. Rings, tables and buffers lie in RAM or are
// refused; a chain has at most [MaxQueueSize] descriptors, however they are linked;
// an available index may be ahead by the size of the queue and no more. A driver
// that breaks these rules finds its device in need of a reset (DEVICE_NEEDS_RESET)
// and everything else unharmed. A request that is merely wrong fails by its status.
//
// # Concurrency
//
// Everything may be called by any thread. A mutex per device guards it and is held
// while requests are carried out and while interrupt is called, which must not call
// back. Guest memory is read and written with plain loads and stores, in the order
// that the rings need: on amd64, where this runs, other CPUs see them in that order.
//
// # What it refuses
//
// Legacy drivers (before virtio 1.0), packed rings, event indices: none is offered.
package virtio
