package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of the HTTP server. Times are generous: the other side is a program
// on the same machine, maybe one that is being debugged.
const (
	maxHeaderBytes    = 8 << 10
	readHeaderTimeout = time.Minute
	// graceToAnswer is how long the end waits for answers to be delivered.
	graceToAnswer = 2 * time.Second
)

// maxIDBytes is Firecracker's limit to the name of an instance.
const maxIDBytes = 64

// ErrInvalidID is returned by NewServer for a name that Firecracker refuses.
var ErrInvalidID = errors.New("invalid instance ID")

// Options of a server.
type Options struct {
	// ID names the instance; "anonymous-instance" if empty.
	ID string
	// Launcher makes the machine.
	Launcher Launcher
	// Logger gets the messages of server and machine, besides the log that a
	// client may ask for. None if nil.
	Logger *slog.Logger
}

// Server has one machine and does with it what clients ask for.
type Server struct {
	opts    Options
	logger  *slog.Logger // of server and machine: to opts.Logger and log
	log     *apiLog
	metrics *metrics

	// ctx ends when the server ends. What takes long looks at it, and not at
	// the context of a request: a client may hang up and ask again.
	ctx    context.Context
	cancel context.CancelFunc

	current atomic.Pointer[Machine] // to be closed in the end
	adopted chan Machine            // gets the machine, once
	failed  chan error              // gets what ends the server, once

	mu      sync.Mutex // held while a request is carried out; guards what follows
	config  config
	machine Machine // nil until it was started or restored
	over    bool    // nothing may be started any more
}

// config is what clients have configured.
type config struct {
	machine machineConfig
	source  *bootSource
	drives  []driveConfig
	logger  *loggerConfig
	metrics *metricsConfig
	// touched is set by what forbids to load a snapshot afterwards: all but
	// logger and metrics.
	touched bool
}

// NewServer returns a server without a machine.
func NewServer(opts Options) (*Server, error) {
	if opts.ID == "" {
		opts.ID = "anonymous-instance"
	}
	if err := checkInstanceID(opts.ID); err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		opts: opts, log: &apiLog{id: opts.ID}, metrics: newMetrics(),
		adopted: make(chan Machine, 1), failed: make(chan error, 1),
		config: config{machine: defaultMachineConfig()},
	}
	s.logger = slog.New(logHandler{own: opts.Logger.Handler(), client: s.log})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// checkInstanceID takes letters, digits and dashes.
func checkInstanceID(id string) error {
	if len(id) > maxIDBytes {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrInvalidID, len(id), maxIDBytes)
	}
	bad := strings.IndexFunc(id, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if bad >= 0 {
		return fmt.Errorf("%w %q: invalid character at %d", ErrInvalidID, id, bad)
	}
	return nil
}

// Serve listens on a socket until the guest ends, a snapshot cannot be loaded
// or ctx is canceled, and can be called once. The machine is closed and the
// socket removed when it returns. It returns why the guest ended, which is nil
// after an orderly end; what went wrong with a load; or nil if ctx was
// canceled.
func (s *Server) Serve(ctx context.Context, socketPath string) error {
	began := time.Now()
	defer s.cancel()
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	socket, err := listen(socketPath)
	if err != nil {
		return err
	}
	s.metrics.startup = time.Since(began)
	server := &http.Server{
		Handler: s, MaxHeaderBytes: maxHeaderBytes, ReadHeaderTimeout: readHeaderTimeout,
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(socket.listener) }()
	why := s.wait(serving)
	return errors.Join(why, s.shutDown(server, socket))
}

// wait returns when there is a reason to end, and why.
func (s *Server) wait(serving <-chan error) error {
	tick := time.NewTicker(metricsInterval)
	defer tick.Stop()
	var machine Machine // nil until it was started or restored
	var done <-chan struct{}
	for {
		select {
		case <-s.ctx.Done():
			return nil
		case err := <-serving:
			return fmt.Errorf("serving the API: %w", err)
		case err := <-s.failed:
			return err
		case machine = <-s.adopted:
			done = machine.Done()
		case <-done:
			return machine.Err()
		case <-tick.C:
			s.metrics.flush(s.log.missed())
		}
	}
}

// shutDown lets requests that are being answered be answered, and leaves
// nothing behind. The machine is closed before the lock is taken: closing it
// makes a request end that waits for it.
func (s *Server) shutDown(server *http.Server, socket *apiSocket) error {
	socketErr := socket.remove()
	s.cancel()
	grace, cancel := context.WithTimeout(context.Background(), graceToAnswer)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		s.logger.Debug("not all answers could be delivered", "error", err)
		_ = server.Close() // what it could report is that the listener is closed
	}
	closed := s.closeAdopted()
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	// A request that was under way may have brought the machine just now.
	closed = errors.Join(closed, s.closeAdopted())
	s.metrics.flush(s.log.missed())
	return errors.Join(socketErr, closed, s.metrics.close(), s.log.close())
}

// Adopt gives the server a machine that was made without a client: one that runs
// already, or was restored. It is the server's from then on, which has no other, and
// closes it in the end. Clients see it as if one of them had started it.
func (s *Server) Adopt(m Machine) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.machine != nil || s.over || s.config.touched {
		return fmt.Errorf("adopting a machine: %w", ErrOneMachine)
	}
	s.config.touched = true
	s.adoptShape(m.Shape())
	s.adopt(m)
	return nil
}

// ErrOneMachine is returned by Adopt when the server has a machine, or clients have
// begun to configure one.
var ErrOneMachine = errors.New("a server has one machine")

// adopt makes the machine the server's; mu is held.
func (s *Server) adopt(m Machine) {
	s.machine = m
	s.current.Store(&m)
	s.adopted <- m
}

// closeAdopted closes the machine, if there is one that was not closed.
func (s *Server) closeAdopted() error {
	m := s.current.Swap(nil)
	if m == nil {
		return nil
	}
	if err := (*m).Close(); err != nil {
		return fmt.Errorf("closing the machine: %w", err)
	}
	return nil
}

// discard closes a machine that came to nothing.
func (s *Server) discard(m Machine) {
	if err := m.Close(); err != nil {
		s.logger.Error("closing a machine that did not start", "error", err)
	}
}

// end makes Serve return err, if nothing has ended it before.
func (s *Server) end(err error) {
	select {
	case s.failed <- err:
	default:
	}
}
