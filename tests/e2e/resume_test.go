package e2e

import (
	"context"
	"maps"
	"path/filepath"
	"sync"
	"testing"

	"sabrefs/tests/guest"
)

// resumedAnswers resumes the guest with its RAM in memPath, asks every request
// of the snapshot and returns the answers by request.
func resumedAnswers(ctx context.Context, t *testing.T, snapshot guest.Snapshot, memPath string) map[string]string {
	t.Helper()
	recorded, err := snapshot.Answers()
	if err != nil {
		t.Error(err)
		return nil
	}
	vm, err := guest.Resume(ctx, snapshot, memPath)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer func() {
		if err := vm.Close(); err != nil {
			t.Errorf("end QEMU: %v", err)
		}
	}()
	answers := make(map[string]string, len(recorded))
	for _, want := range recorded {
		answer, err := vm.Ask(ctx, want.Request)
		if err != nil {
			t.Error(err)
			return answers
		}
		answers[want.Request] = answer
	}
	t.Logf("resumed from %s: %+v", memPath, vm.Timings)
	return answers
}

// recordedAnswers are those of the live guest.
func recordedAnswers(t *testing.T, snapshot guest.Snapshot) map[string]string {
	t.Helper()
	recorded, err := snapshot.Answers()
	if err != nil {
		t.Fatal(err)
	}
	answers := make(map[string]string, len(recorded))
	for _, answer := range recorded {
		answers[answer.Request] = answer.Answer
	}
	return answers
}

func compareAnswers(t *testing.T, got, want map[string]string) {
	t.Helper()
	for request, wantAnswer := range want {
		if got[request] != wantAnswer {
			t.Errorf("request %q: answer %q, want %q", request, got[request], wantAnswer)
		}
	}
}

// The guest's state comes from the mount too: nothing of the original is used
// but its answers.
func TestResumeFromMountAnswersAsFromRawFile(t *testing.T) {
	original := guestSnapshot(t)
	ctx := deadlineContext(t)
	fromRaw := resumedAnswers(ctx, t, original, original.MemPath())
	compareAnswers(t, fromRaw, recordedAnswers(t, original))
	mountPoint := mountStore(t, packedStore(t))
	mounted := guest.Snapshot{Dir: filepath.Join(mountPoint, snapshotName)}
	fromMount := resumedAnswers(ctx, t, mounted, mounted.MemPath())
	if !maps.Equal(fromMount, fromRaw) {
		compareAnswers(t, fromMount, fromRaw)
		t.Error("the guest resumed from the mount answers otherwise")
	}
}

func TestTwoClonesAtOnceFromOneMount(t *testing.T) {
	original := guestSnapshot(t)
	want := recordedAnswers(t, original)
	mountPoint := mountStore(t, packedStore(t))
	mounted := guest.Snapshot{Dir: filepath.Join(mountPoint, snapshotName)}
	ctx := deadlineContext(t)
	var clones sync.WaitGroup
	for range 2 {
		clones.Go(func() {
			compareAnswers(t, resumedAnswers(ctx, t, mounted, mounted.MemPath()), want)
		})
	}
	clones.Wait()
	// What the clones wrote to their memory is their own.
	if got := fileDigest(t, mounted.MemPath()); got != fileDigest(t, original.MemPath()) {
		t.Errorf("after two clones the mounted memory has digest %s, which is not the original's", got)
	}
}
