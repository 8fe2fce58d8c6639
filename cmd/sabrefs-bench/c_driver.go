package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// compileC compiles a C program on the machine that measures, since this program is
// pure Go, and links it with the libraries.
func compileC(ctx context.Context, source, program string, libraries ...string) error {
	compiler, err := exec.LookPath("cc")
	if err != nil {
		return err
	}
	args := append([]string{"-O2", "-std=c11", "-o", program, "-x", "c", "-", "-x", "none"}, libraries...)
	cmd := exec.CommandContext(ctx, compiler, args...)
	cmd.Stdin = strings.NewReader(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		first, _, _ := strings.Cut(string(out), "\n")
		return fmt.Errorf("%s: %w: %s", compiler, err, first)
	}
	return nil
}
