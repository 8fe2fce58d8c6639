package fs

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
)

// readAheadKB is how far the kernel reads ahead. FUSE cannot ask for more than
// 128 KiB when it mounts.
const readAheadKB = 1024

// raiseReadAhead sets the mount's read-ahead, which only root may. Without it
// sequential reads are slower, and nothing else is wrong.
func raiseReadAhead(log *slog.Logger, m mountInfo) {
	path := fmt.Sprintf("/sys/class/bdi/%s/read_ahead_kb", m.device)
	err := os.WriteFile(path, []byte(strconv.Itoa(readAheadKB)), 0)
	if err != nil {
		log.Debug("read-ahead stays as it is", "err", err)
		return
	}
	log.Debug("read-ahead raised", "kib", readAheadKB)
}
