package main

import "testing"

func TestByteSize(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "1": "1", "4096": "4K", "4K": "4K", "4k": "4K", "64KiB": "64K", "1.5M": "1536K", "256M": "256M", "2G": "2G", "1T": "1024G",
	} {
		var s byteSize
		if err := s.Set(text); err != nil || s.String() != want {
			t.Errorf("%s is %s (%v), want %s", text, &s, err, want)
		}
	}
	for _, text := range []string{"", "K", "-1", "4X", "1e30", "9999999P", "NaN", "Inf", "four"} {
		s := byteSize(7)
		if err := s.Set(text); err == nil || s != 7 {
			t.Errorf("%q is taken for %d", text, s)
		}
	}
}
