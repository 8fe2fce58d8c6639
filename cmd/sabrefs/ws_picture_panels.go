package main

import (
	"image/color"
	"math"

	"github.com/go-analyze/charts/chartdraw"
	"github.com/go-analyze/charts/chartdraw/drawing"

	"sabrefs/prefetch"
)

// A dot covers about one cell of this grid; more dots in a cell show nothing.
const gridColumns, gridRows = 800, 500

func (s scales) newTouchPanel() chartdraw.Chart {
	p := newPanel("time of first touch ["+s.timeName+"]", s.timeRange(), s.sizeRange())
	p.Background.Padding.Left = pictureMargin + titleLine
	p.Background.Padding.Right = pictureMargin + densityWidth + panelGap
	p.Elements = append(p.Elements, upwards("offset in guest memory ["+s.sizeName+"]"))
	return p
}

func (s scales) newDensityPanel() chartdraw.Chart {
	p := newPanel("pages touched per "+humanBytes(s.bucketLen), s.countRange(), s.sizeRange().unlabeled())
	p.Background.Padding.Left = pictureWidth - densityWidth + panelGap
	p.Background.FillColor = drawing.ColorTransparent // the other panel is there already
	return p
}

func newPanel(name string, x, y *axisRange) chartdraw.Chart {
	pale := chartdraw.Style{StrokeColor: drawing.Color{R: 0xe4, G: 0xe4, B: 0xe4, A: 0xff}, StrokeWidth: 1}
	return chartdraw.Chart{
		Width: pictureWidth, Height: pictureHeight, DPI: pictureDPI,
		Background: chartdraw.Style{Padding: chartdraw.NewBox(pictureMargin, pictureMargin, pictureMargin, pictureMargin)},
		XAxis:      chartdraw.XAxis{Name: name, NameStyle: titleStyle(), Range: x, GridLines: x.grid(), GridMajorStyle: pale},
		YAxis: chartdraw.YAxis{
			AxisType: chartdraw.YAxisSecondary, // which is the left one
			Range:    y, GridLines: y.grid(), GridMajorStyle: pale, Zero: chartdraw.GridLine{Style: chartdraw.Hidden()},
		},
		YAxisSecondary: chartdraw.HideYAxis(),
	}
}

// upwards is the name of the left axis. The library would write it downwards, and
// on a left axis without room for it.
func upwards(name string) chartdraw.Renderable {
	return func(r chartdraw.Renderer, panel chartdraw.Box, defaults chartdraw.Style) {
		style := titleStyle().InheritFrom(defaults)
		style.TextRotationDegrees = 270
		length := chartdraw.Draw.MeasureText(r, name, style).Height()
		chartdraw.Draw.Text(r, name, pictureMargin+titleLine/2, panel.CenterY()+length/2, style)
	}
}

// point is a place on the axes.
type point struct{ x, y float64 }

// dotsOf returns where the dots of a trace are: pages that all runs have seen,
// and the others.
func (s scales) dotsOf(t *prefetch.Trace) (all, some []point) {
	type cell struct {
		column, row int
		inAll       bool
	}
	drawn := map[cell]bool{}
	for _, touch := range t.Touches {
		at := point{s.x(touch), s.y(touch)}
		c := cell{int(at.x / s.maxTime * gridColumns), int(at.y / s.maxY() * gridRows), touch.Runs == t.Runs}
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
func (s scales) densityOf(t *prefetch.Trace, c color.NRGBA) chartdraw.Series {
	outline := []point{{}}
	for i, n := range s.countsOf(t) {
		bottom, top := float64(i)*float64(s.bucketLen)/s.sizeUnit, float64(i+1)*float64(s.bucketLen)/s.sizeUnit
		outline = append(outline, point{n, bottom}, point{n, min(top, s.maxY())})
	}
	const points = 1
	return newLine(outline, chartdraw.Style{StrokeColor: drawing.Color(c), StrokeWidth: points * pictureDPI / 72})
}

func newLine(at []point, style chartdraw.Style) chartdraw.ContinuousSeries {
	line := chartdraw.ContinuousSeries{Style: style}
	for _, p := range at {
		line.XValues, line.YValues = append(line.XValues, p.x), append(line.YValues, p.y)
	}
	return line
}

// dots draws points as squares, all in one path: a picture of many pages with an
// element for each would have many megabytes.
type dots struct {
	chartdraw.ContinuousSeries

	side int
}

func newDots(at []point, c color.NRGBA, side int) dots {
	return dots{newLine(at, chartdraw.Style{FillColor: drawing.Color(c)}), side}
}

// dotSide is how large the dots of a trace are that later ones are drawn over.
func dotSide(later int) int {
	const points, more = 1.6, 0.7
	return int(math.Round((points + more*float64(later)) * pictureDPI / 72))
}

// Render draws the dots into a panel.
func (d dots) Render(r chartdraw.Renderer, panel chartdraw.Box, x, y chartdraw.Range, _ chartdraw.Style) {
	r.SetFillColor(d.Style.FillColor)
	for i := range d.Len() {
		atX, atY := d.GetValues(i)
		addSquare(r, panel.Left+x.Translate(atX), panel.Bottom-y.Translate(atY), d.side)
	}
	r.Fill()
}

// addSquare adds to the path of the renderer.
func addSquare(r chartdraw.Renderer, centerX, centerY, side int) {
	left, top := centerX-side/2, centerY-side/2
	r.MoveTo(left, top)
	r.LineTo(left+side, top)
	r.LineTo(left+side, top+side)
	r.LineTo(left, top+side)
	r.Close()
}
