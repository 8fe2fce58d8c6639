// Package portal is the boundary between the accelerator's driver and what it
// drives: finding devices, opening a queue, handing over descriptors of 64
// bytes. This machine's implementation is [System]; package model has another.
//
// # Concepts
//
// A work queue has a device node. Its portal is a page that the process maps
// and stores descriptors to: with ENQCMD for a shared queue, which answers
// whether it took the descriptor, or with MOVDIR64B for a dedicated one, which
// does not answer. Where the page may not be mapped, write(2) on the node hands
// descriptors over. Source: Linux, drivers/dma/idxd/cdev.c.
//
// # Concurrency
//
// A Window and a Node may be used from any number of goroutines at once.
//
// # What it refuses
//
// It does not look into descriptors: whoever submits one answers for every
// address in it.
package portal
