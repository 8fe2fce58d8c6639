package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIRECTORY",
		Short: "Write the manual pages into a directory",
		Long: `Write a manual page for each command into DIRECTORY, which is made if it is
missing: sabrefs.1, sabrefs-pack.1 and so on.`,
		Example: `  sabrefs man /usr/local/share/man/man1`,
		Args:    arguments(1),
		RunE: func(_ *cobra.Command, args []string) error {
			const anyoneReads = 0o755
			if err := os.MkdirAll(args[0], anyoneReads); err != nil {
				return err
			}
			root := newRootCommand() // another one, for its texts change
			keepLineBreaks(root)
			header := &doc.GenManHeader{Section: "1", Source: "sabrefs " + version, Manual: "User Commands"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("writing manual pages: %w", err)
			}
			return nil
		},
	}
}

// keepLineBreaks turns the indented lines of the texts into what the generator
// takes for code. It would make one paragraph of them otherwise.
func keepLineBreaks(cmd *cobra.Command) {
	var lines []string
	inCode := false
	for line := range strings.SplitSeq(cmd.Long, "\n") {
		wasInCode := inCode
		inCode = strings.HasPrefix(line, "  ")
		if inCode {
			line = "    " + line
		}
		if inCode && !wasInCode {
			lines = append(lines, "") // code begins after an empty line only
		}
		lines = append(lines, line)
	}
	cmd.Long = strings.Join(lines, "\n")
	for _, sub := range cmd.Commands() {
		keepLineBreaks(sub)
	}
}
