//go:build race

package engine

// raceFactor is how much longer things may take under the race detector, which
// makes all cryptography several times as slow.
const raceFactor = 5
