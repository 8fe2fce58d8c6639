package model

import (
	"slices"
	"sync"
	"time"
)

// FaultKind is what goes wrong.
type FaultKind uint8

// The faults.
const (
	// FaultPage is a page of an operand that is not there. A job that blocks
	// on faults waits for Delay and goes on; another one ends with
	// StatusPageFault, and the page is there for the next (but see Again).
	FaultPage FaultKind = iota + 1
	// FaultUnresolved is a page of an operand that nobody can provide.
	FaultUnresolved
	// FaultRecord is a page of the completion record that is not there: the
	// job is over and no record tells so.
	FaultRecord
	// FaultStatus ends the job with a given Status and Code.
	FaultStatus
	// FaultHang lets the job never complete.
	FaultHang
	// FaultLate lets the job begin only after Delay.
	FaultLate
	// FaultWrongCRC changes the checksums in the record of a success.
	FaultWrongCRC
	// FaultWrongOutput changes a byte of the output before it is summed up,
	// as a wrong decoder does: the checksums are those of the wrong bytes.
	FaultWrongOutput
	// FaultDamagedOutput changes a byte of the output afterwards: the
	// checksums are those of the right bytes.
	FaultDamagedOutput
	// FaultShortOutput reports a byte less of output than there is.
	FaultShortOutput
	// FaultDisable disables the device; this job and others in flight
	// complete.
	FaultDisable
	// FaultHalt halts the device; nothing in flight completes.
	FaultHalt

	faultKinds
)

// String names the kind for messages of tests.
func (k FaultKind) String() string {
	names := [faultKinds]string{
		"no fault", "page fault", "unresolved page fault", "record fault", "status", "hang", "late",
		"wrong CRC", "wrong output", "damaged output", "short output", "disable", "halt",
	}
	if k < faultKinds {
		return names[k]
	}
	return "unknown fault"
}

// Operand is a part of a job that has addresses.
type Operand uint8

// The operands.
const (
	OperandSource Operand = iota
	OperandDestination
	OperandState // the AECS that is read
)

// Fault is something that goes wrong with some jobs. All conditions must hold;
// zero values are no conditions.
type Fault struct {
	Kind FaultKind

	Queue   string         // for instance wq1.0
	Opcodes []Opcode       // any of these
	Match   func(Job) bool // called one at a time
	Skip    int            // spares so many of the jobs for which the above holds
	Every   int            // of the others, takes the first of each so many
	Count   int            // and at most so many in all

	Operand Operand       // of FaultPage and FaultUnresolved
	Page    int           // which of the operand's pages, if it has so many
	Again   bool          // FaultPage: the page is never there
	Status  Status        // of FaultStatus
	Code    ErrorCode     // of FaultStatus with StatusAnalyticsError
	Delay   time.Duration // of FaultPage and FaultLate
}

// Job is what a condition may look at.
type Job struct {
	Queue            string
	Opcode           Opcode
	SourceBytes      int
	DestinationBytes int
}

// Inject adds faults to what goes wrong from now on. A job gets the first fault
// that takes it; the others do not count it.
func (h *Host) Inject(faults ...Fault) {
	h.plan.mu.Lock()
	defer h.plan.mu.Unlock()
	for _, f := range faults {
		h.plan.faults = append(h.plan.faults, &plannedFault{Fault: f})
	}
}

// ClearFaults removes all faults. Jobs that were accepted keep theirs.
func (h *Host) ClearFaults() {
	h.plan.mu.Lock()
	defer h.plan.mu.Unlock()
	h.plan.faults = nil
	clear(h.plan.resident)
}

// faultPlan is what goes wrong.
type faultPlan struct {
	mu     sync.Mutex
	faults []*plannedFault
	// resident are pages that have faulted and are there since then.
	resident map[uint64]struct{}
}

type plannedFault struct {
	Fault

	seen, taken int
}

// pick returns the fault for a job that was just accepted, or nil.
func (p *faultPlan) pick(j *job) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults) == 0 {
		return nil
	}
	about := Job{
		Queue: j.queue.name, Opcode: j.opcode,
		SourceBytes: int(j.sourceBytes), DestinationBytes: int(j.destinationBytes),
	}
	for _, f := range p.faults {
		if f.takes(about) {
			return &f.Fault
		}
	}
	return nil
}

func (f *plannedFault) takes(about Job) bool {
	switch {
	case f.Queue != "" && f.Queue != about.Queue,
		f.Opcodes != nil && !slices.Contains(f.Opcodes, about.Opcode),
		f.Match != nil && !f.Match(about),
		f.Count > 0 && f.taken >= f.Count:
		return false
	}
	nth := f.seen - f.Skip
	f.seen++
	if nth < 0 || f.Every > 1 && nth%f.Every != 0 {
		return false
	}
	f.taken++
	return true
}

// firstTouch reports whether a page is not there, and lets it be there from now
// on.
func (p *faultPlan) firstTouch(page uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.resident[page]; ok {
		return false
	}
	if p.resident == nil {
		p.resident = map[uint64]struct{}{}
	}
	p.resident[page] = struct{}{}
	return true
}

const pageBytes = 4096

// faultingPage is the page that the fault is about. It is false for an operand
// that the job does not have or that has not so many pages.
func (f *Fault) faultingPage(d *descriptor) (page uint64, ok bool) {
	var start, lenBytes uint64
	switch f.Operand {
	case OperandSource:
		start, lenBytes = d.source, uint64(d.sourceBytes)
	case OperandDestination:
		start, lenBytes = d.destination, uint64(d.destinationBytes)
	case OperandState:
		if d.readsState() {
			start, lenBytes = d.stateToRead(), uint64(d.source2Bytes)
		}
	}
	if lenBytes == 0 || f.Page < 0 {
		return 0, false
	}
	page = start&^(pageBytes-1) + uint64(f.Page)*pageBytes
	return page, page < start+lenBytes
}

// before does what a fault does before a job is executed. It returns true if
// the job is not to be executed, now or at all, and has been taken care of.
func (e *engine) before(j *job) bool {
	f := j.fault
	e.host.tally.faults[f.Kind].Add(1)
	switch f.Kind {
	case FaultPage, FaultUnresolved:
		return e.pageFault(j)
	case FaultRecord:
		j.queue.device.unreported.Add(1)
		j.abort()
	case FaultStatus:
		e.finish(j, &result{outcome: outcome{status: f.Status, code: f.Code}})
	case FaultHang:
		j.queue.park(j, 0)
	case FaultLate:
		j.fault = nil
		j.queue.park(j, max(f.Delay, 1))
	case FaultHalt:
		j.queue.device.state.Store(StateHalted)
		j.abort()
	case FaultDisable:
		j.queue.device.state.Store(StateDisabled)
		return false
	default:
		return false
	}
	return true
}

func (e *engine) pageFault(j *job) bool {
	f := j.fault
	page, ok := f.faultingPage(&j.descriptor)
	if !ok {
		return false
	}
	r := &result{
		outcome:      outcome{status: StatusUnresolvedFault},
		writeFault:   f.Operand == OperandDestination,
		faultAddress: page,
	}
	if f.Kind == FaultPage {
		if !f.Again && !e.host.plan.firstTouch(page) {
			return false
		}
		if j.has(flagBlockOnFault) {
			time.Sleep(f.Delay)
			return false
		}
		r.status = StatusPageFault
	}
	e.finish(j, r)
	return true
}

// after does what a fault does to the result of a job. Only successes with
// output have something to spoil.
func (e *engine) after(j *job, r *result) {
	if r.status != StatusSuccess || r.outputBytes == 0 {
		return
	}
	switch j.fault.Kind {
	case FaultWrongCRC:
		r.crc = ^r.crc
		r.xor = ^r.xor
	case FaultShortOutput:
		r.outputBytes--
	case FaultDamagedOutput:
		flipByte(j, r)
	case FaultWrongOutput:
		flipByte(j, r)
		if j.opcode == OpcodeDecompress {
			var sums checksums
			sums.reset(j.has(flagCRC32C), 0, 0)
			sums.update(memoryAt(j.destination, int(r.outputBytes)))
			r.crc, r.xor = sums.crc, sums.xor
		}
	default:
	}
}

// flipByte changes a byte in the middle of the output, if there is output in
// memory.
func flipByte(j *job, r *result) {
	if j.opcode != OpcodeDecompress || j.mode&decompressSuppress == 0 {
		memoryAt(j.destination, int(r.outputBytes))[r.outputBytes/2] ^= 0x55
	}
}
