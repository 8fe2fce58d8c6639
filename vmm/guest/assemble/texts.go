package assemble

import (
	"bufio"
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// textMaxBytes is what one text may have: the guest's answers hold 1024 bytes.
const textMaxBytes = 1000

var symbolName = regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`)

// assembleTexts turns a list of names and Go strings into assembler: for each
// the length in two bytes, then the bytes.
func assembleTexts(list []byte) ([]byte, error) {
	var source bytes.Buffer
	source.WriteString("#include \"textflag.h\"\n")
	lines := bufio.NewScanner(bytes.NewReader(list))
	for number := 1; lines.Scan(); number++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if err := assembleText(&source, text); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", textsFile, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSource, textsFile, err)
	}
	return source.Bytes(), nil
}

// assembleText writes one symbol.
func assembleText(source *bytes.Buffer, definition string) error {
	name, quoted, _ := strings.Cut(definition, " ")
	if !symbolName.MatchString(name) {
		return fmt.Errorf("%w: bad name %q", ErrSource, name)
	}
	text, err := strconv.Unquote(strings.TrimSpace(quoted))
	if err != nil || len(text) > textMaxBytes {
		return fmt.Errorf("%w: %s is no Go string of at most %d bytes", ErrSource, name, textMaxBytes)
	}
	fmt.Fprintf(source, "TEXT %s(SB), NOSPLIT|NOFRAME, $0\n\tWORD $%d\n", name, len(text))
	for _, b := range []byte(text) {
		fmt.Fprintf(source, "\tBYTE $%d\n", b)
	}
	return nil
}
