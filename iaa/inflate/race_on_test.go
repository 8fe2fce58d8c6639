//go:build race

package inflate

// raceDetector says that everything takes ten times as long.
const raceDetector = true
