// Package engineio is an Engine.IO server of protocol revision 4: sessions of
// ordered text and binary messages over WebSocket or HTTP long-polling, with
// the upgrade from one to the other.
//
// It follows https://github.com/socketio/engine.io-protocol (v4) and, where
// that text is silent, what the JavaScript client expects. Everything a peer
// can make the server hold is bounded by a field of [Options].
//
// A session that does nothing holds one parked goroutine on its WebSocket (none
// when it polls), one timer and no buffer: buffers are borrowed when bytes
// arrive or leave. What is sent is gathered per session and written by a
// flusher without blocking; only a connection whose kernel buffer is full gets
// a goroutine of its own, until it is drained or cut.
package engineio

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The two transports, by the names they have in requests.
const (
	Polling   = "polling"
	WebSocket = "websocket"
)

// Options bound and tune a [Server]. The zero value of a field means its
// default.
type Options struct {
	// PingInterval is the time from the handshake or a pong to the next ping;
	// default 25 s.
	PingInterval time.Duration
	// PingTimeout is the time from a ping to the end of a session that does not
	// answer it; default 20 s. Time in which the server itself does not read
	// (its application is busy) or in which a long message is arriving is not
	// held against the client, within StallTimeout.
	PingTimeout time.Duration
	// StallTimeout is the longest time that a busy application or a long upload
	// excuses a missing pong; default 60 s.
	StallTimeout time.Duration
	// PacketTimeout is the longest time from the first byte of a message or a
	// POST to its last; default 30 s.
	PacketTimeout time.Duration
	// WriteTimeout is the longest time in which a peer may take none of 64 KiB
	// offered to it; default 10 s.
	WriteTimeout time.Duration
	// UpgradeTimeout is the time a WebSocket that wants to take a session over
	// has from its handshake to its upgrade packet; default 10 s.
	UpgradeTimeout time.Duration
	// CloseTimeout is how long an ended session waits for its last bytes to be
	// taken and for the peer to close; default 5 s.
	CloseTimeout time.Duration

	// MaxPayload is the size of the largest message over WebSocket and of the
	// largest POST, in bytes; default 1,000,000.
	MaxPayload int64
	// MaxBuffered is how many bytes may wait for one peer to take them; one more
	// and the session ends with [ReasonSlow]; default 4 MiB.
	MaxBuffered int
	// MaxSessions is how many sessions the server holds; further handshakes are
	// answered with 503; default 100,000.
	MaxSessions int
	// MaxProbes is how many WebSockets may try to take one session over;
	// default 8.
	MaxProbes int

	// Transports are those that are offered; default both.
	Transports []string
	// Origins are the origins ("https://chat.example") whose pages may use the
	// server, compared as a whole. Nil allows the host that the request itself
	// is for; "*" allows all. A request without Origin comes from no page and
	// passes.
	Origins []string
	// Credentials lets pages of other allowed origins send cookies.
	Credentials bool
	// PinAddress binds a session to the address that opened it: its id is
	// unknown to all others. It breaks long-polling for clients whose address
	// changes from one connection to the next.
	PinAddress bool
	// RemoteAddr says who asks; default the address of the connection. Behind a
	// proxy the caller decides here which header to trust.
	RemoteAddr func(*http.Request) netip.AddrPort
	// Inspect sees the request of every handshake. An error refuses it (403); the
	// value is kept as [Session.Handshake], and nothing else of the request is.
	Inspect func(*http.Request) (any, error)
	// Log is told about ended sessions (debug) and panics (error); default none.
	Log *slog.Logger
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// complete fills in the defaults and refuses what cannot work.
func (o Options) complete() (Options, error) {
	for _, d := range []*time.Duration{&o.PingInterval, &o.PingTimeout, &o.StallTimeout, &o.PacketTimeout,
		&o.WriteTimeout, &o.UpgradeTimeout, &o.CloseTimeout} {
		if *d < 0 {
			return o, fmt.Errorf("engineio: negative duration %v in options", *d)
		}
	}
	orDefault(&o.PingInterval, 25*time.Second)
	orDefault(&o.PingTimeout, 20*time.Second)
	orDefault(&o.StallTimeout, 60*time.Second)
	orDefault(&o.PacketTimeout, 30*time.Second)
	orDefault(&o.WriteTimeout, 10*time.Second)
	orDefault(&o.UpgradeTimeout, 10*time.Second)
	orDefault(&o.CloseTimeout, 5*time.Second)
	orDefault(&o.MaxPayload, 1_000_000)
	orDefault(&o.MaxBuffered, 4<<20)
	orDefault(&o.MaxSessions, 100_000)
	orDefault(&o.MaxProbes, 8)
	if o.MaxPayload < 0 || o.MaxBuffered < 0 || o.MaxSessions < 0 || o.MaxProbes < 0 || o.MaxProbes > 255 {
		return o, fmt.Errorf("engineio: a bound in options is out of range")
	}
	if o.Transports == nil {
		o.Transports = []string{Polling, WebSocket}
	}
	for _, name := range o.Transports {
		if name != Polling && name != WebSocket {
			return o, fmt.Errorf("engineio: unknown transport %q in options", name)
		}
	}
	for _, origin := range o.Origins {
		if origin == "*" {
			continue
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" {
			return o, fmt.Errorf("engineio: %q in options is no origin, want scheme://host[:port]", origin)
		}
	}
	if o.RemoteAddr == nil {
		o.RemoteAddr = connectionAddr
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// connectionAddr is the peer of the connection that a request came on.
func connectionAddr(r *http.Request) netip.AddrPort {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// allowsOrigin reports whether a page of origin may use the server that the
// request names as host.
func (o *Options) allowsOrigin(origin, host string) bool {
	if origin == "" {
		return true
	}
	if o.Origins == nil {
		_, originHost, found := strings.Cut(origin, "://")
		return found && originHost == host
	}
	return slices.Contains(o.Origins, "*") || slices.Contains(o.Origins, origin)
}

// offers reports whether a transport is on offer.
func (o *Options) offers(transport string) bool {
	return slices.Contains(o.Transports, transport)
}
