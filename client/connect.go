package client

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

const (
	backoffFirst = 500 * time.Millisecond
	backoffMost  = 60 * time.Second
	maxTickets   = 2
)

// serverRecord is what is kept of the server.
type serverRecord struct {
	_       struct{} `cbor:",toarray"`
	Pin     [32]byte // zero: not met yet
	Epoch   uint64   // highest certificate epoch seen
	Tickets [][]byte // of the secure link; the newest last
}

// errOtherServer says that the profile belongs to another server key.
var errOtherServer = errors.New("client: this profile belongs to a server with another key")

// checkPin joins the pin of the configuration and the one that was kept.
func (e *Engine) checkPin(context.Context) error {
	switch {
	case e.cfg.Pin == [32]byte{}, e.cfg.Pin == e.server.Pin:
		return nil
	case e.server.Pin == [32]byte{}:
		e.server.Pin = e.cfg.Pin
		return nil
	}
	return errOtherServer
}

// tickets implements link.ClientTickets on the profile.
type tickets struct{ e *Engine }

// Take implements [link.ClientTickets]: the ticket is gone from the profile
// before it is used, so that it cannot be used twice.
func (t tickets) Take([32]byte) (link.Ticket, bool) {
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	for len(t.e.server.Tickets) > 0 {
		last := len(t.e.server.Tickets) - 1
		raw := t.e.server.Tickets[last]
		t.e.server.Tickets = t.e.server.Tickets[:last]
		if err := t.e.save(t.e.ctx, put([]byte(keyServer), t.e.server)); err != nil {
			return link.Ticket{}, false
		}
		if ticket, err := link.ParseTicket(raw); err == nil && time.Now().Before(ticket.Expires) {
			return ticket, true
		}
	}
	return link.Ticket{}, false
}

// Put implements [link.ClientTickets].
func (t tickets) Put(_ [32]byte, ticket link.Ticket) error {
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	raw := ticket.Bytes()
	kept := append(t.e.server.Tickets, raw[:])
	t.e.server.Tickets = kept[max(0, len(kept)-maxTickets):]
	return t.e.save(t.e.ctx, put([]byte(keyServer), t.e.server))
}

// connectLoop keeps one connection alive until the context ends.
func (e *Engine) connectLoop(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		lasted, err := e.connectOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if lasted {
			failures = 0
		}
		failures++
		pause := backoff(failures)
		state := Conn{State: ConnReconnecting, Reason: connReason(err)}
		var cut *cutError
		switch {
		case errors.As(err, &cut):
			if after := time.Duration(cut.Retry) * time.Millisecond; after > 0 {
				pause = min(after, time.Hour) + spread(pause)
			}
			if final := finalCut(cut.Code); final != "" {
				state.State = final
			}
			if cut.Code == wire.DeviceGone {
				e.revoked(ctx)
			}
		case errors.Is(err, link.ErrPin), errors.Is(err, errOtherServer):
			state.State = ConnUntrusted
		case errors.Is(err, wire.Refuse(wire.BadVersion)):
			state.State = ConnUpdateNeeded
		}
		if state.State == ConnReconnecting {
			if failures > 3 {
				state.State = ConnOffline
			}
			state.RetryMS = pause.Milliseconds()
		} else {
			pause = time.Duration(1<<62 - 1) // only a person can help
		}
		e.log(LogInfo, "connection", "state", state.State, "reason", state.Reason, "retry_ms", state.RetryMS)
		e.setConn(state)
		if !e.rest(ctx, pause) {
			return
		}
	}
}

// rest waits for the next attempt, or for somebody who wants it now.
func (e *Engine) rest(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.wake:
	case <-ctx.Done():
		return false
	}
	return true
}

// backoff is how long to wait after n failures in a row: doubling from half a
// second to a minute, the upper half of it at random, so that a server that
// comes back does not meet everybody at once.
func backoff(n int) time.Duration {
	full := backoffMost
	if n < 8 {
		full = min(backoffFirst<<(n-1), backoffMost)
	}
	return full/2 + spread(full/2)
}

// spread is a random part of d.
func spread(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// cutError is the end of a connection that the server announced.
type cutError struct{ wire.Cut }

func (c *cutError) Error() string { return "the server closed the connection: " + c.Code.String() }

// finalCut is the state that a cut leaves for good, "" when it is worth trying
// again.
func finalCut(code wire.Code) string {
	switch code {
	case wire.DeviceGone, wire.Banned, wire.Replaced:
		return ConnSignedOut
	case wire.BadVersion:
		return ConnUpdateNeeded
	}
	return ""
}

// connReason says why there is no connection, for a person.
func connReason(err error) string {
	var cut *cutError
	var pin *link.PinError
	var refused *wire.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &cut):
		switch cut.Code {
		case wire.Closing:
			return "the server is restarting"
		case wire.Limited:
			return fmt.Sprintf("too much at once (limit %s)", cut.Limit)
		case wire.DeviceGone:
			return "this device was taken out of the account"
		case wire.Banned:
			return "this account is blocked by those who run the server"
		case wire.Replaced:
			return "this profile connected from elsewhere"
		}
		return "the server closed the connection (" + cut.Code.String() + ")"
	case errors.As(err, &pin):
		return fmt.Sprintf("it should be %x and is %x; somebody may be in between, or the server was set up anew", pin.Want[:8], pin.Got[:8])
	case errors.Is(err, errOtherServer):
		return "this profile belongs to a server with another key"
	case errors.As(err, &refused):
		return refusal(refused).Text
	case errors.Is(err, link.ErrBusy):
		return "the server is busy"
	case errors.Is(err, link.ErrHandshake):
		return "no secure link came about"
	case errors.Is(err, link.ErrLost), errors.Is(err, link.ErrClosed):
		return "the connection was lost"
	}
	return "the server cannot be reached"
}

// connectOnce makes one connection, uses it until it ends and says why it did.
// lasted tells whether it came as far as the server's greeting.
func (e *Engine) connectOnce(ctx context.Context) (lasted bool, err error) {
	e.setConn(Conn{State: ConnConnecting})
	conn, err := e.handshake(ctx)
	if err != nil {
		return false, err
	}
	s := newSession(conn)
	ended := make(chan error, 1)
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	e.begin(func() { ended <- s.read(func(item wire.Item) error { return e.event(item) }) })
	e.begin(func() { s.keepAlive(running) })
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	err = e.greet(running, s)
	if err == nil {
		err = e.signIn(running, s, e.setSession(s, false))
	}
	if err != nil {
		conn.Close()
		cause := <-ended
		e.setSession(nil, false)
		if cut := s.ended(); cut != nil {
			return false, &cutError{*cut}
		}
		if errors.Is(err, errOffline) {
			return false, cause
		}
		return false, err
	}
	err = <-ended
	e.setSession(nil, false)
	if cut := s.ended(); cut != nil {
		return true, &cutError{*cut}
	}
	return true, err
}

// handshake opens a secure link, and remembers the server's key when it was
// met for the first time.
func (e *Engine) handshake(ctx context.Context) (*link.Conn, error) {
	fc, err := e.cfg.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	known := e.server
	e.mu.Unlock()
	conn, err := link.Client(ctx, fc, link.ClientConfig{Pin: known.Pin, MinEpoch: known.Epoch, RSA: e.cfg.RSA, Tickets: tickets{e}})
	if err != nil {
		return nil, err
	}
	pin := link.Fingerprint(conn.PeerRoot())
	e.mu.Lock()
	defer e.mu.Unlock()
	if known.Pin != pin || conn.CertEpoch() > known.Epoch {
		e.conn.FirstUse = known.Pin == [32]byte{}
		e.server.Pin, e.server.Epoch = pin, max(known.Epoch, conn.CertEpoch())
		if err := e.save(ctx, put([]byte(keyServer), e.server)); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// greet is the first request on a connection.
func (e *Engine) greet(ctx context.Context, s *session) error {
	if err := s.call(ctx, wire.Key{}, wire.Hello{Version: wire.Version, Agent: "securelink"}, &s.hello); err != nil {
		return err
	}
	s.restored = signedRestore(s.conn.PeerRoot(), &s.hello)
	return nil
}

// setConn changes what is said of the connection and tells the interface.
func (e *Engine) setConn(c Conn) {
	waiting := e.waiting()
	e.mu.Lock()
	defer e.mu.Unlock()
	c.Waiting, c.FirstUse = waiting, e.conn.FirstUse
	if e.server.Pin != [32]byte{} {
		c.Fingerprint = hex.EncodeToString(e.server.Pin[:])
	}
	if c == e.conn {
		return
	}
	e.conn = c
	e.out.tell(Event{Kind: EvConnection, Conn: &c})
}

// setSession changes the connection that requests go by, and wakes those who
// wait for it. It returns the account of that moment: whoever waited for a
// connection may make one as soon as there is.
func (e *Engine) setSession(s *session, loggedIn bool) account {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.session, e.loggedIn = s, loggedIn
	close(e.changed)
	e.changed = make(chan struct{})
	return e.account
}
