package assemble

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

var (
	// ErrSource is returned when the sources are not as they must be: a text
	// that is none, or what the assembler and the linker refuse.
	ErrSource = errors.New("bad source of the guest")
	// ErrOutside is returned when the guest refers to something that is not in
	// its image, or to something in it by address.
	ErrOutside = errors.New("the guest refers to something outside its image")
)

const (
	textsFile = "texts.txt"
	// imageMaxBytes ends before the memory that the guest writes.
	imageMaxBytes = 0x80000

	programSource = `package main

func start()
func imageEnd()

func main() {
	start()
	imageEnd()
}
`
	moduleSource = "module guestimage\n\ngo 1.24\n"
	endSource    = "#include \"textflag.h\"\nTEXT ·imageEnd(SB), NOSPLIT|NOFRAME, $0\n\tRET\n"
)

// placement says how the program is linked around the guest.
type placement struct {
	textAddress   string
	paddingBefore int
	paddingBehind int
}

// Image assembles the sources in a directory.
func Image(ctx context.Context, sources string) ([]byte, error) {
	placements := []placement{
		{textAddress: "0x401000"},
		{textAddress: "0x1234000", paddingBefore: 1000, paddingBehind: 5000},
	}
	var images [][]byte
	for _, place := range placements {
		image, err := link(ctx, sources, place)
		if err != nil {
			return nil, err
		}
		images = append(images, image)
	}
	if where := firstDifference(images[0], images[1]); where >= 0 {
		return nil, fmt.Errorf("%w: at offset %#x", ErrOutside, where)
	}
	return images[0], nil
}

// firstDifference returns where two images differ, or -1.
func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

// link makes the program in a directory of its own and cuts the image out.
func link(ctx context.Context, sources string, place placement) ([]byte, error) {
	dir, err := os.MkdirTemp("", "sabrefs-guest-*")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the guest: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := writeProgram(dir, sources, place); err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "program")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags=-T "+place.textAddress, "-o", program, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "CGO_ENABLED=0",
		"GOWORK=off", "GOFLAGS=", "GOEXPERIMENT=")
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %w\n%s", ErrSource, err, output)
	}
	return cut(program)
}

// writeProgram copies the sources and adds the Go program around them. The
// linker keeps the order of files: alphabetical.
func writeProgram(dir, sources string, place placement) error {
	files := map[string][]byte{
		"go.mod":        []byte(moduleSource),
		"main_amd64.go": []byte(programSource),
		"a_padding.s":   padding("paddingBefore", place.paddingBefore),
		"y_end.s":       []byte(endSource),
		"z_padding.s":   padding("paddingBehind", place.paddingBehind),
	}
	if place.paddingBefore > 0 {
		files["main_amd64.go"] = []byte(paddedProgram())
	}
	entries, err := os.ReadDir(sources)
	if err != nil {
		return fmt.Errorf("read the sources of the guest: %w", err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(sources, entry.Name()))
		if err != nil {
			return fmt.Errorf("read the sources of the guest: %w", err)
		}
		switch {
		case entry.Name() == textsFile:
			files["texts.s"], err = assembleTexts(content)
		case strings.HasSuffix(entry.Name(), ".s"), strings.HasSuffix(entry.Name(), ".h"):
			files[entry.Name()] = content
		}
		if err != nil {
			return err
		}
	}
	return writeFiles(dir, files)
}

// writeFiles writes files by name into a directory.
func writeFiles(dir string, files map[string][]byte) error {
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("write the sources of the guest: %w", err)
		}
	}
	return nil
}

// paddedProgram is the program that also keeps the padding.
func paddedProgram() string {
	program := strings.Replace(programSource, "func imageEnd()\n",
		"func imageEnd()\nfunc paddingBefore()\nfunc paddingBehind()\n", 1)
	return strings.Replace(program, "\timageEnd()\n", "\timageEnd()\n\tpaddingBefore()\n\tpaddingBehind()\n", 1)
}

// padding is a symbol of so many words.
func padding(name string, words int) []byte {
	return []byte("#include \"textflag.h\"\nTEXT ·" + name + "(SB), NOSPLIT|NOFRAME, $0\n\tRET\n" +
		strings.Repeat("\tQUAD $0\n", words))
}

// cut takes the bytes between the two symbols out of the program.
func cut(program string) ([]byte, error) {
	file, err := elf.Open(program)
	if err != nil {
		return nil, fmt.Errorf("open the linked guest: %w", err)
	}
	defer file.Close()
	symbols, err := file.Symbols()
	if err != nil {
		return nil, fmt.Errorf("read symbols of the linked guest: %w", err)
	}
	var start, end uint64
	for _, symbol := range symbols {
		switch strings.TrimSuffix(symbol.Name, ".abi0") {
		case "main.start":
			start = symbol.Value
		case "main.imageEnd":
			end = symbol.Value
		}
	}
	if start == 0 || end <= start || end-start > imageMaxBytes {
		return nil, fmt.Errorf("%w: it would reach from %#x to %#x", ErrSource, start, end)
	}
	return read(file, start, end-start)
}

// read reads a piece of the section .text.
func read(file *elf.File, address, lenBytes uint64) ([]byte, error) {
	text := file.Section(".text")
	if text == nil || address < text.Addr || address+lenBytes > text.Addr+text.Size {
		return nil, fmt.Errorf("%w: start and end are not in .text", ErrSource)
	}
	image := make([]byte, lenBytes)
	if _, err := text.ReadAt(image, int64(address-text.Addr)); err != nil {
		return nil, fmt.Errorf("read the linked guest: %w", err)
	}
	return bytes.TrimRight(image, "\xcc"), nil // what the linker pads with
}
