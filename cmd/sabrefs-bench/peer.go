package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// peer is one side of the comparison: a way to keep a memory file small and to
// show it as a file again.
type peer struct {
	name string
	// pack makes the image from the directory that holds the memory file only.
	pack func(ctx context.Context, dir, image string) error
	// mount shows the image at point; unmount ends that.
	mount   func(ctx context.Context, image, point string) error
	unmount func(ctx context.Context, point string) error
}

// memoryName is the name of the memory file in every image.
const memoryName = "mem_file"

// peers returns the sides. The raw file is "mounted" by a symbolic link.
func peers(sabrefs sabrefsBinary) []peer {
	return []peer{
		{name: "raw file", pack: packRaw, mount: linkRaw, unmount: unlinkRaw},
		sabrefsPeer(sabrefs, "sabrefs"),
		sabrefsPeer(sabrefs, "sabrefs --level best", "--level", "best"),
		sabrefsPeer(sabrefs, "sabrefs --codec lz4", "--codec", "lz4"),
		sabrefsPeer(sabrefs, "sabrefs --codec deflate", "--codec", "deflate"),
		erofsPeer("erofs lz4hc,9 64K", "-zlz4hc,9", "-C65536"),
		erofsPeer("erofs lz4 64K", "-zlz4", "-C65536"),
		squashfsPeer("squashfs zstd 128K", "-comp", "zstd", "-b", "128K"),
		squashfsPeer("squashfs lz4 64K", "-comp", "lz4", "-b", "64K"),
	}
}

func packRaw(_ context.Context, dir, image string) error {
	return os.Link(filepath.Join(dir, memoryName), image)
}

func linkRaw(_ context.Context, image, point string) error {
	return os.Symlink(image, filepath.Join(point, memoryName))
}

func unlinkRaw(_ context.Context, point string) error {
	return os.Remove(filepath.Join(point, memoryName))
}

func sabrefsPeer(sabrefs sabrefsBinary, name string, packFlags ...string) peer {
	return sabrefsPeerMounted(sabrefs, name, nil, packFlags...)
}

// sabrefsPeerMounted is a sabrefsPeer that is mounted with flags.
func sabrefsPeerMounted(sabrefs sabrefsBinary, name string, mountFlags []string, packFlags ...string) peer {
	return peer{
		name: name,
		pack: func(ctx context.Context, dir, image string) error {
			if err := os.Mkdir(image, 0o755); err != nil {
				return err
			}
			args := append([]string{"pack"}, packFlags...)
			_, err := sabrefs.run(ctx, append(args, filepath.Join(dir, memoryName), image)...)
			return err
		},
		mount: func(ctx context.Context, image, point string) error {
			args := append([]string{"mount"}, mountFlags...)
			_, err := sabrefs.run(ctx, append(args, image, point)...)
			return err
		},
		unmount: func(ctx context.Context, point string) error {
			_, err := sabrefs.run(ctx, "umount", point)
			return err
		},
	}
}

func erofsPeer(name string, flags ...string) peer {
	return loopPeer(name, "erofs", func(ctx context.Context, dir, image string) error {
		_, err := runTool(ctx, "mkfs.erofs", append(flags, image, dir)...)
		return err
	})
}

func squashfsPeer(name string, flags ...string) peer {
	return loopPeer(name, "squashfs", func(ctx context.Context, dir, image string) error {
		args := append([]string{dir, image, "-noappend", "-quiet", "-no-progress"}, flags...)
		_, err := runTool(ctx, "mksquashfs", args...)
		return err
	})
}

// loopPeer is a filesystem of the kernel, mounted from an image file.
func loopPeer(name, fsType string, pack func(ctx context.Context, dir, image string) error) peer {
	return peer{
		name: name, pack: pack,
		mount: func(ctx context.Context, image, point string) error {
			_, err := runTool(ctx, "mount", "-t", fsType, "-o", "loop,ro", image, point)
			return err
		},
		unmount: func(ctx context.Context, point string) error {
			_, err := runTool(ctx, "umount", point)
			return err
		},
	}
}

// packedFile is the file that holds the packed bytes.
func packedFile(image string) string {
	if info, err := os.Stat(image); err == nil && info.IsDir() {
		return filepath.Join(image, memoryName+".sabre")
	}
	return image
}

// timedPack packs and returns the size and the time it took, synced.
func (p peer) timedPack(ctx context.Context, dir, image string) (sizeBytes int64, seconds float64, err error) {
	begin := time.Now()
	if err := p.pack(ctx, dir, image); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", p.name, err)
	}
	elapsed := time.Since(begin)
	info, err := os.Stat(packedFile(image))
	if err != nil {
		return 0, 0, err
	}
	return info.Size(), elapsed.Seconds(), nil
}
