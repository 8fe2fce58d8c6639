package main

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"sabrefs/store"
)

func TestInspect(t *testing.T) {
	image, memory := packedImage(t, "--codec", "zstd")
	said := sabrefs(t, "inspect", image)
	for _, want := range []string{image, "format version", "content digest", "zstd", "page directory", "frame table", "working set"} {
		if !strings.Contains(said, want) {
			t.Errorf("inspect does not show %q:\n%s", want, said)
		}
	}
	report := decodeJSON[imageReport](t, sabrefs(t, "inspect", "--json", image))
	if report.Path != image || report.RawBytes != int64(len(memory)) || report.PackedBytes != int64(len(readFile(t, image))) ||
		report.Pages != samplePages || report.Version != store.FormatVersion || report.IncompatFlags != 0 {
		t.Errorf("inspect --json says %+v", report)
	}
	var frames, packedBytes int64
	for _, codec := range report.Codecs {
		frames += codec.Frames
		packedBytes += codec.PackedBytes
	}
	if frames != report.Frames || packedBytes == 0 || packedBytes > report.PackedBytes {
		t.Errorf("codecs %+v do not add up to %d frames", report.Codecs, report.Frames)
	}
	for _, section := range report.Sections {
		if section.PackedOff <= 0 || section.PackedOff+section.LenBytes > report.PackedBytes {
			t.Errorf("section %+v is outside of the image", section)
		}
	}
}

func TestInspectFrames(t *testing.T) {
	for _, codec := range []string{"zstd", "lz4", "deflate", "raw"} {
		t.Run(codec, func(t *testing.T) {
			image, _ := packedImage(t, "--codec", codec, "--frame-size", "16K")
			report := decodeJSON[framesReport](t, sabrefs(t, "inspect", "--frames", "--json", image))
			content := readFile(t, image)
			codecs := map[string]int{}
			for i, frame := range report.Frames {
				codecs[frame.Codec]++
				raw, err := decodeFrame(frame, content[frame.PackedOff:][:frame.PackedLen])
				if err != nil {
					t.Errorf("frame %d: %+v: %v", i, frame, err)
				}
				if got := crc32.ChecksumIEEE(raw); got != frame.CRC32 || len(raw) != frame.Pages*store.PageBytes {
					t.Errorf("frame %d: %+v: decoded to %d bytes with CRC-32 %08x", i, frame, len(raw), got)
				}
			}
			if codecs[codec] == 0 || codec != "raw" && codecs["raw"] == len(report.Frames) {
				t.Errorf("no frame of codec %s: %v", codec, codecs)
			}
			said := sabrefs(t, "inspect", "--frames", image)
			if lines := strings.Count(said, "\n"); lines != len(report.Frames)+2 {
				t.Errorf("inspect --frames has %d lines for %d frames:\n%s", lines, len(report.Frames), said)
			}
			last := report.Frames[len(report.Frames)-1]
			if !strings.Contains(said, fmt.Sprint(last.PackedOff)) || !strings.Contains(said, fmt.Sprintf("%08x", last.CRC32)) {
				t.Errorf("inspect --frames does not show %+v:\n%s", last, said)
			}
		})
	}
}

// decodeFrame decodes a frame with nothing of this project.
func decodeFrame(frame frameRow, packed []byte) ([]byte, error) {
	room := make([]byte, frame.Pages*store.PageBytes)
	switch frame.Codec {
	case "raw":
		return packed, nil
	case "deflate":
		return io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	case "lz4":
		n, err := lz4.UncompressBlock(packed, room)
		return room[:max(n, 0)], err
	case "zstd":
		decoder, err := zstd.NewReader(nil)
		if err != nil {
			return nil, err
		}
		defer decoder.Close()
		return decoder.DecodeAll(packed, nil)
	}
	return nil, errors.New("unknown codec")
}

// TestInspectDirectory: all images are shown, also beside one that cannot be
// read.
func TestInspectDirectory(t *testing.T) {
	storeDir, _ := packedStore(t)
	guest := filepath.Join(storeDir, "guest", "mem_file.sabre")
	other := writeFile(t, filepath.Join(storeDir, "other.sabre"), readFile(t, guest))
	type reports struct {
		Images []imageReport `json:"images"`
	}
	type frameReports struct {
		Images []framesReport `json:"images"`
	}
	paths := func(said string) (found []string) {
		for _, image := range decodeJSON[reports](t, said).Images {
			found = append(found, image.Path)
		}
		return found
	}
	if got := paths(sabrefs(t, "inspect", "--json", storeDir)); !slices.Equal(got, []string{guest, other}) {
		t.Errorf("inspect shows %q", got)
	}
	frames := decodeJSON[frameReports](t, sabrefs(t, "inspect", "--frames", "--json", storeDir))
	if len(frames.Images) != 2 || len(frames.Images[1].Frames) == 0 || frames.Images[1].Path != other {
		t.Errorf("inspect --frames of a directory says %+v", frames)
	}
	for _, args := range [][]string{{"inspect", storeDir}, {"inspect", "--frames", storeDir}} {
		if said := sabrefs(t, args...); !strings.Contains(said, guest) || !strings.Contains(said, other) {
			t.Errorf("%v does not show both images:\n%s", args, said)
		}
	}
	cutTo(100)(t, guest)
	if got := paths(refused(t, exitDamaged, []string{"inspect", "--json", storeDir}, guest)); !slices.Equal(got, []string{other}) {
		t.Errorf("inspect beside a damaged image shows %q", got)
	}
	cutTo(100)(t, other)
	if said := refused(t, exitDamaged, []string{"inspect", "--json", storeDir}, guest, other); !strings.Contains(said, `"images": []`) {
		t.Errorf("inspect of nothing but damaged images says %q", said)
	}
}

func TestInspectChild(t *testing.T) {
	f := newFamily(t)
	report := decodeJSON[imageReport](t, sabrefs(t, "inspect", "--json", f.image("v2")))
	v1 := decodeJSON[imageReport](t, sabrefs(t, "inspect", "--json", f.image("v1")))
	if want := (parentRow{Path: "../v1/mem_file.sabre", UUID: v1.UUID, Digest: v1.Digest}); report.Parent == nil || *report.Parent != want {
		t.Errorf("the parent is %+v, want %+v", report.Parent, want)
	}
	if report.Depth != 2 || len(report.Layers) != 3 || report.ParentPages == 0 || report.ZeroPages+report.ParentPages+int64(len(memberPages["v2"])) != samplePages {
		t.Fatalf("inspect --json says %+v", report.lineage)
	}
	var frames int64
	for depth, name := range []string{"base", "v1", "v2"} {
		layer := report.Layers[depth]
		if layer.Path != f.image(name) || layer.Depth != depth || layer.FirstFrame != frames || layer.PackedBytes != int64(len(readFile(t, f.image(name)))) {
			t.Errorf("layer %d is %+v", depth, layer)
		}
		frames += layer.Frames
	}
	if frames != report.InheritedFrames+report.Frames {
		t.Errorf("the layers have %d frames, the image %d of its own and %d inherited", frames, report.Frames, report.InheritedFrames)
	}
	said := sabrefs(t, "inspect", f.image("v2"))
	for _, want := range []string{"../v1/mem_file.sabre", v1.UUID, v1.Digest, "as packed", f.image("base"), fmt.Sprintf("%d inherited", report.ParentPages)} {
		if !strings.Contains(said, want) {
			t.Errorf("inspect does not show %q:\n%s", want, said)
		}
	}
	table := decodeJSON[framesReport](t, sabrefs(t, "inspect", "--frames", "--json", f.image("v2")))
	if table.FirstFrame != report.InheritedFrames || int64(len(table.Frames)) != report.Frames {
		t.Errorf("inspect --frames --json says %+v", table)
	}
	if said := sabrefs(t, "inspect", "--frames", f.image("v2")); !strings.Contains(said, fmt.Sprintf(" %d  ", table.FirstFrame)) {
		t.Errorf("the frames are not numbered from %d:\n%s", table.FirstFrame, said)
	}
	sabrefs(t, "repack", "--codec", "lz4", f.image("base"))
	if said := sabrefs(t, "inspect", f.image("v2")); !strings.Contains(said, "stale") {
		t.Errorf("inspect does not say that a parent was repacked:\n%s", said)
	}
}

// TestInspectAlone: without its parent, an image is shown all the same.
func TestInspectAlone(t *testing.T) {
	f := newFamily(t)
	archive := filepath.Join(realTempDir(t), "archive")
	before := decodeJSON[imageReport](t, sabrefs(t, "inspect", "--json", f.image("v1")))
	frames := sabrefs(t, "inspect", "--frames", f.image("v1"))
	noError(t, os.Rename(filepath.Join(f.dir, "base"), archive))
	alone := decodeJSON[imageReport](t, sabrefs(t, "inspect", "--json", f.image("v1")))
	if !strings.Contains(alone.Parent.Error, "not there") || len(alone.Layers) != 0 || alone.UUID != before.UUID || alone.Depth != 1 ||
		alone.Frames != before.Frames || alone.InheritedFrames != before.InheritedFrames {
		t.Errorf("without its parent, the image is %+v, before it was %+v", alone, before)
	}
	if said := sabrefs(t, "inspect", f.image("v1")); !strings.Contains(said, "cannot be opened") {
		t.Errorf("inspect does not say that the parent is missing:\n%s", said)
	}
	if said := sabrefs(t, "inspect", "--frames", f.image("v1")); said != frames {
		t.Errorf("without its parent, the frames are\n%s\nbefore they were\n%s", said, frames)
	}
	found := decodeJSON[imageReport](t, sabrefs(t, "inspect", "--json", "--parent-dir", archive, f.image("v1")))
	if found.Parent.Error != "" || found.Parent.Stale || len(found.Layers) != 2 || found.Layers[0].Path != filepath.Join(archive, "mem_file.sabre") {
		t.Errorf("with its parent elsewhere, the image is %+v", found)
	}
}
