package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

func newRebaseCommand() *cobra.Command {
	var flags anewFlags
	var parent string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rebase IMAGE|STORE",
		Short: "Put images on their parents anew, or on others of the same content",
		Long: `Write an image that has a parent anew, as the child of the parent that is there now.
A directory stands for all images below it. Images without a parent are left alone, and
so are those that rebase would not change.

An image is good with any parent of the content that it was packed against. When that
has been repacked or flattened, the image is stale (sabrefs ls --tree): its pages are
looked up the long way. Rebase makes it as quick as before. When the parent is found in
a --parent-dir, because it has been moved, rebase remembers its new place.

--parent names another parent: an image, or a packed snapshot, which has it under the
same name or has no other image. It must have the content of the old one, which need not be there any more
(exit code 9 if it has other content). To put an image on a parent of other content,
unpack it and pack it with that parent.

The content stays the same; it is compared with the digest of the old image before the
new one takes its place. A rebase that fails or is killed leaves the old image. Nothing
has to be unmounted: an image that is replaced is a new file, and running VMs keep the
old one.

As JSON, an image is one object; a directory is {"images": [...], "left_alone":
[...]}.`,
		Example: `  sabrefs rebase /store
  sabrefs rebase --parent /archive/python/mem_file.sabre /store/python-2/mem_file.sabre
  sabrefs rebase --parent-dir /archive /store/python-2`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opt, err := flags.options()
			if err != nil {
				return err
			}
			// the youngest last, for a parent that is written anew makes them stale
			images, isList, err := imagesAnew(args, false)
			if err != nil {
				return err
			}
			newParent, err := newParentOf(parent, images)
			if err != nil {
				return err
			}
			job := anewJob{doing: "rebasing", json: asJSON}
			if newParent == "" && !flags.isSet(cmd.Flags()) {
				job.isCurrent = func(path string) bool { return isCurrent(path, opt.Parents) }
			}
			job.write = func(ctx context.Context, path string, opt store.PackOptions) (store.PackResult, error) {
				return store.RebaseFile(ctx, path, newParent, opt)
			}
			return job.run(cmd.Context(), cmd.OutOrStdout(), images, isList, opt)
		},
	}
	cmd.Flags().StringVar(&parent, "parent", "", "image, or packed snapshot, that is to be the parent (default: the one that is found)")
	flags.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

// newParentOf returns the image that --parent means for the only child there is.
func newParentOf(parent string, images []anewImage) (string, error) {
	if parent == "" {
		return "", nil
	}
	var children []string
	for i := range images {
		if images[i].header.HasParent() {
			children = append(children, images[i].path)
		}
	}
	switch len(children) {
	case 1:
	case 0:
		return "", usageError{fmt.Errorf("--parent %s: there is no image with a parent to rebase; `sabrefs pack --parent` makes one", parent)}
	default:
		return "", usageError{fmt.Errorf("--parent %s is for one image, and there are %d with a parent", parent, len(children))}
	}
	parent, err := imageNamed(parent, filepath.Base(children[0]))
	if err != nil {
		return "", err
	}
	own, err := fileIDOf(children[0])
	if id, idErr := fileIDOf(parent); err == nil && idErr == nil && id == own {
		return "", usageError{fmt.Errorf("--parent %s: an image cannot be its own parent", parent)}
	}
	return parent, nil
}

// imageNamed returns the image that a path stands for: itself, or in a packed snapshot
// the one of that name, or the only one that there is.
func imageNamed(path, name string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("--parent: %w", err)
	}
	if !info.IsDir() {
		return path, nil
	}
	if image := filepath.Join(path, name); isRegular(image) {
		return image, nil
	}
	images, err := store.ImagesBelow(path)
	if err == nil && len(images) != 1 {
		err = fmt.Errorf("--parent %s: %w: it has no %s, and %d other images", path, store.ErrParent, name, len(images))
	}
	if err != nil {
		return "", err
	}
	return images[0], nil
}

func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// isCurrent reports whether the parents of an image are the very ones that it was
// packed against, where it says that they are.
func isCurrent(path string, parents *store.Parents) bool {
	img, err := store.Open(path, store.OpenOptions{Parents: parents})
	if err != nil {
		return false
	}
	defer img.Close()
	ref, err := img.ParentRef()
	if err != nil || img.IsStale() || img.Parent() == nil {
		return false
	}
	remembered, err := os.Stat(filepath.Join(filepath.Dir(path), ref.Path))
	if err != nil {
		return false
	}
	found, err := os.Stat(img.Parent().Path())
	return err == nil && os.SameFile(remembered, found)
}
