package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestProgress: there is no bar where nobody looks, and the one that there is
// clears itself away.
func TestProgress(t *testing.T) {
	image, _ := packedImage(t)
	if o := finish(t, command(t, "verify", image)); o.stderr != "" {
		t.Errorf("a bar is drawn on what is no terminal: %q", o.stderr)
	}
	var out bytes.Buffer
	bar := newBar(&out, "packing", 1<<20)
	noError(t, bar.Set64(1<<19))
	if !strings.Contains(out.String(), "packing") || !strings.Contains(out.String(), "50%") {
		t.Errorf("half way the bar is %q", out.String())
	}
	noError(t, bar.Finish())
	if last := out.String()[strings.LastIndex(out.String(), "packing")+1:]; !strings.Contains(last, "\x1b[2K") {
		t.Errorf("the bar does not end by clearing its line: %q", out.String())
	}
}
