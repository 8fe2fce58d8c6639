package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"sabrefs/tests/guest"
)

// mountStats is what this test looks at of what `sabrefs stats --json` prints.
type mountStats struct {
	Files []struct {
		Name      string `json:"name"`
		Reads     int64  `json:"reads"`
		ReadBytes int64  `json:"read_bytes"`
		Prefetch  struct {
			State   string `json:"state"`
			Set     string `json:"set"`
			Planned int64  `json:"planned_pages"`
			Used    int64  `json:"used_pages"`
			Bad     int64  `json:"bad_frames"`
			Failed  int64  `json:"failed_pushes"`
		} `json:"prefetch"`
	} `json:"files"`
}

// TestRecordRepackResume goes the whole way with an unmodified VMM: a guest is
// recorded, its image laid out by what it touched, and resumed again. It answers as it
// always did, and hardly anything is left that it has to ask for.
func TestRecordRepackResume(t *testing.T) {
	original := guestSnapshot(t)
	ctx := deadlineContext(t)
	want := recordedAnswers(t, original)
	storeDir := t.TempDir()
	mustRunSabrefs(t, "pack", "--level", "fast", original.Dir, filepath.Join(storeDir, snapshotName))
	traces := t.TempDir()

	mountPoint := mountStore(t, storeDir, "--record", traces)
	mounted := guest.Snapshot{Dir: filepath.Join(mountPoint, snapshotName)}
	compareAnswers(t, resumedAnswers(ctx, t, mounted, mounted.MemPath()), want)
	recording := statsOf(t, mountPoint)
	mustRunSabrefs(t, "umount", mountPoint)
	trace := filepath.Join(traces, snapshotName, "mem_file.ws")
	if _, err := os.Stat(trace); err != nil {
		t.Fatal(err)
	}

	mustRunSabrefs(t, "repack", "--level", "fast", "--working-set", traces, storeDir)
	for range tries {
		mountPoint = mountStore(t, storeDir)
		mounted = guest.Snapshot{Dir: filepath.Join(mountPoint, snapshotName)}
		compareAnswers(t, resumedAnswers(ctx, t, mounted, mounted.MemPath()), want)
		after := statsOf(t, mountPoint)
		if got := fileDigest(t, mounted.MemPath()); got != fileDigest(t, original.MemPath()) {
			t.Errorf("after repacking the mounted memory has digest %s, which is not the original's", got)
		}
		mustRunSabrefs(t, "umount", mountPoint)
		p := after.Files[0].Prefetch
		if p.State != "done" || p.Set != "image" || p.Planned < 1000 || p.Bad+p.Failed != 0 {
			t.Errorf("prefetch: %+v", p)
		}
		if after.Files[0].ReadBytes < recording.Files[0].ReadBytes/10 && p.Used > p.Planned*98/100 {
			return
		}
		t.Logf("the guest asked for %d bytes when it was recorded, and for %d with its working set prefetched, of which %d pages of %d were used",
			recording.Files[0].ReadBytes, after.Files[0].ReadBytes, p.Used, p.Planned)
	}
	t.Error("the guest asks for what was prefetched")
}

// tries is how often the guest is resumed until prefetch was of use: other tests of
// this machine empty its page cache now and then.
const tries = 3

func statsOf(t *testing.T, mountPoint string) mountStats {
	t.Helper()
	var stats mountStats
	if err := json.Unmarshal([]byte(mustRunSabrefs(t, "stats", "--json", mountPoint)), &stats); err != nil {
		t.Fatal(err)
	}
	if len(stats.Files) != 1 {
		t.Fatalf("stats of %d files", len(stats.Files))
	}
	return stats
}
