//go:build unix

package main

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

// A running server takes over limits, registration and the log's level by
// SIGHUP, of core and gateway alike; a wrong file changes nothing.
func TestSIGHUPChangesARunningServer(t *testing.T) {
	dir := t.TempDir()
	file, data := filepath.Join(dir, "securelink.toml"), filepath.Join(dir, "data")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, err := link.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	write("[limits]\nmessage-rate = 11\n[server]\nregistration = \"open\"\n")
	s := startCommand(t, "serve", "--config", file, "--data", data, "--listen", "127.0.0.1:0", "--web", "", "--log", "info")
	terminals, pin := s.line("  Terminals     "), s.line("  Fingerprint   ")
	s.line("Ready.")
	told := func() (rate uint64, mode wire.Registration) {
		t.Helper()
		conn, err := net.Dial("tcp", terminals)
		if err != nil {
			t.Fatal(err)
		}
		answer := hello(t, key, link.NetConn(conn), pin)
		for _, l := range answer.Limits {
			if l.Limit == wire.MessageRate {
				rate = l.Value
			}
		}
		return rate, answer.Registration
	}
	becomes := func(rate uint64, mode wire.Registration) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; {
			r, m := told()
			if r == rate && m == mode {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("message-rate %d and registration %d, want %d and %d", r, m, rate, mode)
			}
		}
	}
	becomes(11, wire.RegistrationOpen)
	hangUp := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	write("[limits]\nmessage-rate = 12\n[server]\nregistration = \"closed\"\n")
	hangUp()
	becomes(12, wire.RegistrationClosed)
	write("[limits]\nmesage-rate = 99\n[server]\nregistration = \"open\"\n")
	hangUp()
	s.logged("the configuration was not read again")
	becomes(12, wire.RegistrationClosed)
	write("[limits]\nmessage-rate = 13\n[server]\nregistration = \"closed\"\n")
	hangUp() // the control: it still listens
	becomes(13, wire.RegistrationClosed)
}
