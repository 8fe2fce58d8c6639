package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sabrefs/fs"
)

// metricsListener serves metrics at an address; a nil one serves none.
type metricsListener struct{ net.Listener }

// listenForMetrics takes the address, nil for an empty one.
func listenForMetrics(ctx context.Context, address string) (*metricsListener, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // no metrics is an answer
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics-addr: %w", err)
	}
	return &metricsListener{listener}, nil
}

func (l *metricsListener) close() error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// serve answers until the function that it returns is called.
func (l *metricsListener) serve(server *fs.Server, logger *slog.Logger) (stop func()) {
	if l == nil {
		return func() {}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(mountCollector{server}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	const headerTimeout = 10 * time.Second
	web := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	go func() {
		if err := web.Serve(l.Listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("serving metrics ended", "err", err)
		}
	}()
	logger.Info("serving metrics", "address", l.Addr().String())
	return func() { _ = web.Close() }
}

// mountCollector turns the counts of a mount into metrics whenever they are asked
// for.
type mountCollector struct{ server *fs.Server }

// metric describes one figure of a memory file, and where it is in a report.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(fs.FileReport) float64
}

func fileCounter(name, help string, value func(fs.FileReport) float64) metric {
	return metric{prometheus.NewDesc(name, help, []string{fileLabel}, nil), prometheus.CounterValue, value}
}

// fileLabel is the path of the memory file in the mount.
const fileLabel = "file"

var fileMetrics = []metric{
	fileCounter("sabrefs_opens_total", "Opens of the memory file.", func(r fs.FileReport) float64 { return float64(r.Opens) }),
	fileCounter("sabrefs_read_bytes_total", "Raw bytes that READ requests were answered with.", func(r fs.FileReport) float64 { return float64(r.ReadBytes) }),
	fileCounter("sabrefs_read_errors_total", "READ requests that ended in an error.", func(r fs.FileReport) float64 { return float64(r.FailedReads) }),
	fileCounter("sabrefs_prefetch_sessions_total", "Prefetch sessions.", func(r fs.FileReport) float64 { return float64(r.Totals.Sessions) }),
	fileCounter("sabrefs_prefetch_planned_pages_total", "Pages of the working set that were to be pushed.", func(r fs.FileReport) float64 { return float64(r.Totals.Planned) }),
	fileCounter("sabrefs_prefetch_pushed_pages_total", "Pages put into the page cache.", func(r fs.FileReport) float64 { return float64(r.Totals.Pushed) }),
	fileCounter("sabrefs_prefetch_late_pages_total", "Pages that a guest asked for before they were pushed.", func(r fs.FileReport) float64 { return float64(r.Totals.Late) }),
	fileCounter("sabrefs_prefetch_evicted_pages_total", "Pages that a guest asked for after they were pushed.", func(r fs.FileReport) float64 { return float64(r.Totals.Evicted) }),
	fileCounter("sabrefs_prefetch_gap_pages_total", "Pages pushed along between two of the working set.", func(r fs.FileReport) float64 { return float64(r.Totals.Gap) }),
	fileCounter("sabrefs_prefetch_read_bytes_total", "Packed bytes read ahead.", func(r fs.FileReport) float64 { return float64(r.Totals.ReadBytes) }),
	fileCounter("sabrefs_prefetch_decoded_bytes_total", "Raw bytes decoded ahead.", func(r fs.FileReport) float64 { return float64(r.Totals.DecodedBytes) }),
	fileCounter("sabrefs_prefetch_pushed_bytes_total", "Raw bytes put into the page cache.", func(r fs.FileReport) float64 { return float64(r.Totals.PushedBytes) }),
	fileCounter("sabrefs_prefetch_bad_frames_total", "Frames that could not be decoded ahead.", func(r fs.FileReport) float64 { return float64(r.Totals.BadFrames) }),
	fileCounter("sabrefs_prefetch_push_errors_total", "Pushes that the kernel refused.", func(r fs.FileReport) float64 { return float64(r.Totals.FailedPushes) }),
	fileCounter("sabrefs_prefetch_read_seconds_total", "Time of all workers together spent reading.", func(r fs.FileReport) float64 { return r.Totals.ReadSeconds }),
	fileCounter("sabrefs_prefetch_decode_seconds_total", "Time of all workers together spent decoding.", func(r fs.FileReport) float64 { return r.Totals.DecodeSeconds }),
	fileCounter("sabrefs_prefetch_push_seconds_total", "Time of all workers together spent pushing.", func(r fs.FileReport) float64 { return r.Totals.PushSeconds }),
	fileCounter("sabrefs_prefetch_seconds_total", "Time from the begin of prefetch to the end of the working set.", func(r fs.FileReport) float64 { return r.Totals.WallSeconds }),
	{prometheus.NewDesc("sabrefs_users", "Open handles of the memory file.", []string{fileLabel}, nil), prometheus.GaugeValue,
		func(r fs.FileReport) float64 { return float64(r.Users) }},
}

var (
	demandDesc = prometheus.NewDesc("sabrefs_demand_seconds",
		"Time to answer READ requests, by where the bytes came from: zero, cache, prefetch, decode.", []string{fileLabel, "source"}, nil)
	refusedDesc = prometheus.NewDesc("sabrefs_refused_writes_total", "WRITE requests to memory files, all refused.", nil, nil)
	budgetDesc  = prometheus.NewDesc("sabrefs_prefetch_budget_left_bytes", "Bytes that prefetch may still push.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c mountCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range fileMetrics {
		descs <- m.desc
	}
	descs <- demandDesc
	descs <- refusedDesc
	descs <- budgetDesc
}

// Collect implements prometheus.Collector.
func (c mountCollector) Collect(metrics chan<- prometheus.Metric) {
	mount := c.server.Report()
	metrics <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(mount.RefusedWrites))
	metrics <- prometheus.MustNewConstMetric(budgetDesc, prometheus.GaugeValue, float64(mount.BudgetLeftBytes))
	for _, file := range c.server.FileReports() {
		for _, m := range fileMetrics {
			metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(file), file.Name)
		}
		for source, latency := range file.Demand {
			metrics <- demandMetric(file.Name, source, latency)
		}
	}
}

// demandMetric makes a histogram, whose classes Prometheus wants to be cumulative.
func demandMetric(file, source string, latency fs.LatencyReport) prometheus.Metric {
	buckets := make(map[float64]uint64, len(fs.LatencyBounds))
	below := uint64(0)
	for i, bound := range fs.LatencyBounds {
		below += uint64(latency.Classes[i])
		buckets[bound.Seconds()] = below
	}
	return prometheus.MustNewConstHistogram(demandDesc, uint64(latency.Count), latency.Seconds, buckets, file, source)
}
