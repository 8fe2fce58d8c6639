// Package api serves one virtual machine over a unix socket, in the words of
// Firecracker: the subset of its HTTP API that starting, pausing, snapshotting
// and restoring need, so that Firecracker's clients drive our machine as they
// are.
//
// # What is spoken
//
// The API is that of Firecracker v1.0, and what later clients send for the
// same purposes (mem_backend, track_dirty_pages in snapshot/load, huge_pages).
//
//	GET    /                   id, state, version
//	GET    /version
//	GET    /vm/config          everything that was configured
//	GET    /machine-config     PUT and PATCH before the start
//	PUT    /boot-source        before the start
//	PUT    /drives/ID          before the start; PATCH after it
//	PUT    /actions            InstanceStart, SendCtrlAltDel, FlushMetrics
//	PATCH  /vm                 Paused, Resumed
//	PUT    /snapshot/create    Full, Diff; of a paused machine
//	PUT    /snapshot/load      instead of configuring and starting one
//	PUT    /logger, /metrics   before the start
//
// Success is 204 without a body, or 200 with JSON. What the client did wrong
// is 400 with {"fault_message": "..."}: Firecracker's text where it has one.
// That includes paths that do not exist, for which Firecracker answers 400
// too and never 404. Network, vsock, balloon, MMDS, entropy and CPU
// configuration are answered by 400 and a message that says so; a client is
// never told that a device exists which does not.
//
// Two answers are more exact than Firecracker's, which says 400: a body of
// more than 51200 bytes is 413, a method other than GET, PUT and PATCH 405.
//
// # States
//
// A server has one machine in its life. It is configured, then started by
// InstanceStart or by snapshot/load, then runs or is paused, then ends. What
// belongs to another state is refused, and refusing changes nothing. A load
// is only taken before anything else has been configured. A load that fails
// ends the server, as it ends Firecracker: its clients do not ask again, and
// wait for the process.
//
// Requests are carried out one after the other, however many clients there are:
// while a snapshot is written, even GET waits. A client that hangs up does not
// stop what it asked for; the end of the server does.
//
// # The socket
//
// Firecracker refuses a path that exists. This server replaces one thing: a
// socket on which nobody listens, which is what a killed process leaves.
// Anything else at the path is refused and left alone. The socket is of mode
// 0600 from the moment it exists, and is removed when the server ends, for
// whatever reason: the guest ended, the context was canceled, a load failed.
// Two servers that start at the same time on one path are told apart by a
// lock on the directory.
//
// # Limits
//
// Bodies are bounded by 51200 bytes and headers by 8 KiB; a request of HTTP/1.1
// needs a Host, which Firecracker does not ask for. Nothing is allocated by a
// number in a request. Log and metrics are written without waiting for a
// reader: what a full pipe does not take is dropped and counted.
//
// The server knows the machine by the interface Machine only, so all of that is
// tested without KVM. KVM makes the machines of package vmm.
package api
