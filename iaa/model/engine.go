package model

import "fmt"

// engine executes jobs, one at a time.
type engine struct {
	host       *Host
	generation int
	decoder    *decoder // nil until the first job that needs it
	encoder    *encoder
}

// process sees a job to its end, or to where it does not go on by itself.
func (e *engine) process(j *job) {
	if j.queue.device.state.Load() == StateHalted {
		j.abort()
		return
	}
	if !recordUsable(j.record) || !j.has(flagRecordValid) {
		// The device must not write there, and can tell nobody.
		j.queue.device.unreported.Add(1)
		j.abort()
		return
	}
	if j.fault != nil && e.before(j) {
		return
	}
	r := e.execute(j)
	if j.fault != nil {
		e.after(j, &r)
	}
	e.finish(j, &r)
}

func recordUsable(address uint64) bool {
	return plausible(address, recordBytes) && address%recordAlignBytes == 0
}

// finish writes the completion record. After a fatal error of the device, or if
// there is no memory for the record, nobody gets to know.
func (e *engine) finish(j *job, r *result) {
	if j.queue.device.state.Load() == StateHalted {
		j.abort()
		return
	}
	if _, faulted := e.guarded(func() { j.complete(r) }); faulted {
		j.queue.device.unreported.Add(1)
		j.abort()
	}
}

// execute checks and runs a job.
func (e *engine) execute(j *job) (r result) {
	d := &j.descriptor
	r = j.queue.validate(d)
	if r.status != StatusPending {
		return r
	}
	address, faulted := e.guarded(func() { r = e.run(d) })
	if faulted {
		return d.faultAt(address)
	}
	return r
}

func (e *engine) run(d *descriptor) result {
	switch d.opcode {
	case OpcodeDecompress:
		return e.decompress(d)
	case OpcodeCompress:
		return e.compress(d)
	case OpcodeCRC64:
		source := memoryAt(d.source, int(d.sourceBytes))
		return result{
			outcome:       outcome{status: StatusSuccess},
			consumedBytes: d.sourceBytes,
			crc64:         crc64Of(source, d.polynomial(), d.mode),
		}
	default:
		return result{outcome: outcome{status: StatusSuccess}}
	}
}

// guarded runs f and catches an access to memory that is not mapped.
func (*engine) guarded(f func()) (address uint64, faulted bool) {
	defer func() {
		thrown := recover()
		if thrown == nil {
			return
		}
		fault, ok := thrown.(interface{ Addr() uintptr })
		if !ok {
			panic(thrown) //nolint:forbidigo // a bug of the model and no memory fault
		}
		address, faulted = uint64(fault.Addr()), true
	}()
	f()
	return 0, false
}

// faultAt is the result for an access to what is not mapped. A job that blocks
// on faults has asked for the page in vain.
func (d *descriptor) faultAt(address uint64) result {
	r := result{outcome: outcome{status: StatusPageFault}, faultAddress: address}
	if d.has(flagBlockOnFault) {
		r.status = StatusUnresolvedFault
	}
	r.writeFault = address >= d.destination && address-d.destination < uint64(d.destinationBytes) ||
		d.mayWriteState() && address >= d.stateToWrite() && address-d.stateToWrite() < uint64(d.source2Bytes)
	return r
}

// String describes the descriptor for messages of tests.
func (d *descriptor) String() string {
	return fmt.Sprintf("opcode %#02x flags %#x mode %#x source %#x+%d destination %#x+%d source2 %#x+%d record %#x",
		d.opcode, d.flags, d.mode, d.source, d.sourceBytes, d.destination, d.destinationBytes,
		d.source2, d.source2Bytes, d.record)
}
