package prefetch

import "time"

// Counts are what a run did so far. The times are of all its workers together.
type Counts struct {
	State         string  `json:"state"`
	WallSeconds   float64 `json:"wall_seconds"` // until the working set was there, or until now
	PlanSeconds   float64 `json:"plan_seconds"` // until the first batch was planned
	ReadBytes     int64   `json:"read_bytes"`   // packed
	ReadSeconds   float64 `json:"read_seconds"`
	Frames        int64   `json:"frames"`     // decoded ahead; others were there already
	BadFrames     int64   `json:"bad_frames"` // left to demand, which reports them
	DecodedBytes  int64   `json:"decoded_bytes"`
	DecodeSeconds float64 `json:"decode_seconds"`
	PushCalls     int64   `json:"push_calls"`
	FailedPushes  int64   `json:"failed_pushes"`
	PushedBytes   int64   `json:"pushed_bytes"`
	PushSeconds   float64 `json:"push_seconds"`
}

// Counts returns what is known now. What workers read and decoded is added when
// they end.
func (r *Run) Counts() Counts {
	wall := r.wallNanos.Load()
	if wall == 0 {
		wall = int64(time.Since(r.began))
	}
	return Counts{
		State: State(r.state.Load()).String(), WallSeconds: seconds(wall), PlanSeconds: seconds(r.planNanos.Load()),
		ReadBytes: r.readBytes.Load(), ReadSeconds: seconds(r.readNanos.Load()),
		Frames: r.frames.Load(), BadFrames: r.badFrames.Load(),
		DecodedBytes: r.rawBytes.Load(), DecodeSeconds: seconds(r.decNanos.Load()),
		PushCalls: r.calls.Load(), FailedPushes: r.failedPush.Load(),
		PushedBytes: r.pushed.Load(), PushSeconds: seconds(r.pushNanos.Load()),
	}
}

func seconds(nanos int64) float64 { return time.Duration(nanos).Seconds() }

// Add adds the counts of another run; the state becomes the other's.
func (c *Counts) Add(other Counts) {
	c.State = other.State
	c.WallSeconds += other.WallSeconds
	c.PlanSeconds += other.PlanSeconds
	c.ReadBytes += other.ReadBytes
	c.ReadSeconds += other.ReadSeconds
	c.Frames += other.Frames
	c.BadFrames += other.BadFrames
	c.DecodedBytes += other.DecodedBytes
	c.DecodeSeconds += other.DecodeSeconds
	c.PushCalls += other.PushCalls
	c.FailedPushes += other.FailedPushes
	c.PushedBytes += other.PushedBytes
	c.PushSeconds += other.PushSeconds
}

// Add adds the counts of another tracker.
func (c *PageCounts) Add(other PageCounts) {
	c.Planned += other.Planned
	c.Pushed += other.Pushed
	c.Used += other.Used
	c.Late += other.Late
	c.Evicted += other.Evicted
	c.Gap += other.Gap
	c.Rest += other.Rest
	c.Wasted += other.Wasted
}
