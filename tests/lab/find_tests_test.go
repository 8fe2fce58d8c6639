package lab

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// writeTree makes files of a tree.
func writeTree(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFindTests(t *testing.T) {
	root := writeTree(t, map[string]string{
		"go.mod":                  "module sabrefs\n",
		"a/a_test.go":             "package a\n\nfunc TestKVMOne(t int) {}\n\nfunc TestOther() {}\n",
		"a/outer_test.go":         "package a_test\n\nfunc TestKVMTwo() {}\n\ntype x int\n\nfunc (x) TestKVMMethod() {}\n",
		"a/on_plan9_test.go":      "package a\n\nfunc TestKVMElsewhere() {}\n",
		"b/b_test.go":             "package b\n\n// TestKVM is not here.\nfunc TestB() {}\n",
		"b/b.go":                  "package b\n",
		"tests/nested/go.mod":     "module nested\n",
		"tests/nested/n_test.go":  "package nested\n\nfunc TestKVMNested() {}\n",
		"other/go.mod":            "module other\n",
		"other/other_test.go":     "package other\n\nfunc TestKVMForeign() {}\n",
		"a/testdata/data_test.go": "package data\n\nfunc TestKVMData() {}\n",
	})
	for pattern, want := range map[string][]string{
		"":           {"sabrefs/a TestKVMOne", "sabrefs/a TestKVMTwo", "nested TestKVMNested"},
		"One|Nested": {"sabrefs/a TestKVMOne", "nested TestKVMNested"},
	} {
		found, err := findTests(t.Context(), root, regexp.MustCompile(pattern))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range found {
			for _, name := range p.names {
				got = append(got, p.ImportPath+" "+name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pattern %q: found %q, want %q", pattern, got, want)
		}
	}
	if _, err := findTests(t.Context(), root, regexp.MustCompile("Nothing")); err == nil {
		t.Error("a pattern that fits no test is not refused")
	}
}

// This package's own tests are found: an empty laboratory cannot pass unseen.
func TestFindsOwnTests(t *testing.T) {
	root, err := TreeRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, err := findTests(t.Context(), root, regexp.MustCompile("^TestKVMDevice$"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].ImportPath != "sabrefs/tests/lab" {
		t.Errorf("found %+v, want the one in sabrefs/tests/lab", found)
	}
}
