//go:build amd64

package main

import (
	"fmt"
	"strings"
)

// driveSpec is one --drive.
type driveSpec struct {
	id       string
	path     string
	readOnly bool
	root     bool
}

// driveSpecs is a flag value that may be given several times.
type driveSpecs []driveSpec

// String shows what Set was given.
func (d *driveSpecs) String() string {
	texts := make([]string, 0, len(*d))
	for _, drive := range *d {
		texts = append(texts, drive.String())
	}
	return strings.Join(texts, " ")
}

func (d driveSpec) String() string {
	text := "path=" + d.path + ",id=" + d.id
	if d.readOnly {
		text += ",readonly"
	}
	if d.root {
		text += ",root"
	}
	return text
}

// Set parses path=FILE[,id=NAME][,readonly][,root]. A comma in FILE is written twice,
// as for QEMU.
func (d *driveSpecs) Set(text string) error {
	drive := driveSpec{id: fmt.Sprintf("drive%d", len(*d))}
	for _, option := range splitOptions(text) {
		key, value, hasValue := strings.Cut(option, "=")
		switch {
		case key == "path" && value != "":
			drive.path = value
		case key == "id" && value != "":
			drive.id = value
		case key == "readonly" && !hasValue:
			drive.readOnly = true
		case key == "root" && !hasValue:
			drive.root = true
		default:
			return fmt.Errorf("%q is not path=FILE, id=NAME, readonly or root", option)
		}
	}
	if drive.path == "" {
		return fmt.Errorf("%q names no file: path=FILE", text)
	}
	*d = append(*d, drive)
	return nil
}

// Type names the value in help texts.
func (d *driveSpecs) Type() string { return "DRIVE" }

// splitOptions splits at commas that stand alone.
func splitOptions(text string) []string {
	const comma = "\x00"
	options := strings.Split(strings.ReplaceAll(text, ",,", comma), ",")
	for i := range options {
		options[i] = strings.ReplaceAll(options[i], comma, ",")
	}
	return options
}
