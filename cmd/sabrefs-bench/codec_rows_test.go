package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestComparisons: rounds are compared one by one, sizes by their ratios.
func TestComparisons(t *testing.T) {
	row := func(engine, stream string, level, frameBytes int, mode string, ratio float64, perRound ...float64) codecRow {
		return codecRow{Codec: "deflate", Engine: engine, Stream: stream, Level: level, FrameBytes: frameBytes, Mode: mode, Ratio: ratio, perRound: perRound}
	}
	rows := []codecRow{
		row("software", "libdeflate", 6, 16384, "", 3, 150, 300, 100),
		row("libdeflate", "libdeflate", 6, 16384, "", 3, 100, 150, 100),
		row("software", "libdeflate", 6, 16384, "single", 3, 500),
		row("software", "software", 9, 16384, "", 3.3, 1),
		row("libdeflate", "libdeflate", 6, 4096, "", 2, 100),
		row("software", "software", 5, 4096, "shared", 2.2, 180),
		row("software", "software", 5, 4096, "naive", 1, 1),
	}
	var out bytes.Buffer
	noError(t, printComparisons(&out, rows))
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"16 KiB: speed of software to libdeflate, both decoding libdeflate's stream 1.50 (1.00-2.00)",
		"16 KiB: speed of software, one frame a call, to libdeflate, both decoding libdeflate's stream 5.00 (5.00-5.00)",
		"16 KiB: ratio of software's level 9 to libdeflate's level 6 1.100",
		"4 KiB: speed of shared tables to libdeflate 1.80 (1.80-1.80)",
		"4 KiB: ratio of shared tables, level 5, to libdeflate's level 6 1.100",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if strings.Count(out.String(), "KiB: ") != 5 {
		t.Errorf("more is compared than there is:\n%s", &out)
	}
}
