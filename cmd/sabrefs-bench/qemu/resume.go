package qemu

import (
	"context"
	"fmt"
	"time"
)

// Resume restores the snapshot with the guest's RAM in memPath, which may lie
// on any filesystem, and lets the guest run. The VM ends with ctx.
func Resume(ctx context.Context, snapshot Snapshot, memPath string) (*VM, error) {
	return resume(ctx, snapshot, memory{path: memPath})
}

// ResumeWriting is Resume of a guest whose writes go to the file at memPath, which is
// best a copy that nobody else uses: from it [VM.Save] takes later snapshots.
func ResumeWriting(ctx context.Context, snapshot Snapshot, memPath string) (*VM, error) {
	return resume(ctx, snapshot, memory{path: memPath, shared: true})
}

func resume(ctx context.Context, snapshot Snapshot, memory memory) (*VM, error) {
	config, err := snapshot.Config()
	if err != nil {
		return nil, fmt.Errorf("resume %s: %w", snapshot.Dir, err)
	}
	arguments := append(qemuArguments(config, memory, "null"), "-incoming", "defer")
	vm, err := start(ctx, arguments)
	if err != nil {
		return nil, fmt.Errorf("resume %s: %w", snapshot.Dir, err)
	}
	if err := vm.restore(ctx, snapshot.StatePath()); err != nil {
		return nil, fmt.Errorf("resume %s: %w", snapshot.Dir, vm.abandon(err))
	}
	return vm, nil
}

func (vm *VM) restore(ctx context.Context, statePath string) error {
	startedAt := time.Now()
	if err := vm.ignoreSharedMemory(ctx); err != nil {
		return err
	}
	_, err := vm.monitor.Execute(ctx, "migrate-incoming",
		map[string]string{"uri": "exec:cat " + shellWord(statePath)})
	if err != nil {
		return err
	}
	if err := vm.waitMigrated(ctx); err != nil {
		return err
	}
	vm.Timings.Incoming = time.Since(startedAt)
	return vm.Continue(ctx)
}

// CheckAnswers asks every request of the snapshot and compares the answers with
// those of the live guest. The first difference is the error.
func (vm *VM) CheckAnswers(ctx context.Context, snapshot Snapshot) error {
	expected, err := snapshot.Answers()
	if err != nil {
		return err
	}
	for _, want := range expected {
		got, err := vm.Ask(ctx, want.Request)
		if err != nil {
			return err
		}
		if got != want.Answer {
			return fmt.Errorf("request %q: the restored guest answers %q, the live one answered %q",
				want.Request, got, want.Answer)
		}
	}
	return nil
}
