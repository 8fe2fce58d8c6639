package iaa

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestVerdictsAreWords(t *testing.T) {
	for word, verdict := range map[string]Verdict{`"yes"`: Yes, `"no"`: No, `"unknown"`: Unknown} {
		text, err := json.Marshal(verdict)
		if err != nil || string(text) != word {
			t.Errorf("verdict %d is %s, %v, want %s", verdict, text, err, word)
		}
		got := Verdict(77)
		if err := json.Unmarshal(text, &got); err != nil || got != verdict {
			t.Errorf("%s is the verdict %d, %v", word, got, err)
		}
	}
	var v Verdict
	if err := json.Unmarshal([]byte(`"maybe"`), &v); !errors.Is(err, ErrVerdict) {
		t.Errorf("error is %v", err)
	}
}
