package iaa

// Verdict is an answer that may be missing: where an attribute cannot be read,
// the truth is not "no".
type Verdict uint8

// The answers.
const (
	Unknown Verdict = iota
	Yes
	No
)

// String returns the word for reports.
func (v Verdict) String() string {
	switch v {
	case Yes:
		return "yes"
	case No:
		return "no"
	case Unknown:
	}
	return "unknown"
}

// Report says which accelerators were found and why each is usable or not.
type Report struct {
	// Usable is Yes if at least one queue can be used.
	Usable Verdict `json:"usable"`
	// Reason explains Usable in one line.
	Reason string `json:"reason"`
	// Fix are commands that would make a device usable, in order; empty if
	// there is nothing to do or nothing that would help.
	Fix     []string       `json:"fix,omitempty"`
	Devices []DeviceReport `json:"devices"`
}

// DeviceReport is one accelerator, for instance iax1.
type DeviceReport struct {
	Name       string        `json:"name"`
	Usable     Verdict       `json:"usable"`
	Reason     string        `json:"reason"`
	Fix        []string      `json:"fix,omitempty"`
	State      string        `json:"state"`      // "enabled", ..., "unknown"
	Generation int           `json:"generation"` // 1, 2, or 0 for unknown
	NUMANode   int           `json:"numa_node"`  // -1 for unknown
	Engines    int           `json:"engines"`    // in groups; -1 for unknown
	Queues     []QueueReport `json:"queues"`
}

// QueueReport is one work queue, for instance wq1.0.
type QueueReport struct {
	Name   string   `json:"name"`
	Node   string   `json:"node"` // below /dev
	Usable Verdict  `json:"usable"`
	Reason string   `json:"reason"`
	Fix    []string `json:"fix,omitempty"`
	Mode   string   `json:"mode"`   // "shared", "dedicated" or "unknown"
	Submit string   `json:"submit"` // "enqcmd", "movdir64b", "write" or "" if it was not tried
	Size   int      `json:"size"`   // slots, -1 for unknown
}
