package guest

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrRefused is returned when the guest answers by an error.
	ErrRefused = errors.New("the guest refuses")
	// ErrAbsent is returned when the guest says that it has no such key. It is
	// an ErrRefused, too.
	ErrAbsent = fmt.Errorf("%w: no such key", ErrRefused)
	// ErrAnswer is returned when the guest answers something that is no answer
	// to the command, or a line of more than [MaxAnswerBytes].
	ErrAnswer = errors.New("unexpected answer of the guest")
	// ErrEnded is returned when the console has ended, or the guest has said
	// that it ends.
	ErrEnded = errors.New("the guest has ended")
	// ErrOutOfStep is returned by a client after a command whose answer was not
	// awaited to its end: the next answer might be of that one.
	ErrOutOfStep = errors.New("the answer to an earlier command was not awaited")
)

// What the guest says by itself, and the words in its answers.
const (
	readyPrefix     = "sabrefs guest: ready, "
	exceptionPrefix = "sabrefs guest: exception "
	survivedLine    = "survived"
	ctrlAltDelLine  = "sabrefs guest: Ctrl-Alt-Del"
	startErrPrefix  = "sabrefs guest: error: "
	errorPrefix     = "error: "
	absentPrefix    = "error: no such key: "
	readyFormat     = readyPrefix + "%d entries in %d MiB, sum 0x%016x"
	statFormat      = "lookups=%d written=%d ticks=%d"
	verifiedFormat  = "verified=%d damaged=%d"
)

const (
	// MaxCommandBytes is the longest command that a guest takes.
	MaxCommandBytes = 63
	// MaxAnswerBytes is the longest line that a client takes.
	MaxAnswerBytes = 1024
)

// Ready is what a guest says when it has built its table.
type Ready struct {
	Entries uint64
	MiB     int
	Sum     uint64
}

// ReadyLine returns the line that a guest with a table of so many MiB prints
// when it is ready, without the end of the line.
func ReadyLine(mib int) string {
	return fmt.Sprintf(readyFormat, EntryCount(mib), mib, Sum(mib))
}

// parseReady takes such a line apart. The sum is the caller's to compare:
// a wrong one is what a test wants to see.
func parseReady(line string) (Ready, error) {
	var ready Ready
	if err := scan(line, readyFormat, &ready.Entries, &ready.MiB, &ready.Sum); err != nil {
		return Ready{}, err
	}
	if ready.MiB < 1 || ready.MiB > MaxMiB || ready.Entries != EntryCount(ready.MiB) {
		return Ready{}, fmt.Errorf("%w: %q", ErrAnswer, line)
	}
	return ready, nil
}

// CommandLine returns the words of the command line that ask for such a table.
func CommandLine(mib int) string { return fmt.Sprintf("mib=%d", mib) }

// Stat counts what a guest has done since it was booted.
type Stat struct {
	Lookups, Written, Ticks uint64
}

// scan takes an answer apart. What it puts together again must be the answer:
// Sscanf is content with less.
func scan(answer, format string, values ...any) error {
	if _, err := fmt.Sscanf(answer, strings.ReplaceAll(format, "0x%016x", "0x%x"), values...); err != nil {
		return fmt.Errorf("%w: %q", ErrAnswer, answer)
	}
	parsed := make([]any, len(values))
	for i, value := range values {
		switch value := value.(type) {
		case *uint64:
			parsed[i] = *value
		case *int:
			parsed[i] = *value
		}
	}
	if fmt.Sprintf(format, parsed...) != answer {
		return fmt.Errorf("%w: %q", ErrAnswer, answer)
	}
	return nil
}

// refusal turns an error of the guest into one of ours.
func refusal(answer string) error {
	if key, found := strings.CutPrefix(answer, absentPrefix); found {
		return fmt.Errorf("%w: %s", ErrAbsent, key)
	}
	if text, found := strings.CutPrefix(answer, errorPrefix); found {
		return fmt.Errorf("%w: %s", ErrRefused, text)
	}
	return nil
}

// ending turns what the guest says of its end into an error.
func ending(line string) error {
	if text, found := strings.CutPrefix(line, startErrPrefix); found {
		return fmt.Errorf("%w: %s", ErrRefused, text)
	}
	if line == ctrlAltDelLine || strings.HasPrefix(line, exceptionPrefix) {
		return fmt.Errorf("%w: %s", ErrEnded, line)
	}
	return nil
}
