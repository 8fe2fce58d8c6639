package functions

import (
	"fmt"
	"slices"
	"strings"
)

// The guests that functions run in.
const (
	Python = "python"
	Node   = "node"
)

// Function is one function.
type Function struct {
	Name   string
	Guest  string   // [Python] or [Node]
	Record []string // asked while the working set is recorded
	Replay []string // asked when it is started again
}

// All lists every function. The first of each guest is the service as a whole: a
// little of everything.
func All() []Function {
	return []Function{
		{"python", Python,
			[]string{"ping", "lookup customer-000007", "template 40", "image 15", "digest 0 1000000"},
			[]string{"ping", "lookup customer-004711", "template 100", "image 60", "digest 500000 1500000"}},
		{"python_list", Python, []string{"list 200"}, []string{"list 400"}},
		{"fibonacci", Python, []string{"fib 200"}, []string{"fib 400"}},
		{"image_processing_low", Python, []string{"image 30 200"}, []string{"image 75 200"}},
		{"image_processing_hd", Python, []string{"image 30"}, []string{"image 75"}},
		{"matmul", Python, []string{"matmul 500"}, []string{"matmul 100"}},
		{"chameleon", Python, []string{"template 200"}, []string{"template 100"}},
		{"dna_visualization", Python, []string{"dna 0 200000"}, []string{"dna 1000000 1200000"}},
		{"dna_visualization_big", Python, []string{"dna 0 1500000"}, []string{"dna 2000000 3500000"}},
		{"bfs", Python, []string{"bfs 60000"}, []string{"bfs 30000"}},
		{"pagerank", Python, []string{"pagerank 50000"}, []string{"pagerank 40000"}},
		{"model_training", Python, []string{"train 200"}, []string{"train 400"}},
		{"model_training_swapped", Python, []string{"train 400"}, []string{"train 200"}},
		{"ml_serving", Python, []string{"predict 0 200000"}, []string{"predict 400000 500000"}},
		{"rnn_serving", Python, []string{"rnn 3 100"}, []string{"rnn 11 150"}},
		{"lookup", Python,
			[]string{"lookup import", "lookup customer-000100", "lookup customer-020000"},
			[]string{"lookup return", "lookup customer-000200", "lookup customer-025000", "lookup class"}},
		{"series", Python, []string{"series 0 300000"}, []string{"series 200000 600000"}},

		{"node", Node,
			[]string{"ping", "lookup 7", "render 40", "search function", "digest 0 1000000"},
			[]string{"ping", "lookup 4711", "render 100", "search return", "digest 500000 1500000"}},
		{"node_render", Node, []string{"render 200"}, []string{"render 100"}},
		{"node_search", Node, []string{"search const return"}, []string{"search function this"}},
		{"node_report", Node, []string{"report Oslo"}, []string{"report Porto"}},
		{"node_serialize", Node, []string{"serialize 0 4000"}, []string{"serialize 2000 5000"}},
		{"node_graph", Node, []string{"path 1"}, []string{"path 12345"}},
	}
}

// Choose returns the functions of those names, or all of them if there are no names,
// as far as their guest is among those given.
func Choose(names, guests []string) ([]Function, error) {
	var chosen []Function
	for _, function := range All() {
		if len(names) == 0 && slices.Contains(guests, function.Guest) {
			chosen = append(chosen, function)
		}
	}
	for _, name := range names {
		function, err := byName(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(guests, function.Guest) {
			return nil, fmt.Errorf("function %s runs in the guest %s, which was not given", name, function.Guest)
		}
		chosen = append(chosen, function)
	}
	return chosen, nil
}

func byName(name string) (Function, error) {
	var known []string
	for _, function := range All() {
		if function.Name == name {
			return function, nil
		}
		known = append(known, function.Name)
	}
	return Function{}, fmt.Errorf("function %q: expected some of %s", name, strings.Join(known, ", "))
}
