package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"sabrefs/store"
)

// treeNode is an image of a store, with those that are packed against it.
type treeNode struct {
	path     string
	row      listRow
	ref      store.ParentRef
	chainErr error
	parent   *treeNode // nil if it stands alone, or its parent is not in the store
	children []*treeNode
	visited  bool
}

// storeTree is who is packed against whom in a store.
type storeTree struct {
	dir     string
	parents *store.Parents
	nodes   []*treeNode // in the order of their names
	byFile  map[fileID]*treeNode
	found   imageErrors
	lines   []treeLine
}

// treeLine is an image with what is drawn before its name.
type treeLine struct {
	branch string
	*treeNode
}

func runTree(out io.Writer, dir string, flags listFlags) error {
	images, err := imagesOfStore(dir)
	if err != nil {
		return err
	}
	parents, err := flags.dirs.finder()
	if err != nil {
		return err
	}
	tree := &storeTree{dir: dir, parents: parents, byFile: map[fileID]*treeNode{}}
	for _, path := range images {
		tree.add(path)
	}
	for _, node := range tree.nodes {
		tree.findParent(node)
	}
	tree.walk()
	if flags.json {
		rows := []listRow{}
		for _, line := range tree.lines {
			rows = append(rows, line.row)
		}
		err = printJSON(out, map[string]any{"images": rows})
	} else {
		err = printTree(out, tree.lines)
	}
	if err != nil {
		return err
	}
	return tree.found.err()
}

func (t *storeTree) add(path string) {
	node := &treeNode{path: path}
	var err error
	if node.row, node.ref, err = newListRow(t.dir, path); err != nil {
		t.found = append(t.found, err)
	}
	if id, err := fileIDOf(path); err == nil {
		t.byFile[id] = node
	}
	t.nodes = append(t.nodes, node)
}

// findParent puts an image below its parent.
func (t *storeTree) findParent(node *treeNode) {
	if node.row.Parent == nil {
		return
	}
	path, err := t.parents.Locate(node.path, node.ref)
	if err != nil {
		return // to open the image says why
	}
	node.row.Parent.Path = path
	id, err := fileIDOf(path)
	if err != nil {
		return
	}
	if parent := t.byFile[id]; parent != nil && parent != node {
		node.parent, node.row.Parent.Name = parent, parent.row.Name
		parent.children = append(parent.children, node)
	}
}

// walk lists the images that stand at the top, each with what is below it, and then
// those that no top leads to: they are each other's parents.
func (t *storeTree) walk() {
	for _, node := range t.nodes {
		if node.parent == nil {
			t.visit(node, "", "")
		}
	}
	for _, node := range t.nodes {
		if !node.visited {
			t.visit(node, "", "")
		}
	}
}

// visit lists an image and what is below it. It is open meanwhile, so that the chain
// of its children need not be opened again for each.
func (t *storeTree) visit(node *treeNode, branch, below string) {
	node.visited = true
	t.lines = append(t.lines, treeLine{branch, node})
	if img := t.openChain(node); img != nil {
		defer img.Close()
	}
	var children []*treeNode
	for _, child := range node.children {
		if !child.visited {
			children = append(children, child)
		}
	}
	for i, child := range children {
		if i == len(children)-1 {
			t.visit(child, below+"`- ", below+"   ")
		} else {
			t.visit(child, below+"|- ", below+"|  ")
		}
	}
}

// openChain looks at an image with a parent, and says what is wrong with the chain.
func (t *storeTree) openChain(node *treeNode) *store.Image {
	if node.row.Parent == nil {
		return nil
	}
	img, err := store.Open(node.path, store.OpenOptions{Parents: t.parents})
	if err != nil {
		node.chainErr, node.row.Parent.Error = err, oneLine(err)
		t.found = append(t.found, ofChild(node.path, err))
		return nil
	}
	node.row.Parent.Stale = img.IsStale()
	return img
}

// remark is what there is to know about the parent of an image, but for its name.
func (n *treeNode) remark() string {
	parent := n.row.Parent
	switch {
	case parent == nil:
		return ""
	case errors.Is(n.chainErr, store.ErrParent):
		return strings.TrimSpace("parent missing " + parent.Path)
	case n.chainErr != nil:
		return strings.TrimSpace("parent unreadable " + parent.Path)
	}
	var remarks []string
	if parent.Stale {
		remarks = append(remarks, "stale")
	}
	if parent.Name == "" {
		remarks = append(remarks, "parent "+parent.Path)
	}
	return strings.Join(remarks, ", ")
}

func printTree(out io.Writer, lines []treeLine) error {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tRAW\tPACKED\tRATIO\tDEPTH\tREMARK")
	for _, line := range lines {
		r := &line.row
		if r.Error != "" {
			fmt.Fprintf(w, "%s%s\t-\t-\t-\t-\tunreadable\n", line.branch, r.Name)
			continue
		}
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%.2f\t%d\t%s\n", line.branch, r.Name,
			humanBytes(r.RawBytes), humanBytes(r.PackedBytes), r.Ratio, r.Depth, line.remark())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for text := range strings.Lines(table.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(text, " \n")); err != nil {
			return err
		}
	}
	return nil
}
