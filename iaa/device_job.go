package iaa

import (
	"hash/crc32"
)

// jobPhase is what a slot's job does on the device.
type jobPhase uint8

const (
	phaseProbe jobPhase = iota
	phaseDecompress
	phaseCompress   // in one pass
	phaseStatistics // the first of two passes
	phaseSecondPass
	phaseVerify // decompression of what was compressed, without output
)

// op is the operation that the phase needs of a queue.
func (p jobPhase) op() Op {
	if p == phaseDecompress || p == phaseVerify {
		return OpDecompress
	}
	return OpCompress
}

// Levels of compression that the device runs. Others ask for more density than
// its greedy matches give, or do not care.
const (
	levelOnePass   = 1
	levelLastTwice = 3 // levels up to this one take two passes
)

func onDevice(level int) bool { return level >= levelOnePass && level <= levelLastTwice }

// maxFaults is how many page faults of one job are mended.
const maxFaults = 4

// classify tells which slots a job needs, or why the device cannot run it.
func classify(op Op, job *Job) (class slotClass, reason fallback, ok bool) {
	sourceBytes, roomBytes := len(job.Src), len(job.Dst)
	if op == OpCompress {
		if !onDevice(job.Level) {
			return 0, fallbackLevel, false
		}
		// More room is welcome, but not worth a larger slot.
		class, ok = fits(sourceBytes, min(sourceBytes, roomBytes))
	} else {
		class, ok = fits(job.prefixBytes()+sourceBytes, roomBytes)
	}
	// The device takes no empty input, and no output without room.
	return class, fallbackSize, ok && sourceBytes > 0 && roomBytes > 0
}

func (j *Job) prefixBytes() int {
	if j.Table == nil {
		return 0
	}
	return len(j.Table.prefix)
}

// stage copies a job's input into a slot and describes the job to the device.
func (d *device) stage(s *slot, op Op, job *Job, index int) {
	s.job, s.faults, s.outputBytes = int32(index), 0, 0
	if op == OpDecompress {
		n := 0
		if job.Table != nil {
			n = copy(s.source, job.Table.prefix)
		}
		s.inputBytes = n + copy(s.source[n:], job.Src)
		s.roomBytes = len(job.Dst)
		s.phase = phaseDecompress
		s.describe(opcodeDecompress, decompressOneShot, nil)
		return
	}
	s.inputBytes = copy(s.source, job.Src)
	s.roomBytes = min(len(job.Dst), len(s.output))
	switch {
	case job.Level != levelOnePass:
		s.phase = phaseStatistics
		s.describeStatistics()
	case d.onePass && s.inputBytes <= onePassBytes:
		s.phase = phaseCompress
		s.describe(opcodeCompress, compressFlush|compressEndOfBlock|compressOnePass, nil)
	default:
		s.phase = phaseCompress
		s.describe(opcodeCompress, compressFlush|compressEndOfBlock, d.arena.fixedCodes)
	}
}

// describe writes the descriptor of a job from the slot's source to its output.
func (s *slot) describe(operation uint8, modeFlags uint16, aecs *[aecsBytes]byte) {
	desc := descriptor{
		operation:   operation,
		flags:       flagsRecord,
		modeFlags:   modeFlags,
		record:      addressOf(&s.record[0]),
		source:      addressOf(&s.source[0]),
		sourceBytes: uint32(s.inputBytes),
		destination: addressOf(&s.output[0]),
		roomBytes:   uint32(s.roomBytes),
	}
	if aecs != nil {
		desc.flags |= flagReadSource2
		desc.source2, desc.source2Bytes = addressOf(&aecs[0]), aecsBytes
	}
	desc.encode(s.descriptor)
}

// describeStatistics writes the descriptor of a pass that counts symbols.
func (s *slot) describeStatistics() {
	desc := descriptor{
		operation:   opcodeCompress,
		flags:       flagsRecord,
		modeFlags:   compressStatistics | compressEndOfBlock,
		record:      addressOf(&s.record[0]),
		source:      addressOf(&s.source[0]),
		sourceBytes: uint32(s.inputBytes),
		destination: addressOf(&s.aecs[histogramOff]),
		roomBytes:   histogramBytes,
	}
	desc.encode(s.descriptor)
}

// describeVerification writes the descriptor of a decompression of the output
// that writes nothing, only yields size and checksum. The destination is given,
// because a job must have one.
func (s *slot) describeVerification() {
	desc := descriptor{
		operation:   opcodeDecompress,
		flags:       flagsRecord,
		modeFlags:   decompressOneShot | decompressSuppress,
		record:      addressOf(&s.record[0]),
		source:      addressOf(&s.output[0]),
		sourceBytes: uint32(s.outputBytes),
		destination: addressOf(&s.source[0]),
		roomBytes:   uint32(s.inputBytes),
	}
	desc.encode(s.descriptor)
}

// finish acts on a completion record. Whatever is no clean success is run again
// in software, whose results and errors are the ones that callers see.
func (d *device) finish(batch *Batch, s *slot, c completion) {
	switch c.status {
	case statusSuccess:
		d.succeed(batch, s, c)
	case statusPageFault:
		if s.faults < maxFaults && s.touch(c.faultAddress, c.writeFault) {
			s.faults++
			batch.state.device.ready = append(batch.state.device.ready, s)
			return
		}
		d.fail(batch, s, c)
	default:
		d.fail(batch, s, c)
	}
}

func (d *device) fail(batch *Batch, s *slot, c completion) {
	job := &batch.Jobs[s.job]
	if c.status == statusAnalytics && c.errorCode == errorCodeNoRoom &&
		s.phase.op() == OpCompress && s.roomBytes == len(job.Dst) {
		d.noGain(batch, s)
		return
	}
	d.counts.complaint(c)
	switch c.status {
	case statusBadOpcode:
		d.disable(s.queue, s.phase.op())
	case statusHardware, statusReadbackTimeout, statusHardwareTimeout:
		d.lose(s.queue, statusName(c.status), nil)
	}
	b := &batch.state.device
	b.software = append(b.software, s.job)
	d.putBack(b, s)
}

// noGain is the result of a compression that does not fit its destination.
func (d *device) noGain(batch *Batch, s *slot) {
	job, b := &batch.Jobs[s.job], &batch.state.device
	job.N, job.Table, job.Err = 0, nil, ErrNoGain
	job.CRC32 = crc32.ChecksumIEEE(job.Src)
	b.compressed++
	d.putBack(b, s)
}

// doubt leaves a job to software whose success is not believed.
func (d *device) doubt(batch *Batch, s *slot, reason fallback) {
	b := &batch.state.device
	b.leave(d, int(s.job), reason)
	d.putBack(b, s)
}

func (d *device) succeed(batch *Batch, s *slot, c completion) {
	switch s.phase {
	case phaseDecompress:
		d.decompressed(batch, s, c)
	case phaseStatistics:
		d.prepareSecondPass(batch, s, c)
	case phaseCompress, phaseSecondPass:
		d.compressed(batch, s, c)
	case phaseVerify:
		d.verified(batch, s, c)
	case phaseProbe: // not in a batch
	}
}

func (d *device) decompressed(batch *Batch, s *slot, c completion) {
	job, b := &batch.Jobs[s.job], &batch.state.device
	if int(c.outputBytes) != len(job.Dst) {
		d.doubt(batch, s, fallbackShortOutput)
		return
	}
	copy(job.Dst, s.output)
	if !d.trust && crc32.ChecksumIEEE(job.Dst) != c.crc32 {
		d.doubt(batch, s, fallbackChecksum)
		return
	}
	job.N, job.CRC32, job.Err = len(job.Dst), c.crc32, nil
	b.decompressed++
	d.putBack(b, s)
}

// compressed has the device read back what it wrote, unless it is trusted.
func (d *device) compressed(batch *Batch, s *slot, c completion) {
	switch {
	case c.outputBytes == 0 || int(c.outputBytes) > s.roomBytes:
		d.doubt(batch, s, fallbackShortOutput)
		return
	case s.phase == phaseSecondPass && c.crc32 != s.crc32,
		!d.trust && c.crc32 != crc32.ChecksumIEEE(batch.Jobs[s.job].Src):
		d.doubt(batch, s, fallbackChecksum)
		return
	}
	s.crc32, s.outputBytes = c.crc32, int(c.outputBytes)
	if d.trust {
		d.finishCompression(batch, s)
		return
	}
	s.phase = phaseVerify
	s.describeVerification()
	batch.state.device.ready = append(batch.state.device.ready, s)
}

func (d *device) verified(batch *Batch, s *slot, c completion) {
	if c.crc32 != s.crc32 || int(c.outputBytes) != s.inputBytes {
		d.doubt(batch, s, fallbackChecksum)
		return
	}
	d.finishCompression(batch, s)
}

func (d *device) finishCompression(batch *Batch, s *slot) {
	job, b := &batch.Jobs[s.job], &batch.state.device
	job.N = copy(job.Dst, s.output[:s.outputBytes])
	job.CRC32, job.Table, job.Err = s.crc32, nil, nil
	b.compressed++
	d.putBack(b, s)
}

// prepareSecondPass chooses the codes for the symbols that were counted.
func (d *device) prepareSecondPass(batch *Batch, s *slot, c completion) {
	builder, ok := d.builders.Get().(*codeBuilder)
	if !ok {
		builder = &codeBuilder{}
	}
	streamBytes, fixed := builder.build(s.aecs)
	d.builders.Put(builder)
	if streamBytes > uint64(len(batch.Jobs[s.job].Dst)) {
		d.noGain(batch, s)
		return
	}
	codes := s.aecs
	if fixed {
		codes = d.arena.fixedCodes
	}
	s.phase, s.crc32 = phaseSecondPass, c.crc32
	s.describe(opcodeCompress, compressFlush|compressEndOfBlock, codes)
	batch.state.device.ready = append(batch.state.device.ready, s)
}
