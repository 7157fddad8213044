//go:build unix

package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// systemd hears when the server is up and when it stops, and its watchdog is fed
// as long as the core takes writes, and no longer.
func TestSystemdIsToldWhatIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	said := func() string {
		t.Helper()
		buf := make([]byte, 256)
		n, err := socket.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int32
	sick := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		notifyReady(ctx, func(context.Context) error {
			switch n := asked.Add(1); {
			case n == 5:
				close(sick)
				return errors.New("the disk is full")
			case n > 3:
				return errors.New("the disk is full")
			}
			return nil
		})
	}()
	if got := said(); got != "READY=1" {
		t.Errorf("first it says %q", got)
	}
	for range 3 {
		if got := said(); got != "WATCHDOG=1" {
			t.Errorf("while it is well it says %q", got)
		}
	}
	<-sick // asked twice more, and sick
	cancel()
	<-ended
	if got := said(); got != "STOPPING=1" {
		t.Errorf("after its sickness the next that it says is %q", got)
	}
}
