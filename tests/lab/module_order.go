package lab

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// moduleTree is the modules of one kernel: paths by name. The names of modules
// have underscores where those of files may have dashes.
type moduleTree map[string]string

func findModules(dir string) (moduleTree, error) {
	tree := moduleTree{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(path) == ".ko" {
			tree[moduleName(path)] = path
		}
		return err
	})
	if err == nil && len(tree) == 0 {
		err = fmt.Errorf("no uncompressed modules below %s", dir)
	}
	return tree, err
}

func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

// order lists the paths of the modules and of all that they depend on, each
// after its own dependencies. It does what modprobe does, without the index that
// only an installed kernel has: every module names those that it needs.
func (t moduleTree) order(names ...string) ([]string, error) {
	var ordered []string
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		path, found := t[name]
		if !found {
			return fmt.Errorf("kernel module %s: %w", name, fs.ErrNotExist)
		}
		needed, err := moduleDependencies(path)
		if err != nil {
			return fmt.Errorf("kernel module %s: %w", path, err)
		}
		for _, other := range needed {
			if err := visit(other); err != nil {
				return fmt.Errorf("needed by %s: %w", name, err)
			}
		}
		ordered = append(ordered, path)
		return nil
	}
	for _, name := range names {
		if err := visit(strings.ReplaceAll(name, "-", "_")); err != nil {
			return nil, err
		}
	}
	return ordered, nil
}

// moduleDependencies reads the key "depends" of the section .modinfo.
func moduleDependencies(path string) ([]string, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	section := file.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	return dependenciesIn(info), nil
}

func dependenciesIn(info []byte) []string {
	for entry := range bytes.SplitSeq(info, []byte{0}) {
		value, found := strings.CutPrefix(string(entry), "depends=")
		if !found || value == "" {
			continue
		}
		return strings.Split(strings.ReplaceAll(value, "-", "_"), ",")
	}
	return nil
}
