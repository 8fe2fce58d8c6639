//go:build !linux

package iaa

import "errors"

// lockedMemory fails: there is no driver for the accelerator but Linux's.
func lockedMemory(int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unlockMemory([]byte) error { return nil }
