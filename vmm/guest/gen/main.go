// Gen assembles the image of the built-in guest: gen SOURCES IMAGE. It is run
// by go generate.
package main

import (
	"context"
	"fmt"
	"os"

	"sabrefs/vmm/guest/assemble"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err) //nolint:forbidigo // a program that only go generate runs
		os.Exit(1)                           //nolint:forbidigo // the same
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want two arguments, sources and image, got %d", len(args))
	}
	image, err := assemble.Image(context.Background(), args[0])
	if err != nil {
		return err
	}
	if err := os.WriteFile(args[1], image, 0o644); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	return nil
}
