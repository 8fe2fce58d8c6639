package functions_test

import (
	"slices"
	"strings"
	"testing"

	"sabrefs/cmd/sabrefs-bench/functions"
)

func TestFunctionsAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range functions.All() {
		if f.Name == "" || seen[f.Name] {
			t.Errorf("name %q is empty or there twice", f.Name)
		}
		seen[f.Name] = true
		if f.Guest != functions.Python && f.Guest != functions.Node {
			t.Errorf("%s: guest %q", f.Name, f.Guest)
		}
		if len(f.Record) == 0 || len(f.Replay) == 0 {
			t.Errorf("%s asks nothing: %q, %q", f.Name, f.Record, f.Replay)
		}
		if slices.Equal(f.Record, f.Replay) {
			t.Errorf("%s is replayed with what it was recorded with", f.Name)
		}
		for _, request := range slices.Concat(f.Record, f.Replay) {
			if request == "" || strings.ContainsAny(request, "\r\n") {
				t.Errorf("%s: request %q is not a line", f.Name, request)
			}
		}
	}
}

func TestChoose(t *testing.T) {
	all, err := functions.Choose(nil, []string{functions.Python, functions.Node})
	if err != nil || len(all) != len(functions.All()) {
		t.Errorf("no names choose %d of %d functions, %v", len(all), len(functions.All()), err)
	}
	ofNode, err := functions.Choose(nil, []string{functions.Node})
	if err != nil || len(ofNode) == 0 || slices.ContainsFunc(ofNode, func(f functions.Function) bool { return f.Guest != functions.Node }) {
		t.Errorf("the guest node has %v, %v", ofNode, err)
	}
	two, err := functions.Choose([]string{"matmul", "fibonacci"}, []string{functions.Python})
	if err != nil || len(two) != 2 || two[0].Name != "matmul" || two[1].Name != "fibonacci" {
		t.Errorf("chose %v, %v", two, err)
	}
	for name, guests := range map[string][]string{"nonsense": {functions.Python}, "matmul": {functions.Node}} {
		if chosen, err := functions.Choose([]string{name}, guests); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s in guests %q: %v, %v", name, guests, chosen, err)
		}
	}
}
