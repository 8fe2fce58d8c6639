package lab

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"sabrefs/tests/kvmtest"
)

// Requests of /dev/kvm that stand for the laboratory's being one.
const (
	kvmGetAPIVersion = 0xae00
	kvmCreateVM      = 0xae01
	kvmAPIVersion    = 12
)

func TestKVMDevice(t *testing.T) {
	kvmtest.Need(t)
	device, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	version, err := unix.IoctlRetInt(int(device.Fd()), kvmGetAPIVersion)
	if err != nil || version != kvmAPIVersion {
		t.Errorf("KVM's version is %d (%v), want %d", version, err, kvmAPIVersion)
	}
	vm, err := unix.IoctlRetInt(int(device.Fd()), kvmCreateVM)
	if err != nil {
		t.Fatalf("create a VM: %v", err)
	}
	if err := unix.Close(vm); err != nil {
		t.Error(err)
	}
}
