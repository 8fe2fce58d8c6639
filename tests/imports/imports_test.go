// Package imports_test keeps the house in order where no linter is run: which
// package may import which, who may use unsafe, where package comments live and
// which file names promise nothing.
//
// It reads source files and nothing else, so it sees the files of every
// platform and build tag. The depguard rules in .golangci.yml say the same;
// change both together.
package imports_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "sabrefs"
	// root is the module's directory as seen from this package's.
	root = "../.."
)

// mayImport names, for each top-level directory, the others that its files may
// import besides its own. A directory that is missing here may not exist.
// Test files may import tests as well.
var mayImport = map[string][]string{
	"iaa":      {},
	"store":    {"iaa"},
	"prefetch": {"iaa", "store"},
	"fs":       {"iaa", "store", "prefetch"},
	"vmm":      {},
	"cmd":      {"iaa", "store", "prefetch", "fs", "vmm"},
	"tests":    {"iaa", "store", "prefetch", "fs", "vmm", "cmd"},
}

// mayBeUnsafe are the files that may import unsafe, as patterns of path.Match
// or as directories.
var mayBeUnsafe = []string{"iaa/", "vmm/", "store/mapped*.go"}

// emptyPromises are file names that do not say what is inside.
var emptyPromises = []string{
	"util", "utils", "helper", "helpers", "common", "misc", "shared", "stuff",
}

// sourceFile is one parsed file of the tree under test.
type sourceFile struct {
	path    string // relative to the tree, with slashes
	imports []string
	pkg     string
	comment string // the package comment, empty if there is none
}

func (f sourceFile) dir() string  { return path.Dir(f.path) }
func (f sourceFile) base() string { return path.Base(f.path) }
func (f sourceFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// checkImport returns why the file must not import the package, or nil.
func checkImport(file, imported string) error {
	switch {
	case imported == "C":
		return errors.New("everything builds with CGO_ENABLED=0")
	case imported == "unsafe":
		return checkUnsafe(file)
	case imported == module:
		return errors.New("there is nothing to import at the root")
	case !strings.HasPrefix(imported, module+"/"):
		return nil
	}
	from := topDir(file)
	to := topDir(strings.TrimPrefix(imported, module+"/"))
	allowed, known := mayImport[from]
	switch {
	case !known:
		return fmt.Errorf("directory %q has no place in the import order yet: add it to mayImport and to .golangci.yml", from)
	case from == to, slices.Contains(allowed, to):
		return nil
	case to == "tests" && strings.HasSuffix(file, "_test.go"):
		return nil
	}
	return fmt.Errorf("%s may import only %v of ours", from, allowed)
}

func checkUnsafe(file string) error {
	for _, pattern := range mayBeUnsafe {
		if strings.HasSuffix(pattern, "/") && strings.HasPrefix(file, pattern) {
			return nil
		}
		if matched, err := path.Match(pattern, file); err != nil || matched {
			return err
		}
	}
	return fmt.Errorf("unsafe is for %v only", mayBeUnsafe)
}

// checkName returns why no file may have this name, or nil.
func checkName(file string) error {
	name := strings.TrimSuffix(strings.TrimSuffix(path.Base(file), ".go"), "_test")
	if slices.Contains(emptyPromises, name) {
		return errors.New("a file name is a promise: say what is inside")
	}
	return nil
}

// checkPackageComment returns why the files of one directory lack a proper
// package comment, or nil. Packages have theirs in doc.go, commands there or in
// main.go, and a directory with nothing but tests in any of them.
func checkPackageComment(files []sourceFile) error {
	testsOnly := !slices.ContainsFunc(files, func(f sourceFile) bool { return !f.isTest() })
	for _, file := range files {
		isMain := file.pkg == "main"
		rightPlace := testsOnly || file.base() == "doc.go" || isMain && file.base() == "main.go"
		rightStart := strings.HasPrefix(file.comment, "Package "+file.pkg+" ") || isMain && file.comment != ""
		if rightPlace && rightStart {
			return nil
		}
	}
	if testsOnly {
		return errors.New("no test file has a package comment")
	}
	return errors.New("no package comment in doc.go")
}

// checkTree returns every violation in the Go files below dir, and how many
// files it looked at.
func checkTree(dir string) (violations []error, fileCount int, err error) {
	files, err := parseTree(dir)
	if err != nil {
		return nil, 0, err
	}
	byDir := map[string][]sourceFile{}
	for _, file := range files {
		byDir[file.dir()] = append(byDir[file.dir()], file)
		for _, imported := range file.imports {
			if err := checkImport(file.path, imported); err != nil {
				violations = append(violations, fmt.Errorf("%s imports %q: %w", file.path, imported, err))
			}
		}
		if err := checkName(file.path); err != nil {
			violations = append(violations, fmt.Errorf("%s: %w", file.path, err))
		}
	}
	for dir, files := range byDir {
		if err := checkPackageComment(files); err != nil {
			violations = append(violations, fmt.Errorf("%s: %w", dir, err))
		}
	}
	return violations, len(files), nil
}

func parseTree(dir string) (files []sourceFile, err error) {
	err = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != dir && isForeign(name) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		file, err := parseFile(dir, name)
		if err != nil {
			return err
		}
		files = append(files, file)
		return nil
	})
	return files, err
}

// isForeign reports whether the go command would not count the directory to
// this module.
func isForeign(dir string) bool {
	base := filepath.Base(dir)
	if base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func parseFile(dir, name string) (sourceFile, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return sourceFile{}, err
	}
	relative, err := filepath.Rel(dir, name)
	if err != nil {
		return sourceFile{}, err
	}
	file := sourceFile{path: filepath.ToSlash(relative), pkg: parsed.Name.Name, comment: parsed.Doc.Text()}
	for _, spec := range parsed.Imports {
		imported, err := importPath(spec)
		if err != nil {
			return sourceFile{}, fmt.Errorf("%s: %w", name, err)
		}
		file.imports = append(file.imports, imported)
	}
	return file, nil
}

func importPath(spec *ast.ImportSpec) (string, error) {
	return strconv.Unquote(spec.Path.Value)
}

func topDir(slashed string) string {
	top, _, _ := strings.Cut(slashed, "/")
	return top
}

// The whole house, as it stands on disk.
func TestHouse(t *testing.T) {
	violations, fileCount, err := checkTree(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, violation := range violations {
		t.Error(violation)
	}
	// A walk that saw nothing has proved nothing.
	if fileCount < 2 {
		t.Errorf("saw %d Go files below %s, expected the whole house", fileCount, root)
	}
	t.Logf("checked %d Go files", fileCount)
}

// A walk over a made-up house finds each fault that was built into it, and no
// other.
func TestFindsFaults(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"iaa/doc.go":              "// Package iaa is fine.\npackage iaa\n\nimport _ \"unsafe\"\n",
		"iaa/up.go":               "package iaa\n\nimport _ \"sabrefs/store\"\n",
		"iaa/other_platform.go":   "//go:build plan9\n\npackage iaa\n\nimport _ \"sabrefs/vmm\"\n",
		"store/doc.go":            "// Package store is fine.\npackage store\n\nimport _ \"sabrefs/iaa\"\n",
		"store/mapped_linux.go":   "package store\n\nimport _ \"unsafe\"\n",
		"store/reader.go":         "package store\n\nimport _ \"unsafe\"\n",
		"store/utils.go":          "package store\n",
		"store/lab_test.go":       "package store_test\n\nimport _ \"sabrefs/tests/lab\"\n",
		"fs/node.go":              "// Package fs is documented in the wrong file.\npackage fs\n",
		"cmd/tool/main.go":        "// Tool is fine.\npackage main\n\nimport _ \"sabrefs/fs\"\n",
		"cmd/bare/main.go":        "package main\n",
		"tests/only/only_test.go": "// Package only_test is fine.\npackage only_test\n",
		"attic/doc.go":            "// Package attic is new.\npackage attic\n\nimport _ \"sabrefs/iaa\"\n",
		"tools/go.mod":            "module other\n",
		"tools/helpers.go":        "package other\n\nimport _ \"unsafe\"\n",
		"iaa/testdata/misc.go":    "package broken\n\nimport _ \"C\"\n",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	violations, _, err := checkTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, violation := range violations {
		subject, _, _ := strings.Cut(violation.Error(), ":")
		found = append(found, subject)
	}
	slices.Sort(found)
	expected := []string{
		`attic/doc.go imports "sabrefs/iaa"`,
		`cmd/bare`,
		`fs`,
		`iaa/other_platform.go imports "sabrefs/vmm"`,
		`iaa/up.go imports "sabrefs/store"`,
		`store/reader.go imports "unsafe"`,
		`store/utils.go`,
	}
	if !slices.Equal(found, expected) {
		t.Errorf("found\n%s\nexpected\n%s", strings.Join(found, "\n"), strings.Join(expected, "\n"))
	}
}

func TestCheckImport(t *testing.T) {
	for _, pair := range []struct {
		file, imported string
		allowed        bool
	}{
		{"iaa/engine.go", "fmt", true},
		{"iaa/engine.go", "unsafe", true},
		{"iaa/engine.go", "sabrefs/iaa/flate", true},
		{"iaa/flate/flate.go", "sabrefs/iaa", true},
		{"iaa/engine.go", "sabrefs/store", false},
		{"iaa/engine.go", "sabrefs/prefetch", false},
		{"iaa/engine.go", "sabrefs/fs", false},
		{"iaa/engine.go", "sabrefs/vmm", false},
		{"iaa/engine_test.go", "sabrefs/store", false},
		{"iaa/engine_test.go", "sabrefs/tests/lab", true},
		{"iaa/engine.go", "sabrefs/tests/lab", false},
		{"store/reader.go", "sabrefs/iaa", true},
		{"store/reader.go", "sabrefs/iaaextra", false},
		{"store/reader.go", "sabrefs/prefetch", false},
		{"store/reader.go", "sabrefs/fs", false},
		{"store/reader.go", "unsafe", false},
		{"store/mapped.go", "unsafe", true},
		{"store/mapped_linux.go", "unsafe", true},
		{"store/layers/mapped.go", "unsafe", false},
		{"store/reader.go", "C", false},
		{"prefetch/plan.go", "sabrefs/store", true},
		{"prefetch/plan.go", "sabrefs/fs", false},
		{"prefetch/plan.go", "unsafe", false},
		{"fs/node.go", "sabrefs/prefetch", true},
		{"fs/node.go", "sabrefs/vmm", false},
		{"fs/node.go", "sabrefs/cmd/sabrefs", false},
		{"fs/node.go", "unsafe", false},
		{"fs/node_test.go", "unsafe", false},
		{"vmm/memory.go", "unsafe", true},
		{"vmm/memory.go", "sabrefs/store", false},
		{"vmm/memory.go", "sabrefs/iaa", false},
		{"cmd/sabrefs/main.go", "sabrefs/vmm", true},
		{"cmd/sabrefs/main.go", "sabrefs/fs", true},
		{"cmd/sabrefs/main.go", "sabrefs/tests/guest", false},
		{"cmd/sabrefs/main_test.go", "sabrefs/tests/guest", true},
		{"cmd/sabrefs/main.go", "unsafe", false},
		{"tests/e2e/mount_test.go", "sabrefs/fs", true},
		{"tests/guest/build.go", "sabrefs/tests/lab", true},
		{"tests/guest/build.go", "unsafe", false},
		{"attic/doc.go", "sabrefs/iaa", false},
		{"fs/node.go", "sabrefs", false},
		{"fs/node.go", "sabrefsother/x", true},
	} {
		if err := checkImport(pair.file, pair.imported); (err == nil) != pair.allowed {
			t.Errorf("%s importing %q: allowed=%v, got error %v", pair.file, pair.imported, pair.allowed, err)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, allowed := range map[string]bool{
		"store/utils.go":        false,
		"store/helpers.go":      false,
		"store/helpers_test.go": false,
		"fs/common.go":          false,
		"cmd/sabrefs/misc.go":   false,
		"fs/offsets.go":         true,
		"store/commonprefix.go": true,
	} {
		if err := checkName(name); (err == nil) != allowed {
			t.Errorf("%s: allowed=%v, got error %v", name, allowed, err)
		}
	}
}
