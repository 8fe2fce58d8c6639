//go:build linux || darwin

package model

import (
	"bytes"
	"hash/crc32"
	"io/fs"
	"slices"
	"testing"
	"time"

	"sabrefs/tests/seedtest"
)

// TestInjectedStatuses gives each job the status it is told.
func TestInjectedStatuses(t *testing.T) {
	m := newMachine(t, Config{})
	_, packed := textStream(t, seedtest.Rand(t), 1000)
	for _, status := range []Status{
		StatusHardwareError, StatusReadbackTimeout, StatusHardwareTimeout, StatusPageRequestTimeout, StatusWatchdog,
	} {
		m.host.Inject(Fault{Kind: FaultStatus, Status: status, Count: 1})
		wantStatus(t, m.run(m.decompress(packed, 1000)), status)
	}
	m.host.Inject(Fault{Kind: FaultStatus, Status: StatusAnalyticsError, Code: CodeBadLiteral, Count: 1})
	wantCode(t, m.run(m.decompress(packed, 1000)), CodeBadLiteral)
	wantStatus(t, m.run(m.decompress(packed, 1000)), StatusSuccess)
	c := m.host.Counters()
	wantEqual(t, "injected faults", c.Faults[FaultStatus], 6)
	wantEqual(t, "watchdogs", c.Statuses[StatusWatchdog], 1)
	wantEqual(t, "codes", c.Codes[CodeBadLiteral], 1)
}

// TestPageFaults lets pages of operands be absent.
func TestPageFaults(t *testing.T) {
	m := newMachine(t, Config{Devices: []DeviceConfig{{Queues: []QueueConfig{{BlockOnFault: true}}}}})
	raw := text(seedtest.Rand(t), 2*pageBytes)
	for _, operand := range []Operand{OperandSource, OperandDestination, OperandState} {
		m.host.ClearFaults()
		m.host.Inject(Fault{Kind: FaultPage, Operand: operand})
		f := m.compress(raw, 4*pageBytes)
		j := m.task(f)
		start, status := address(f.source), StatusPageFault
		switch operand {
		case OperandDestination:
			start, status = address(f.destination), StatusPageFault|writeFault
		case OperandState:
			start = address(f.source2)
		case OperandSource:
		}
		j.submit()
		a := j.wait()
		wantStatus(t, a, status)
		wantEqual(t, "fault address", a.fault, start&^(pageBytes-1))
		wantEqual(t, "output", a.output, 0)
		// Now the page is there.
		j.submit()
		wantStatus(t, j.wait(), StatusSuccess)
	}
	m.host.ClearFaults()
	m.host.Inject(Fault{Kind: FaultPage, Operand: OperandSource, Page: 1, Again: true})
	f := m.compress(raw, 4*pageBytes)
	j := m.task(f)
	for range 3 {
		j.submit()
		a := j.wait()
		wantStatus(t, a, StatusPageFault)
		wantEqual(t, "fault address", a.fault, address(f.source)&^(pageBytes-1)+pageBytes)
	}
	// A job of one page has no second one, and NOOP has no operands.
	short := m.take(2 * pageBytes)
	short = short[pageBytes-address(short)%pageBytes:][:8]
	wantStatus(t, m.run(fields{opcode: OpcodeCRC64, source: short}), StatusSuccess)
	wantStatus(t, m.run(fields{}), StatusSuccess)

	// A job that blocks waits for the page.
	m.host.ClearFaults()
	m.host.Inject(Fault{Kind: FaultPage, Operand: OperandDestination, Delay: 30 * time.Millisecond})
	f = m.compress(raw, 4*pageBytes)
	f.flags |= blockOnFault
	start := time.Now()
	wantStatus(t, m.run(f), StatusSuccess)
	if waited := time.Since(start); waited < 30*time.Millisecond {
		t.Errorf("the job took %v", waited)
	}

	m.host.ClearFaults()
	m.host.Inject(Fault{Kind: FaultUnresolved, Operand: OperandDestination})
	f = m.compress(raw, 4*pageBytes)
	f.flags |= blockOnFault
	wantStatus(t, m.run(f), StatusUnresolvedFault|writeFault)
}

// TestSpoiledResults checks which faults checksums show.
func TestSpoiledResults(t *testing.T) {
	m := newMachine(t, Config{})
	raw, packed := textStream(t, seedtest.Rand(t), 3000)
	crc := crc32.ChecksumIEEE(raw)
	run := func(kind FaultKind) (answer, []byte) {
		m.host.ClearFaults()
		m.host.Inject(Fault{Kind: kind})
		f := m.decompress(packed, 3000)
		a := m.run(f)
		wantStatus(t, a, StatusSuccess)
		return a, f.destination
	}
	a, out := run(FaultWrongCRC)
	wantBytes(t, "output with a wrong CRC", out, raw)
	if a.crc == crc || a.xor == slowXOR(raw) {
		t.Error("checksums are right")
	}

	a, out = run(FaultWrongOutput)
	wantEqual(t, "CRC of wrong output", a.crc, crc32.ChecksumIEEE(out))
	wantEqual(t, "XOR of wrong output", a.xor, slowXOR(out))
	if a.crc == crc || bytes.Equal(out, raw) {
		t.Error("output is right")
	}

	a, out = run(FaultDamagedOutput)
	wantEqual(t, "CRC of damaged output", a.crc, crc)
	if bytes.Equal(out, raw) {
		t.Error("output is right")
	}

	a, _ = run(FaultShortOutput)
	wantEqual(t, "short output", a.output, 2999)

	// Failures have nothing to spoil, nor has a job without output.
	wantStatus(t, m.run(m.decompress(packed, 1)), StatusOutputOverflow)
	wantStatus(t, m.run(fields{}), StatusSuccess)
	f := m.decompress(packed, 3000)
	f.mode |= decompressSuppress
	m.host.Inject(Fault{Kind: FaultDamagedOutput})
	m.run(f)
	wantBytes(t, "suppressed output", f.destination, make([]byte, 3000))
}

func TestHangAndLate(t *testing.T) {
	m := newMachine(t, Config{})
	m.host.Inject(Fault{Kind: FaultHang, Count: 1}, Fault{Kind: FaultLate, Count: 1, Delay: 50 * time.Millisecond})
	raw, packed := textStream(t, seedtest.Rand(t), 100)
	hung := m.task(fields{})
	hung.submit()
	f := m.decompress(packed, 100)
	late := m.task(f)
	start := time.Now()
	late.submit()
	wantStatus(t, m.run(fields{}), StatusSuccess)
	wantEqual(t, "late job is done", late.done(), false)
	wantBytes(t, "output before it is late", f.destination, make([]byte, 100))
	wantStatus(t, late.wait(), StatusSuccess)
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("late job took %v", took)
	}
	wantBytes(t, "late output", f.destination, raw)
	wantEqual(t, "hung job is done", hung.done(), false)
	wantEqual(t, "jobs in flight", m.host.Counters().InFlight, 1)
}

func TestRecordFault(t *testing.T) {
	m := newMachine(t, Config{})
	m.host.Inject(Fault{Kind: FaultRecord, Count: 1})
	j := m.task(fields{})
	j.submit()
	for m.host.Counters().InFlight > 0 {
		m.run(fields{})
	}
	wantEqual(t, "record was written", j.done(), false)
	wantEqual(t, "unreported errors", m.host.Counters().Unreported, 1)
	text, err := fs.ReadFile(m.host.Sysfs(), "bus/dsa/devices/iax1/errors")
	wantNoError(t, err)
	if !bytes.HasPrefix(text, []byte("0x0000000000000001 ")) {
		t.Errorf("errors are %s", text)
	}
}

func TestInjectedDisableAndHalt(t *testing.T) {
	m := newMachine(t, Config{})
	m.host.Inject(Fault{Kind: FaultDisable, Skip: 2, Count: 1})
	j := m.task(fields{})
	for range 3 {
		wantEqual(t, "accepted", j.submit(), true)
		wantStatus(t, j.wait(), StatusSuccess)
	}
	wantEqual(t, "accepted by a disabled device", j.submit(), false)
	wantNoError(t, m.host.SetDeviceState("iax1", StateEnabled))

	m.host.Inject(Fault{Kind: FaultHalt})
	wantEqual(t, "accepted", j.submit(), true)
	for m.host.Counters().InFlight > 0 {
		time.Sleep(time.Millisecond)
	}
	wantEqual(t, "done on a halted device", j.done(), false)
	wantEqual(t, "accepted by a halted device", j.submit(), false)
}

// TestFaultSelection checks which jobs a fault takes.
func TestFaultSelection(t *testing.T) {
	config := Config{Devices: []DeviceConfig{{Queues: []QueueConfig{{}, {}}}}}
	one := newMachine(t, config)
	source := one.take(16)
	failed := func(f Fault, jobs int) (at []int) {
		one.host.ClearFaults()
		f.Kind, f.Status = FaultStatus, StatusHardwareError
		one.host.Inject(f)
		for i := range jobs {
			job := fields{}
			if i%2 == 1 {
				job = fields{opcode: OpcodeCRC64, source: source}
			}
			if one.run(job).status == uint8(StatusHardwareError) {
				at = append(at, i)
			}
		}
		return at
	}
	for name, c := range map[string]struct {
		fault Fault
		want  []int
	}{
		"all":         {Fault{}, []int{0, 1, 2, 3, 4, 5}},
		"other queue": {Fault{Queue: "wq1.1"}, nil},
		"this queue":  {Fault{Queue: "wq1.0", Count: 2}, []int{0, 1}},
		"opcode":      {Fault{Opcodes: []Opcode{OpcodeCRC64}}, []int{1, 3, 5}},
		"skip":        {Fault{Skip: 4}, []int{4, 5}},
		"every":       {Fault{Every: 3}, []int{0, 3}},
		"combined":    {Fault{Opcodes: []Opcode{OpcodeNoop}, Skip: 1, Every: 2}, []int{2}},
		"match":       {Fault{Match: func(j Job) bool { return j.SourceBytes == 16 && j.Queue == "wq1.0" }}, []int{1, 3, 5}},
	} {
		got := failed(c.fault, 6)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: jobs %v failed, want %v", name, got, c.want)
		}
	}
	wantEqual(t, "name of a fault", FaultHalt.String(), "halt")
	wantEqual(t, "name of a fault", FaultPage.String(), "page fault")
	wantEqual(t, "name of a fault", FaultKind(99).String(), "unknown fault")
}
