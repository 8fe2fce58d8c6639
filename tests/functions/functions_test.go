// Package functions_test asks the real guests what the functions of
// [sabrefs/cmd/sabrefs-bench/functions] ask: every request is known to its guest, and
// two guests restored from one snapshot give the same answers, without which answers
// could not be compared. It needs root to build guests; to leave it out, set
// SABREFS_SKIP_E2E to the reason.
package functions_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sabrefs/cmd/sabrefs-bench/functions"
	"sabrefs/cmd/sabrefs-bench/qemu"
	"sabrefs/tests/guest"
)

const (
	skipVariable = "SABREFS_SKIP_E2E"
	// cleanupReserve is kept from the time limit of `go test`.
	cleanupReserve = time.Minute
)

func TestGuestsAnswerTheFunctions(t *testing.T) {
	t.Parallel()
	if reason := os.Getenv(skipVariable); reason != "" {
		t.Skipf("%s: %s", skipVariable, reason)
	}
	if os.Geteuid() != 0 {
		t.Fatalf("building guests needs root; to leave this out, set %s to the reason", skipVariable)
	}
	ctx := t.Context()
	if deadline, limited := t.Deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-cleanupReserve))
		t.Cleanup(cancel)
	}
	for _, kind := range []guest.Kind{guest.Python(), guest.Node()} {
		t.Run(kind.Name(), func(t *testing.T) {
			t.Parallel()
			snapshot, err := kind.Build(ctx, os.Stderr)
			if err != nil {
				t.Fatal(err)
			}
			requests := requestsOf(t, kind.Name())
			first := answersOf(ctx, t, snapshot, requests)
			for i, answer := range first {
				if answer.Answer == "" || strings.HasPrefix(answer.Answer, "error: ") {
					t.Errorf("request %q: answer %q", requests[i], answer.Answer)
				}
			}
			if second := answersOf(ctx, t, snapshot, requests); !slices.Equal(first, second) {
				t.Errorf("two guests answer\n%q and\n%q", first, second)
			}
			checkRecorded(ctx, t, snapshot)
		})
	}
}

func requestsOf(t *testing.T, guestName string) (requests []string) {
	t.Helper()
	for _, f := range functions.All() {
		if f.Guest == guestName {
			requests = slices.Concat(requests, f.Record, f.Replay)
		}
	}
	if len(requests) == 0 {
		t.Fatalf("no function runs in %s", guestName)
	}
	return requests
}

func answersOf(ctx context.Context, t *testing.T, snapshot guest.Snapshot, requests []string) (answers []qemu.Answer) {
	t.Helper()
	withGuest(ctx, t, snapshot, func(vm *guest.VM) (err error) {
		answers, err = vm.AskAll(ctx, requests)
		return err
	})
	return answers
}

// checkRecorded compares with the answers of the live guest, of both snapshots.
func checkRecorded(ctx context.Context, t *testing.T, first guest.Snapshot) {
	t.Helper()
	for _, snapshot := range []guest.Snapshot{first, guest.Later(first)} {
		withGuest(ctx, t, snapshot, func(vm *guest.VM) error { return vm.CheckAnswers(ctx, snapshot) })
	}
}

func withGuest(ctx context.Context, t *testing.T, snapshot guest.Snapshot, do func(vm *guest.VM) error) {
	t.Helper()
	vm, err := guest.Resume(ctx, snapshot, snapshot.MemPath())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := vm.Close(); err != nil {
			t.Errorf("end QEMU: %v", err)
		}
	}()
	if err := do(vm); err != nil {
		t.Fatal(err)
	}
}
