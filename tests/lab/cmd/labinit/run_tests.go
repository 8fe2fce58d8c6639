//go:build linux && amd64

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"sabrefs/tests/lab"
)

// outputDelay is how long the end of a test binary's output is waited for once
// the binary itself has ended: a process that it left may hold the pipe.
const outputDelay = 10 * time.Second

func runCommand(plan lab.Plan) lab.Report {
	// The command's name is looked up by our own environment.
	if err := os.Setenv("PATH", environmentValue(plan.Environment, "PATH")); err != nil {
		return lab.Report{CommandStatus: 127, Failure: err.Error()}
	}
	command := exec.Command(plan.Command[0], plan.Command[1:]...)
	command.Env, command.Dir = plan.Environment, plan.Mounts[0].Target
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := command.Run()
	if command.ProcessState == nil {
		return lab.Report{CommandStatus: 127, Failure: err.Error()}
	}
	return lab.Report{CommandStatus: command.ProcessState.ExitCode()}
}

// runTests reports after every package: the machine may stall in the next one.
func runTests(plan lab.Plan) error {
	var report lab.Report
	for _, binary := range plan.Tests {
		fmt.Printf("lab: %s: %d tests\n", binary.Package, len(binary.Names))
		report.Tests = append(report.Tests, runBinary(binary, plan.Environment)...)
		if left := leftovers(); left != nil {
			report.Tests = append(report.Tests, lab.TestResult{
				Package: binary.Package, Outcome: lab.Failed, Detail: left.Error(),
			})
		}
		report.Packages = append(report.Packages, binary.Package)
		if err := writeReport(plan.ReportPath, report); err != nil {
			return err
		}
	}
	return nil
}

func runBinary(binary lab.TestBinary, environment []string) []lab.TestResult {
	command := exec.Command(binary.Path,
		"-test.v", "-test.count=1", "-test.timeout="+binary.Timeout.String(),
		"-test.run="+exactly(binary.Names))
	command.Dir, command.Env = binary.Dir, environment
	command.WaitDelay = outputDelay
	var output bytes.Buffer
	both := io.MultiWriter(&output, os.Stdout)
	command.Stdout, command.Stderr = both, both
	err := command.Run()
	return lab.ParseResults(binary, output.Bytes(), err)
}

// exactly is a pattern for these tests and no others.
func exactly(names []string) string {
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, regexp.QuoteMeta(name))
	}
	return "^(" + strings.Join(quoted, "|") + ")$"
}

func environmentValue(environment []string, name string) string {
	for _, entry := range environment {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}
