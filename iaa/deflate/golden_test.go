package deflate

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.txt from what the code writes")

const goldenPath = "testdata/golden.txt"

const goldenHead = `# Streams as they are written, and what they say: the type of each block, its
# literals, its matches as length@distance. Written by go test -update.
`

// TestGolden shows what streams look like, and that they stay as they are.
func TestGolden(t *testing.T) {
	t.Parallel()
	verse := "the quick brown fox jumps over the lazy dog; the lazy dog sleeps. " +
		"The quick brown fox jumps again, over the very same lazy dog, which sleeps."
	var got bytes.Buffer
	got.WriteString(goldenHead)
	for _, test := range []struct {
		name  string
		level int
		src   string
	}{
		{"nothing", 5, ""},
		{"fixed codes", 5, "abc"},
		{"a run", 5, strings.Repeat("a", 300)},
		{"a run, optimal", 9, strings.Repeat("a", 300)},
		{"stored", 5, string(fill(40, func() func() byte {
			c := byte(17)
			return func() byte { c = c*5 + 187; return c | 0x80 }
		}()))},
		{"the first match", 1, verse},
		{"lazy", 5, verse},
		{"optimal", 9, verse},
		{"dynamic codes", 9, strings.Repeat("\x80\x81\x82\x83\x83\x83\x82\x80\x83\x81\x83\x83\x80\x83\x82\x83\x83\x81", 3) +
			"\x83\x80\x80\x81\x81\x82\x82\x83\x81\x80\x82\x80\x83\x80\x82\x82\x81\x81\x80\x80\x83\x83\x82\x81\x82\x83\x80\x82\x80"},
	} {
		stream := encode(t, NewEncoder(), []byte(test.src), test.level)
		check(t, stream, []byte(test.src))
		r := &inspector{src: stream, notes: true}
		found, err := r.run()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "\n%s, level %d\n  input  %+q\n  stream %x\n  tokens %s\n", test.name, test.level, test.src, stream, found)
	}
	if *update {
		if err := os.WriteFile(goldenPath, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenPath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("streams differ from %s; if that is meant, run the test with -update\n%s", goldenPath, got.Bytes())
	}
}
