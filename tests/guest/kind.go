package guest

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed server.py
var pythonServer []byte

//go:embed server.js
var nodeServer []byte

// Kind is a guest that [Kind.Build] can make: one program of Debian that serves
// requests, and nothing else.
type Kind struct {
	name        string
	packages    []string // of Debian; what they need comes with them
	program     []byte
	programName string
	// command is what init executes, in the shell's words.
	command string
	// warmUp is asked before the first snapshot, so that it is one of a service at
	// work: libraries loaded lazily are loaded, caches are filled.
	warmUp []string
	// later is asked between the snapshots; ingest alone changes what the guest
	// answers, the others only dirty memory in passing.
	later []string
	// compared is asked of the live guest after a snapshot and of every guest
	// restored from it. Together these read most of the resident data.
	compared []string
}

// Name is the kind's name, and that of its first snapshot's directory.
func (k Kind) Name() string { return k.name }

// Python is a service in python3 with numpy and PIL.
func Python() Kind {
	return Kind{
		name:        "python",
		packages:    []string{"python3", "python3-numpy", "python3-pil"},
		program:     pythonServer,
		programName: "server.py",
		// The same layout of dictionaries in every boot, and no BLAS threads.
		command: "PYTHONHASHSEED=0 OPENBLAS_NUM_THREADS=1 python3 /server.py",
		warmUp: []string{
			"ping", "fib 300", "matmul 64", "image 15", "lookup customer-000007",
			"digest 0 65536", "template 50", "stats",
		},
		later: []string{
			"ingest 10000", "image 90", "template 400", "matmul 200", "series 0 500000",
		},
		compared: []string{
			"ping", "stats", "fib 90", "fib 2000",
			"matmul 32", "matmul 256",
			"image 37", "image 180",
			"lookup customer-000000", "lookup customer-029999", "lookup customer-035000",
			"lookup import", "lookup self", "lookup nosuchword",
			"digest 0 4096", "digest 1000000 3000000", "digest 0 12582912",
			"series 0 1048576", "series 500000 500100",
			"template 3", "template 300",
			"list 3", "bfs 500", "pagerank 1000", "dna 0 4096", "train 64", "predict 0 4096", "rnn 7 16", "image 5 64",
			"nosuchrequest",
		},
	}
}

// Node is a service in node: a just-in-time compiler and a moving garbage
// collector lay out and touch memory quite otherwise than python does.
func Node() Kind {
	return Kind{
		name:        "node",
		packages:    []string{"nodejs"},
		program:     nodeServer,
		programName: "server.js",
		command:     "node /server.js",
		warmUp: []string{
			"ping", "lookup 7", "search function", "render 20", "sum 0 1000", "digest 0 65536", "report Oslo", "stats",
		},
		later: []string{
			"ingest 10000", "render 300", "search return", "sum 0 500000",
		},
		compared: []string{
			"ping", "stats", "lookup 0", "lookup 39999", "lookup 45000",
			"search const", "search return function", "search nosuchword",
			"render 3", "render 300", "report Graz", "report nowhere",
			"sum 0 1048576", "sum 500000 500100",
			"digest 0 4096", "digest 0 8388608",
			"serialize 0 2000", "path 1000", "nosuchrequest",
		},
	}
}

// ByName finds a kind by its name.
func ByName(name string) (Kind, error) {
	var known []string
	for _, kind := range []Kind{Python(), Node()} {
		if kind.name == name {
			return kind, nil
		}
		known = append(known, kind.name)
	}
	return Kind{}, fmt.Errorf("guest %q: expected %s", name, strings.Join(known, " or "))
}
