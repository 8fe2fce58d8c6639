//go:build linux && amd64

package api

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sabrefs/tests/kvmtest"
	"sabrefs/vmm"
	"sabrefs/vmm/guest"
)

func TestPartitionAsRoot(t *testing.T) {
	kernel := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(kernel, []byte("kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := BootRequest{Kernel: kernel, CommandLine: "quiet"}
	r.Drives = []Drive{{ID: "r", Path: "r.img", ReadOnly: true, Root: true, PartUUID: "12-34"}, {ID: "d", Path: "d.img"}}
	c := KVMOptions{}.config(r)
	want := "[{ID:r Path:r.img ReadOnly:true Root:false} {ID:d Path:d.img ReadOnly:false Root:false}]"
	if got := fmt.Sprintf("%+v", c.Drives); c.CommandLine != "quiet root=PARTUUID=12-34 ro" || got != want {
		t.Errorf("command line %q, drives %s", c.CommandLine, got)
	}
	r.Drives[0].PartUUID = ""
	if c = (KVMOptions{}).config(r); c.CommandLine != "quiet" || !c.Drives[0].Root {
		t.Errorf("without: command line %q, drives %+v", c.CommandLine, c.Drives)
	}
}

// kvmBench is a server on real machines, with the built-in guest as kernel.
func kvmBench(t *testing.T) (*served, *guest.Client) {
	t.Helper()
	b := newBench(t)
	if err := os.WriteFile(filepath.Join(b.dir, "kernel"), guest.ELF(), 0o600); err != nil {
		t.Fatal(err)
	}
	screen, console := io.Pipe()
	keyboard, keys := io.Pipe()
	client := guest.NewClient(screen, keys)
	t.Cleanup(func() {
		client.Close()
		_, _ = screen.Close(), keyboard.Close()
	})
	b.server.opts.Launcher = KVM(KVMOptions{Console: console, Created: func(m *vmm.Machine) {
		go func() { _, _ = io.Copy(m.Input(), keyboard) }() // ends with the machine
	}})
	return b.serve(), client
}

// From the first request to the end of a restored guest, with real machines.
func TestKVMServe(t *testing.T) {
	kvmtest.Need(t)
	const mib = 4
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	first, client := kvmBench(t)
	first.must(`PUT /machine-config {"vcpu_count":1,"mem_size_mib":16}`,
		`PUT /boot-source {"kernel_image_path":"DIR/kernel","boot_args":"mib=4"}`,
		`PUT /actions {"action_type":"InstanceStart"}`)
	if _, err := client.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write(ctx, 7); err != nil {
		t.Fatal(err)
	}
	first.must(`PATCH /vm {"state":"Paused"}`, `PUT /snapshot/create {"snapshot_path":"DIR/s","mem_file_path":"DIR/m"}`)
	first.cancel()
	if err := first.end(); err != nil {
		t.Fatal(err)
	}

	second, client := kvmBench(t)
	dir := second.dir
	second.dir = first.dir
	second.must(`PUT /snapshot/load {"snapshot_path":"DIR/s","mem_file_path":"DIR/m","resume_vm":true}`)
	second.dir = dir
	if sum, err := client.Sum(ctx); err != nil || sum != guest.SumAfter(mib, 7) {
		t.Errorf("the sum is %#x, expected %#x: %v", sum, guest.SumAfter(mib, 7), err)
	}
	second.must(`PUT /actions {"action_type":"SendCtrlAltDel"}`)
	if err := second.end(); err != nil {
		t.Errorf("the guest ended with %v", err)
	}
}
