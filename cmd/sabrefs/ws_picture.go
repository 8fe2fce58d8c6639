package main

import (
	"bytes"
	"fmt"
	"image/color"
	"io"

	"github.com/go-analyze/charts/chartdraw"
	"github.com/go-analyze/charts/chartdraw/drawing"

	"sabrefs/prefetch"
)

// Sizes of the picture. Both formats count in the pixels of the PNG.
const (
	widthCentimeters, heightCentimeters = 26, 16

	pictureDPI    = 144
	pictureWidth  = widthCentimeters * pictureDPI * 100 / 254
	pictureHeight = heightCentimeters * pictureDPI * 100 / 254
	pictureMargin = 12
	densityWidth  = pictureWidth * 27 / 100
	panelGap      = 16 // on each side of where the panels meet

	titleSize  = 12 // points, of the legend and the names of the axes
	titleLine  = 30 // pixels from one line of the legend to the next
	legendSide = 13 // pixels, of a square in the legend
)

// pictureFormats are the kinds of pictures, by the ending of the file.
var pictureFormats = map[string]func() chartdraw.Renderer{
	".svg": func() chartdraw.Renderer { return sizedSVG{chartdraw.SVG(pictureWidth, pictureHeight)} },
	".png": func() chartdraw.Renderer { return chartdraw.PNG(pictureWidth, pictureHeight) },
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

// sizedSVG is a picture with a size on paper; without it, a viewer picks one.
type sizedSVG struct{ chartdraw.Renderer }

// Save writes the picture.
func (s sizedSVG) Save(w io.Writer) error {
	var file bytes.Buffer
	if err := s.Renderer.Save(&file); err != nil {
		return err
	}
	size := fmt.Appendf(nil, `<svg width="%dcm" height="%dcm" `, widthCentimeters, heightCentimeters)
	_, err := w.Write(bytes.Replace(file.Bytes(), []byte("<svg "), size, 1))
	return err
}

// halfDrawn keeps a panel from ending the picture that it shares with another.
type halfDrawn struct{ chartdraw.Renderer }

// Save leaves it to the end of drawTraces.
func (halfDrawn) Save(io.Writer) error { return nil }

// drawTraces draws the whole picture and returns it as the bytes of a file.
func drawTraces(traces []*prefetch.Trace, labels []string, r chartdraw.Renderer) ([]byte, error) {
	s := newScales(traces)
	left, right := s.newTouchPanel(), s.newDensityPanel()
	for i, t := range traces {
		in := traceColors[i]
		all, some := s.dotsOf(t)
		// where traces agree, the earlier one shows as a frame around the later
		side := dotSide(len(traces) - 1 - i)
		left.Series = append(left.Series, newDots(some, pale(in), side), newDots(all, in, side))
		right.Series = append(right.Series, s.densityOf(t, in))
	}
	left.Elements = append(left.Elements, newLegend(traces, labels))
	for _, panel := range []chartdraw.Chart{left, right} {
		panel.Background.Padding.Top = pictureMargin + titleLine*len(traces)
		shared := func(int, int) chartdraw.Renderer { return halfDrawn{r} }
		if err := panel.Render(shared, io.Discard); err != nil {
			return nil, fmt.Errorf("drawing: %w", err)
		}
	}
	var file bytes.Buffer
	if err := r.Save(&file); err != nil {
		return nil, fmt.Errorf("drawing: %w", err)
	}
	return file.Bytes(), nil
}

// newLegend has a line for each trace. The legends of the library lie on top of
// what is drawn.
func newLegend(traces []*prefetch.Trace, labels []string) chartdraw.Renderable {
	return func(r chartdraw.Renderer, _ chartdraw.Box, defaults chartdraw.Style) {
		for i, t := range traces {
			base := pictureMargin + titleLine*i + titleLine/2
			r.SetFillColor(drawing.Color(traceColors[i]))
			addSquare(r, pictureMargin+titleLine/2, base-legendSide/2, legendSide)
			r.Fill()
			chartdraw.Draw.Text(r, legendText(labels[i], t), pictureMargin+titleLine*3/2, base, titleStyle().InheritFrom(defaults))
		}
	}
}

func legendText(label string, t *prefetch.Trace) string {
	words := fmt.Sprintf("%s: %d pages, %s", label, len(t.Touches), humanBytes(t.TouchedBytes()))
	if t.Runs > 1 {
		words += fmt.Sprintf(" in %d runs (pale: not in all)", t.Runs)
	}
	return words
}

func titleStyle() chartdraw.Style {
	return chartdraw.Style{FontStyle: chartdraw.FontStyle{FontSize: titleSize, FontColor: chartdraw.DefaultTextColor}}
}
