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

// printResult writes rows as JSON, or as the table that printTable makes.
func printResult[Row any](out io.Writer, rows []Row, asJSON bool, printTable func(io.Writer, []Row) error) error {
	if asJSON {
		return printRows(out, rows)
	}
	return printTable(out, rows)
}
