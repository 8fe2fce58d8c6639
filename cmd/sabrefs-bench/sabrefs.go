package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// sabrefsBinary is the program under test.
type sabrefsBinary string

// findSabrefs returns the given binary, or the one beside this program, or the
// one in PATH.
func findSabrefs(given string) (sabrefsBinary, error) {
	if given != "" {
		return sabrefsBinary(given), nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "sabrefs")
		if _, err := os.Stat(beside); err == nil {
			return sabrefsBinary(beside), nil
		}
	}
	path, err := exec.LookPath("sabrefs")
	if err != nil {
		return "", fmt.Errorf("no sabrefs beside this program and none in PATH; use --sabrefs: %w", err)
	}
	return sabrefsBinary(path), nil
}

// run runs a sabrefs command and returns its output.
func (s sabrefsBinary) run(ctx context.Context, args ...string) ([]byte, error) {
	return runTool(ctx, string(s), args...)
}

// runTool runs a program and returns its output; an error has what it said.
func runTool(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out.Bytes(), nil
}
