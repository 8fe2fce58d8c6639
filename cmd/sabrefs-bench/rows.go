package main

import (
	"encoding/json"
	"io"
)

// printRows writes {"rows": [...]}, the form of every benchmark here.
func printRows(out io.Writer, rows any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{"rows": rows})
}
