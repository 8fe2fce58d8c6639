package main

import (
	"math"
	"slices"
	"strconv"

	"github.com/go-analyze/charts/chartdraw"

	"sabrefs/prefetch"
	"sabrefs/store"
)

const densityBuckets = 128

// scales are what the axes of all traces have in common.
type scales struct {
	maxTime   float64 // in timeUnit
	timeUnit  float64 // microseconds
	timeName  string
	rawBytes  float64
	sizeUnit  float64 // bytes
	sizeName  string
	bucketLen int64   // bytes of memory for which the density is counted
	maxCount  float64 // pages touched in a bucket
}

func newScales(traces []*prefetch.Trace) scales {
	var lastMicros uint32
	var rawBytes int64
	for _, t := range traces {
		rawBytes = max(rawBytes, t.RawBytes)
		if n := len(t.Touches); n > 0 {
			lastMicros = max(lastMicros, t.Touches[n-1].AtMicros)
		}
	}
	s := scales{timeUnit: 1e6, timeName: "s", rawBytes: float64(max(rawBytes, 1)), sizeUnit: 1 << 20, sizeName: "MiB", bucketLen: store.PageBytes}
	if lastMicros < 1e6 {
		s.timeUnit, s.timeName = 1e3, "ms"
	}
	s.maxTime = float64(max(lastMicros, 1)) / s.timeUnit
	switch {
	case rawBytes >= 8<<30:
		s.sizeUnit, s.sizeName = 1<<30, "GiB"
	case rawBytes < 2<<20:
		s.sizeUnit, s.sizeName = 1<<10, "KiB"
	}
	for s.bucketLen*densityBuckets < rawBytes {
		s.bucketLen *= 2
	}
	s.maxCount = 1
	for _, t := range traces {
		s.maxCount = max(s.maxCount, slices.Max(append(s.countsOf(t), 0)))
	}
	return s
}

// x and y are where a touch is on the axes.
func (s scales) x(t prefetch.Touch) float64 { return float64(t.AtMicros) / s.timeUnit }
func (s scales) y(t prefetch.Touch) float64 { return float64(t.Page) * store.PageBytes / s.sizeUnit }

// maxY is the end of the address axis.
func (s scales) maxY() float64 { return s.rawBytes / s.sizeUnit }

// countsOf returns how many pages were touched in each bucket of memory.
func (s scales) countsOf(t *prefetch.Trace) []float64 {
	pagesPerBucket := s.bucketLen / store.PageBytes
	counts := make([]float64, (t.PageCount()+pagesPerBucket-1)/pagesPerBucket)
	for _, touch := range t.Touches {
		counts[int64(touch.Page)/pagesPerBucket]++
	}
	return counts
}

// axisRange is from 0 to where the values end. That of the library ends at its last
// tick, and what lies beyond would be drawn outside.
type axisRange struct {
	chartdraw.ContinuousRange

	ticks []chartdraw.Tick
}

func newAxisRange(end float64, ticks []chartdraw.Tick) *axisRange {
	return &axisRange{chartdraw.ContinuousRange{Max: end}, ticks}
}

// GetTicks is what the library asks a range that knows its ticks.
func (a *axisRange) GetTicks(chartdraw.ValueFormatter) []chartdraw.Tick { return a.ticks }

// grid is a line for each tick, but for the one where the other axis is.
func (a *axisRange) grid() (lines []chartdraw.GridLine) {
	for _, tick := range a.ticks[1:] {
		lines = append(lines, chartdraw.GridLine{Value: tick.Value})
	}
	return lines
}

func (s scales) timeRange() *axisRange {
	const most, least = 8, 0
	return newAxisRange(s.maxTime, roundTicks(s.maxTime, most, least))
}

func (s scales) countRange() *axisRange {
	const most, least = 4, 1
	return newAxisRange(s.maxCount, roundTicks(s.maxCount, most, least))
}

// sizeRange has ticks at powers of two, for such are the sizes of guests.
func (s scales) sizeRange() *axisRange {
	const most = 9
	step := math.Exp2(math.Ceil(math.Log2(s.maxY() / most)))
	return newAxisRange(s.maxY(), ticksEach(step, s.maxY()))
}

// unlabeled is for an axis that has its numbers elsewhere. A label without text
// still takes the height of one: the panels stay side by side.
func (a *axisRange) unlabeled() *axisRange {
	for i := range a.ticks {
		a.ticks[i].Label = ""
	}
	return a
}

// roundTicks are at multiples of 1, 2 or 5 and a power of ten. The library divides
// the axis evenly instead, whatever numbers that gives.
func roundTicks(end, most, least float64) []chartdraw.Tick {
	power := math.Pow10(int(math.Floor(math.Log10(end / most))))
	step := power
	for _, times := range []float64{2, 5, 10} {
		if step*most < end {
			step = times * power
		}
	}
	return ticksEach(max(step, least), end)
}

func ticksEach(step, end float64) (ticks []chartdraw.Tick) {
	const digits = 7 // the last ones are of rounding, and so is what is missing at the end
	for i := 0.0; i*step <= end*(1+1e-9); i++ {
		ticks = append(ticks, chartdraw.Tick{Value: min(i*step, end), Label: strconv.FormatFloat(i*step, 'g', digits, 64)})
	}
	return ticks
}
