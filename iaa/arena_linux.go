package iaa

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// lockedMemory maps memory that is present and stays so.
func lockedMemory(lenBytes int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, lenBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("mapping: %w", err)
	}
	// Hints, and may fail. Huge pages, because the device's translation cache
	// is small; not for children, because a fork would make the pages
	// copy-on-write, and the next write would move them.
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)
	_ = unix.Madvise(mem, unix.MADV_DONTFORK)
	// mlock makes every page present, as MAP_POPULATE would, but only now that
	// huge ones may be used.
	if err := unix.Mlock(mem); err != nil {
		return nil, errors.Join(explainLimit(err), unix.Munmap(mem))
	}
	return mem, nil
}

// explainLimit says what mlock's ENOMEM, EPERM or EAGAIN nearly always means.
func explainLimit(err error) error {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) != nil {
		return err
	}
	return fmt.Errorf("%w: RLIMIT_MEMLOCK is %d KiB, raise it (ulimit -l, LimitMEMLOCK=) or grant CAP_IPC_LOCK", err, limit.Cur>>10)
}

func unlockMemory(mem []byte) error {
	if err := unix.Munmap(mem); err != nil {
		return fmt.Errorf("unmapping the arena: %w", err)
	}
	return nil
}
