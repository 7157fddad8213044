package engineio

import (
	"net/http"
	"time"

	"github.com/gobwas/ws"
)

// serveProbe takes a WebSocket that wants to carry a session which polls
// (protocol text, "Upgrade"). A second one, or one for a session that is on
// WebSocket already, is closed and harms nothing.
func (s *Session) serveProbe(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.state == stateOpen && s.poll != nil && s.poll.probes >= s.srv.opts.MaxProbes {
		s.mu.Unlock()
		refuseRequest.write(w)
		return
	}
	s.mu.Unlock()
	c, err := acceptWebSocket(w, r, &s.srv.opts)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.poll
	if s.state != stateOpen || p == nil || p.probe != nil || p.probes >= s.srv.opts.MaxProbes {
		_, _ = c.tryWrite(ws.CompiledCloseNormalClosure)
		c.close()
		return
	}
	p.probe = c
	p.probes++
	s.srv.wg.Go(func() { s.probeLoop(c) })
}

// probeLoop reads a WebSocket until it carries the session, and from then on
// as its reader. Whatever goes wrong before ends the WebSocket only.
func (s *Session) probeLoop(c *wsConn) {
	c.control = s.onProbeControl
	patience := time.AfterFunc(s.srv.opts.UpgradeTimeout, func() { s.giveUpProbe(c) })
	upgraded := s.awaitPacket(c, "2probe") && s.answerProbe(c) && s.awaitPacket(c, "5") && s.moveTo(c)
	patience.Stop()
	if upgraded {
		s.readLoop(c)
		return
	}
	c.release()
	s.giveUpProbe(c)
}

// giveUpProbe closes a WebSocket that has not taken the session over. Its place
// is free before its client can see that it is closed.
func (s *Session) giveUpProbe(c *wsConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == c {
		return
	}
	if s.poll != nil && s.poll.probe == c {
		s.poll.probe, s.poll.probed = nil, false
	}
	c.close()
}

// awaitPacket reads one text packet and compares it.
func (s *Session) awaitPacket(c *wsConn, want string) bool {
	data, binary, err := c.readMessage()
	return err == nil && !binary && string(data) == want
}

// answerProbe says that the WebSocket works, and releases the poll that hangs:
// the client pauses polling, which it can only do when no poll is under way.
func (s *Session) answerProbe(c *wsConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen || s.poll == nil || s.poll.probe != c {
		return false
	}
	pong := appendPacketFrame(nil, typePong, []byte("probe"))
	// Nothing was written to this connection before but the handshake: a kernel
	// that does not take these few bytes belongs to a peer that does not read.
	if !s.writeProbe(c, pong) {
		return false
	}
	s.poll.probed = true
	s.poll.wake(true)
	return true
}

func (s *Session) writeProbe(c *wsConn, frame []byte) bool {
	if c.raw != nil {
		n, err := c.tryWrite(frame)
		return err == nil && n == len(frame)
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(s.srv.opts.WriteTimeout))
	_, err := c.nc.Write(frame)
	_ = c.nc.SetWriteDeadline(time.Time{})
	return err == nil
}

// onProbeControl answers pings on a WebSocket that does not carry the session
// yet.
func (s *Session) onProbeControl(c *wsConn, op ws.OpCode, payload []byte) {
	if op != ws.OpPing {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	frame := appendFrameHeader(nil, ws.OpPong, len(payload))
	if !s.writeProbe(c, append(frame, payload...)) {
		c.close()
	}
}

// moveTo makes the WebSocket the session's transport. What waits for a poll
// goes out over it, first of all.
func (s *Session) moveTo(c *wsConn) bool {
	// A POST under way still brings packets that were sent before.
	s.inbound.Lock()
	defer s.inbound.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.poll
	if s.state == stateDead || p == nil || p.probe != c {
		return false
	}
	size := 0
	for _, one := range p.queue {
		size += maxFrameHeader + len(one.data)
	}
	s.reserveLocked(size)
	for _, one := range p.queue {
		if one.kind == typeClose {
			s.appendCloseLocked(ws.StatusNormalClosure)
			continue
		}
		s.out = appendPacketFrame(s.out, one.kind, one.data)
	}
	p.queue, p.bytes = nil, 0
	p.probe, p.probed = nil, false
	c.control = s.onControl
	s.conn, s.poll = c, nil
	p.wake(true)
	s.markDirtyLocked()
	return true
}
