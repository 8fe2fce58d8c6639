// Command sabrefs packs VM memory snapshots, mounts them as plain memory files,
// and checks them. Each command has a file of its own; what they do is in the
// packages store and fs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// version is set by the Makefile.
var version = "unreleased"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	root := newRootCommand()
	root.SetArgs(argumentsOf(os.Args))
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, errorLine(err))
	}
	os.Exit(exitCode(err))
}

// firecracker is the name under which clients of Firecracker start what they control.
const firecracker = "firecracker"

// argumentsOf returns what comes after the program's name, which may say more: a
// client that starts Firecracker gets a machine to control.
func argumentsOf(args []string) []string {
	if filepath.Base(args[0]) == firecracker {
		return append([]string{"vm", "run"}, args[1:]...)
	}
	return args[1:]
}
