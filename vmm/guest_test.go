//go:build linux && amd64

package vmm

import (
	"context"
	"errors"
	"io"
	"testing"

	"sabrefs/tests/kvmtest"
	"sabrefs/vmm/guest"
)

// The built-in guest is a program that knows what it must answer.

const (
	tableMiB = 8
	writes   = 20
)

func guestConfig() Config {
	return Config{
		MemoryBytes: (guest.MinMemoryMiB + tableMiB + 1) * mib, VCPUCount: 1,
		Flat: guest.Image(), CommandLine: guest.CommandLine(tableMiB),
	}
}

// talk returns a client and the console to make its machine with.
func talk(t *testing.T) (out *io.PipeWriter, connect func(*Machine) *guest.Client) {
	t.Helper()
	r, out := io.Pipe()
	return out, func(m *Machine) *guest.Client {
		c := guest.NewClient(r, m.Input())
		t.Cleanup(func() {
			mustNot(t, m.Close())
			mustNot(t, out.Close())
			c.Close()
		})
		return c
	}
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// bootGuest returns a guest that is ready.
func bootGuest(t *testing.T, cfg Config) (*Machine, *guest.Client) {
	t.Helper()
	kvmtest.Need(t)
	out, connect := talk(t)
	cfg.Console = out
	m, err := New(t.Context(), cfg)
	mustNot(t, err)
	c := connect(m)
	mustNot(t, m.Start())
	ready, err := c.WaitReady(patient(t))
	mustNot(t, err)
	if ready.Sum != guest.Sum(tableMiB) || ready.MiB != tableMiB {
		t.Fatalf("the guest is ready with %+v", ready)
	}
	return m, c
}

// restoreGuest returns a guest that runs again.
func restoreGuest(t *testing.T, req SnapshotRequest) (*Machine, *guest.Client) {
	t.Helper()
	out, connect := talk(t)
	cfg := req.restore(nil)
	cfg.Console = out
	m, err := Restore(t.Context(), cfg)
	mustNot(t, err)
	c := connect(m)
	mustNot(t, m.Resume())
	return m, c
}

// wantGuest checks all that a guest knows and what it has counted.
func wantGuest(t *testing.T, c *guest.Client, lookups, written uint64) {
	t.Helper()
	ctx := patient(t)
	stat, err := c.Stat(ctx)
	mustNot(t, err)
	if stat.Lookups != lookups || stat.Written != written {
		t.Errorf("the guest counted %+v, want %d lookups and %d writes", stat, lookups, written)
	}
	for _, key := range []uint64{0, 77, guest.EntryCount(tableMiB) - 1} {
		value, err := c.Get(ctx, key)
		mustNot(t, err)
		if value != guest.Value(key) {
			t.Errorf("key %d has value %d, want %d", key, value, guest.Value(key))
		}
	}
	sum, err := c.Sum(ctx)
	mustNot(t, err)
	if want := guest.SumAfter(tableMiB, written); sum != want {
		t.Errorf("the sum of the table is %d, want %d", sum, want)
	}
	damaged, err := c.Verify(ctx)
	mustNot(t, err)
	if damaged != 0 {
		t.Errorf("%d pages are damaged", damaged)
	}
}

// lookupsOfCheck is how many lookups wantGuest makes.
const lookupsOfCheck = 3

func TestKVMGuestGoesOnAfterRestore(t *testing.T) {
	cfg := guestConfig()
	cfg.TrackDirtyPages = true
	m, c := bootGuest(t, cfg)
	ctx := patient(t)
	wantGuest(t, c, 0, 0)
	_, err := c.Write(ctx, writes)
	mustNot(t, err)
	mustNot(t, c.Tick(ctx, true))
	dir := t.TempDir()
	base := request(dir, "base", false)
	full := pauseAndSnapshot(t, m, base)
	mustNot(t, m.Resume())
	wantGuest(t, c, lookupsOfCheck, writes)

	// A restored guest goes on from the snapshot, its timer too.
	other, oc := restoreGuest(t, base)
	wantGuest(t, oc, lookupsOfCheck, writes)
	wantTicks(t, oc)
	_, err = oc.Write(ctx, writes)
	mustNot(t, err)
	diff := request(dir, "diff", true)
	checkDiff(t, pauseAndSnapshot(t, other, diff), full)

	// So does one from a diff that was merged.
	mergeFiles(t, base, diff)
	_, mc := restoreGuest(t, diff)
	wantGuest(t, mc, 2*lookupsOfCheck, 2*writes)
	wantTicks(t, mc)
	// Nobody has changed what the others see.
	wantGuest(t, c, 2*lookupsOfCheck, writes)
	_, again := restoreGuest(t, base)
	wantGuest(t, again, lookupsOfCheck, writes)
}

// wantTicks waits until the guest's timer has ticked.
func wantTicks(t *testing.T, c *guest.Client) {
	t.Helper()
	ctx := patient(t)
	first, err := c.Stat(ctx)
	mustNot(t, err)
	for {
		now, err := c.Stat(ctx)
		mustNot(t, err)
		if now.Ticks > first.Ticks {
			return
		}
	}
}

func TestKVMGuestEndsInOrder(t *testing.T) {
	m, _ := bootGuest(t, guestConfig())
	mustNot(t, m.Pause())
	mustNot(t, m.Resume())
	mustNot(t, m.SendCtrlAltDel())
	mustNot(t, ended(t, m))

	m, c := bootGuest(t, guestConfig())
	mustNot(t, c.Quit(patient(t)))
	mustNot(t, ended(t, m))
}

// TestKVMCtrlAltDelWhilePaused comes when the guest goes on, even in another
// machine.
func TestKVMCtrlAltDelWhilePaused(t *testing.T) {
	m, _ := bootGuest(t, guestConfig())
	mustNot(t, m.Pause())
	mustNot(t, m.SendCtrlAltDel())
	req := request(t.TempDir(), "pressed", false)
	_, err := m.Snapshot(t.Context(), req)
	mustNot(t, err)
	other, _ := restoreGuest(t, req)
	mustNot(t, ended(t, other))
	mustNot(t, m.Resume())
	mustNot(t, ended(t, m))
}

func TestKVMGuestMisbehaves(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(*guest.Client, context.Context) error
		class error
	}{
		{"crash", (*guest.Client).Crash, ErrTripleFault},
		{"poke", (*guest.Client).Poke, ErrUnmapped},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, client := bootGuest(t, guestConfig())
			if err := c.do(client, patient(t)); err != nil && !errors.Is(err, guest.ErrEnded) {
				t.Fatal(err)
			}
			wantError(t, ended(t, m), c.class)
		})
	}
	t.Run("spin", func(t *testing.T) {
		m, client := bootGuest(t, guestConfig())
		mustNot(t, client.Spin(patient(t)))
		req := request(t.TempDir(), "spinning", false)
		pauseAndSnapshot(t, m, req)
		other, _ := restoreGuest(t, req)
		mustNot(t, other.Pause())
		mustNot(t, other.Close())
		mustNot(t, m.Close())
	})
	t.Run("peek", func(t *testing.T) {
		_, client := bootGuest(t, guestConfig())
		value, err := client.Peek(patient(t))
		mustNot(t, err)
		if value != 1<<64-1 && value != 1<<32-1 && value != 255 {
			t.Errorf("nothing reads as %#x", value)
		}
	})
}

func TestKVMGuestOnSeveralVCPUs(t *testing.T) {
	cfg := guestConfig()
	cfg.VCPUCount = 3
	m, c := bootGuest(t, cfg)
	n, err := c.Processors(patient(t))
	mustNot(t, err)
	if n != cfg.VCPUCount {
		t.Errorf("the guest found %d processors, want %d", n, cfg.VCPUCount)
	}
	req := request(t.TempDir(), "smp", false)
	pauseAndSnapshot(t, m, req)
	_, other := restoreGuest(t, req)
	wantGuest(t, other, 0, 0)
	if n, err = other.Processors(patient(t)); err != nil || n != cfg.VCPUCount {
		t.Errorf("the restored guest found %d processors (%v), want %d", n, err, cfg.VCPUCount)
	}
}
