package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// doctorReport runs doctor --json, which may fail.
func doctorReport(t *testing.T, cmd *exec.Cmd) (diagnosis, outcome) {
	t.Helper()
	o := finish(t, cmd)
	return decodeJSON[diagnosis](t, o.stdout), o
}

// wantDoctorCode compares the exit code with what the report says.
func wantDoctorCode(t *testing.T, d diagnosis, o outcome) {
	t.Helper()
	var lacking []string
	for _, name := range []string{"fuse-device", "fuse-module", "fuse-mount"} {
		if checkOf(t, d, name).Verdict == verdictMissing {
			lacking = append(lacking, name)
		}
	}
	if len(lacking) > 0 {
		o.check(t, exitNotReady, lacking...)
	} else if o.code != exitOK || o.stderr != "" {
		t.Errorf("%s: exit code %d, standard error %q", o.line, o.code, o.stderr)
	}
}

// TestDoctor asks about the machine that the test runs on.
func TestDoctor(t *testing.T) {
	d, o := doctorReport(t, command(t, "doctor", "--json"))
	wantDoctorCode(t, d, o)
	if len(d.Checks) < 10 {
		t.Errorf("only %d checks", len(d.Checks))
	}
	var names []string
	for _, c := range d.Checks {
		if !slices.Contains([]verdict{verdictOK, verdictMissing, verdictUnknown}, c.Verdict) || c.Name == "" || c.Seen == "" || c.Do == nil {
			t.Errorf("check %+v", c)
		}
		if c.Verdict == verdictOK && len(c.Do) > 0 {
			t.Errorf("%s is ok and wants %q", c.Name, c.Do)
		}
		names = append(names, c.Name)
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(names))); len(distinct) != len(names) {
		t.Errorf("a name comes twice: %q", names)
	}
	wantSameAsText(t, d, finish(t, command(t, "doctor")).stdout)
}

// wantSameAsText compares the two forms of the output.
func wantSameAsText(t *testing.T, d diagnosis, text string) {
	t.Helper()
	var aligned bytes.Buffer
	noError(t, d.print(&aligned))
	if text != aligned.String() {
		t.Errorf("doctor said\n%sbut as JSON\n%s", text, &aligned)
	}
	for _, c := range d.Checks {
		for _, part := range append([]string{string(c.Verdict) + " ", " " + c.Name + " ", "  " + c.Seen + "\n"}, c.Do...) {
			if !strings.Contains(text, part) {
				t.Errorf("the text has no %q:\n%s", part, text)
			}
		}
	}
}

// TestDoctorJSONKeys: programs rely on them.
func TestDoctorJSONKeys(t *testing.T) {
	m := root()
	m.accelerator = oneOfEach
	var out bytes.Buffer
	noError(t, runDoctor(&out, m, true))
	fields := decodeJSON[map[string]any](t, out.String())
	checks, _ := fields["checks"].([]any)
	accelerator, _ := fields["accelerator"].(map[string]any)
	if len(fields) != 2 || len(checks) == 0 || accelerator["reason"] == nil || accelerator["devices"] == nil || accelerator["usable"] != "yes" {
		t.Fatalf("doctor --json says %s", &out)
	}
	for _, c := range checks {
		object, _ := c.(map[string]any)
		do, isList := object["do"].([]any)
		for _, line := range do {
			if _, isText := line.(string); !isText {
				isList = false
			}
		}
		if len(object) != 4 || object["name"] == "" || object["verdict"] == "" || object["seen"] == "" || !isList {
			t.Errorf("a check is %v", object)
		}
	}
}

// TestDoctorAsNobody: a user without any privilege gets verdicts, not errors.
func TestDoctorAsNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		return // TestDoctor was that
	}
	cmd := command(t, "doctor", "--json")
	asNobody(t, cmd)
	d, o := doctorReport(t, cmd)
	wantDoctorCode(t, d, o)
	for name, want := range map[string]verdict{"portal-mapping": verdictMissing, "read-ahead": verdictMissing, "kernel": verdictOK} {
		if got := checkOf(t, d, name); got.Verdict != want {
			t.Errorf("%s is %s to nobody: %s", name, got.Verdict, got.Seen)
		}
	}
	if got := checkOf(t, d, "fuse-mount"); !strings.Contains(got.Seen, "fusermount3") {
		t.Errorf("nobody mounts as root does: %+v", got)
	}
}

// TestDoctorGainsNoPrivileges: where a setuid program has no effect, users
// cannot mount.
func TestDoctorGainsNoPrivileges(t *testing.T) {
	requireFUSE(t)
	cmd := command(t, "doctor", "--json")
	asNobody(t, cmd)
	program, err := exec.LookPath("setpriv")
	noError(t, err)
	cmd.Path, cmd.Args = program, []string{"setpriv", "--no-new-privs", publicCopyOfSelf(t), "doctor", "--json"}
	d, o := doctorReport(t, cmd)
	o.check(t, exitNotReady, "fuse-mount")
	if got := checkOf(t, d, "fuse-mount"); got.Verdict != verdictMissing || !strings.Contains(got.Seen, "no privileges") {
		t.Errorf("without new privileges: %+v", got)
	}
}

// publicCopyOfSelf is this program where any user may execute it.
func publicCopyOfSelf(t *testing.T) string {
	t.Helper()
	path := writeFile(t, filepath.Join(publicTempDir(t), "sabrefs"), readFile(t, "/proc/self/exe"))
	noError(t, os.Chmod(path, 0o755))
	return path
}

// provokeNotReady hides /dev from the command.
func provokeNotReady(t *testing.T) {
	t.Helper()
	requireFUSE(t)
	self, err := os.Executable()
	noError(t, err)
	cmd := command(t)
	program, err := exec.LookPath("unshare")
	noError(t, err)
	cmd.Path, cmd.Args = program, []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs none /dev && exec "$0" doctor --json`, self}
	d, o := doctorReport(t, cmd)
	o.check(t, exitNotReady, "this machine lacks", "fuse-device")
	if got := checkOf(t, d, "fuse-device"); got.Verdict != verdictMissing || !slices.Contains(got.Do, "modprobe fuse") {
		t.Errorf("without /dev/fuse: %+v", got)
	}
	if got := checkOf(t, d, "kvm"); got.Verdict != verdictMissing {
		t.Errorf("without /dev/kvm: %+v", got)
	}
}

// TestDoctorCannotPrint: a full disk is an error of its own.
func TestDoctorCannotPrint(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	noError(t, err)
	defer full.Close()
	for _, asJSON := range []bool{false, true} {
		if err := runDoctor(full, root(), asJSON); err == nil || errors.Is(err, errNotReady) {
			t.Errorf("printing to a full disk: %v", err)
		}
	}
}
