//go:build !linux

package main

import "net"

// checkPeer relies on the permissions of folder and socket where the system
// does not say who connects.
func checkPeer(net.Conn) error { return nil }
