// Package dial connects a client to its server: over TCP, as frames of
// u32 length | bytes.
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/link"
)

// DefaultPort is where a server listens for terminals.
const DefaultPort = "7443"

// DefaultServer is the server on this machine.
const DefaultServer = "127.0.0.1:" + DefaultPort

// Timeout bounds one attempt to connect.
const Timeout = 10 * time.Second

// ErrAddress says that a server's address cannot be understood.
var ErrAddress = errors.New("dial: not an address")

// TCP dials one server. The zero value is not usable: Address is host:port.
type TCP struct {
	Address string
}

// Dial opens a fresh frame connection. The context bounds the attempt only.
func (d TCP) Dial(ctx context.Context) (link.FrameConn, error) {
	dialer := net.Dialer{Timeout: Timeout, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3,
	}}
	conn, err := dialer.DialContext(ctx, "tcp", d.Address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return link.NetConn(conn), nil
}

// Address completes what a person types for a server: "host", "host:port",
// "[v6]:port" or a bare IPv6 address. Nothing at all is this machine.
func Address(typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	if typed == "" {
		return DefaultServer, nil
	}
	if strings.ContainsAny(typed, "/?#@ \t") {
		return "", fmt.Errorf("%w: %q (want HOST or HOST:PORT)", ErrAddress, typed)
	}
	if ip := net.ParseIP(typed); ip != nil {
		return net.JoinHostPort(typed, DefaultPort), nil
	}
	if !strings.Contains(typed, ":") {
		return net.JoinHostPort(typed, DefaultPort), nil
	}
	host, port, err := net.SplitHostPort(typed)
	if err != nil || host == "" || port == "" {
		return "", fmt.Errorf("%w: %q (want HOST or HOST:PORT)", ErrAddress, typed)
	}
	return net.JoinHostPort(host, port), nil
}
