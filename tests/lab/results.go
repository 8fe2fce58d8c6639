package lab

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// resultLine is what a test binary says with -test.v when a test has ended;
// subtests' lines are indented.
var resultLine = regexp.MustCompile(`(?m)^--- (PASS|FAIL|SKIP): (\S+) \(([0-9.]+)s\)`)

// ParseResults makes results of what a test binary has said and of how it ended
// (nil for exit status 0). Every test of the binary has a result, and a binary that
// failed for another reason than its tests adds one without a name.
func ParseResults(binary TestBinary, output []byte, end error) []TestResult {
	results := map[string]TestResult{}
	failed := false
	for _, match := range resultLine.FindAllSubmatch(output, -1) {
		seconds, err := strconv.ParseFloat(string(match[3]), 64)
		if err != nil {
			seconds = -1
		}
		outcome := Outcome(match[1])
		failed = failed || outcome == Failed
		name := string(match[2])
		results[name] = TestResult{Package: binary.Package, Name: name, Outcome: outcome, Seconds: seconds}
	}
	skippedWithin(output, results)
	var list []TestResult
	for _, name := range binary.Names {
		result, found := results[name]
		if !found {
			result = TestResult{Package: binary.Package, Name: name, Outcome: Missing, Detail: "gave no result"}
		}
		list = append(list, result)
	}
	if end != nil && !failed {
		list = append(list, TestResult{Package: binary.Package, Outcome: Failed, Detail: end.Error()})
	}
	return list
}

// skippedSubtest finds subtests that were skipped; their tests pass all the same.
var skippedSubtest = regexp.MustCompile(`(?m)^ +--- SKIP: (([^/ ]+)/\S+)`)

// skippedWithin turns passes into skips for tests with a skipped part.
func skippedWithin(output []byte, results map[string]TestResult) {
	for _, match := range skippedSubtest.FindAllSubmatch(output, -1) {
		result, found := results[string(match[2])]
		if found && result.Outcome == Passed {
			result.Outcome, result.Detail = Skipped, string(match[1])
			results[string(match[2])] = result
		}
	}
}

// Write prints what did not pass, and as the last line the counts.
func (r *Report) Write(out io.Writer) error {
	var text strings.Builder
	for _, test := range r.Tests {
		if test.Outcome != Passed {
			fmt.Fprintf(&text, "%s %s %s %s\n", test.Outcome, test.Package, test.Name, test.Detail)
		}
	}
	if r.Failure != "" {
		fmt.Fprintf(&text, "FAIL %s\n", r.Failure)
	}
	passed, failed := r.Count()
	fmt.Fprintf(&text, "%d passed, %d failed\n", passed, failed)
	_, err := io.WriteString(out, text.String())
	return err
}
