package api

import (
	"encoding/json"
	"maps"
	"sync"
	"time"
)

// metricsInterval is how often metrics are written without being asked for:
// Firecracker's.
const metricsInterval = time.Minute

// metricsConfig is the document at /metrics.
type metricsConfig struct {
	Path string `json:"metrics_path"`
}

func (s *Server) putMetrics(r request) error {
	var c metricsConfig
	err := decodeBody(r.body, field{name: "metrics_path", required: true, read: hostPath(&c.Path)})
	if err != nil {
		return err
	}
	if s.config.metrics != nil {
		return refuse("Reinitialization of metrics not allowed.")
	}
	if err := s.metrics.open(c.Path); err != nil {
		return failed("Failed to initialize the metrics", withoutPath(err))
	}
	s.config.metrics = &c
	return nil
}

// metrics counts requests and keeps how long things took. Names are those of
// Firecracker. Counters are since the last line, durations those of the last
// time.
type metrics struct {
	startup time.Duration // until the socket was there

	mu        sync.Mutex // guards what follows
	file      *lineFile
	requests  map[string]map[string]uint64 // "get", "put", "patch": counters
	latencies map[string]int64             // microseconds
}

// metricsLine is one line of the metrics.
type metricsLine struct {
	UTCMillis int64             `json:"utc_timestamp_ms"`
	APIServer map[string]int64  `json:"api_server"`
	Get       map[string]uint64 `json:"get_api_requests"`
	Put       map[string]uint64 `json:"put_api_requests"`
	Patch     map[string]uint64 `json:"patch_api_requests"`
	Latencies map[string]int64  `json:"latencies_us"`
	Logger    map[string]uint64 `json:"logger"`
}

func newMetrics() *metrics {
	m := &metrics{latencies: map[string]int64{}}
	m.clear()
	return m
}

// clear starts the counters anew; mu is held, or m is not shared yet.
func (m *metrics) clear() {
	m.requests = map[string]map[string]uint64{"GET": {}, "PUT": {}, "PATCH": {}}
}

func (m *metrics) open(path string) error {
	file, err := openLineFile(path)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.file = file
	return nil
}

func (m *metrics) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return nil
	}
	return m.file.close()
}

// count notes a request of a route.
func (m *metrics) count(method, name string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests[method][name+"_count"]++
	if err != nil {
		m.requests[method][name+"_fails"]++
	}
}

// took notes how long something took.
func (m *metrics) took(name string, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latencies[name] = d.Microseconds()
}

// flush writes a line, if a client wants them. missedLog is how many lines the
// log lost.
func (m *metrics) flush(missedLog uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return
	}
	line, err := json.Marshal(metricsLine{
		UTCMillis: time.Now().UnixMilli(),
		APIServer: map[string]int64{"process_startup_time_us": m.startup.Microseconds()},
		Get:       m.requests["GET"], Put: m.requests["PUT"], Patch: m.requests["PATCH"],
		Latencies: maps.Clone(m.latencies),
		Logger:    map[string]uint64{"missed_log_count": missedLog, "missed_metrics_count": m.file.takeMissed()},
	})
	if err != nil {
		return // maps of numbers can be encoded
	}
	m.file.writeLine(append(line, '\n'))
	m.clear()
}
