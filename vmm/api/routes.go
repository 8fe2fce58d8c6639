package api

import (
	"errors"
	"io"
	"net/http"
	"strings"
)

// maxBodyBytes is Firecracker's limit.
const maxBodyBytes = 51200

// request is what a handler gets to see of one.
type request struct {
	body []byte
	id   string // of a drive
}

// when says in which states of the machine a request has a meaning.
type when int

const (
	always when = iota
	beforeStart
	afterStart
)

// route is one thing that can be asked for. It either shows a document or does
// something.
type route struct {
	method string
	path   string // without the slash in front; ends in one if an ID follows
	metric string
	when   when
	show   func(*Server) any
	do     func(*Server, request) error
}

// routes is the API.
var routes = []route{
	{method: http.MethodGet, path: "", metric: "instance_info", show: (*Server).getInstance},
	{method: http.MethodGet, path: "version", metric: "vmm_version", show: (*Server).getVersion},
	{method: http.MethodGet, path: "vm/config", metric: "vm_config", show: (*Server).getVMConfig},
	{method: http.MethodGet, path: "machine-config", metric: "machine_cfg", show: (*Server).getMachineConfig},
	{method: http.MethodPut, path: "actions", metric: "actions", do: (*Server).putAction},
	{method: http.MethodPut, path: "boot-source", metric: "boot_source", when: beforeStart, do: (*Server).putBootSource},
	{method: http.MethodPut, path: "drives/", metric: "drive", when: beforeStart, do: (*Server).putDrive},
	{method: http.MethodPut, path: "logger", metric: "logger", when: beforeStart, do: (*Server).putLogger},
	{method: http.MethodPut, path: "machine-config", metric: "machine_cfg", when: beforeStart, do: (*Server).putMachineConfig},
	{method: http.MethodPut, path: "metrics", metric: "metrics", when: beforeStart, do: (*Server).putMetrics},
	{method: http.MethodPut, path: "snapshot/create", metric: "snapshot_create", when: afterStart, do: (*Server).createSnapshot},
	{method: http.MethodPut, path: "snapshot/load", metric: "snapshot_load", when: beforeStart, do: (*Server).loadSnapshot},
	{method: http.MethodPatch, path: "drives/", metric: "drive", when: afterStart, do: (*Server).patchDrive},
	{method: http.MethodPatch, path: "machine-config", metric: "machine_cfg", when: beforeStart, do: (*Server).patchMachineConfig},
	{method: http.MethodPatch, path: "vm", metric: "vm", when: afterStart, do: (*Server).patchVM},
}

// missingFeatures are resources that Firecracker has and this machine has not,
// by the first part of their path.
var missingFeatures = map[string]string{
	"balloon": "memory balloons.", "cpu-config": "CPU configuration.", "entropy": "entropy devices.",
	"hotplug": "memory hotplug.", "mmds": "the metadata service (MMDS).",
	"network-interfaces": "network devices.", "pmem": "pmem devices.", "serial": "a serial device of choice.",
	"vsock": "vsock devices.",
}

// findRoute returns the route of a request, and the ID in its path. The order
// of what it refuses is Firecracker's.
func findRoute(method, path string, hasBody bool) (*route, string, error) {
	if err := checkBodyPresence(method, hasBody); err != nil {
		return nil, "", err
	}
	path = strings.TrimSuffix(strings.TrimLeft(path, "/"), "/")
	first, rest, _ := strings.Cut(path, "/")
	for i := range routes {
		r := &routes[i]
		if r.method != method {
			continue
		}
		if r.path == path {
			return r, "", nil
		}
		if r.path == first+"/" {
			return r, rest, nil
		}
	}
	if feature, ok := missingFeatures[first]; ok {
		return nil, "", unsupported("%s", feature)
	}
	if method == http.MethodPut && first == "snapshot" {
		if rest == "" {
			return nil, "", refuse("Missing snapshot operation type.")
		}
		first = "/" + path
	}
	return nil, "", refuse("Invalid request method and/or path: %s %s.", method, first)
}

// checkBodyPresence refuses what has a body and should not, or the reverse.
func checkBodyPresence(method string, hasBody bool) error {
	switch {
	case method == http.MethodGet && hasBody:
		return refuse("GET request cannot have a body.")
	case method == http.MethodPut && !hasBody:
		return refuse("Empty PUT request.")
	case method == http.MethodPatch && !hasBody:
		return refuse("Empty PATCH request.")
	}
	return nil
}

// readBody returns the body, or refuses one that is too long before it has
// been read to its end.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBodyBytes {
		return nil, tooLarge(w, r.ContentLength)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(w, maxBodyBytes+1)
	}
	if err != nil {
		return nil, refuse("The body cannot be read: %v", err)
	}
	return body, nil
}

// tooLarge also ends the connection: what follows on it is the rest of a body
// that nobody wants.
func tooLarge(w http.ResponseWriter, lenBytes int64) error {
	w.Header().Set("Connection", "close")
	f := refuse("Request payload with size %d is larger than the limit of %d allowed by server.", lenBytes, maxBodyBytes)
	f.status = http.StatusRequestEntityTooLarge
	return f
}

// ServeHTTP carries out one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "Firecracker API")
	w.Header()["Date"] = nil // Firecracker sends none
	document, err := s.answer(w, r)
	switch {
	case err != nil:
		f := asFault(err)
		s.logger.Error("Received Error", "status", f.status, "message", f.message)
		writeFault(w, f)
	case document != nil:
		writeJSON(w, http.StatusOK, document)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// answer returns the document that was asked for, or nil when what was asked
// for has been done.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) (any, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodPut && r.Method != http.MethodPatch {
		w.Header().Set("Allow", "GET, PUT, PATCH")
		f := refuse("Invalid HTTP Method: %s.", r.Method)
		f.status = http.StatusMethodNotAllowed
		return nil, f
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	s.logger.Info("The API server received a request", "method", r.Method, "path", r.URL.Path)
	route, id, err := findRoute(r.Method, r.URL.Path, len(body) > 0)
	if err != nil {
		return nil, err
	}
	document, err := s.carryOut(route, request{body: body, id: id})
	s.metrics.count(route.method, route.metric, err)
	return document, err
}

// carryOut does what the route says, if the machine's state allows it. It is
// the only place where requests wait for each other.
func (s *Server) carryOut(r *route, rq request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil, refuse("The microVM has ended.")
	}
	if r.show != nil {
		return r.show(s), nil
	}
	switch {
	case r.when == beforeStart && s.machine != nil:
		return nil, refuse(msgAfterStart)
	case r.when == afterStart && s.machine == nil:
		return nil, refuse(msgBeforeStart)
	case s.machine != nil && s.machine.State() == Ended:
		return nil, refuse("The microVM has ended.")
	}
	return nil, r.do(s, rq)
}
