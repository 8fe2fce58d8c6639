package main

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"sabrefs/iaa"
	"sabrefs/iaa/model"
)

// TestDoctorOpensQueues: a modeled machine with an accelerator, good and bad.
func TestDoctorOpensQueues(t *testing.T) {
	disabled := model.DefaultDevice()
	disabled.State = model.StateDisabled
	for _, c := range []struct {
		situation string
		config    model.Config
		queue     verdict
		seen, do  string
	}{
		{"all is well", model.Config{}, verdictOK, "enqcmd", ""},
		{"no CAP_SYS_RAWIO", model.Config{NoMmap: true}, verdictOK, "write", ""},
		{"no permission", model.Config{OpenError: syscall.EACCES}, verdictMissing, "permission denied", "/dev/iax/wq"},
		{"disabled device", model.Config{Devices: []model.DeviceConfig{disabled}}, verdictMissing, "", "accel-config"},
	} {
		host, err := model.NewHost(c.config)
		noError(t, err)
		report := tryAccelerators(host)
		noError(t, host.Close())
		checks := checkAccelerator(report)
		overall, last := checks[0], checks[len(checks)-1]
		if len(checks) < 3 || !strings.HasPrefix(checks[1].Name, "iax") || !strings.HasPrefix(last.Name, "wq") {
			t.Fatalf("%s: checks are %+v", c.situation, checks)
		}
		if last.Verdict != c.queue || overall.Verdict != c.queue || !strings.Contains(last.Seen, c.seen) {
			t.Errorf("%s: %+v and %+v, want %s", c.situation, overall, last, c.queue)
		}
		advised := slices.ContainsFunc(checks, func(check check) bool {
			return slices.ContainsFunc(check.Do, func(line string) bool { return strings.Contains(line, c.do) })
		})
		if advised != (c.do != "") {
			t.Errorf("%s: nothing of %+v says %q", c.situation, checks, c.do)
		}
	}
}

// TestDoctorShowsTheModel: the environment chooses what is looked at.
func TestDoctorShowsTheModel(t *testing.T) {
	for choice, want := range map[string]verdict{iaa.ChooseModel: verdictOK, "nonsense": verdictUnknown} {
		cmd := command(t, "doctor", "--json")
		cmd.Env = append(cmd.Environ(), iaa.EngineVariable+"="+choice)
		d, o := doctorReport(t, cmd)
		wantDoctorCode(t, d, o)
		if got := checkOf(t, d, "accelerator"); got.Verdict != want {
			t.Errorf("%s: %+v", choice, got)
		}
		if (len(d.Accelerator.Devices) > 0) != (want == verdictOK) {
			t.Errorf("%s: devices are %+v", choice, d.Accelerator.Devices)
		}
	}
}

// TestDoctorWithoutSysfs: what cannot be read is unknown.
func TestDoctorWithoutSysfs(t *testing.T) {
	checks := checkAccelerator(iaa.Report{Reason: "sysfs cannot be read"})
	if len(checks) != 1 || checks[0].Verdict != verdictUnknown || checks[0].Do == nil {
		t.Errorf("checks are %+v", checks)
	}
}
