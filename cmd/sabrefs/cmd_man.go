package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIRECTORY",
		Short: "Write the manual pages into a directory",
		Args:  arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			const anyoneReads = 0o755
			if err := os.MkdirAll(args[0], anyoneReads); err != nil {
				return err
			}
			header := &doc.GenManHeader{Title: "SABREFS", Section: "1", Source: "sabrefs", Manual: "User Commands"}
			if err := doc.GenManTree(cmd.Root(), header, args[0]); err != nil {
				return fmt.Errorf("writing manual pages: %w", err)
			}
			return nil
		},
	}
}
