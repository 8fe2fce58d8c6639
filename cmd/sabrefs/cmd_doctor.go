package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sabrefs/iaa"
)

// errNotReady is returned by doctor when mounting needs what is missing.
var errNotReady = errors.New("this machine lacks what mounting needs")

func newDoctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine has of what sabrefs uses, and how to get the rest",
		Long: `Look for what sabrefs uses: FUSE, the accelerator, KVM, userfaultfd, limits and
privileges. Each line has a verdict, the name of the check and what was seen:

  ok       it is there and works for the user who asked
  missing  it is not; the lines below are commands that change that
  unknown  it could not be found out

Only FUSE is needed to mount: without it the exit code is 12. The rest makes
restoring faster or serves the launcher of VMs, and what is missing of it does not
count as a failure. Privileges are those of this process: run doctor as the user
who will mount, and in the same container. Nothing is changed, but each queue of an
accelerator that can be used is opened for a moment, for only that tells whether
it answers. With SABREFS_IAA=model the devices are modeled ones.

As JSON: {"checks": [...], "accelerator": {...}}; each check has "name",
"verdict", "seen" and "do", the commands.`,
		Example: `  sabrefs doctor
  sabrefs doctor --json | jq -r '.checks[] | select(.verdict == "missing") | .do[]'`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDoctor(cmd.OutOrStdout(), thisMachine(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// diagnosis is what doctor found.
type diagnosis struct {
	Checks      []check    `json:"checks"`
	Accelerator iaa.Report `json:"accelerator"`
}

func runDoctor(out io.Writer, m machine, asJSON bool) error {
	d := diagnose(m)
	var err error
	if asJSON {
		err = printJSON(out, d)
	} else {
		err = d.print(out)
	}
	if err != nil {
		return err
	}
	return d.err()
}

// diagnose runs all checks, what mounting needs first.
func diagnose(m machine) diagnosis {
	report := m.accelerator()
	var d diagnosis
	d.Accelerator = report
	d.Checks = append(d.Checks, checkFUSE(m)...)
	d.Checks = append(d.Checks, checkReadAhead(m))
	d.Checks = append(d.Checks, checkAccelerator(report)...)
	d.Checks = append(d.Checks, checkPortalMapping(m), checkLockedMemory(m))
	d.Checks = append(d.Checks, checkKVM(m)...)
	d.Checks = append(d.Checks, checkUserfaultfd(m), checkKernel(m))
	return d
}

// err is nil unless something is missing that mounting needs.
func (d diagnosis) err() error {
	var names []string
	for _, c := range d.Checks {
		if c.required && c.Verdict == verdictMissing {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", errNotReady, strings.Join(names, ", "))
}

func (d diagnosis) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range d.Checks {
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Verdict, c.Name, c.Seen)
		for _, line := range c.Do {
			fmt.Fprintf(w, "\t\t  %s\n", line)
		}
	}
	return w.Flush()
}
