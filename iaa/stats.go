package iaa

// Stats counts what an engine did since it was made.
type Stats struct {
	// Decompressed and Compressed are jobs that the engine itself ran.
	Decompressed uint64 `json:"decompressed"`
	Compressed   uint64 `json:"compressed"`
	// Fallbacks are jobs that a device left to software, by reason.
	Fallbacks map[string]uint64 `json:"fallbacks,omitempty"`
	// QueuesLost are queues taken out of service, by reason.
	QueuesLost map[string]uint64 `json:"queues_lost,omitempty"`
}
