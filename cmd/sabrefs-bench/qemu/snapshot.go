package qemu

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Snapshot is a snapshot directory; the package comment lists its files.
type Snapshot struct {
	// Dir may also be a copy of the directory that [VM.Save] filled, for example
	// one on a mount.
	Dir string
}

// MemPath is the file that holds the guest's RAM.
func (s Snapshot) MemPath() string { return filepath.Join(s.Dir, "mem_file") }

// StatePath is the file that holds the processor and the devices.
func (s Snapshot) StatePath() string { return filepath.Join(s.Dir, "snapshot_file") }

// ConfigPath is the file that holds the [Config].
func (s Snapshot) ConfigPath() string { return filepath.Join(s.Dir, "config.json") }

// AnswersPath is the file that holds the [Answer]s.
func (s Snapshot) AnswersPath() string { return filepath.Join(s.Dir, "answers.json") }

// Config is the machine that a snapshot fits. QEMU restores a state only into
// the machine that wrote it.
type Config struct {
	Machine     string `json:"machine"`
	CPU         string `json:"cpu"`
	CPUCount    int    `json:"cpu_count"`
	MemoryBytes int64  `json:"memory_bytes"`
	Accelerator string `json:"accelerator"`
}

// Answer is what the live guest answered after the snapshot was taken. A
// restored guest must answer the same.
type Answer struct {
	Request string `json:"request"`
	Answer  string `json:"answer"`
}

// Config reads the machine settings.
func (s Snapshot) Config() (Config, error) {
	var config Config
	err := readJSON(s.ConfigPath(), &config)
	return config, err
}

// Answers reads the requests and the answers of the live guest.
func (s Snapshot) Answers() ([]Answer, error) {
	var answers []Answer
	err := readJSON(s.AnswersPath(), &answers)
	return answers, err
}

// WriteAnswers stores what the live guest answered.
func (s Snapshot) WriteAnswers(answers []Answer) error {
	return writeJSON(s.AnswersPath(), answers)
}

func readJSON(path string, value any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("parse %s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("format %s: %w", path, err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
