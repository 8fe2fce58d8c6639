package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// testPrefix begins the names of tests that need KVM.
const testPrefix = "TestKVM"

// modules lists the directories, below the tree's root, in which the go command
// finds packages with tests that may need KVM: the tree's own module, and those
// that are nested in tests because the product must not depend on what they need.
func moduleDirs(root string) ([]string, error) {
	nested, err := filepath.Glob(filepath.Join(root, "tests", "*", "go.mod"))
	dirs := []string{root}
	for _, path := range nested {
		dirs = append(dirs, filepath.Dir(path))
	}
	return dirs, err
}

// testPackage is what `go list` says of a package.
type testPackage struct {
	Dir, ImportPath           string
	TestGoFiles, XTestGoFiles []string
	names                     []string
	moduleDir                 string
}

// findTests returns the packages of the tree that have tests whose names begin
// with TestKVM and match, with these names. Finding none is an error.
func findTests(ctx context.Context, root string, match *regexp.Regexp) ([]testPackage, error) {
	dirs, err := moduleDirs(root)
	if err != nil {
		return nil, err
	}
	var found []testPackage
	for _, dir := range dirs {
		packages, err := listPackages(ctx, dir)
		if err != nil {
			return nil, err
		}
		for _, p := range packages {
			if p.names, err = p.testNames(match); err != nil {
				return nil, err
			}
			if len(p.names) > 0 {
				found = append(found, p)
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no test in %s has a name that begins with %s and matches %s", root, testPrefix, match)
	}
	return found, nil
}

func listPackages(ctx context.Context, moduleDir string) ([]testPackage, error) {
	output, err := goCommand(ctx, moduleDir, "list", "-json=Dir,ImportPath,TestGoFiles,XTestGoFiles", "./...")
	if err != nil {
		return nil, err
	}
	var packages []testPackage
	decoder := json.NewDecoder(bytes.NewReader(output))
	for {
		p := testPackage{moduleDir: moduleDir}
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list packages of %s: %w", moduleDir, err)
		}
		packages = append(packages, p)
	}
}

// testNames reads the sources, which takes no time, where asking test binaries
// would mean to build those of all packages.
func (p testPackage) testNames(match *regexp.Regexp) ([]string, error) {
	var names []string
	for _, file := range append(p.TestGoFiles, p.XTestGoFiles...) {
		source, err := os.ReadFile(filepath.Join(p.Dir, file))
		if err != nil {
			return nil, err
		}
		inFile, err := testFunctions(file, source)
		if err != nil {
			return nil, err
		}
		for _, name := range inFile {
			if match.MatchString(name) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// testFunctions are the tests for the laboratory in one source file.
func testFunctions(file string, source []byte) ([]string, error) {
	if !bytes.Contains(source, []byte(testPrefix)) {
		return nil, nil
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, declaration := range parsed.Decls {
		function, isFunction := declaration.(*ast.FuncDecl)
		if isFunction && function.Recv == nil && strings.HasPrefix(function.Name.Name, testPrefix) {
			names = append(names, function.Name.Name)
		}
	}
	return names, nil
}
