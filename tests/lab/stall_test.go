package lab

import (
	"slices"
	"testing"
)

// TestStalledPlan: another machine runs what the one that stalled had not done.
func TestStalledPlan(t *testing.T) {
	plan := Plan{Tests: []TestBinary{{Package: "a"}, {Package: "b"}, {Package: "c"}}, ReportPath: "r"}
	rest := plan.Without([]string{"a"})
	if len(plan.Tests) != 3 || len(rest.Tests) != 2 || rest.Tests[0].Package != "b" || rest.ReportPath != "r" {
		t.Errorf("%+v without a is %+v", plan, rest)
	}
	var report Report
	report.Add(Report{Tests: []TestResult{{Package: "a", Name: "TestKVMA", Outcome: Passed}}, Packages: []string{"a"}})
	report.Add(Report{
		Tests:    []TestResult{{Package: "b", Name: "TestKVMB", Outcome: Missing}, {Package: "c", Name: "TestKVMC", Outcome: Passed}},
		Packages: []string{"b", "c"}, Failure: "something was left",
	})
	if passed, failed := report.Count(); passed != 2 || failed != 2 || !slices.Equal(report.Packages, []string{"a", "b", "c"}) {
		t.Errorf("%d passed, %d failed: %+v", passed, failed, report)
	}
}

// TestFailedPackagesRunOnceMore: what counts of a package is how it ended the last time.
func TestFailedPackagesRunOnceMore(t *testing.T) {
	report := Report{
		Tests: []TestResult{
			{Package: "a", Name: "TestKVMA", Outcome: Passed},
			{Package: "b", Name: "TestKVMB", Outcome: Failed},
			{Package: "b", Name: "TestKVMBB", Outcome: Missing},
			{Package: "c", Name: "TestKVMC", Outcome: Skipped},
			{Package: "d", Name: "TestKVMD", Outcome: Missing},
		},
		Packages: []string{"a", "b", "c", "d"},
	}
	failed := report.FailedPackages()
	plan := Plan{Tests: []TestBinary{{Package: "a"}, {Package: "b"}, {Package: "c"}, {Package: "d"}}}
	if again := plan.Only(failed); len(again.Tests) != 1 || again.Tests[0].Package != "b" || len(plan.Tests) != 4 {
		t.Errorf("%v failed, %+v run once more", failed, again)
	}
	report.Supersede(Report{
		Tests:    []TestResult{{Package: "b", Name: "TestKVMB", Outcome: Passed}, {Package: "b", Name: "TestKVMBB", Outcome: Failed}},
		Packages: []string{"b"},
	})
	passed, notPassed := report.Count()
	if passed != 2 || notPassed != 3 || !slices.Equal(report.Packages, []string{"a", "c", "d", "b"}) || !slices.Equal(report.FailedPackages(), []string{"b"}) {
		t.Errorf("%d passed, %d did not: %+v", passed, notPassed, report)
	}
}
