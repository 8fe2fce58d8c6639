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
