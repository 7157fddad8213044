//go:build browser

package mls

// classicalSuites is empty: rooms have the default suite.
func classicalSuites() []*suite { return nil }
