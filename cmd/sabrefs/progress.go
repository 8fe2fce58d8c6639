package main

import (
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressBar draws a bar on standard error if that is a terminal. report is
// nil otherwise, and finish does nothing.
func progressBar(what string, totalBytes int64) (report func(doneBytes int64), finish func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil, func() {}
	}
	bar := newBar(os.Stderr, what, totalBytes)
	return func(done int64) { _ = bar.Set64(done) }, func() { _ = bar.Finish() }
}

func newBar(out io.Writer, what string, totalBytes int64) *progressbar.ProgressBar {
	return progressbar.NewOptions64(totalBytes,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionUseANSICodes(true),
	)
}
