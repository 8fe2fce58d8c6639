package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sabrefs/iaa"
)

// TestEngineSaysWhyNot: whatever keeps the accelerator from being used, the command
// works, and says the reason once.
func TestEngineSaysWhyNot(t *testing.T) {
	image, _ := packedImage(t, "--codec", "deflate")
	public := writeFile(t, filepath.Join(publicTempDir(t), "image.sabre"), readFile(t, image))
	noError(t, os.Chmod(public, 0o644))
	little := func(cmd *exec.Cmd) { // as nobody, with little memory to lock
		asNobody(t, cmd)
		program, err := exec.LookPath("sh")
		noError(t, err)
		cmd.Path, cmd.Args = program, []string{"sh", "-c", `ulimit -l 64 && exec "$0" "$@"`, publicCopyOfSelf(t), "verify", public}
	}
	for choice, test := range map[string]struct {
		prepare func(cmd *exec.Cmd)
		reason  string
	}{
		"nonsense":      {func(*exec.Cmd) {}, "unknown engine"},
		iaa.ChooseModel: {little, "RLIMIT_MEMLOCK is 64 KiB"},
	} {
		cmd := command(t, "verify", public)
		test.prepare(cmd)
		cmd.Env = append(cmd.Environ(), iaa.EngineVariable+"="+choice)
		o := finish(t, cmd)
		if o.code != exitOK || !strings.Contains(o.stdout, "ok") {
			t.Errorf("%s: exit code %d, %q, %q", choice, o.code, o.stdout, o.stderr)
		}
		if strings.Count(o.stderr, "in software") != 1 || strings.Count(o.stderr, "\n") != 1 || !strings.Contains(o.stderr, test.reason) {
			t.Errorf("%s: it says %q", choice, o.stderr)
		}
	}
}

// TestEngineIsSilent: what was chosen and works is not worth a word.
func TestEngineIsSilent(t *testing.T) {
	image, _ := packedImage(t, "--codec", "deflate")
	for _, choice := range []string{iaa.ChooseSoftware, iaa.ChooseModel} {
		cmd := command(t, "verify", image)
		cmd.Env = append(cmd.Environ(), iaa.EngineVariable+"="+choice)
		if o := finish(t, cmd); o.code != exitOK || o.stderr != "" {
			t.Errorf("%q: exit code %d, it says %q", choice, o.code, o.stderr)
		}
	}
}
