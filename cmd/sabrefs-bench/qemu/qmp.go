package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// ErrMonitor is the class of errors that QEMU's monitor answered: the
// connection works, the command was refused.
var ErrMonitor = errors.New("QEMU refused the command")

// Monitor is a connection to QEMU's machine protocol (QMP): one JSON object a
// line, answers in the order of the commands, events in between. It is used by
// one goroutine at a time.
type Monitor struct {
	conn   net.Conn
	reader *bufio.Reader
}

// monitorMessage is any line that QEMU sends; which fields are set tells its kind.
type monitorMessage struct {
	Greeting json.RawMessage `json:"QMP"`
	Event    string          `json:"event"`
	Return   json.RawMessage `json:"return"`
	Error    *struct {
		Class       string `json:"class"`
		Description string `json:"desc"`
	} `json:"error"`
}

// NewMonitor reads the greeting on conn and leaves negotiation mode, the only
// mode in which QEMU accepts no other command. On error conn is closed.
func NewMonitor(ctx context.Context, conn net.Conn) (*Monitor, error) {
	monitor := &Monitor{conn: conn, reader: bufio.NewReader(conn)}
	if err := monitor.negotiate(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return monitor, nil
}

func (m *Monitor) negotiate(ctx context.Context) error {
	defer interruptOnDone(ctx, m.conn)()
	greeting, err := m.receive()
	if err != nil {
		return fmt.Errorf("read QMP greeting: %w", contextError(ctx, err))
	}
	if greeting.Greeting == nil {
		return errors.New("read QMP greeting: the peer does not speak QMP")
	}
	_, err = m.Execute(ctx, "qmp_capabilities", nil)
	return err
}

// Execute sends one command and returns what QEMU returned, skipping events.
// A refused command gives an error of class [ErrMonitor]. After any other error
// the connection is of no more use, since an answer may still be on its way.
func (m *Monitor) Execute(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	request, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return nil, fmt.Errorf("QMP %s: %w", command, err)
	}
	defer interruptOnDone(ctx, m.conn)()
	if _, err := m.conn.Write(append(request, '\n')); err != nil {
		return nil, fmt.Errorf("QMP %s: send: %w", command, contextError(ctx, err))
	}
	answer, err := m.receiveAnswer()
	if err != nil {
		return nil, fmt.Errorf("QMP %s: %w", command, contextError(ctx, err))
	}
	return answer, nil
}

func (m *Monitor) receiveAnswer() (json.RawMessage, error) {
	for {
		message, err := m.receive()
		switch {
		case err != nil:
			return nil, err
		case message.Event != "":
			continue
		case message.Error != nil:
			return nil, fmt.Errorf("%w: %s: %s", ErrMonitor, message.Error.Class, message.Error.Description)
		default:
			return message.Return, nil
		}
	}
}

func (m *Monitor) receive() (monitorMessage, error) {
	var message monitorMessage
	line, err := m.reader.ReadBytes('\n')
	if err != nil {
		return message, fmt.Errorf("receive: %w", err)
	}
	if err := json.Unmarshal(line, &message); err != nil {
		return message, fmt.Errorf("receive %q: %w", line, err)
	}
	return message, nil
}

// Close closes the connection; QEMU goes on.
func (m *Monitor) Close() error {
	return m.conn.Close()
}

// interruptOnDone lets the end of ctx break off a blocked Read or Write of conn,
// which is then of no more use. The function it returns ends the watch: after it
// the end of ctx no longer touches conn.
func interruptOnDone(ctx context.Context, conn net.Conn) (stop func()) {
	interrupted := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		// Fails only on a closed connection, which blocks nobody.
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !unwatch() {
			<-interrupted
		}
	}
}

// contextError adds why ctx ended to an error that its end may have caused.
func contextError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
