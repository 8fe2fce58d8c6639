//go:build amd64

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"sabrefs/vmm"
	"sabrefs/vmm/api"
)

// vmSession is one machine from its making to its end, with the console it is
// connected to and its control socket, if it has one.
type vmSession struct {
	console *vmConsole
	out     io.Writer
	logger  *slog.Logger
	mount   *snapshotMount // what its memory is mapped from, or nil

	hugePages bool

	mu      sync.Mutex
	machine *vmm.Machine // guarded by mu; nil until it is made
}

func newVMSession(in *os.File, out, stderr io.Writer, verbose bool) (*vmSession, error) {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	console, err := newVMConsole(in)
	if err != nil {
		return nil, fmt.Errorf("setting up the terminal: %w", err)
	}
	return &vmSession{console: console, out: out, logger: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))}, nil
}

// create makes the machine of a session.
func (s *vmSession) create(ctx context.Context, config vmm.Config) (*vmm.Machine, error) {
	config.Console, config.Logger, s.hugePages = s.out, s.logger, config.HugePages
	m, err := vmm.New(ctx, config)
	if err != nil {
		return nil, err
	}
	s.connect(m)
	return m, nil
}

// restore makes it from a snapshot.
func (s *vmSession) restore(ctx context.Context, config vmm.RestoreConfig) (*vmm.Machine, error) {
	config.Console, config.Logger, s.hugePages = s.out, s.logger, config.HugePages
	m, err := vmm.Restore(ctx, config)
	if err != nil {
		return nil, err
	}
	s.connect(m)
	return m, nil
}

// connect makes a machine the session's; it has one in its life.
func (s *vmSession) connect(m *vmm.Machine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machine = m
	go s.console.feed(m.Input())
}

// made returns the machine, or nil.
func (s *vmSession) made() *vmm.Machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.machine
}

// newServer makes the server of the control socket, which has the session's machine or
// makes it.
func (s *vmSession) newServer(id string) (*api.Server, error) {
	server, err := api.NewServer(api.Options{ID: id, Logger: s.logger, Launcher: api.KVM(api.KVMOptions{Console: s.out, Created: s.connect})})
	if err != nil {
		return nil, usageError{err}
	}
	if m := s.made(); m != nil {
		err = server.Adopt(api.OfKVM(m, s.hugePages, s.logger))
	}
	return server, err
}

// run lets the session go on until the guest ends, the user leaves or the context is
// canceled. It serves the control socket meanwhile, if it has a path.
func (s *vmSession) run(ctx context.Context, socket, id string) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-s.console.quit:
			stop(errLeft)
		case <-ctx.Done():
		}
	}()
	err := s.await(ctx, socket, id)
	if errors.Is(context.Cause(ctx), errLeft) {
		return nil // as asked
	}
	return err
}

// errLeft is why a machine ends whose user has typed the keys for it.
var errLeft = errors.New("ended by the user")

func (s *vmSession) await(ctx context.Context, socket, id string) error {
	if socket != "" {
		server, err := s.newServer(id)
		if err != nil {
			return err
		}
		return errors.Join(server.Serve(ctx, socket), ctx.Err())
	}
	select {
	case <-s.made().Done():
		return s.made().Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends the machine if it has not ended, and the mount that it was mapped from.
func (s *vmSession) close() error {
	var err error
	if m := s.made(); m != nil {
		err = m.Close()
	}
	s.console.close()
	if s.mount != nil {
		err = errors.Join(err, s.mount.close())
	}
	return err
}
