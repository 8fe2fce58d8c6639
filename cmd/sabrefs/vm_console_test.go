//go:build amd64

package main

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestEscapeReader reads in one piece and byte by byte: keys arrive as they like.
func TestEscapeReader(t *testing.T) {
	for typed, want := range map[string]struct {
		passed string
		left   bool
	}{
		"ls\r":                {"ls\r", false},
		"ls\r\x01xrest":       {"ls\r", true},
		"\x01\x01a":           {"\x01a", false},
		"\x01\x01x":           {"\x01x", false},
		"\x01c":               {"c", false},
		"x\x03\x01":           {"x\x03", false},
		"\x01x":               {"", true},
		"\x01\x01\x01xnot me": {"\x01", true},
	} {
		for name, in := range map[string]io.Reader{"whole": strings.NewReader(typed), "bytewise": iotest.OneByteReader(strings.NewReader(typed))} {
			r := escapeReader{in: in}
			passed, err := io.ReadAll(&r)
			noError(t, err)
			if string(passed) != want.passed || r.left != want.left {
				t.Errorf("%q, %s: passed %q, left %v, want %q, %v", typed, name, passed, r.left, want.passed, want.left)
			}
		}
	}
}
