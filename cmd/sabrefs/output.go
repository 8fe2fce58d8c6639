package main

import (
	"encoding/json"
	"io"
)

// printJSON writes one JSON value with a line end.
func printJSON(out io.Writer, value any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

// printJSONLine writes one JSON value on one line.
func printJSONLine(out io.Writer, value any) error { return json.NewEncoder(out).Encode(value) }

// ratio is raw to packed size; 0 if nothing is packed.
func ratio(rawBytes, packedBytes int64) float64 {
	if packedBytes == 0 {
		return 0
	}
	return float64(rawBytes) / float64(packedBytes)
}
