//go:build amd64

package main

import (
	"errors"
	"io"
	"os"

	"github.com/spf13/pflag"
)

// vmSessionFlags are the options of every command that has a machine.
type vmSessionFlags struct {
	socket     string
	id         string
	trackDirty bool
	hugePages  bool
	json       bool
	verbose    bool
}

func (flags *vmSessionFlags) add(f *pflag.FlagSet) {
	f.StringVar(&flags.socket, "api-sock", "", "serve the control API at this socket; it must not exist")
	f.StringVar(&flags.id, "id", "anonymous-instance", "name of the machine")
	f.BoolVar(&flags.trackDirty, "track-dirty-pages", false, "note written pages, for diff snapshots")
	f.BoolVar(&flags.hugePages, "huge-pages", false, "ask for huge pages for the guest's memory")
	f.BoolVar(&flags.json, "json", false, "print times as JSON to standard error at the end")
	f.BoolVarP(&flags.verbose, "verbose", "v", false, "log details to standard error")
}

// inSession lets a machine live, ends what is left of it, and reports.
func (flags *vmSessionFlags) inSession(out, stderr io.Writer, live func(*vmSession) error) error {
	session, err := newVMSession(os.Stdin, out, stderr, flags.verbose)
	if err != nil {
		return err
	}
	err = errors.Join(live(session), session.close())
	if flags.json {
		report := session.report(err)
		err = errors.Join(err, report.print(stderr))
	}
	return err
}
