package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"sabrefs/prefetch"
	"sabrefs/store"
)

// traces are what --working-set names: a trace file, or a directory that has
// the trace of DIR/guest/mem_file as guest/mem_file.ws.
type traces struct {
	path  string
	isDir bool
}

// openTraces returns nil if there is no path.
func openTraces(path string) (*traces, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no traces is an answer
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return &traces{path, info.IsDir()}, nil
}

// of returns the trace of a memory file, given by its path in the snapshot or
// store, or nil if the directory has none.
func (t *traces) of(memory string) (*prefetch.Trace, error) {
	if !t.isDir {
		return prefetch.ReadFile(t.path)
	}
	trace, err := prefetch.ReadFile(filepath.Join(t.path, memory+prefetch.TraceSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no trace is an answer
	}
	return trace, err
}

// ofPath returns the trace of a single memory file, of which nobody says in which
// store it is: of a/b/mem_file it is a/b/mem_file.ws, b/mem_file.ws or
// mem_file.ws in the directory. It must be there.
func (t *traces) ofPath(memory string) (*prefetch.Trace, error) {
	path, err := filepath.Abs(memory)
	if err != nil {
		return nil, err
	}
	names := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i := range names {
		trace, err := t.of(filepath.Join(names[i:]...))
		if trace != nil || err != nil {
			return trace, err
		}
	}
	return nil, fmt.Errorf("%s: it has no trace of %s: %w", t.path, memory, fs.ErrNotExist)
}

// lead makes packing of a single memory file follow its trace.
func (t *traces) lead(opt *store.PackOptions, memory string, rawBytes int64) error {
	trace, err := t.ofPath(memory)
	if err != nil {
		return err
	}
	return useTraceOf(opt, trace, memory, rawBytes)
}

// forFiles returns what PackOptions.ForFile should be for the memory files of a
// snapshot, which are given with their sizes. Those without a trace are packed
// without one.
func (t *traces) forFiles(dir string, files map[string]int64) (func(string, store.PackOptions) (store.PackOptions, error), error) {
	if !t.isDir && len(files) > 1 {
		return nil, usageError{fmt.Errorf("%s has %d memory files, and %s is the trace of one; give a directory of traces", dir, len(files), t.path)}
	}
	found := map[string]*prefetch.Trace{}
	for name := range files {
		trace, err := t.of(name)
		if err != nil {
			return nil, err
		}
		if trace != nil {
			found[name] = trace
		}
	}
	if len(found) == 0 && len(files) > 0 {
		return nil, fmt.Errorf("%s: it has no trace of any memory file below %s: %w", t.path, dir, fs.ErrNotExist)
	}
	for name, trace := range found {
		if err := useTraceOf(&store.PackOptions{}, trace, name, files[name]); err != nil {
			return nil, err
		}
	}
	return func(name string, opt store.PackOptions) (store.PackOptions, error) {
		if trace := found[name]; trace != nil {
			useTrace(&opt, trace, name)
		}
		return opt, nil
	}, nil
}

// useTraceOf is useTrace, and compares what is known of a memory file before it is
// packed.
func useTraceOf(opt *store.PackOptions, trace *prefetch.Trace, memory string, rawBytes int64) error {
	useTrace(opt, trace, memory)
	return opt.Accept(&store.Header{Identity: trace.Image, RawBytes: rawBytes})
}

// useTrace makes packing lay the image out by a trace, and refuse the image at the
// end if the trace is of other content.
func useTrace(opt *store.PackOptions, trace *prefetch.Trace, memory string) {
	opt.WorkingSet = trace.PageRuns()
	if opt.WorkingSet == nil {
		opt.WorkingSet = []store.PageRun{} // of a run that touched nothing
	}
	opt.Accept = func(h *store.Header) error {
		if err := trace.Check(h); err != nil {
			return fmt.Errorf("%s: %w", memory, err)
		}
		return nil
	}
}

// hotFlags are about the frames of the working set.
type hotFlags struct {
	codec     string
	frameSize byteSize
}

func (h *hotFlags) add(f *pflag.FlagSet) {
	f.StringVar(&h.codec, "hot-codec", "auto", "codec of the working set: auto, deflate, zstd, lz4 or raw")
	f.Var(&h.frameSize, "hot-frame-size", "raw size of a frame of the working set, 4K to 256K, a power of two (default: by codec)")
}

// apply sets what the flags say.
func (h *hotFlags) apply(opt *store.PackOptions) error {
	if h.codec != "auto" {
		codec, err := store.ParseCodec(h.codec)
		if err != nil {
			return fmt.Errorf("--hot-codec: %w", err)
		}
		opt.HotCodec, opt.HotRaw = codec, codec == store.CodecRaw
	}
	if !validFrameSize(int64(h.frameSize)) {
		return usageError{fmt.Errorf("--hot-frame-size %s: expected a power of two from 4K to 256K", &h.frameSize)}
	}
	opt.HotFramePages = int(h.frameSize) / store.PageBytes
	return nil
}
