// Package densezstd encodes zstd frames (RFC 8878) of at most 256 KiB.
package densezstd
