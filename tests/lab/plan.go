package lab

import (
	"slices"
	"strings"
	"time"

	"sabrefs/tests/lab/early"
)

// PlanPath is where the initramfs holds the [Plan], as JSON.
const PlanPath = "/plan.json"

// FilesDir is where the initramfs holds the binaries of the tests and the files
// below.
const FilesDir = "/lab"

// FilesVariable names the environment variable that says where tests find what
// was built for them: the files named below.
const FilesVariable = "SABREFS_LAB"

// Files in the directory of [FilesVariable].
const (
	SabrefsFile     = "sabrefs"     // the command
	GuestKernelFile = "vmlinuz"     // Debian's cloud kernel
	GuestInitrdFile = "guest.cpio"  // with cmd/guestinit
	reportFile      = "report.json" // the [Report], written inside
)

// Plan is what the laboratory has to do: tests or one command.
type Plan struct {
	Mounts      []early.Mount
	Environment []string
	Tests       []TestBinary
	Command     []string
	ReportPath  string
}

// TestBinary is the compiled tests of one package.
type TestBinary struct {
	Package string
	Dir     string // where its tests expect to run
	Path    string
	// Names are the tests to run, all of which must give a result.
	Names   []string
	Timeout time.Duration
}

// Report is what happened inside. It is written after every package, so that what
// was done before a machine stalled is known.
type Report struct {
	Tests []TestResult
	// Packages are those whose tests have all run.
	Packages []string
	// CommandStatus is the exit status of the plan's command.
	CommandStatus int
	// Failure says what went wrong besides tests and command.
	Failure string
}

// Without returns the plan without the tests of packages that are done.
func (p Plan) Without(done []string) Plan {
	p.Tests = slices.DeleteFunc(slices.Clone(p.Tests), func(b TestBinary) bool { return slices.Contains(done, b.Package) })
	return p
}

// Only returns the plan with the tests of these packages alone.
func (p Plan) Only(packages []string) Plan {
	p.Tests = slices.DeleteFunc(slices.Clone(p.Tests), func(b TestBinary) bool { return !slices.Contains(packages, b.Package) })
	return p
}

// FailedPackages are those of which a test ran and failed.
func (r *Report) FailedPackages() (packages []string) {
	for _, test := range r.Tests {
		if test.Outcome == Failed && !slices.Contains(packages, test.Package) {
			packages = append(packages, test.Package)
		}
	}
	return packages
}

// Supersede replaces what is known of the packages that ran once more.
func (r *Report) Supersede(again Report) {
	r.Tests = slices.DeleteFunc(r.Tests, func(test TestResult) bool { return slices.Contains(again.Packages, test.Package) })
	r.Packages = slices.DeleteFunc(r.Packages, func(name string) bool { return slices.Contains(again.Packages, name) })
	r.Add(again)
}

// Add adds what happened in another machine.
func (r *Report) Add(other Report) {
	r.Tests, r.Packages = append(r.Tests, other.Tests...), append(r.Packages, other.Packages...)
	r.CommandStatus = other.CommandStatus
	r.Failure = strings.TrimSpace(r.Failure + " " + other.Failure)
}

// Outcome is how a test ended, in the words of the testing package.
type Outcome string

// The outcomes. Missing is for a test that gave no result; a package that fails
// otherwise than by a test has a [TestResult] without a name.
const (
	Passed  Outcome = "PASS"
	Failed  Outcome = "FAIL"
	Skipped Outcome = "SKIP"
	Missing Outcome = "MISSING"
)

// TestResult is the outcome of one test.
type TestResult struct {
	Package, Name string
	Outcome       Outcome
	Seconds       float64
	Detail        string
}

// Count counts passes, and everything else as failures.
func (r *Report) Count() (passed, failed int) {
	for _, test := range r.Tests {
		if test.Outcome == Passed {
			passed++
		} else {
			failed++
		}
	}
	if r.Failure != "" {
		failed++
	}
	return passed, failed
}
