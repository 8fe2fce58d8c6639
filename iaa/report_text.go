package iaa

import (
	"errors"
	"fmt"
)

// ErrVerdict is returned for a word that is no verdict.
var ErrVerdict = errors.New("unknown verdict, expected yes, no or unknown")

// MarshalText makes a verdict a word in JSON: numbers would mean nothing to who
// reads a report.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText wrote. The error is of class ErrVerdict.
func (v *Verdict) UnmarshalText(text []byte) error {
	for _, verdict := range []Verdict{Unknown, Yes, No} {
		if verdict.String() == string(text) {
			*v = verdict
			return nil
		}
	}
	return fmt.Errorf("%q: %w", text, ErrVerdict)
}
