package assemble_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"sabrefs/vmm/guest/assemble"
)

const header = "#include \"textflag.h\"\n"

// assembled writes sources into a directory and assembles them.
func assembled(t *testing.T, sources map[string]string) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range sources {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return assemble.Image(t.Context(), dir)
}

func TestImageHasCodeAndTexts(t *testing.T) {
	image, err := assembled(t, map[string]string{
		"boot.s":    header + "TEXT ·start(SB), NOSPLIT|NOFRAME, $0\n\tCLI\n\tLEAQ greeting(SB), SI\n\tHLT\n",
		"texts.txt": "# a comment\n\nunused \"nobody says this\"\ngreeting \"hello \\\"you\\\"\\n\"\n",
		"README":    "not a source",
	})
	if err != nil {
		t.Fatal(err)
	}
	// cli; lea rsi, [rip+0x18]; hlt; padding to 32 bytes; the text.
	want := append([]byte{0xfa, 0x48, 0x8d, 0x35, 0x18, 0, 0, 0, 0xf4}, bytes.Repeat([]byte{0xcc}, 23)...)
	want = append(want, "\x0c\x00hello \"you\"\n"...)
	if !bytes.Equal(image, want) {
		t.Errorf("image = % x, want % x", image, want)
	}
}

// A guest that calls into Go's runtime or knows its own address would run
// only inside the program that it was linked into.
func TestImageRefusesReferencesToOutside(t *testing.T) {
	for name, code := range map[string]string{
		"call":                        "CALL runtime·memmove(SB)",
		"data":                        "MOVQ words(SB), AX",
		"data that knows where it is": "JMP elsewhere(SB)\nTEXT elsewhere(SB), NOSPLIT|NOFRAME, $0\n\tMOVQ table<>(SB), AX",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := assembled(t, map[string]string{
				"boot.s": header + "GLOBL words(SB), RODATA, $8\nDATA words+0(SB)/8, $1\n" +
					"GLOBL table<>(SB), RODATA, $8\nDATA table<>+0(SB)/8, $·start(SB)\n" +
					"TEXT ·start(SB), NOSPLIT|NOFRAME, $0\n\t" + code + "\n\tRET\n",
			})
			if !errors.Is(err, assemble.ErrOutside) {
				t.Errorf("%v, want %v", err, assemble.ErrOutside)
			}
		})
	}
}

func TestImageRefusesBadSources(t *testing.T) {
	const good = header + "TEXT ·start(SB), NOSPLIT|NOFRAME, $0\n\tRET\n"
	for name, sources := range map[string]map[string]string{
		"nothing":         {},
		"no start":        {"boot.s": header + "TEXT ·begin(SB), NOSPLIT|NOFRAME, $0\n\tRET\n"},
		"bad instruction": {"boot.s": good + "\tNONSENSE AX\n"},
		"unknown symbol":  {"boot.s": good + "\tCALL nobody(SB)\n"},
		"text unquoted":   {"boot.s": good, "texts.txt": "name text\n"},
		"text alone":      {"boot.s": good, "texts.txt": "name\n"},
		"text's name":     {"boot.s": good, "texts.txt": "na-me \"text\"\n"},
		"text too long":   {"boot.s": good, "texts.txt": "name \"" + string(bytes.Repeat([]byte("x"), 1001)) + "\"\n"},
		"line too long":   {"boot.s": good, "texts.txt": "name \"" + string(bytes.Repeat([]byte("x"), 100000)) + "\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := assembled(t, sources); !errors.Is(err, assemble.ErrSource) {
				t.Errorf("%v, want %v", err, assemble.ErrSource)
			}
		})
	}
	if _, err := assemble.Image(t.Context(), filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want %v", err, os.ErrNotExist)
	}
}
