package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// processMemory is what a VMM's process takes: pages of the guest's memory file, and
// all others.
type processMemory struct {
	guestRSSBytes, guestPSSBytes, guestPrivateBytes int64
	otherRSSBytes, otherPSSBytes                    int64
}

// memoryOf counts the resident pages of a process.
func memoryOf(pid int, memoryPath string) (processMemory, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return processMemory{}, err
	}
	defer f.Close()
	return parseSmaps(f, memoryPath)
}

// parseSmaps adds up a file as described in proc(5). Mappings of memoryPath are the
// guest's.
func parseSmaps(smaps io.Reader, memoryPath string) (processMemory, error) {
	var used processMemory
	ofGuest, guestSeen := false, false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		name, value, isField := strings.Cut(lines.Text(), ":")
		if !isField || strings.Contains(name, " ") { // the head of a mapping
			ofGuest = strings.HasSuffix(lines.Text(), " "+memoryPath)
			guestSeen = guestSeen || ofGuest
			continue
		}
		number, isSize := strings.CutSuffix(strings.TrimSpace(value), " kB")
		if !isSize {
			continue
		}
		kib, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return used, fmt.Errorf("smaps: %q: %w", lines.Text(), err)
		}
		used.add(ofGuest, name, kib<<10)
	}
	if err := lines.Err(); err != nil {
		return used, err
	}
	if !guestSeen {
		return used, fmt.Errorf("smaps: %s is not mapped", memoryPath)
	}
	return used, nil
}

func (m *processMemory) add(ofGuest bool, name string, lenBytes int64) {
	switch {
	case ofGuest && name == "Rss":
		m.guestRSSBytes += lenBytes
	case ofGuest && name == "Pss":
		m.guestPSSBytes += lenBytes
	case ofGuest && (name == "Private_Dirty" || name == "Private_Clean"):
		m.guestPrivateBytes += lenBytes
	case !ofGuest && name == "Rss":
		m.otherRSSBytes += lenBytes
	case !ofGuest && name == "Pss":
		m.otherPSSBytes += lenBytes
	}
}
