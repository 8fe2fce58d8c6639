package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// encoding/json ignores the case of names, takes the last of two, and has no
// required fields. Firecracker refuses all of that, and its clients see it as
// the first protection from a mistyped option. So a body is walked here.

// field is one member that an object may have. read gets the text of its
// value.
type field struct {
	name     string
	required bool
	read     reader
}

// reader takes the value of a member, whose syntax has been checked.
type reader func(value json.RawMessage) error

// decodeBody reads the object that a body consists of.
func decodeBody(body []byte, fields ...field) error {
	at, err := checkSyntax(body)
	if err == nil {
		at, err = decodeObject(body, fields)
	}
	if err != nil {
		return refuse("An error occurred when deserializing the json body of a request: %v at %s.",
			err, position(body, at))
	}
	return nil
}

// decodeObject reads one object; body holds nothing else and is of good syntax.
// With an error it returns where in it that was noticed.
func decodeObject(body []byte, fields []field) (at int, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	token, err := d.Token()
	if err == nil && token != json.Delim('{') {
		err = wrongType(bytes.TrimSpace(body), "an object")
	}
	seen := make([]bool, len(fields))
	for err == nil && d.More() {
		err = decodeMember(d, fields, seen)
	}
	if err != nil {
		return int(d.InputOffset()), err
	}
	for i, f := range fields {
		if f.required && !seen[i] {
			return len(bytes.TrimSpace(body)), fmt.Errorf("missing field `%s`", f.name)
		}
	}
	return 0, nil
}

// decodeMember reads a name and its value.
func decodeMember(d *json.Decoder, fields []field, seen []bool) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	name := fmt.Sprint(token)
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return fmt.Errorf("unknown field `%s`, expected %s", name, oneOf(fieldNames(fields)))
	}
	if seen[i] {
		return fmt.Errorf("duplicate field `%s`", name)
	}
	seen[i] = true
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		return err
	}
	return fields[i].read(value)
}

// checkSyntax makes sure that body is one JSON value in UTF-8, and returns
// where it is not. Paths are bytes: a string with replacement characters would
// name another file.
func checkSyntax(body []byte) (at int, err error) {
	if !utf8.Valid(body) {
		return len(body), errors.New("invalid unicode code point")
	}
	var value json.RawMessage
	err = json.Unmarshal(body, &value)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return int(syntax.Offset), err
	}
	return 0, err
}

// position names a place in the body by line and column, as Firecracker does.
func position(body []byte, readBytes int) string {
	before := body[:min(readBytes, len(body))]
	line := bytes.Count(before, []byte("\n")) + 1
	return fmt.Sprintf("line %d column %d", line, len(before)-bytes.LastIndexByte(before, '\n')-1)
}

func fieldNames(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

// oneOf lists what would have been right.
func oneOf(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = "`" + name + "`"
	}
	switch len(names) {
	case 1:
		return quoted[0]
	case 2:
		return quoted[0] + " or " + quoted[1]
	default:
		return "one of " + strings.Join(quoted, ", ")
	}
}

// wrongType describes a value that is of another type than expected.
func wrongType(value []byte, expected string) error {
	return fmt.Errorf("invalid type: %s, expected %s", describe(value), expected)
}

// describe names a JSON value by its first byte. Its syntax has been checked.
func describe(value []byte) string {
	switch text := string(value); text[0] {
	case '{':
		return "map"
	case '[':
		return "sequence"
	case '"':
		return "string " + text
	case 't', 'f':
		return "boolean `" + text + "`"
	case 'n':
		return "null"
	default:
		if strings.ContainsAny(text, ".eE") {
			return "floating point `" + text + "`"
		}
		return "integer `" + text + "`"
	}
}

func isNull(value json.RawMessage) bool { return string(value) == "null" }

// object reads an object inside another.
func object(fields ...field) reader {
	return func(value json.RawMessage) error {
		_, err := decodeObject(value, fields)
		return err
	}
}

// text reads a string.
func text(to *string) reader {
	return func(value json.RawMessage) error {
		if value[0] != '"' {
			return wrongType(value, "a string")
		}
		return json.Unmarshal(value, to)
	}
}

// hostPath reads the name of a file. The system takes no byte of zero in it.
func hostPath(to *string) reader {
	return func(value json.RawMessage) error {
		if err := text(to)(value); err != nil {
			return err
		}
		if *to == "" {
			return errors.New("invalid value: the path is empty")
		}
		if strings.ContainsRune(*to, 0) {
			return errors.New("invalid value: the path holds a zero byte")
		}
		return nil
	}
}

// boolean reads true or false.
func boolean(to *bool) reader {
	return func(value json.RawMessage) error {
		if s := string(value); s != "true" && s != "false" {
			return wrongType(value, "a boolean")
		}
		*to = value[0] == 't'
		return nil
	}
}

// unsigned reads a whole number that is not negative and has so many bits.
func unsigned(to *uint64, bits int) reader {
	return func(value json.RawMessage) error {
		n, err := strconv.ParseUint(string(value), 10, bits)
		if err == nil {
			*to = n
			return nil
		}
		expected := fmt.Sprintf("u%d", bits)
		if what := describe(value); strings.HasPrefix(what, "integer") {
			return fmt.Errorf("invalid value: %s, expected %s", what, expected)
		}
		return wrongType(value, expected)
	}
}

// variant reads one of some words.
func variant(to *string, words ...string) reader {
	return func(value json.RawMessage) error {
		var word string
		if err := text(&word)(value); err != nil {
			return err
		}
		if !slices.Contains(words, word) {
			return fmt.Errorf("unknown variant `%s`, expected %s", word, oneOf(words))
		}
		*to = word
		return nil
	}
}

// optional lets null stand for a member that is not there, and notes whether
// it was.
func optional(given *bool, read reader) reader {
	return func(value json.RawMessage) error {
		if isNull(value) {
			return nil
		}
		*given = true
		return read(value)
	}
}

// presence notes that a member is there, and does not look into it.
func presence(given *bool) reader {
	return optional(given, func(json.RawMessage) error { return nil })
}
