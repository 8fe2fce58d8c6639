package iaa

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"sabrefs/iaa/model"
)

// openModel opens the devices of a modeled machine. Unless a test says so, jobs
// have much time: the model is slow under the race detector.
func openModel(tb testing.TB, config model.Config, options DeviceOptions) (*model.Host, *device, Report) {
	tb.Helper()
	host, err := model.NewHost(config)
	wantNoError(tb, err)
	options.Name = "model"
	if options.JobTimeout == 0 {
		options.JobTimeout = time.Minute
	}
	options.Logger = slog.New(slog.DiscardHandler)
	engine, report, err := OpenDevice(host, Software(), options)
	wantNoError(tb, err)
	d, ok := engine.(*device)
	if !ok {
		tb.Fatalf("engine is a %T", engine)
	}
	tb.Cleanup(func() {
		wantNoError(tb, d.Close())
		wantNoError(tb, host.Close())
	})
	return host, d, report
}

// runBatches decodes b.N streams of 4 KiB pages, 64 at a time.
func runBatches(b *testing.B, d *device, packed []byte, rawBytes int) {
	b.Helper()
	batch := Batch{Jobs: make([]Job, 64)}
	for i := range batch.Jobs {
		batch.Jobs[i] = Job{Src: packed, Dst: make([]byte, rawBytes)}
	}
	b.ReportAllocs()
	b.SetBytes(int64(rawBytes))
	b.ResetTimer()
	for done := 0; done < b.N; done += len(batch.Jobs) {
		d.Start(b.Context(), OpDecompress, &batch)
		wantNoError(b, batch.Wait())
	}
	b.StopTimer()
	if got := d.Stats(); got.Decompressed < uint64(b.N) || len(got.Fallbacks) > 0 {
		b.Fatalf("of %d jobs: %+v", b.N, got)
	}
}

// BenchmarkDriverOverhead measures what the driver itself costs for each job:
// the modeled device completes jobs at once and without decoding. It yields no
// checksum, hence it must be trusted.
func BenchmarkDriverOverhead(b *testing.B) {
	for _, rawBytes := range []int{4 << 10, 16 << 10} {
		packed := compressed(b, text(1, rawBytes))
		for _, c := range []struct {
			name   string
			noMmap bool
		}{{name: "portal"}, {name: "write", noMmap: true}} {
			b.Run(fmt.Sprintf("%s/%dKiB", c.name, rawBytes>>10), func(b *testing.B) {
				_, d, _ := openModel(b, model.Config{ZeroCost: true, NoMmap: c.noMmap}, DeviceOptions{TrustDevice: true})
				runBatches(b, d, packed, rawBytes)
			})
		}
	}
}

// BenchmarkDriverVerified adds what distrust costs: the checksum of the output
// is computed again. The fake device copies the right answer.
func BenchmarkDriverVerified(b *testing.B) {
	for _, rawBytes := range []int{4 << 10, 16 << 10} {
		raw := text(1, rawBytes)
		packed := compressed(b, raw)
		for _, trust := range []bool{false, true} {
			b.Run(fmt.Sprintf("trust=%v/%dKiB", trust, rawBytes>>10), func(b *testing.B) {
				d, _ := openFake(b, &fakeQueue{answer: echo(b, raw, packed), oneByOne: true}, DeviceOptions{TrustDevice: trust})
				runBatches(b, d, packed, rawBytes)
			})
		}
	}
}

// BenchmarkDriverParallel shares one device between goroutines, each with
// batches of its own.
func BenchmarkDriverParallel(b *testing.B) {
	const rawBytes = 4 << 10
	packed := compressed(b, text(1, rawBytes))
	_, d, _ := openModel(b, model.Config{ZeroCost: true}, DeviceOptions{TrustDevice: true})
	b.SetBytes(rawBytes)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		batch := Batch{Jobs: make([]Job, 32)}
		for i := range batch.Jobs {
			batch.Jobs[i] = Job{Src: packed, Dst: make([]byte, rawBytes)}
		}
		for left := true; left; {
			for range batch.Jobs {
				left = pb.Next() && left
			}
			d.Start(b.Context(), OpDecompress, &batch)
			if err := batch.Wait(); err != nil {
				b.Error(err)
			}
		}
	})
}
