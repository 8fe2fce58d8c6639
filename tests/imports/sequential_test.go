package imports_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSequentialPackages keeps the list of packages true that only `make test` tests: they
// start no goroutine, import nothing to lock or to wait with, and know of no accelerator.
func TestSequentialPackages(t *testing.T) {
	for dir := range strings.FieldsSeq(makefileValue(t, "SEQUENTIAL_PACKAGES")) {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				wantSequential(t, file)
			}
		}
	}
}

// makefileValue is what the Makefile sets a variable to.
func makefileValue(t *testing.T, name string) string {
	t.Helper()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	value := regexp.MustCompile(`(?m)^` + name + ` = (.+)$`).FindSubmatch(makefile)
	if value == nil {
		t.Fatalf("the Makefile has no %s", name)
	}
	return string(value[1])
}

func wantSequential(t *testing.T, file string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, imported := range parsed.Imports {
		if path := strings.Trim(imported.Path.Value, `"`); path == "sync" || strings.HasPrefix(path, "sync/") || strings.Contains(path, "x/sync/") || path == "sabrefs/iaa" {
			t.Errorf("%s imports %s: it is not for SEQUENTIAL_PACKAGES", file, path)
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if _, starts := n.(*ast.GoStmt); starts {
			t.Errorf("%s starts a goroutine: it is not for SEQUENTIAL_PACKAGES", file)
		}
		return true
	})
}
