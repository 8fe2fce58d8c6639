package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dropCaches empties the page cache and makes sure that nothing of the files is
// left in it: a run that is not cold must not pass for one.
func dropCaches(ctx context.Context, files ...string) error {
	unix.Sync()
	const pagesAndInodes = "3"
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte(pagesAndInodes), 0); err != nil {
		return fmt.Errorf("dropping caches (needs root): %w", err)
	}
	for _, path := range files {
		resident, total, err := residentPages(ctx, path)
		if err != nil {
			return err
		}
		// a few pages may be read again by whoever looks at the file
		if resident*100 > total {
			return fmt.Errorf("%s: %d of %d pages are still cached after dropping caches", path, resident, total)
		}
	}
	return nil
}

// residentPages counts the pages of a file that are in the page cache, by the
// tool of util-linux.
func residentPages(ctx context.Context, path string) (resident, total int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	out, err := runTool(ctx, "fincore", "--noheadings", "--raw", "--output", "PAGES", path)
	if err != nil {
		return 0, 0, err
	}
	resident, err = strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("output of fincore: %w", err)
	}
	return resident, (info.Size() + pageBytes - 1) / pageBytes, nil
}
