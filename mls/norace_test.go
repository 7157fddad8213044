//go:build !race

package mls

const raceDetector = false
