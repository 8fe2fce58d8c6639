package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// loggerConfig is the document at /logger.
type loggerConfig struct {
	Path   string `json:"log_path"`
	Level  string `json:"level"`
	Show   bool   `json:"show_level"`
	Origin bool   `json:"show_log_origin"`
}

// levels are the words of Firecracker, of v1.0 and later, in any case.
var levels = map[string]slog.Level{
	"off": slog.LevelError + 4, "error": slog.LevelError, "warning": slog.LevelWarn, "warn": slog.LevelWarn,
	"info": slog.LevelInfo, "debug": slog.LevelDebug, "trace": slog.LevelDebug,
}

func (s *Server) putLogger(r request) error {
	c := loggerConfig{Level: "Warning"}
	var ignored bool
	err := decodeBody(r.body,
		field{name: "log_path", required: true, read: hostPath(&c.Path)},
		field{name: "level", read: optional(&ignored, logLevel(&c.Level))},
		field{name: "show_level", read: optional(&ignored, boolean(&c.Show))},
		field{name: "show_log_origin", read: optional(&ignored, boolean(&c.Origin))})
	if err != nil {
		return err
	}
	if err := s.log.open(c); err != nil {
		return failed("Failed to initialize the logger", withoutPath(err))
	}
	s.config.logger = &c
	s.logger.Info("Running " + appName + " as Firecracker v" + speaksVersion)
	return nil
}

// logLevel reads a level.
func logLevel(to *string) reader {
	return func(value json.RawMessage) error {
		var word string
		if err := text(&word)(value); err != nil {
			return err
		}
		if _, ok := levels[strings.ToLower(word)]; !ok {
			return fmt.Errorf("unknown variant `%s`, expected %s",
				word, oneOf([]string{"Error", "Warning", "Info", "Debug"}))
		}
		*to = word
		return nil
	}
}

// apiLog is the log that a client asked for. It begins as none.
type apiLog struct {
	id string

	mu     sync.Mutex // guards what follows
	file   *lineFile
	config loggerConfig
}

// open directs the log to a file, or to another one.
func (l *apiLog) open(c loggerConfig) error {
	file, err := openLineFile(c.Path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.file
	l.file, l.config = file, c
	if old != nil {
		return old.close()
	}
	return nil
}

func (l *apiLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.close()
}

// missed returns how many lines the log lost since it was last asked.
func (l *apiLog) missed() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return 0
	}
	return l.file.takeMissed()
}

func (l *apiLog) enabled(level slog.Level) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file != nil && level >= levels[strings.ToLower(l.config.Level)]
}

// write makes a line of a record, in Firecracker's form:
// TIME [ID:LEVEL:FILE:LINE] MESSAGE. Our attributes follow as KEY=VALUE.
func (l *apiLog) write(r slog.Record, attrs string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return
	}
	origin := []string{l.id}
	if l.config.Show {
		origin = append(origin, r.Level.String())
	}
	if l.config.Origin {
		frame, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		origin = append(origin, fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line))
	}
	line := fmt.Sprintf("%s [%s] %s%s", r.Time.Format("2006-01-02T15:04:05.000000000"),
		strings.Join(origin, ":"), r.Message, attrs)
	l.file.writeLine([]byte(strings.ReplaceAll(line, "\n", `\n`) + "\n"))
}

// logHandler gives records to the program's own log and to the client's.
type logHandler struct {
	own    slog.Handler
	client *apiLog
	attrs  string // of With, as text
	prefix string // of WithGroup
}

// Enabled implements slog.Handler.
func (h logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.client.enabled(level) || h.own.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.client.enabled(r.Level) {
		var attrs []slog.Attr
		r.Attrs(func(a slog.Attr) bool {
			attrs = append(attrs, a)
			return true
		})
		h.client.write(r, h.attrs+h.format(attrs))
	}
	if !h.own.Enabled(ctx, r.Level) {
		return nil
	}
	return h.own.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs += h.format(attrs)
	h.own = h.own.WithAttrs(slices.Clone(attrs))
	return h
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	h.prefix += name + "."
	h.own = h.own.WithGroup(name)
	return h
}

func (h logHandler) format(attrs []slog.Attr) string {
	var b strings.Builder
	for _, a := range attrs {
		fmt.Fprintf(&b, " %s%s=%v", h.prefix, a.Key, a.Value.Resolve())
	}
	return b.String()
}
