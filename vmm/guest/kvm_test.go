//go:build linux && amd64

package guest_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sabrefs/tests/kvmtest"
	"sabrefs/vmm"
	"sabrefs/vmm/guest"
)

const kvmMemoryMiB = 8

// inKVM is a guest in a machine of our own.
type inKVM struct {
	*guest.Client
	*vmm.Machine
	ctx context.Context
}

// attach makes a client of a machine that create makes with the console that it
// is given. All ends with the test.
func attach(t *testing.T, create func(ctx context.Context, console io.Writer) (*vmm.Machine, error)) *inKVM {
	t.Helper()
	kvmtest.Need(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	out, console := io.Pipe()
	machine, err := create(ctx, console)
	if err != nil {
		t.Fatal(err)
	}
	k := &inKVM{Client: guest.NewClient(out, machine.Input()), Machine: machine, ctx: ctx}
	t.Cleanup(func() {
		// First the console: a guest that writes to nobody cannot be stopped.
		_ = out.Close()
		k.Client.Close()
		if err := machine.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// booted starts a guest and waits until it is ready.
func booted(t *testing.T, cpus int) *inKVM {
	t.Helper()
	k := attach(t, func(ctx context.Context, console io.Writer) (*vmm.Machine, error) {
		return vmm.New(ctx, vmm.Config{
			MemoryBytes: kvmMemoryMiB << 20, VCPUCount: cpus, Flat: guest.Image(),
			CommandLine: guest.CommandLine(smallMiB), Console: console,
		})
	})
	if err := k.Start(); err != nil {
		t.Fatal(err)
	}
	ready, err := k.WaitReady(k.ctx)
	if err != nil || ready.Sum != guest.Sum(smallMiB) {
		t.Fatalf("ready = %+v, %v", ready, err)
	}
	return k
}

// ends waits for the end of the guest and checks why it ended.
func (k *inKVM) ends(t *testing.T, want error) {
	t.Helper()
	select {
	case <-k.Done():
		if err := k.Err(); !errors.Is(err, want) {
			t.Errorf("the guest ended by %v, want %v", err, want)
		}
	case <-k.ctx.Done():
		t.Error("the guest does not end")
	}
}

// knows checks that the guest has its table, with so many writes.
func (k *inKVM) knows(t *testing.T, writes uint64) {
	t.Helper()
	for key := uint64(5); key < guest.EntryCount(smallMiB); key += 1001 {
		if value, err := k.Get(k.ctx, key); err != nil || value != guest.Value(key) {
			t.Fatalf("get %d = %#x, %v, want %#x", key, value, err, guest.Value(key))
		}
	}
	if sum, err := k.Sum(k.ctx); err != nil || sum != guest.SumAfter(smallMiB, writes) {
		t.Errorf("sum after %d writes = %#x, %v", writes, sum, err)
	}
	if damaged, err := k.Verify(k.ctx); err != nil || damaged != 0 {
		t.Errorf("verify: %d damaged pages, %v", damaged, err)
	}
}

func TestKVMGuestAnswers(t *testing.T) {
	k := booted(t, 1)
	if _, err := k.Write(k.ctx, 9); err != nil {
		t.Fatal(err)
	}
	k.knows(t, 9)
	if value, err := k.Peek(k.ctx); err != nil || value != 1<<64-1 {
		t.Errorf("peek = %#x, %v, want all ones", value, err)
	}
	if err := k.Quit(k.ctx); err != nil {
		t.Fatal(err)
	}
	k.ends(t, nil)
}

func TestKVMGuestTicks(t *testing.T) {
	k := booted(t, 1)
	if err := k.Tick(k.ctx, true); err != nil {
		t.Fatal(err)
	}
	for ticks := uint64(0); ticks < 3; {
		stat, err := k.Stat(k.ctx)
		if err != nil {
			t.Fatal(err)
		}
		ticks = stat.Ticks
	}
	if err := k.Tick(k.ctx, false); err != nil {
		t.Fatal(err)
	}
}

func TestKVMGuestStartsProcessors(t *testing.T) {
	k := booted(t, 3)
	if count, err := k.Processors(k.ctx); err != nil || count != 3 {
		t.Errorf("smp = %d, %v, want 3", count, err)
	}
	k.knows(t, 0)
}

func TestKVMGuestEnds(t *testing.T) {
	for name, end := range map[string]struct {
		by  func(*inKVM) error
		why error
	}{
		"crash": {func(k *inKVM) error { return k.Crash(k.ctx) }, vmm.ErrTripleFault},
		"poke":  {func(k *inKVM) error { return k.Poke(k.ctx) }, vmm.ErrUnmapped},
		"keys": {func(k *inKVM) error {
			if err := k.SendCtrlAltDel(); err != nil {
				return err
			}
			return wantEnd(k, "Ctrl-Alt-Del")
		}, nil},
		"exception": {func(k *inKVM) error {
			_, err := k.Do(k.ctx, "fault")
			if !errors.Is(err, guest.ErrEnded) || !strings.Contains(err.Error(), "exception 14,") {
				return errors.Join(errors.New("want a page fault"), err)
			}
			return nil
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k := booted(t, 1)
			if err := end.by(k); err != nil {
				t.Fatal(err)
			}
			k.ends(t, end.why)
		})
	}
}

// wantEnd waits for the guest to say that it ends, and why.
func wantEnd(k *inKVM, why string) error {
	_, err := k.WaitReady(k.ctx)
	if !errors.Is(err, guest.ErrEnded) || !strings.Contains(err.Error(), why) {
		return errors.Join(errors.New("want an end by "+why), err)
	}
	return nil
}

// A guest that hears nothing is stopped nevertheless: by the cleanup.
func TestKVMGuestSpins(t *testing.T) {
	k := booted(t, 1)
	if err := k.Spin(k.ctx); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(k.ctx, 100*time.Millisecond)
	defer cancel()
	if stat, err := k.Stat(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stat = %+v, %v, want no answer", stat, err)
	}
}

// What a guest has counted and written is there after a restore, and its timer
// and its other processors go on.
func TestKVMGuestGoesOnAfterRestore(t *testing.T) {
	dir := t.TempDir()
	state, memory := filepath.Join(dir, "snapshot_file"), filepath.Join(dir, "mem_file")
	k := booted(t, 2)
	if _, err := k.Write(k.ctx, 3); err != nil {
		t.Fatal(err)
	}
	if count, err := k.Processors(k.ctx); err != nil || count != 2 {
		t.Errorf("smp = %d, %v, want 2", count, err)
	}
	if err := k.Tick(k.ctx, true); err != nil {
		t.Fatal(err)
	}
	before, err := k.Stat(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Pause(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Snapshot(k.ctx, vmm.SnapshotRequest{StatePath: state, MemoryPath: memory}); err != nil {
		t.Fatal(err)
	}
	if err := k.Machine.Close(); err != nil {
		t.Fatal(err)
	}

	restored := attach(t, func(ctx context.Context, console io.Writer) (*vmm.Machine, error) {
		return vmm.Restore(ctx, vmm.RestoreConfig{StatePath: state, MemoryPath: memory, Console: console})
	})
	if err := restored.Resume(); err != nil {
		t.Fatal(err)
	}
	restored.knows(t, 3)
	for ticks := before.Ticks; ticks < before.Ticks+3; {
		stat, err := restored.Stat(restored.ctx)
		if err != nil || stat.Written != 3 {
			t.Fatalf("stat = %+v, %v", stat, err)
		}
		ticks = stat.Ticks
	}
	if err := restored.Quit(restored.ctx); err != nil {
		t.Fatal(err)
	}
	restored.ends(t, nil)
}
