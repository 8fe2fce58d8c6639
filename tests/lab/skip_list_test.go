package lab

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSkipList: CI may skip exactly those tests, by their names, that the laboratory
// runs.
func TestSkipList(t *testing.T) {
	root := filepath.Join("..", "..")
	packages, err := findTests(t.Context(), root, regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, p := range packages {
		want = append(want, p.names...)
	}
	content, err := os.ReadFile(filepath.Join(root, ".ci", "allowed-skips"))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for line := range strings.Lines(string(content)) {
		if name, reason, _ := strings.Cut(line, "#"); strings.HasPrefix(name, testPrefix) && strings.TrimSpace(reason) != "" {
			listed = append(listed, strings.TrimSpace(name))
		}
	}
	slices.Sort(want)
	slices.Sort(listed)
	if want = slices.Compact(want); !slices.Equal(listed, want) {
		t.Errorf(".ci/allowed-skips has\n%v\nand the laboratory runs\n%v", listed, want)
	}
}
