package main

import (
	"bytes"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"sabrefs/store"
)

// everyCommand returns the commands by their lines, without the program's name.
func everyCommand() map[string]*cobra.Command {
	found := map[string]*cobra.Command{}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		found[strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "sabrefs"), " ")] = cmd
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(newRootCommand())
	return found
}

// flagsOf returns what the help of a command says of each flag.
func flagsOf(cmd *cobra.Command) map[string]string {
	flags := map[string]string{}
	row := regexp.MustCompile(`(?m)^ *(?:-\w, )?(--[a-z-]+)(?: \w+)?(?:   *(.*))?$`)
	for _, match := range row.FindAllStringSubmatch(cmd.LocalFlags().FlagUsages(), -1) {
		flags[match[1]] = match[2]
	}
	return flags
}

// inProcess runs a command that has nothing to do with exit codes.
func inProcess(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(io.Discard)
	noError(t, root.ExecuteContext(t.Context()))
	return out.String()
}

func TestEveryCommandHasHelp(t *testing.T) {
	for line, cmd := range everyCommand() {
		if cmd.Short == "" || cmd.Long == "" && cmd.Example == "" && len(cmd.Short) < 40 {
			t.Errorf("%q does not say what it does", line)
		}
		for flag, usage := range flagsOf(cmd) {
			if usage == "" {
				t.Errorf("%s of %q does not say what it does", flag, line)
			}
		}
		args := strings.Fields(line)
		help := inProcess(t, append(args, "--help")...)
		if !strings.Contains(help, "Usage:") || !strings.Contains(help, cmd.Short) && !strings.Contains(help, cmd.Long) {
			t.Errorf("help of %q is %q", line, help)
		}
		if len(args) == 1 && args[0] != "help" {
			if other := inProcess(t, "help", args[0]); other != help {
				t.Errorf("`help %s` differs from `%s --help`", line, line)
			}
		}
	}
	said := sabrefs(t)
	if said != sabrefs(t, "help") || said != sabrefs(t, "--help") || !strings.Contains(said, exitCodesHelp) {
		t.Errorf("without arguments there is no help: %q", said)
	}
}

func TestUsageErrors(t *testing.T) {
	missing := filepath.Join(realTempDir(t), "missing")
	for line, word := range map[string]string{
		"frobnicate":             `"frobnicate"`,
		"--frobnicate":           "--frobnicate",
		"pack":                   "pack SRC DST",
		"pack " + missing:        "expected 2 arguments, got 1",
		"pack a b c":             "expected 2 arguments, got 3",
		"unpack a":               "unpack SRC DST",
		"verify":                 "verify PATH",
		"verify --nonsense":      "see `sabrefs verify --help`",
		"inspect a b":            "inspect PATH",
		"ls":                     "ls STORE",
		"rm a":                   "rm STORE NAME...",
		"flatten":                "flatten IMAGE|STORE/NAME...",
		"rebase":                 "rebase IMAGE|STORE",
		"rebase a b":             "expected 1 arguments, got 2",
		"mount a":                "mount STORE MOUNTPOINT",
		"mount --cache-size":     "--cache-size",
		"umount":                 "umount MOUNTPOINT",
		"doctor now":             "doctor",
		"version now":            "version",
		"man":                    "man DIRECTORY",
		"help frobnicate":        `"frobnicate"`,
		"completion tcsh":        `"tcsh"`,
		"completion bash x":      "completion bash",
		"mount --prefetch x a b": `"x"`,
	} {
		t.Run(line, func(t *testing.T) {
			if printed := refused(t, exitUsage, strings.Fields(line), word); printed != "" {
				t.Errorf("printed %q", printed)
			}
		})
	}
}

// TestFlagsOf keeps the tests above from looking at nothing.
func TestFlagsOf(t *testing.T) {
	got := slices.Sorted(maps.Keys(flagsOf(newPackCommand())))
	if want := []string{"--bitmap", "--codec", "--diff", "--force", "--frame-size", "--hot-codec", "--hot-frame-size", "--json", "--level", "--memory", "--parent", "--parent-dir", "--shared-tables", "--workers", "--working-set"}; !slices.Equal(got, want) {
		t.Errorf("pack has the flags %q, want %q", got, want)
	}
}

func TestVersion(t *testing.T) {
	said := sabrefs(t, "version")
	for _, want := range []string{"sabrefs " + version, "image format " + strconv.Itoa(store.FormatVersion), runtime.Version()} {
		if !strings.Contains(said, want) {
			t.Errorf("version does not mention %q: %s", want, said)
		}
	}
	fields := decodeJSON[map[string]any](t, sabrefs(t, "version", "--json"))
	if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, []string{"format_version", "go", "platform", "version"}) || fields["version"] != version {
		t.Errorf("version --json says %v", fields)
	}
	if said := sabrefs(t, "--version"); said != "sabrefs version "+version+"\n" {
		t.Errorf("--version says %q", said)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if script := sabrefs(t, "completion", shell); len(script) < 1000 {
			t.Errorf("completion %s printed %q", shell, script)
		}
	}
	check := exec.CommandContext(t.Context(), "bash", "-n")
	check.Stdin = strings.NewReader(sabrefs(t, "completion", "bash"))
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("bash does not understand its completion: %v: %s", err, out)
	}
	if said := inProcess(t, "__complete", "ins"); !strings.HasPrefix(said, "inspect\t") {
		t.Errorf("ins is completed to %q", said)
	}
}

func TestManualPages(t *testing.T) {
	dir := filepath.Join(realTempDir(t), "man", "man1")
	sabrefs(t, "man", dir)
	sabrefs(t, "man", dir) // again, over the old ones
	var names []string
	for line, cmd := range everyCommand() {
		if line == "help" || cmd.Hidden { // help has its own words in every page
			continue
		}
		name := strings.ReplaceAll(strings.TrimSpace("sabrefs "+line), " ", "-")
		names = append(names, name+".1")
		checkManualPage(t, filepath.Join(dir, name+".1"), name, cmd)
	}
	slices.Sort(names)
	wantNames(t, dir, names...)
	page := string(readFile(t, filepath.Join(dir, "sabrefs.1")))
	for line := range strings.Lines(exitCodesHelp) { // each on a line of its own
		if !strings.Contains(plainRoff(page), "\n"+line) {
			t.Errorf("the manual page has no line %q", line)
		}
	}
}

func checkManualPage(t *testing.T, path, name string, cmd *cobra.Command) {
	t.Helper()
	text := plainRoff(string(readFile(t, path)))
	if !strings.Contains(text, `.TH "`+strings.ToUpper(name)+`" "1"`) {
		t.Errorf("%s has another title", path)
	}
	for flag := range flagsOf(cmd) {
		if !strings.Contains(text, flag) {
			t.Errorf("%s does not mention %s", path, flag)
		}
	}
	if _, err := exec.LookPath("man"); err != nil {
		return // the pages were looked into all the same
	}
	format := exec.CommandContext(t.Context(), "man", "--warnings", "--encoding=UTF-8", "--local-file", path)
	var complaints bytes.Buffer
	format.Stderr = &complaints
	if err := format.Run(); err != nil || complaints.Len() > 0 {
		t.Errorf("man complains about %s: %v: %s", path, err, &complaints)
	}
}

// plainRoff undoes what is escaped in manual pages.
func plainRoff(text string) string {
	return strings.NewReplacer(`\-`, "-", `\fB`, "", `\fR`, "", `\fP`, "").Replace(text)
}
