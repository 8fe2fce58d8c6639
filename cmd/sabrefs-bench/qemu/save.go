package qemu

import (
	"context"
	"errors"
	"io"
	"os"
)

// Save halts a booted guest, whose RAM is livePath, and writes its state, its RAM
// and its machine to the snapshot's directory, which exists. The RAM is copied, so
// the guest may go on afterwards.
func (vm *VM) Save(ctx context.Context, snapshot Snapshot, machine Config, livePath string) error {
	if err := vm.SaveState(ctx, snapshot, machine); err != nil {
		return err
	}
	return copyFile(snapshot.MemPath(), livePath)
}

// SaveState is Save without the RAM, which is what the guest's memory file holds
// until [VM.Continue].
func (vm *VM) SaveState(ctx context.Context, snapshot Snapshot, machine Config) error {
	if _, err := vm.monitor.Execute(ctx, "stop", nil); err != nil {
		return err
	}
	if err := vm.ignoreSharedMemory(ctx); err != nil {
		return err
	}
	_, err := vm.monitor.Execute(ctx, "migrate",
		map[string]string{"uri": "exec:cat > " + shellWord(snapshot.StatePath())})
	if err != nil {
		return err
	}
	if err := vm.waitMigrated(ctx); err != nil {
		return err
	}
	return writeJSON(snapshot.ConfigPath(), machine)
}

func copyFile(targetPath, sourcePath string) (err error) {
	source, err := os.Open(sourcePath)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(targetPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	_, err = io.Copy(target, source)
	return err
}
