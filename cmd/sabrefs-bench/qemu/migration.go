package qemu

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// migrationPollInterval is short against the 10 ms that loading a state takes.
const migrationPollInterval = time.Millisecond

// Continue starts the guest's processor, or lets it run on.
func (vm *VM) Continue(ctx context.Context) error {
	vm.continuedAt = time.Now()
	_, err := vm.monitor.Execute(ctx, "cont", nil)
	return err
}

// ignoreSharedMemory keeps the RAM out of the migration stream.
func (vm *VM) ignoreSharedMemory(ctx context.Context) error {
	type capability struct {
		Capability string `json:"capability"`
		State      bool   `json:"state"`
	}
	_, err := vm.monitor.Execute(ctx, "migrate-set-capabilities", map[string][]capability{
		"capabilities": {{Capability: "x-ignore-shared", State: true}},
	})
	return err
}

// waitMigrated waits for the end of a migration in either direction.
func (vm *VM) waitMigrated(ctx context.Context) error {
	for {
		finished, err := vm.migrationFinished(ctx)
		if err != nil || finished {
			return err
		}
		select {
		case <-time.After(migrationPollInterval):
		case <-ctx.Done():
			return fmt.Errorf("wait for the migration: %w", context.Cause(ctx))
		}
	}
}

func (vm *VM) migrationFinished(ctx context.Context) (bool, error) {
	answer, err := vm.monitor.Execute(ctx, "query-migrate", nil)
	if err != nil {
		return false, err
	}
	var migration struct {
		Status      string `json:"status"`
		Description string `json:"error-desc"`
	}
	if err := json.Unmarshal(answer, &migration); err != nil {
		return false, fmt.Errorf("parse the migration's status: %w", err)
	}
	// Nobody cancels these migrations, so "failed" is the one other end.
	if migration.Status == "failed" {
		return false, fmt.Errorf("migration failed: %s", migration.Description)
	}
	return migration.Status == "completed", nil
}

// shellWord protects a path in the command of a migration address.
func shellWord(path string) string {
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
