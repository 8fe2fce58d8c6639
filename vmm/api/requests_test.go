package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bench is a server on a fake machine, with some files to name. In requests
// and expected answers DIR stands for its directory.
type bench struct {
	t        *testing.T
	dir      string
	launcher *fakeLauncher
	server   *Server
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), launcher: &fakeLauncher{fail: map[string]error{}}}
	for _, name := range []string{"kernel", "initrd", "disk", "disk2"} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := NewServer(Options{ID: "i-1", Launcher: b.launcher.launcher()})
	if err != nil {
		t.Fatal(err)
	}
	b.server = s
	return b
}

// do carries out "METHOD PATH BODY" and returns status and body of the answer.
func (b *bench) do(line string) (int, string) {
	b.t.Helper()
	method, rest, _ := strings.Cut(strings.ReplaceAll(line, "DIR", b.dir), " ")
	path, body, _ := strings.Cut(rest, " ")
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, strings.ReplaceAll(w.Body.String(), b.dir, "DIR")
}

// must carries out lines that are there to reach a state.
func (b *bench) must(lines ...string) {
	b.t.Helper()
	for _, line := range lines {
		if code, body := b.do(line); code >= 300 {
			b.t.Fatalf("%s: %d %s", line, code, body)
		}
	}
}

// What brings a server into each state.
var (
	configured = []string{`PUT /boot-source {"kernel_image_path":"DIR/kernel"}`}
	running    = append(configured[:1:1],
		`PUT /drives/root {"drive_id":"root","path_on_host":"DIR/disk","is_root_device":true,"is_read_only":true}`,
		`PUT /actions {"action_type":"InstanceStart"}`)
	tracked = append([]string{`PUT /machine-config {"vcpu_count":2,"mem_size_mib":64,"track_dirty_pages":true}`}, running...)
	paused  = append(running[:3:3], `PATCH /vm {"state":"Paused"}`)
)

const noContent = ""

// jsonError is how mistakes in a body are reported.
const jsonError = "An error occurred when deserializing the json body of a request: "

func TestRequests(t *testing.T) {
	const (
		boot  = `PUT /boot-source `
		drive = `PUT /drives/root `
		mc    = `PUT /machine-config `
		patch = `PATCH /machine-config `
		load  = `PUT /snapshot/load `
		snap  = `PUT /snapshot/create `
	)
	long := strings.Repeat("a", maxCommandLineBytes)
	tests := []struct {
		state   []string
		request string
		status  int
		want    string // the fault message, or the document if it begins with a brace
	}{
		// What can be asked for at any time.
		{nil, "GET /", 200, `{"id":"i-1","state":"Not started","vmm_version":"1.0.0","app_name":"sabrefs"}`},
		{running, "GET /", 200, `{"id":"i-1","state":"Running","vmm_version":"1.0.0","app_name":"sabrefs"}`},
		{paused, "GET /", 200, `{"id":"i-1","state":"Paused","vmm_version":"1.0.0","app_name":"sabrefs"}`},
		{nil, "GET /version", 200, `{"firecracker_version":"1.0.0"}`},
		{nil, "GET /version/", 200, `{"firecracker_version":"1.0.0"}`},
		{nil, "GET //version", 200, `{"firecracker_version":"1.0.0"}`},
		{nil, "GET /machine-config", 200, `{"vcpu_count":1,"mem_size_mib":128,"smt":false,"track_dirty_pages":false,"huge_pages":"None"}`},
		{tracked, "GET /machine-config", 200, `{"vcpu_count":2,"mem_size_mib":64,"smt":false,"track_dirty_pages":true,"huge_pages":"None"}`},
		{nil, "GET /vm/config", 200, `{"balloon":null,"drives":[],"boot-source":{"kernel_image_path":"","initrd_path":null},"logger":null,"machine-config":{"vcpu_count":1,"mem_size_mib":128,"smt":false,"track_dirty_pages":false,"huge_pages":"None"},"metrics":null,"mmds-config":null,"network-interfaces":[],"vsock":null}`},
		{running, "GET /vm/config", 200, `{"balloon":null,"drives":[{"drive_id":"root","path_on_host":"DIR/disk","is_root_device":true,"partuuid":null,"is_read_only":true,"cache_type":"Unsafe","io_engine":"Sync","rate_limiter":null}],"boot-source":{"kernel_image_path":"DIR/kernel","initrd_path":null},"logger":null,"machine-config":{"vcpu_count":1,"mem_size_mib":128,"smt":false,"track_dirty_pages":false,"huge_pages":"None"},"metrics":null,"mmds-config":null,"network-interfaces":[],"vsock":null}`},

		// Paths and methods that there are not.
		{nil, "GET /foo", 400, "Invalid request method and/or path: GET foo."},
		{nil, "GET /foo/bar", 400, "Invalid request method and/or path: GET foo."},
		{nil, "GET /vm", 400, "Invalid request method and/or path: GET vm."},
		{nil, "GET /vm/foo", 400, "Invalid request method and/or path: GET vm."},
		{nil, "GET /machine-config/foo", 400, "Invalid request method and/or path: GET machine-config."},
		{nil, "GET /actions", 400, "Invalid request method and/or path: GET actions."},
		{nil, "GET /boot-source", 400, "Invalid request method and/or path: GET boot-source."},
		{nil, "PUT /foo {}", 400, "Invalid request method and/or path: PUT foo."},
		{nil, "PUT / {}", 400, "Invalid request method and/or path: PUT ."},
		{nil, "PUT /vm {}", 400, "Invalid request method and/or path: PUT vm."},
		{nil, "PATCH /actions {}", 400, "Invalid request method and/or path: PATCH actions."},
		{nil, "PATCH /logger {}", 400, "Invalid request method and/or path: PATCH logger."},
		{nil, "PUT /snapshot {}", 400, "Missing snapshot operation type."},
		{nil, "PUT /snapshot/foo {}", 400, "Invalid request method and/or path: PUT /snapshot/foo."},
		{nil, "GET / {}", 400, "GET request cannot have a body."},
		{nil, "GET /foo {}", 400, "GET request cannot have a body."},
		{nil, "PUT /actions", 400, "Empty PUT request."},
		{nil, "PUT /foo", 400, "Empty PUT request."},
		{nil, "PATCH /vm", 400, "Empty PATCH request."},
		{nil, "POST /actions {}", 405, "Invalid HTTP Method: POST."},
		{nil, "DELETE /drives/root", 405, "Invalid HTTP Method: DELETE."},
		{nil, "OPTIONS /", 405, "Invalid HTTP Method: OPTIONS."},

		// What Firecracker has and this machine has not.
		{nil, `PUT /network-interfaces/1 {"iface_id":"1","host_dev_name":"tap0"}`, 400, "The requested operation is not supported: network devices."},
		{nil, `PATCH /network-interfaces/1 {"iface_id":"1"}`, 400, "The requested operation is not supported: network devices."},
		{nil, `PUT /vsock {"guest_cid":3,"uds_path":"v"}`, 400, "The requested operation is not supported: vsock devices."},
		{nil, `PUT /balloon {"amount_mib":1,"deflate_on_oom":true}`, 400, "The requested operation is not supported: memory balloons."},
		{nil, "GET /balloon", 400, "The requested operation is not supported: memory balloons."},
		{nil, "GET /balloon/statistics", 400, "The requested operation is not supported: memory balloons."},
		{nil, `PATCH /balloon/statistics {"stats_polling_interval_s":1}`, 400, "The requested operation is not supported: memory balloons."},
		{nil, "GET /mmds", 400, "The requested operation is not supported: the metadata service (MMDS)."},
		{nil, "PUT /mmds {}", 400, "The requested operation is not supported: the metadata service (MMDS)."},
		{nil, `PUT /mmds/config {"network_interfaces":["1"]}`, 400, "The requested operation is not supported: the metadata service (MMDS)."},
		{nil, "PUT /entropy {}", 400, "The requested operation is not supported: entropy devices."},
		{nil, "PUT /cpu-config {}", 400, "The requested operation is not supported: CPU configuration."},
		{nil, "PUT /pmem/1 {}", 400, "The requested operation is not supported: pmem devices."},
		{nil, "PUT /hotplug/memory {}", 400, "The requested operation is not supported: memory hotplug."},
		{nil, "PUT /serial {}", 400, "The requested operation is not supported: a serial device of choice."},

		// Bodies that are not what they should be.
		{nil, boot + `foo`, 400, jsonError + "invalid character 'o' in literal false (expecting 'a') at line 1 column 2."},
		{nil, boot + `{`, 400, jsonError + "unexpected end of JSON input at line 1 column 1."},
		{nil, boot + `[]`, 400, jsonError + "invalid type: sequence, expected an object at line 1 column 1."},
		{nil, boot + `"x"`, 400, jsonError + `invalid type: string "x", expected an object at line 1 column 3.`},
		{nil, boot + `null`, 400, jsonError + "invalid type: null, expected an object at line 1 column 4."},
		{nil, boot + `{} {}`, 400, jsonError + "invalid character '{' after top-level value at line 1 column 4."},
		{nil, boot + "{\"kernel_image_path\":\"\xff\"}", 400, jsonError + "invalid unicode code point at line 1 column 25."},
		{nil, boot + `{}`, 400, jsonError + "missing field `kernel_image_path` at line 1 column 2."},
		{nil, boot + "{\n \"boot_args\":\"\"\n}", 400, jsonError + "missing field `kernel_image_path` at line 3 column 1."},
		{nil, boot + `{"kernel_image_path":"DIR/kernel","foo":1}`, 400, jsonError + "unknown field `foo`, expected one of `kernel_image_path`, `initrd_path`, `boot_args` at line 1 column COL."},
		{nil, boot + `{"Kernel_image_path":"DIR/kernel"}`, 400, jsonError + "unknown field `Kernel_image_path`, expected one of `kernel_image_path`, `initrd_path`, `boot_args` at line 1 column 20."},
		{nil, boot + `{"boot_args":"a","boot_args":"b"}`, 400, jsonError + "duplicate field `boot_args` at line 1 column 28."},
		{nil, boot + `{"kernel_image_path":7}`, 400, jsonError + "invalid type: integer `7`, expected a string at line 1 column 22."},
		{nil, boot + `{"kernel_image_path":""}`, 400, jsonError + "invalid value: the path is empty at line 1 column 23."},
		{nil, boot + `{"kernel_image_path":"a\u0000b"}`, 400, jsonError + "invalid value: the path holds a zero byte at line 1 column 31."},

		// The boot source.
		{nil, boot + `{"kernel_image_path":"DIR/kernel"}`, 204, noContent},
		{nil, boot + `{"kernel_image_path":"DIR/kernel","initrd_path":"DIR/initrd","boot_args":"mib=32"}`, 204, noContent},
		{nil, boot + `{"kernel_image_path":"DIR/kernel","initrd_path":null,"boot_args":null}`, 204, noContent},
		{nil, boot + `{"kernel_image_path":"DIR/none"}`, 400, "The kernel file cannot be opened: no such file or directory"},
		{nil, boot + `{"kernel_image_path":"DIR"}`, 400, "The kernel file cannot be opened: neither a regular file nor a block device"},
		{nil, boot + `{"kernel_image_path":"DIR/kernel","initrd_path":"DIR/none"}`, 400, "The initrd file cannot be opened due to invalid path or invalid permissions: no such file or directory"},
		{nil, boot + `{"kernel_image_path":"DIR/kernel","boot_args":"` + long + `"}`, 400, "The kernel command line is invalid: it is longer than 2047 bytes."},
		{nil, boot + `{"kernel_image_path":"DIR/kernel","boot_args":"a\nb"}`, 400, "The kernel command line is invalid: it holds a character that is not printable ASCII."},
		{running, boot + `{"kernel_image_path":"DIR/kernel"}`, 400, msgAfterStart},

		// The machine's configuration.
		{nil, mc + `{"vcpu_count":32,"mem_size_mib":1,"smt":false,"cpu_template":"None","track_dirty_pages":true,"huge_pages":"None"}`, 204, noContent},
		{nil, mc + `{"vcpu_count":3,"mem_size_mib":1024,"smt":null,"cpu_template":null}`, 204, noContent},
		{nil, mc + `{"vcpu_count":1,"mem_size_mib":64,"huge_pages":"2M"}`, 204, noContent},
		{nil, mc + `{"vcpu_count":1,"mem_size_mib":63,"huge_pages":"2M"}`, 400, "The memory size (MiB) is invalid: it must be a multiple of the page size, 2 MiB."},
		{nil, mc + `{"vcpu_count":1,"mem_size_mib":64,"huge_pages":"1G"}`, 400, jsonError + "unknown variant `1G`, expected `None` or `2M` at line 1 column 51."},
		{nil, mc + `{"mem_size_mib": 128}`, 400, jsonError + "missing field `vcpu_count` at line 1 column 21."},
		{nil, mc + `{"vcpu_count": 2}`, 400, jsonError + "missing field `mem_size_mib` at line 1 column 17."},
		{nil, mc + `{"vcpu_count":0,"mem_size_mib":128}`, 400, "The vCPU number is invalid! The vCPU number can only be between 1 and 32."},
		{nil, mc + `{"vcpu_count":33,"mem_size_mib":128}`, 400, "The vCPU number is invalid! The vCPU number can only be between 1 and 32."},
		{nil, mc + `{"vcpu_count":256,"mem_size_mib":128}`, 400, jsonError + "invalid value: integer `256`, expected u8 at line 1 column 17."},
		{nil, mc + `{"vcpu_count":-2,"mem_size_mib":128}`, 400, jsonError + "invalid value: integer `-2`, expected u8 at line 1 column 16."},
		{nil, mc + `{"vcpu_count":"2","mem_size_mib":128}`, 400, jsonError + "invalid type: string \"2\", expected u8 at line 1 column 17."},
		{nil, mc + `{"vcpu_count":1.5,"mem_size_mib":128}`, 400, jsonError + "invalid type: floating point `1.5`, expected u8 at line 1 column 17."},
		{nil, mc + `{"vcpu_count":null,"mem_size_mib":128}`, 400, jsonError + "invalid type: null, expected u8 at line 1 column 18."},
		{nil, mc + `{"vcpu_count":1,"mem_size_mib":0}`, 400, "The memory size (MiB) is invalid."},
		{nil, mc + `{"vcpu_count":1,"mem_size_mib":16777217}`, 400, "The memory size (MiB) is invalid."},
		{nil, mc + `{"vcpu_count":1,"mem_size_mib":18446744073709551616}`, 400, jsonError + "invalid value: integer `18446744073709551616`, expected u64 at line 1 column 51."},
		{nil, mc + `{"vcpu_count":1,"mem_size_mib":128,"smt":true}`, 400, "The requested operation is not supported: simultaneous multithreading."},
		{nil, mc + `{"vcpu_count":1,"mem_size_mib":128,"smt":"yes"}`, 400, jsonError + "invalid type: string \"yes\", expected a boolean at line 1 column 46."},
		{nil, mc + `{"vcpu_count":1,"mem_size_mib":128,"cpu_template":"T2"}`, 400, "The requested operation is not supported: CPU template T2; only None is."},
		{nil, mc + `{"vcpu_count":1,"mem_size_mib":128,"cpu_template":"T9"}`, 400, jsonError + "unknown variant `T9`, expected one of `C3`, `T2`, `T2S`, `T2CL`, `T2A`, `V1N1`, `None` at line 1 column 54."},
		{nil, mc + `{"vcpu_count":1,"mem_size_mib":128,"ht_enabled":false}`, 400, jsonError + "unknown field `ht_enabled`, expected one of `vcpu_count`, `mem_size_mib`, `smt`, `cpu_template`, `track_dirty_pages`, `huge_pages` at line 1 column 47."},
		{nil, patch + `{"track_dirty_pages":true}`, 204, noContent},
		{nil, patch + `{"vcpu_count":4}`, 204, noContent},
		{nil, patch + `{}`, 400, "Empty PATCH request."},
		{nil, patch + `{"vcpu_count":null}`, 400, "Empty PATCH request."},
		{nil, patch + `{"mem_size_mib":0}`, 400, "The memory size (MiB) is invalid."},
		{running, mc + `{"vcpu_count":1,"mem_size_mib":128}`, 400, msgAfterStart},
		{running, patch + `{"vcpu_count":4}`, 400, msgAfterStart},

		// Drives.
		{nil, drive + `{"drive_id":"root","path_on_host":"DIR/disk","is_root_device":true,"is_read_only":true}`, 204, noContent},
		{nil, drive + `{"drive_id":"root","path_on_host":"DIR/disk","is_root_device":true,"is_read_only":true,"partuuid":"0eaa91a0-01","cache_type":"Writeback","io_engine":"Sync","rate_limiter":null}`, 204, noContent},
		{nil, drive + `{"drive_id":"other","path_on_host":"DIR/disk","is_root_device":true,"is_read_only":true}`, 400, "The id from the path does not match the id from the body!"},
		{nil, `PUT /drives {"drive_id":"root"}`, 400, "The ID cannot be empty."},
		{nil, `PUT /drives/a-b {"drive_id":"a-b"}`, 400, "API Resource IDs can only contain alphanumeric characters and underscores."},
		{nil, `PUT /drives/a/b {"drive_id":"a/b"}`, 400, "API Resource IDs can only contain alphanumeric characters and underscores."},
		{nil, drive + `{"drive_id":"root","path_on_host":"DIR/none","is_root_device":true,"is_read_only":true}`, 400, "Invalid block device path: DIR/none: no such file or directory"},
		{nil, drive + `{"drive_id":"root","path_on_host":"/dev/null","is_root_device":true,"is_read_only":true}`, 400, "Invalid block device path: /dev/null: neither a regular file nor a block device"},
		{nil, drive + `{"drive_id":"root","path_on_host":"","is_root_device":true,"is_read_only":true}`, 400, jsonError + "invalid value: the path is empty at line 1 column 36."},
		{nil, drive + `{"drive_id":"root","is_root_device":true,"is_read_only":true}`, 400, jsonError + "missing field `path_on_host` at line 1 column 61."},
		{nil, drive + `{"drive_id":"root","path_on_host":"DIR/disk","is_read_only":true}`, 400, jsonError + "missing field `is_root_device` at line 1 column COL."},
		{nil, drive + `{"drive_id":"root","path_on_host":"DIR/disk","is_root_device":true}`, 400, jsonError + "missing field `is_read_only` at line 1 column COL."},
		{nil, drive + `{"drive_id":"root","path_on_host":"DIR/disk","is_root_device":true,"is_read_only":true,"rate_limiter":{}}`, 400, "The requested operation is not supported: rate limiters."},
		{nil, drive + `{"drive_id":"root","path_on_host":"DIR/disk","is_root_device":true,"is_read_only":true,"io_engine":"Async"}`, 400, "The requested operation is not supported: the io_engine Async; only Sync is."},
		{nil, drive + `{"drive_id":"root","path_on_host":"DIR/disk","is_root_device":true,"is_read_only":true,"partuuid":"a\nb"}`, 400, "The kernel command line is invalid: it holds a character that is not printable ASCII."},
		{running, drive + `{"drive_id":"root","path_on_host":"DIR/disk","is_root_device":true,"is_read_only":true}`, 400, msgAfterStart},
		{nil, `PATCH /drives/root {"drive_id":"root","path_on_host":"DIR/disk2"}`, 400, msgBeforeStart},
		{running, `PATCH /drives/root {"drive_id":"root","path_on_host":"DIR/disk2"}`, 204, noContent},
		{paused, `PATCH /drives/root {"drive_id":"root","path_on_host":"DIR/disk2"}`, 204, noContent},
		{running, `PATCH /drives/root {"drive_id":"root"}`, 400, "Please specify at least one property to patch: path_on_host, rate_limiter."},
		{running, `PATCH /drives/root {"drive_id":"other","path_on_host":"DIR/disk2"}`, 400, "The id from the path does not match the id from the body!"},
		{running, `PATCH /drives/other {"drive_id":"other","path_on_host":"DIR/disk2"}`, 400, "Error during drive update (patch): there is no drive other"},
		{running, `PATCH /drives/root {"drive_id":"root","path_on_host":"DIR/none"}`, 400, "Invalid block device path: DIR/none: no such file or directory"},
		{running, `PATCH /drives/root {"drive_id":"root","rate_limiter":{}}`, 400, "The requested operation is not supported: rate limiters."},
		{running, `PATCH /drives/root {"drive_id":"root","is_read_only":true}`, 400, jsonError + "unknown field `is_read_only`, expected one of `drive_id`, `path_on_host`, `rate_limiter` at line 1 column 33."},

		// Actions.
		{configured, `PUT /actions {"action_type":"InstanceStart"}`, 204, noContent},
		{nil, `PUT /actions {"action_type":"InstanceStart"}`, 400, "Cannot start microvm without kernel configuration."},
		{running, `PUT /actions {"action_type":"InstanceStart"}`, 400, msgAfterStart},
		{nil, `PUT /actions {"action_type":"SendCtrlAltDel"}`, 400, msgBeforeStart},
		{running, `PUT /actions {"action_type":"SendCtrlAltDel"}`, 204, noContent},
		{nil, `PUT /actions {"action_type":"FlushMetrics"}`, 400, msgBeforeStart},
		{running, `PUT /actions {"action_type":"FlushMetrics"}`, 204, noContent},
		{nil, `PUT /actions {"action_type":"Dance"}`, 400, jsonError + "unknown variant `Dance`, expected one of `FlushMetrics`, `InstanceStart`, `SendCtrlAltDel` at line 1 column 22."},
		{nil, `PUT /actions {"action_type":"InstanceStart","payload":1}`, 400, jsonError + "unknown field `payload`, expected `action_type` at line 1 column 40."},

		// Pausing.
		{running, `PATCH /vm {"state":"Paused"}`, 204, noContent},
		{running, `PATCH /vm {"state":"Resumed"}`, 204, noContent},
		{paused, `PATCH /vm {"state":"Paused"}`, 204, noContent},
		{paused, `PATCH /vm {"state":"Resumed"}`, 204, noContent},
		{nil, `PATCH /vm {"state":"Paused"}`, 400, msgBeforeStart},
		{nil, `PATCH /vm {"state":"Resumed"}`, 400, msgBeforeStart},
		{running, `PATCH /vm {"state":"paused"}`, 400, jsonError + "unknown variant `paused`, expected `Paused` or `Resumed` at line 1 column 17."},
		{running, `PATCH /vm {}`, 400, jsonError + "missing field `state` at line 1 column 2."},

		// Taking snapshots.
		{paused, snap + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`, 204, noContent},
		{paused, snap + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m","snapshot_type":"Full","version":"1.0.0"}`, 204, noContent},
		{append(tracked[:4:4], `PATCH /vm {"state":"Paused"}`), snap + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m","snapshot_type":"Diff"}`, 204, noContent},
		{paused, snap + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m","snapshot_type":"Diff"}`, 400, "The requested operation is not supported: " + msgNotTracked},
		{running, snap + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`, 400, msgWhileRuns},
		{nil, snap + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`, 400, msgBeforeStart},
		{paused, snap + `{"snapshot_path":"DIR/s"}`, 400, jsonError + "missing field `mem_file_path` at line 1 column COL."},
		{paused, snap + `{"mem_file_path":"DIR/m"}`, 400, jsonError + "missing field `snapshot_path` at line 1 column COL."},
		{paused, snap + `{"snapshot_path":"DIR/x","mem_file_path":"DIR/./x"}`, 400, "Cannot create snapshot: snapshot_path and mem_file_path are the same file"},
		{paused, snap + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m","version":"0.23.0"}`, 400, "Cannot translate microVM version to snapshot data version"},
		{paused, snap + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m","snapshot_type":"Half"}`, 400, jsonError + "unknown variant `Half`, expected `Diff` or `Full` at line 1 column COL."},

		// Loading them.
		{nil, load + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`, 204, noContent},
		{nil, load + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m","enable_diff_snapshots":true,"resume_vm":true}`, 204, noContent},
		{nil, load + `{"snapshot_path":"DIR/s","mem_backend":{"backend_path":"DIR/m","backend_type":"File"},"track_dirty_pages":true,"network_overrides":[],"clock_realtime":false}`, 204, noContent},
		{nil, load + `{"snapshot_path":"DIR/s","mem_backend":{"backend_path":"DIR/m","backend_type":"Uffd"}}`, 400, "The requested operation is not supported: the memory backend Uffd; only File is."},
		{nil, load + `{"snapshot_path":"DIR/s","mem_backend":{"backend_path":"m","backend_type":"Tape"}}`, 400, jsonError + "unknown variant `Tape`, expected `File` or `Uffd` at line 1 column COL."},
		{nil, load + `{"snapshot_path":"DIR/s","mem_backend":{"backend_path":"m"}}`, 400, jsonError + "missing field `backend_type` at line 1 column COL."},
		{nil, load + `{"snapshot_path":"DIR/s","mem_backend":"m"}`, 400, jsonError + "invalid type: string \"m\", expected an object at line 1 column COL."},
		{nil, load + `{"snapshot_path":"DIR/s"}`, 400, jsonError + "missing field: either `mem_backend` or `mem_file_path` is required."},
		{nil, load + `{"snapshot_path":"DIR/s","mem_file_path":"m","mem_backend":{"backend_path":"m","backend_type":"File"}}`, 400, jsonError + "too many fields: either `mem_backend` or `mem_file_path` exclusively is required."},
		{nil, load + `{"mem_file_path":"DIR/m"}`, 400, jsonError + "missing field `snapshot_path` at line 1 column COL."},
		{nil, load + `{"snapshot_path":"DIR/s","mem_file_path":"m","network_overrides":[{"iface_id":"1"}]}`, 400, "The requested operation is not supported: network devices."},
		{nil, load + `{"snapshot_path":"DIR/s","mem_file_path":"m","network_overrides":{}}`, 400, jsonError + "invalid type: map, expected a sequence at line 1 column COL."},
		{nil, load + `{"snapshot_path":"DIR/s","mem_file_path":"m","clock_realtime":true}`, 400, "The requested operation is not supported: clock_realtime."},
		{configured, load + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`, 400, msgLoadTooLate},
		{[]string{patch + `{"vcpu_count":2}`}, load + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`, 400, msgLoadTooLate},
		{[]string{`PUT /logger {"log_path":"DIR/log"}`, `PUT /metrics {"metrics_path":"DIR/metrics"}`}, load + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`, 204, noContent},
		{running, load + `{"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`, 400, msgAfterStart},

		// Log and metrics.
		{nil, `PUT /logger {"log_path":"DIR/log","level":"Info","show_level":true,"show_log_origin":false}`, 204, noContent},
		{nil, `PUT /logger {"log_path":"DIR/log","level":"WaRnInG"}`, 204, noContent},
		{nil, `PUT /logger {"log_path":"DIR/log","level":"Loud"}`, 400, jsonError + "unknown variant `Loud`, expected one of `Error`, `Warning`, `Info`, `Debug` at line 1 column COL."},
		{nil, `PUT /logger {"log_path":"DIR/none/log"}`, 400, "Failed to initialize the logger: no such file or directory"},
		{nil, `PUT /logger {"log_path":"DIR"}`, 400, "Failed to initialize the logger: is a directory"},
		{nil, `PUT /logger {}`, 400, jsonError + "missing field `log_path` at line 1 column 2."},
		{running, `PUT /logger {"log_path":"DIR/log"}`, 400, msgAfterStart},
		{nil, `PUT /metrics {"metrics_path":"DIR/metrics"}`, 204, noContent},
		{nil, `PUT /metrics {"metrics_path":"DIR/none/metrics"}`, 400, "Failed to initialize the metrics: no such file or directory"},
		{[]string{`PUT /metrics {"metrics_path":"DIR/metrics"}`}, `PUT /metrics {"metrics_path":"DIR/metrics"}`, 400, "Reinitialization of metrics not allowed."},
		{running, `PUT /metrics {"metrics_path":"DIR/metrics"}`, 400, msgAfterStart},
	}
	for i, test := range tests {
		t.Run(fmt.Sprintf("%d_%.40s", i, strings.ReplaceAll(test.request, "/", "_")), func(t *testing.T) {
			b := newBench(t)
			b.must(test.state...)
			code, body := b.do(test.request)
			want := test.want
			if want != noContent && !strings.HasPrefix(want, "{") {
				want = `{"fault_message":` + quote(t, want) + `}`
			}
			// Where the directory's name is in the body, its length is in the column.
			if at := strings.Index(want, "COL"); at >= 0 && len(body) > at {
				if digits := strings.IndexAny(body[at:], `."`); digits > 0 {
					want = strings.Replace(want, "COL", body[at:at+digits], 1)
				}
			}
			if code != test.status || body != want {
				t.Errorf("%s\nanswer   %d %s\nexpected %d %s", test.request, code, body, test.status, want)
			}
		})
	}
}

// quote encodes as the server does.
func quote(t *testing.T, s string) string {
	t.Helper()
	w := httptest.NewRecorder()
	writeJSON(w, http.StatusOK, s)
	return w.Body.String()
}

func TestFailuresOfTheMachine(t *testing.T) {
	tests := []struct {
		fails   string
		state   []string
		request string
		want    string
		closed  bool // the machine that failed is not kept
	}{
		{"Boot", configured, `PUT /actions {"action_type":"InstanceStart"}`, "Cannot start microvm: no luck", false},
		{"Start", configured, `PUT /actions {"action_type":"InstanceStart"}`, "Cannot start microvm: no luck", true},
		{"Pause", running, `PATCH /vm {"state":"Paused"}`, "Internal Vmm error: no luck", false},
		{"Resume", paused, `PATCH /vm {"state":"Resumed"}`, "Internal Vmm error: no luck", false},
		{"SendCtrlAltDel", running, `PUT /actions {"action_type":"SendCtrlAltDel"}`, "Internal Vmm error: no luck", false},
		{"Snapshot Full", paused, `PUT /snapshot/create {"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`, "Cannot create snapshot: no luck", false},
		{"UpdateDrive root disk2", running, `PATCH /drives/root {"drive_id":"root","path_on_host":"DIR/disk2"}`, "Error during drive update (patch): no luck", false},
		{"UpdateDrive root initrd", running, `PATCH /drives/root {"drive_id":"root","path_on_host":"DIR/initrd"}`, "The requested operation is not supported: putting another file behind a drive of a machine that was started.", false},
		{"Restore", nil, `PUT /snapshot/load {"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`, "Load microVM snapshot error: no luck", false},
		{"Resume", nil, `PUT /snapshot/load {"snapshot_path":"DIR/s","mem_file_path":"DIR/m","resume_vm":true}`, "Load microVM snapshot error: no luck", true},
	}
	for _, test := range tests {
		t.Run(test.fails+"_"+test.request[:9], func(t *testing.T) {
			b := newBench(t)
			b.must(test.state...)
			b.launcher.fail[test.fails] = errors.New("no luck")
			if strings.Contains(test.want, "not supported") {
				b.launcher.fail[test.fails] = errors.ErrUnsupported
			}
			code, body := b.do(test.request)
			if want := `{"fault_message":"` + test.want + `"}`; code != 400 || body != want {
				t.Errorf("answer %d %s, expected 400 %s", code, body, want)
			}
			if test.closed && !slices.Contains(b.launcher.current(t).called(), "Close") {
				t.Error("the machine that failed is still open")
			}
			if test.closed && b.server.machine != nil {
				t.Error("the machine that failed was kept")
			}
		})
	}
}

func TestStartAfterFailure(t *testing.T) {
	b := newBench(t)
	b.must(configured...)
	b.launcher.fail["Boot"] = errors.New("no luck")
	if code, _ := b.do(`PUT /actions {"action_type":"InstanceStart"}`); code != 400 {
		t.Fatalf("status %d", code)
	}
	delete(b.launcher.fail, "Boot")
	b.must(`PUT /boot-source {"kernel_image_path":"DIR/kernel","boot_args":"mib=8"}`,
		`PUT /actions {"action_type":"InstanceStart"}`)
	if got := b.launcher.boots[1].CommandLine; got != "mib=8" {
		t.Errorf("command line %q", got)
	}
}

func TestWhatTheMachineIsMadeOf(t *testing.T) {
	b := newBench(t)
	b.must(
		`PUT /machine-config {"vcpu_count":2,"mem_size_mib":256,"track_dirty_pages":true,"huge_pages":"2M"}`,
		`PATCH /machine-config {"mem_size_mib":512}`,
		`PUT /boot-source {"kernel_image_path":"DIR/kernel","initrd_path":"DIR/initrd"}`,
		`PUT /drives/a {"drive_id":"a","path_on_host":"DIR/disk","is_root_device":false,"is_read_only":true}`,
		`PUT /drives/b {"drive_id":"b","path_on_host":"DIR/disk","is_root_device":false,"is_read_only":true}`,
		`PUT /drives/r {"drive_id":"r","path_on_host":"DIR/disk2","is_root_device":true,"is_read_only":false,"partuuid":"12-34"}`,
		`PUT /drives/a {"drive_id":"a","path_on_host":"DIR/disk2","is_root_device":false,"is_read_only":false}`)
	code, body := b.do(`PUT /drives/b {"drive_id":"b","path_on_host":"DIR/disk","is_root_device":true,"is_read_only":true}`)
	if code != 400 || body != `{"fault_message":"A root block device already exists!"}` {
		t.Errorf("a second root: %d %s", code, body)
	}
	b.must(`PUT /actions {"action_type":"InstanceStart"}`)
	got := fmt.Sprintf("%+v", struct {
		Shape
		Kernel, Initrd, CommandLine string
	}{b.launcher.boots[0].Shape, b.launcher.boots[0].Kernel, b.launcher.boots[0].Initrd, b.launcher.boots[0].CommandLine})
	want := "{Shape:{VCPUCount:2 MemoryBytes:536870912 TrackDirtyPages:true HugePages:true Drives:[" +
		"{ID:r Path:DIR/disk2 ReadOnly:false Root:true PartUUID:12-34} {ID:a Path:DIR/disk2 ReadOnly:false Root:false PartUUID:} " +
		"{ID:b Path:DIR/disk ReadOnly:true Root:false PartUUID:}]} Kernel:DIR/kernel Initrd:DIR/initrd CommandLine:" +
		defaultCommandLine + "}"
	if got = strings.ReplaceAll(got, b.dir, "DIR"); got != want {
		t.Errorf("asked for\n%s\nexpected\n%s", got, want)
	}
}

func TestTooManyDrives(t *testing.T) {
	b := newBench(t)
	put := func(i int) (int, string) {
		return b.do(fmt.Sprintf(`PUT /drives/%d {"drive_id":"%d","path_on_host":"DIR/disk","is_root_device":false,"is_read_only":true}`, i, i))
	}
	for i := range maxDrives {
		if code, body := put(i); code != 204 {
			t.Fatalf("drive %d: %d %s", i, code, body)
		}
	}
	if code, body := put(maxDrives); code != 400 || !strings.Contains(body, "at most 8") {
		t.Errorf("one more: %d %s", code, body)
	}
	if code, body := put(3); code != 204 {
		t.Errorf("one of them anew: %d %s", code, body)
	}
}

func TestLoadedMachineShowsItsShape(t *testing.T) {
	b := newBench(t)
	b.launcher.shape = Shape{VCPUCount: 3, MemoryBytes: 96 << 20, Drives: []Drive{{ID: "d", Path: "/d", ReadOnly: true, Root: true}}}
	b.must(`PUT /snapshot/load {"snapshot_path":"DIR/s","mem_backend":{"backend_path":"DIR/m","backend_type":"File"},"enable_diff_snapshots":true}`)
	r := b.launcher.restores[0]
	if r.StatePath != b.dir+"/s" || r.MemoryPath != b.dir+"/m" || !r.TrackDirtyPages || r.Logger == nil {
		t.Errorf("asked for %+v", r)
	}
	if got := b.launcher.current(t).called(); len(got) != 0 {
		t.Errorf("calls %v: the client did not ask to resume", got)
	}
	for _, want := range []struct{ request, document string }{
		{"GET /", `"state":"Paused"`},
		{"GET /machine-config", `{"vcpu_count":3,"mem_size_mib":96,"smt":false,"track_dirty_pages":true,"huge_pages":"None"}`},
		{"GET /vm/config", `"drives":[{"drive_id":"d","path_on_host":"/d","is_root_device":true,`},
	} {
		if _, body := b.do(want.request); !strings.Contains(body, want.document) {
			t.Errorf("%s shows %s, expected %s in it", want.request, body, want.document)
		}
	}
	b.must(`PATCH /vm {"state":"Resumed"}`, `PATCH /vm {"state":"Resumed"}`, `PATCH /vm {"state":"Paused"}`)
	if got := b.launcher.current(t).called(); !slices.Equal(got, []string{"Resume", "Pause"}) {
		t.Errorf("calls %v", got)
	}
}

func TestEndedMachineIsNotAsked(t *testing.T) {
	b := newBench(t)
	b.must(running...)
	b.launcher.current(t).end(nil)
	code, body := b.do(`PATCH /vm {"state":"Paused"}`)
	if code != 400 || body != `{"fault_message":"The microVM has ended."}` {
		t.Errorf("answer %d %s", code, body)
	}
}

func TestInstanceID(t *testing.T) {
	for _, id := range []string{"", "a", "A-9", strings.Repeat("x", 64)} {
		if _, err := NewServer(Options{ID: id}); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"a_b", "a b", "ä", "a/b", strings.Repeat("x", 65)} {
		if _, err := NewServer(Options{ID: id}); !errors.Is(err, ErrInvalidID) {
			t.Errorf("%q: %v, expected ErrInvalidID", id, err)
		}
	}
}
