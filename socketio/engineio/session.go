package engineio

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gobwas/ws"
)

// Session is one Engine.IO session, over whichever transport. Its methods may
// be called by any goroutine and do not wait for the peer, except Flush.
type Session struct {
	srv       *Server
	id        string
	origin    string
	addr      netip.AddrPort
	handshake any
	receiver  Receiver
	done      chan struct{}
	busy      atomic.Bool // the receiver is in Message, so that nobody reads

	// inbound keeps what a POST and a WebSocket bring in one order.
	inbound sync.Mutex

	mu        sync.Mutex // guards all that follows
	state     state
	reason    Reason
	timer     *time.Timer // the heartbeat, and when closing the end of patience
	pinged    bool        // a ping is not answered yet
	excused   time.Duration
	conn      *wsConn      // nil while polling
	poll      *pollingHalf // nil once on WebSocket
	out       []byte       // frames on their way to conn
	inflight  int          // bytes that the blocked writer holds
	dirty     bool         // in the list of a flusher
	blocked   bool         // a goroutine waits to write
	opening   bool         // there is no receiver yet
	finished  bool         // our half of conn is closed
	readerEnd bool         // nobody reads conn any more
	progress  chan struct{}
	shard     uint8
}

type state uint8

const (
	stateOpen    state = iota
	stateClosing       // ended for the application; last bytes go out
	stateDead          // holds nothing any more
)

func (srv *Server) newSession(r *http.Request) (*Session, error) {
	s := &Session{srv: srv, id: newID(), origin: r.Header.Get("Origin"), done: make(chan struct{})}
	s.addr = srv.opts.RemoteAddr(r)
	s.shard = uint8(srv.nextOne.Add(1) % uint32(len(srv.flushers)))
	if srv.opts.Inspect != nil {
		value, err := srv.opts.Inspect(r)
		if err != nil {
			return nil, err
		}
		s.handshake = value
	}
	return s, nil
}

// begin makes the session known, after its open packet is on its way, and finds
// it a receiver. Open may already send, or end the session.
func (s *Session) begin() {
	s.opening = true
	closing := s.srv.add(s)
	receiver := s.srv.open(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receiver, s.opening = receiver, false
	if s.state != stateOpen {
		s.notifyLocked()
		if s.state == stateClosing {
			s.timer = time.AfterFunc(s.srv.opts.CloseTimeout, s.onTimer)
		}
		return
	}
	s.timer = time.AfterFunc(s.srv.opts.PingInterval, s.onTimer)
	if closing {
		s.endLocked(ReasonShutdown, ws.StatusGoingAway)
	}
}

// mayUse reports whether a request with this session's id comes from whom the
// session was opened by, as far as it can be told: pages always name their
// origin when they open a WebSocket or post to elsewhere.
func (s *Session) mayUse(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && s.origin != "" && origin != s.origin {
		return false
	}
	return !s.srv.opts.PinAddress || s.srv.opts.RemoteAddr(r).Addr() == s.addr.Addr()
}

// ID is the session's id, a secret of its client and the server.
func (s *Session) ID() string { return s.id }

// RemoteAddr is who opened the session.
func (s *Session) RemoteAddr() netip.AddrPort { return s.addr }

// Handshake is what Options.Inspect returned for the session.
func (s *Session) Handshake() any { return s.handshake }

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Transport is [Polling] or [WebSocket], whichever carries the session now.
func (s *Session) Transport() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return Polling
	}
	return WebSocket
}

// Close ends the session: what was sent before goes out first, within
// Options.CloseTimeout. The reason is told to the receiver, not to the peer.
func (s *Session) Close(reason Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(reason, ws.StatusNormalClosure)
}

// fail ends the session at once.
func (s *Session) fail(reason Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failLocked(reason)
}

func (s *Session) failLocked(reason Reason) {
	if s.state == stateOpen {
		s.leaveOpenLocked(reason)
	}
	s.killLocked()
}

// abort gives up waiting for the last bytes of an ended session.
func (s *Session) abort() { s.fail(ReasonShutdown) }

// leaveOpenLocked ends the session for the application.
func (s *Session) leaveOpenLocked(reason Reason) {
	s.state = stateClosing
	s.reason = reason
	close(s.done)
	s.srv.opts.Log.Debug("engineio: session ended", "reason", string(reason), "address", s.addr.Addr().String())
	if !s.opening {
		s.notifyLocked()
	}
}

// notifyLocked tells the receiver, on a goroutine of its own since it may wait.
func (s *Session) notifyLocked() {
	reason := s.reason
	s.srv.wg.Go(func() { s.receiver.Closed(reason) })
}

// endLocked ends the session and lets what is queued go out, behind it a close
// packet or frame.
func (s *Session) endLocked(reason Reason, code ws.StatusCode) {
	if s.state != stateOpen {
		return
	}
	s.leaveOpenLocked(reason)
	if s.timer != nil {
		s.timer.Reset(s.srv.opts.CloseTimeout)
	}
	if s.conn == nil {
		s.queueLocked(packet{kind: typeClose})
		if !s.poll.probed {
			s.poll.dropProbe()
		} // else the client polls no more, and fetches the end over the WebSocket
		return
	}
	s.appendCloseLocked(code)
	s.markDirtyLocked()
}

func (s *Session) appendCloseLocked(code ws.StatusCode) {
	s.reserveLocked(maxFrameHeader + 2)
	s.out = appendFrameHeader(s.out, ws.OpClose, 2)
	s.out = append(s.out, byte(code>>8), byte(code))
}

// killLocked lets go of all that the session holds.
func (s *Session) killLocked() {
	if s.state == stateDead {
		return
	}
	s.state = stateDead
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.conn != nil {
		s.conn.close()
	}
	if s.poll != nil {
		s.poll.dropProbe()
		s.poll.queue, s.poll.bytes = nil, 0
		s.poll.wake(false)
	}
	s.returnOut()
	s.signalLocked()
	s.srv.remove(s)
}

// onTimer is the heartbeat of an open session and the end of a closing one.
func (s *Session) onTimer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen {
		s.killLocked()
		return
	}
	opts := &s.srv.opts
	if !s.pinged {
		s.pinged, s.excused = true, 0
		s.timer.Reset(opts.PingTimeout)
		s.sendLocked(packet{kind: typePing})
		return
	}
	if s.notReadLocked() && s.excused+opts.PingTimeout <= opts.StallTimeout {
		s.excused += opts.PingTimeout
		s.timer.Reset(opts.PingTimeout)
		return
	}
	s.tryCloseFrameLocked()
	s.failLocked(ReasonPingTimeout)
}

// notReadLocked reports whether a pong could have arrived without being seen:
// behind a message that the application holds up, or behind the rest of one
// that is still coming in.
func (s *Session) notReadLocked() bool {
	if s.busy.Load() {
		return true
	}
	if s.conn != nil {
		return s.conn.armed.Load()
	}
	return s.poll.posting
}

// tryCloseFrameLocked tells a peer that is about to be cut, if it can be told
// without waiting.
func (s *Session) tryCloseFrameLocked() {
	if s.conn != nil && !s.blocked && len(s.out) == 0 {
		_, _ = s.conn.tryWrite(ws.CompiledCloseGoingAway)
	}
}

func (s *Session) onPong() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateOpen && s.pinged {
		s.pinged = false
		s.timer.Reset(s.srv.opts.PingInterval)
	}
}

// receive handles one packet of the peer. The caller holds s.inbound.
func (s *Session) receive(p packet) {
	select {
	case <-s.done:
		return
	default:
	}
	switch p.kind {
	case typeMessage, typeBinary:
		s.busy.Store(true)
		s.receiver.Message(p.data, p.kind == typeBinary)
		s.busy.Store(false)
	case typePong:
		s.onPong()
	case typeClose:
		s.fail(ReasonTransportClose)
	case typeUpgrade, typeNoop:
		if len(p.data) > 0 {
			s.refusePacket()
		} // else of no meaning here, and harmless
	default:
		// A ping among them: since protocol 4 it is the server who pings.
		s.refusePacket()
	}
}

// refusePacket ends the session because of a packet that cannot be read.
func (s *Session) refusePacket() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.endLocked(ReasonParse, ws.StatusUnsupportedData)
		return
	}
	if s.state == stateOpen {
		s.failLocked(ReasonParse)
	}
}

// startWebSocket opens a session on a WebSocket of its own.
func (s *Session) startWebSocket(c *wsConn) {
	s.conn = c
	c.control = s.onControl
	s.out = appendPacketFrame(nil, typeOpen, s.srv.openPacket(s.id, false))
	s.begin()
	s.mu.Lock()
	s.markDirtyLocked()
	s.srv.wg.Go(func() { s.readLoop(c) })
	s.mu.Unlock()
}

// readLoop reads the WebSocket that carries the session until it ends.
func (s *Session) readLoop(c *wsConn) {
	defer c.release()
	for {
		data, binary, err := c.readMessage()
		if err != nil {
			s.readFailed(c, err)
			return
		}
		p := packet{typeBinary, data}
		if !binary {
			if len(data) == 0 {
				s.refusePacket()
				continue
			}
			p = packet{data[0], data[1:]}
		}
		s.inbound.Lock()
		s.receive(p)
		s.inbound.Unlock()
	}
}

// readFailed ends the session after the last that can be read of it.
func (s *Session) readFailed(c *wsConn, err error) {
	if breach, ok := errors.AsType[*wsError](err); ok {
		s.mu.Lock()
		s.endLocked(ReasonTransportError, breach.code)
		s.mu.Unlock()
		c.discard()
		s.fail(ReasonTransportError)
		return
	}
	if errors.Is(err, errPeerClosing) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.endLocked(ReasonTransportClose, ws.StatusNormalClosure)
		s.readerEnd = true
		if len(s.out) == 0 && !s.blocked {
			s.killLocked()
		}
		return
	}
	reason := ReasonTransportError
	if isDisconnect(err) {
		reason = ReasonTransportClose
	}
	s.fail(reason)
}

func isDisconnect(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// onControl answers the control frames of the WebSocket that carries the
// session (RFC 6455 section 5.5). A close frame is answered by the end of the
// read loop.
func (s *Session) onControl(c *wsConn, op ws.OpCode, payload []byte) {
	if op != ws.OpPing {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen || s.conn != c {
		return
	}
	s.reserveLocked(maxFrameHeader + len(payload))
	s.out = appendFrameHeader(s.out, ws.OpPong, len(payload))
	s.out = append(s.out, payload...)
	s.pushedLocked()
}
