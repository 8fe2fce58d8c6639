package guest

import "context"

// warmUpRequests are asked before the first snapshot, so that it is one of a
// service at work: libraries loaded lazily are loaded, caches are filled.
var warmUpRequests = []string{
	"ping", "fib 300", "matmul 64", "image 15", "lookup customer-000007",
	"digest 0 65536", "template 50", "stats",
}

// laterRequests are asked between the snapshots; ingest alone changes what the
// guest answers, the others only dirty memory in passing.
var laterRequests = []string{
	"ingest 10000", "image 90", "template 400", "matmul 200", "series 0 500000",
}

// comparedRequests are asked of the live guest after a snapshot and of every
// guest restored from it. Together they read most of the resident data.
var comparedRequests = []string{
	"ping", "stats", "fib 90", "fib 2000",
	"matmul 32", "matmul 256",
	"image 37", "image 180",
	"lookup customer-000000", "lookup customer-029999", "lookup customer-035000",
	"lookup import", "lookup self", "lookup nosuchword",
	"digest 0 4096", "digest 1000000 3000000", "digest 0 12582912",
	"series 0 1048576", "series 500000 500100",
	"template 3", "template 300",
	"nosuchrequest",
}

func (vm *VM) askAll(ctx context.Context, requests []string) error {
	_, err := vm.collectAnswers(ctx, requests)
	return err
}

func (vm *VM) collectAnswers(ctx context.Context, requests []string) ([]Answer, error) {
	answers := make([]Answer, 0, len(requests))
	for _, request := range requests {
		answer, err := vm.Ask(ctx, request)
		if err != nil {
			return nil, err
		}
		answers = append(answers, Answer{Request: request, Answer: answer})
	}
	return answers, nil
}
