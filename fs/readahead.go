package fs

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
)

// recordingReadAheadKB makes the kernel ask for the page that was touched, mostly.
const recordingReadAheadKB = 0

// readAheadKB is how far the kernel reads ahead. FUSE cannot ask for more than
// 128 KiB when it mounts.
const readAheadKB = 1024

// setReadAhead sets the mount's read-ahead, which only root may. Without it
// sequential reads are slower, and a mount that records has to refuse more requests;
// nothing else is wrong.
func setReadAhead(log *slog.Logger, m mountInfo, kib int) {
	path := fmt.Sprintf("/sys/class/bdi/%s/read_ahead_kb", m.device)
	err := os.WriteFile(path, []byte(strconv.Itoa(kib)), 0)
	if err != nil {
		log.Debug("read-ahead stays as it is", "err", err)
		return
	}
	log.Debug("read-ahead set", "kib", kib)
}
