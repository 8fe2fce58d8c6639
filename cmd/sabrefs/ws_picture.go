package main

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"sabrefs/prefetch"
	"sabrefs/store"
)

// Sizes of the picture.
const (
	pictureWidth  = 26 * vg.Centimeter
	pictureHeight = 16 * vg.Centimeter
	pictureDPI    = 144 // of a PNG
	densityShare  = 0.27
	dotSide       = vg.Length(1.6) // points
	dotSideStep   = vg.Length(0.7) // by which the dots of an earlier trace are larger
	// A dot covers about one cell of this grid; more dots in a cell show nothing.
	gridColumns, gridRows = 800, 500
	densityBuckets        = 128
)

// canvas is something to draw on that can be written to a file.
type canvas interface {
	vg.CanvasSizer
	io.WriterTo
}

// pictureFormats are the kinds of pictures, by the ending of the file.
var pictureFormats = map[string]func() canvas{
	".svg": func() canvas { return vgsvg.New(pictureWidth, pictureHeight) },
	".png": func() canvas {
		return vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(pictureWidth, pictureHeight), vgimg.UseDPI(pictureDPI))}
	},
}

// traceColors can be told apart by people who do not see all colors (Okabe, Ito).
var traceColors = [maxPlottedTraces]color.NRGBA{
	{0x00, 0x72, 0xb2, 0xff}, {0xd5, 0x5e, 0x00, 0xff}, {0x00, 0x9e, 0x73, 0xff}, {0xcc, 0x79, 0xa7, 0xff},
	{0xe6, 0x9f, 0x00, 0xff}, {0x56, 0xb4, 0xe9, 0xff}, {0x00, 0x00, 0x00, 0xff}, {0x88, 0x88, 0x88, 0xff},
}

// pale is the color of pages that only some of the runs have seen.
func pale(c color.NRGBA) color.NRGBA {
	c.A = 0x60
	return c
}

// scales are what the axes of all traces have in common.
type scales struct {
	maxTime   float64 // in timeUnit
	timeUnit  float64 // microseconds
	timeName  string
	rawBytes  float64
	sizeUnit  float64 // bytes
	sizeName  string
	bucketLen int64 // bytes of memory for which the density is counted
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
	return s
}

// x and y are where a touch is on the axes.
func (s scales) x(t prefetch.Touch) float64 { return float64(t.AtMicros) / s.timeUnit }
func (s scales) y(t prefetch.Touch) float64 { return float64(t.Page) * store.PageBytes / s.sizeUnit }

// maxY is the end of the address axis.
func (s scales) maxY() float64 { return s.rawBytes / s.sizeUnit }

// sizeTicks are at powers of two, for such are the sizes of guests.
func (s scales) sizeTicks(withLabels bool) plot.ConstantTicks {
	const most = 9
	step := math.Exp2(math.Ceil(math.Log2(s.maxY() / most)))
	var ticks plot.ConstantTicks
	for at := 0.0; at <= s.maxY(); at += step {
		label := " " // takes the room of a label: the panels stay side by side
		if withLabels {
			label = strconv.FormatFloat(at, 'g', 6, 64)
		}
		ticks = append(ticks, plot.Tick{Value: at, Label: label})
	}
	return ticks
}

// drawTraces draws the whole picture and returns it as the bytes of a file.
func drawTraces(traces []*prefetch.Trace, labels []string, c canvas) ([]byte, error) {
	s, legend := newScales(traces), plot.NewLegend()
	legend.Top, legend.Left = true, true
	left, right := s.newTouchPanel(), s.newDensityPanel()
	for i, t := range traces {
		in := traceColors[i]
		all, some := s.dotsOf(t)
		// where traces agree, the earlier one shows as a frame around the later
		side := dotSide + dotSideStep*vg.Length(len(traces)-1-i)
		left.Add(dots{some, pale(in), side}, dots{all, in, side})
		density, err := s.densityOf(t, in)
		if err != nil {
			return nil, err
		}
		right.Add(density)
		legend.Add(legendText(labels[i], t), dots{color: in, side: 4 * dotSide})
	}
	area := draw.Crop(draw.New(c), vg.Millimeter, -4*vg.Millimeter, vg.Millimeter, -3*vg.Millimeter)
	legend.Draw(draw.Crop(area, 5*vg.Millimeter, 0, 0, 0))
	area = draw.Crop(area, 0, 0, 0, -legend.Rectangle(area).Size().Y-3*vg.Millimeter)
	width := area.Max.X - area.Min.X
	left.Draw(draw.Crop(area, 0, -width*densityShare, 0, 0))
	right.Draw(draw.Crop(area, width*(1-densityShare), 0, 0, 0))
	var file bytes.Buffer
	if _, err := c.WriteTo(&file); err != nil {
		return nil, fmt.Errorf("drawing: %w", err)
	}
	return file.Bytes(), nil
}

func legendText(label string, t *prefetch.Trace) string {
	words := fmt.Sprintf("%s: %d pages, %s", label, len(t.Touches), humanBytes(t.TouchedBytes()))
	if t.Runs > 1 {
		words += fmt.Sprintf(" in %d runs (pale: not in all)", t.Runs)
	}
	return words
}

func (s scales) newTouchPanel() *plot.Plot {
	p := plot.New()
	p.X.Label.Text = "time of first touch [" + s.timeName + "]"
	p.X.Min, p.X.Max = 0, s.maxTime
	p.Y.Label.Text = "offset in guest memory [" + s.sizeName + "]"
	p.Y.Min, p.Y.Max = 0, s.maxY()
	p.Y.Tick.Marker = s.sizeTicks(true)
	p.Add(paleGrid())
	return p
}

func (s scales) newDensityPanel() *plot.Plot {
	p := plot.New()
	p.X.Label.Text = "pages touched per " + humanBytes(s.bucketLen)
	p.X.Min, p.X.Max = 0, 1 // it grows with what is added
	p.X.Tick.Marker = plot.TickerFunc(wholeTicks)
	p.Y.Min, p.Y.Max = 0, s.maxY()
	p.Y.Tick.Marker = s.sizeTicks(false)
	p.Add(paleGrid())
	return p
}

// wholeTicks are the ticks of the library with labels that suit counts.
func wholeTicks(least, most float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(least, most)
	for i, t := range ticks {
		if !t.IsMinor() {
			ticks[i].Label = strconv.FormatFloat(t.Value, 'f', -1, 64)
		}
	}
	return ticks
}

func paleGrid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Horizontal.Color, g.Vertical.Color = color.Gray{Y: 0xe4}, color.Gray{Y: 0xe4}
	return g
}

// dotsOf returns where the dots of a trace are: pages that all runs have seen,
// and the others.
func (s scales) dotsOf(t *prefetch.Trace) (all, some plotter.XYs) {
	type cell struct {
		column, row int
		inAll       bool
	}
	drawn := map[cell]bool{}
	for _, touch := range t.Touches {
		at := plotter.XY{X: s.x(touch), Y: s.y(touch)}
		c := cell{int(at.X / s.maxTime * gridColumns), int(at.Y / s.maxY() * gridRows), touch.Runs == t.Runs}
		switch {
		case drawn[c]:
			continue
		case c.inAll:
			all = append(all, at)
		default:
			some = append(some, at)
		}
		drawn[c] = true
	}
	return all, some
}

// densityOf returns the outline of how many pages were touched in each bucket
// of memory: a histogram that lies on its side.
func (s scales) densityOf(t *prefetch.Trace, c color.Color) (*plotter.Line, error) {
	pagesPerBucket := s.bucketLen / store.PageBytes
	counts := make([]int, (t.PageCount()+pagesPerBucket-1)/pagesPerBucket)
	for _, touch := range t.Touches {
		counts[int64(touch.Page)/pagesPerBucket]++
	}
	outline := plotter.XYs{{}}
	for i, n := range counts {
		bottom, top := float64(i)*float64(s.bucketLen)/s.sizeUnit, float64(i+1)*float64(s.bucketLen)/s.sizeUnit
		outline = append(outline, plotter.XY{X: float64(n), Y: bottom}, plotter.XY{X: float64(n), Y: min(top, s.maxY())})
	}
	line, err := plotter.NewLine(outline)
	if err != nil {
		return nil, fmt.Errorf("drawing: %w", err)
	}
	line.Color, line.Width = c, vg.Points(1)
	return line, nil
}

// dots draws points as squares, all in one path: a picture of many pages with an
// element for each would have many megabytes.
type dots struct {
	at    plotter.XYs
	color color.Color
	side  vg.Length
}

// Plot draws the dots into a panel.
func (d dots) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	var path vg.Path
	for _, at := range d.at {
		path = append(path, square(vg.Point{X: x(at.X), Y: y(at.Y)}, d.side)...)
	}
	c.SetColor(d.color)
	c.Fill(path)
}

// Thumbnail draws one dot into the legend.
func (d dots) Thumbnail(c *draw.Canvas) {
	c.SetColor(d.color)
	c.Fill(square(c.Center(), d.side))
}

func square(center vg.Point, side vg.Length) (path vg.Path) {
	path.Move(vg.Point{X: center.X - side/2, Y: center.Y - side/2})
	path.Line(vg.Point{X: center.X + side/2, Y: center.Y - side/2})
	path.Line(vg.Point{X: center.X + side/2, Y: center.Y + side/2})
	path.Line(vg.Point{X: center.X - side/2, Y: center.Y + side/2})
	path.Close()
	return path
}
