package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"time"
)

// notifyReady tells systemd that the service is up, keeps its watchdog quiet as
// long as alive says so, and tells it when ctx ends. Without systemd it does
// nothing. It blocks until ctx ends. (sd_notify(3), sd_watchdog_enabled(3))
func notifyReady(ctx context.Context, alive func(context.Context) error) {
	notify("READY=1")
	defer notify("STOPPING=1")
	micros, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || micros <= 0 {
		<-ctx.Done()
		return
	}
	every := time.NewTicker(time.Duration(micros) * time.Microsecond / 2)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			if alive(ctx) == nil {
				notify("WATCHDOG=1")
			}
		}
	}
}

// notify sends one line to systemd's socket, if there is one. A service manager
// that does not listen is no reason to stop.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if path[0] == '@' { // an abstract socket
		path = "\x00" + path[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}
