package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

// conn is one connection. The goroutine of Serve reads and owns the session's
// standing; the queue has its lock, watching has its own.
type conn struct {
	s    *Server
	link Link
	log  *slog.Logger
	out  outbox

	// Owned by the goroutine that reads.
	hello    bool
	opened   wire.UserID   // by password; may enrol a device
	waiting  wire.DeviceID // enrolled for approval; gets its event
	loginEnd time.Time
	read     int // bytes before login
	requests bucket
	unhook   []func() // from the bus, at the end
	peerGone bool     // it closed the link: nobody reads what is written

	user   wire.UserID   // zero before login; not changed after
	device wire.DeviceID // zero before login; not changed after
	state  *deviceState  // nil before login

	inFlight atomic.Int32 // appends that are not answered

	watch struct {
		sync.Mutex
		ended    bool
		all      bool // also rooms that this device is added to
		presence bool
		rooms    map[wire.RoomID]*room
	}
}

func newConn(s *Server, lc Link) *conn {
	id := s.connID.Add(1)
	c := &conn{s: s, link: lc, log: s.log.With("conn", id, "addr", logAddr(lc.RemoteAddr().Addr()))}
	c.out.conn = c
	return c
}

// loggedIn reports whether the session has a device.
func (c *conn) loggedIn() bool { return c.state != nil }

// run reads requests until the connection ends, and cleans up.
func (c *conn) run(ctx context.Context) error {
	defer c.end()
	c.loginEnd = time.Now().Add(c.s.limits.Time(wire.LoginTime))
	c.log.Info("connection accepted")
	for {
		deadline := c.loginEnd
		if c.loggedIn() || !c.waiting.IsZero() {
			deadline = time.Now().Add(c.s.limits.Time(wire.IdleTime))
		}
		if err := c.link.SetReadDeadline(deadline); err != nil {
			return fmt.Errorf("core: read: %w", err)
		}
		payload, err := c.link.Read()
		if err != nil {
			return c.readError(err)
		}
		c.s.hands.do(func() { err = c.handlePayload(ctx, payload) })
		if err != nil {
			c.cut(wire.Cut{Code: codeOf(err), Limit: limitOf(err)})
			return err
		}
	}
}

func (c *conn) readError(err error) error {
	switch {
	case c.out.wasCut() != nil:
		return fmt.Errorf("core: cut: %w", c.out.wasCut())
	case errors.Is(err, link.ErrClosed), errors.Is(err, io.EOF):
		c.peerGone = true
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		limit := wire.IdleTime
		if !c.loggedIn() {
			limit = wire.LoginTime
		}
		why := wire.RefuseLimit(limit, 0)
		c.cut(wire.Cut{Code: wire.Limited, Limit: limit})
		return fmt.Errorf("core: %w", why)
	}
	return fmt.Errorf("core: read: %w", err)
}

// handlePayload runs the requests of one record. An error ends the connection.
func (c *conn) handlePayload(ctx context.Context, payload []byte) error {
	if !c.loggedIn() {
		if c.read += len(payload); c.read > c.s.limits.Get(wire.LoginBytes) {
			return wire.RefuseSize(wire.LoginBytes)
		}
	}
	for len(payload) > 0 {
		it, rest, err := wire.Next(payload)
		if err != nil {
			return wire.Refuse(wire.Malformed)
		}
		if it.Kind != wire.ItemRequest {
			return wire.Refuse(wire.Malformed)
		}
		c.request(ctx, &it)
		payload = rest
	}
	return nil
}

// request answers one request. A panic answers too, as a fault of the core.
func (c *conn) request(ctx context.Context, it *wire.Item) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("panic in a request", "op", uint(it.Op), "request", it.ID, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			c.refuse(it.ID, wire.Refuse(wire.Internal))
		}
	}()
	rate := float64(c.s.limits.Get(wire.RequestRate))
	if ok, wait := c.requests.take(time.Now(), 10*rate, rate); !ok {
		c.refuse(it.ID, wire.RefuseLimit(wire.RequestRate, wait))
		return
	}
	if int(c.inFlight.Load()) >= c.s.limits.Get(wire.RequestsInFlight) {
		c.refuse(it.ID, wire.RefuseLimit(wire.RequestsInFlight, 100*time.Millisecond))
		return
	}
	resp, err := c.dispatch(ctx, it)
	switch {
	case err == errLater: //nolint:errorlint // a mark, never wrapped
	case err != nil:
		c.refuse(it.ID, err)
	default:
		c.respond(it.ID, resp)
	}
}

// errLater marks a request that answers itself.
var errLater = errors.New("core: answered later")

func (c *conn) respond(id uint64, body any) {
	var raw []byte
	var err error
	if encoded, ok := body.(encodedBody); ok {
		raw = wire.AppendEncodedResponse(make([]byte, 0, len(encoded)+12), id, encoded)
	} else if raw, err = wire.AppendResponse(nil, id, body); err != nil {
		c.refuse(id, err)
		return
	}
	c.out.push(raw)
}

// encodedBody is a response's body that was encoded before.
type encodedBody []byte

func (c *conn) refuse(id uint64, err error) {
	c.s.count.refused.Add(1)
	var why *wire.Error
	if !errors.As(err, &why) {
		// The client learns that something is wrong here; what, is in the log.
		c.log.Error("request failed", "request", id, "err", err)
		why = wire.RefuseRetry(wire.Internal, time.Second)
	}
	raw, encErr := wire.AppendRefusal(nil, id, why.Code, why.Refusal)
	if encErr != nil {
		c.log.Error("refusal does not encode", "err", encErr)
		return
	}
	c.out.push(raw)
}

func codeOf(err error) wire.Code {
	var why *wire.Error
	if errors.As(err, &why) {
		return why.Code
	}
	return wire.Internal
}

func limitOf(err error) wire.Limit {
	var why *wire.Error
	if errors.As(err, &why) {
		return why.Refusal.Limit
	}
	return 0
}

// event queues an event for this connection alone.
func (c *conn) event(ev wire.Event) {
	raw, err := wire.AppendEvent(nil, ev)
	if err != nil {
		c.log.Error("event does not encode", "err", err)
		return
	}
	c.out.push(raw)
}

// cut queues the last event and lets the connection go down after it.
func (c *conn) cut(why wire.Cut) { c.out.cut(why) }

// hasEnded reports whether the connection is on its way down.
func (c *conn) hasEnded() bool {
	c.watch.Lock()
	defer c.watch.Unlock()
	return c.watch.ended
}

// end undoes what the session set up. It returns after the connection's own
// writer has ended.
func (c *conn) end() {
	for _, unhook := range c.unhook {
		unhook()
	}
	c.watch.Lock()
	c.watch.ended = true
	watched := c.watch.rooms
	c.watch.rooms = nil
	c.watch.Unlock()
	for _, r := range watched {
		r.unwatch(c)
	}
	if c.state != nil {
		c.s.devices.leave(c)
		c.touch()
	}
	c.out.end()
	if c.peerGone {
		_ = c.link.Abort()
	} else {
		_ = c.link.Close()
	}
}

// outbox is what waits to be written to a client: bounded, and written by a
// goroutine that exists only while something waits.
type outbox struct {
	conn *conn

	mu      sync.Mutex
	queue   [][]byte
	bytes   int
	writing bool
	last    *wire.Error // the connection is cut after what is queued
	broken  bool        // nothing can be written any more
	idle    sync.WaitGroup
}

// push queues one encoded item. It never blocks: a client that does not read
// is cut and has to resume.
func (o *outbox) push(item []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last != nil || o.broken {
		return
	}
	l := o.conn.s.limits
	if len(o.queue) >= l.Get(wire.SendQueueItems) {
		o.cutLocked(wire.Cut{Code: wire.Limited, Limit: wire.SendQueueItems})
		return
	}
	if o.bytes+len(item) > l.Get(wire.SendQueueBytes) && len(o.queue) > 0 {
		o.cutLocked(wire.Cut{Code: wire.Limited, Limit: wire.SendQueueBytes})
		return
	}
	o.queueLocked(item)
}

func (o *outbox) queueLocked(item []byte) {
	o.queue = append(o.queue, item)
	o.bytes += len(item)
	if !o.writing {
		o.writing = true
		o.idle.Add(1)
		o.conn.s.hands.start(o.write)
	}
}

func (o *outbox) cut(why wire.Cut) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == nil && !o.broken {
		o.cutLocked(why)
	}
}

// cutLocked drops events that wait, since the client will resume, and queues
// the reason.
func (o *outbox) cutLocked(why wire.Cut) {
	if why.Limit == wire.SendQueueBytes || why.Limit == wire.SendQueueItems {
		o.queue, o.bytes = nil, 0
	}
	raw, err := wire.AppendEvent(nil, why)
	if err != nil {
		raw = nil
	}
	o.conn.s.count.cut.Add(1)
	o.last = &wire.Error{Code: why.Code, Refusal: wire.Refusal{Limit: why.Limit}}
	_ = o.conn.link.SetWriteDeadline(time.Now().Add(lastWrite)) // also of a write that is blocked now
	o.queueLocked(raw)
}

func (o *outbox) wasCut() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == nil {
		return nil
	}
	return o.last
}

// maxWrite bounds what one system call carries, in bytes; lastWrite how long
// the reason of a cut may take to leave.
const (
	maxWrite  = 512 << 10
	lastWrite = 2 * time.Second
)

// write empties the queue and ends.
func (o *outbox) write() {
	defer o.idle.Done()
	for {
		o.mu.Lock()
		if len(o.queue) == 0 || o.broken {
			o.writing = false
			last := o.last != nil && !o.broken
			o.mu.Unlock()
			if last {
				_ = o.conn.link.Close() // the reader ends by it
			}
			return
		}
		n, size := 0, 0
		for n < len(o.queue) && (n == 0 || size+len(o.queue[n]) <= maxWrite) {
			size += len(o.queue[n])
			n++
		}
		items := o.queue[:n:n]
		if n == len(o.queue) {
			o.queue = nil
		} else {
			o.queue = o.queue[n:]
		}
		o.bytes -= size
		patience := o.conn.s.limits.Time(wire.WriteTime)
		if o.last != nil {
			patience = lastWrite
		}
		o.mu.Unlock()
		err := o.conn.link.SetWriteDeadline(time.Now().Add(patience))
		if err == nil {
			err = o.conn.link.Write(items...)
		}
		if err != nil {
			o.mu.Lock()
			o.broken, o.queue, o.bytes = true, nil, 0
			o.mu.Unlock()
			_ = o.conn.link.Abort() // the reader ends by it
		}
	}
}

// end waits until nothing is written any more.
func (o *outbox) end() {
	o.mu.Lock()
	if o.last == nil {
		o.last = wire.Refuse(wire.OK)
		o.queue, o.bytes = nil, 0
	}
	o.mu.Unlock()
	o.idle.Wait()
}
