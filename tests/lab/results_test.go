package lab

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// outcomes are the results in short.
func outcomes(results []TestResult) (short []string) {
	for _, result := range results {
		short = append(short, result.Name+" "+string(result.Outcome))
	}
	return short
}

func TestParseResults(t *testing.T) {
	exit := errors.New("exit status 2")
	for name, test := range map[string]struct {
		output string
		end    error
		want   []string
	}{
		"passed": {
			output: "=== RUN   TestKVMA\n--- PASS: TestKVMA (0.50s)\n--- PASS: TestKVMB (0.00s)\nPASS\n",
			want:   []string{"TestKVMA PASS", "TestKVMB PASS"},
		},
		"failed": {
			output: "--- FAIL: TestKVMA (0.50s)\n--- PASS: TestKVMB (0.00s)\nFAIL\n", end: exit,
			want: []string{"TestKVMA FAIL", "TestKVMB PASS"},
		},
		"skipped": {
			output: "--- SKIP: TestKVMA (0.00s)\n--- PASS: TestKVMB (0.00s)\nPASS\n",
			want:   []string{"TestKVMA SKIP", "TestKVMB PASS"},
		},
		"skipped in part": {
			output: "--- PASS: TestKVMA (0.00s)\n    --- PASS: TestKVMA/x (0.00s)\n        --- SKIP: TestKVMA/x/y (0.00s)\n--- PASS: TestKVMB (0.00s)\nPASS\n",
			want:   []string{"TestKVMA SKIP", "TestKVMB PASS"},
		},
		"ended early with success": {
			output: "--- PASS: TestKVMA (0.50s)\n",
			want:   []string{"TestKVMA PASS", "TestKVMB MISSING"},
		},
		"killed between tests": {
			output: "--- PASS: TestKVMA (0.50s)\n--- PASS: TestKVMB (0.00s)\n", end: exit,
			want: []string{"TestKVMA PASS", "TestKVMB PASS", " FAIL"},
		},
		"panicked": {
			output: "--- FAIL: TestKVMA (0.50s)\npanic: lost\n", end: exit,
			want: []string{"TestKVMA FAIL", "TestKVMB MISSING"},
		},
		"silent": {
			want: []string{"TestKVMA MISSING", "TestKVMB MISSING"},
		},
	} {
		binary := TestBinary{Package: "p", Names: []string{"TestKVMA", "TestKVMB"}}
		if got := outcomes(ParseResults(binary, []byte(test.output), test.end)); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestReportEndsWithCounts(t *testing.T) {
	report := Report{
		Tests: []TestResult{
			{Package: "p", Name: "TestKVMA", Outcome: Passed},
			{Package: "p", Name: "TestKVMB", Outcome: Skipped},
			{Package: "p", Name: "TestKVMC", Outcome: Missing, Detail: "gave no result"},
		},
		Failure: "something else",
	}
	var text strings.Builder
	if err := report.Write(&text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	if last := lines[len(lines)-1]; last != "1 passed, 3 failed" {
		t.Errorf("last line %q", last)
	}
	for _, word := range []string{"TestKVMB", "TestKVMC", "something else"} {
		if !strings.Contains(text.String(), word) {
			t.Errorf("the summary does not mention %s:\n%s", word, text.String())
		}
	}
}
