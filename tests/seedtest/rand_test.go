package seedtest

import (
	"fmt"
	"slices"
	"testing"
)

// logger is a test that remembers what it logged.
type logger struct {
	testing.TB
	lines []string
}

func (l *logger) Logf(format string, args ...any) {
	l.TB.Helper()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// TestRandRepeats: the seed that a test logs gives the same numbers again, and only it.
func TestRandRepeats(t *testing.T) {
	t.Setenv(Variable, "42")
	log := &logger{TB: t}
	a, b := Rand(log), Fixed(42)
	for range 100 {
		if got, want := a.Uint64(), b.Uint64(); got != want {
			t.Fatalf("%d, then %d", got, want)
		}
	}
	if !slices.Equal(log.lines, []string{"repeat with SABREFS_SEED=42"}) {
		t.Errorf("the log has %q", log.lines)
	}
	t.Setenv(Variable, "")
	if one, other := Rand(t).Uint64(), Rand(t).Uint64(); one == other {
		t.Error("two tests make the same choices")
	}
}
