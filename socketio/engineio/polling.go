package engineio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// kindPollPackets is how many packets python-engineio's client takes from one
// poll before it drops the connection; others take any number.
const kindPollPackets = 16

// noopInterval is how often a poll is released while a WebSocket is taking the
// session over: the client waits for its poll to end, may start another, and
// would spin if each were answered at once.
const noopInterval = 100 * time.Millisecond

// pollingHalf is what a session needs only while it polls. Guarded by the
// session's lock.
type pollingHalf struct {
	queue      []packet
	bytes      int // of the queue, as they will be in an answer
	maxPackets int // of one answer
	parked     *parkedPoll
	posting    bool

	probe    *wsConn // a WebSocket that is taking the session over
	probed   bool    // its probe is answered
	probes   int     // how many there have been
	lastNoop time.Time
}

// parkedPoll is a poll that waits for something to be sent.
type parkedPoll struct {
	ready chan struct{} // closed by wake
	woken bool
	noop  bool // answer even if there is nothing
}

// wake releases the parked poll, if there is one.
func (p *pollingHalf) wake(noop bool) {
	if p.parked == nil || p.parked.woken {
		return
	}
	p.parked.woken = true
	p.parked.noop = noop
	close(p.parked.ready)
}

// dropProbe closes the WebSocket that wanted the session.
func (p *pollingHalf) dropProbe() {
	if p.probe != nil {
		p.probe.close()
		p.probe, p.probed = nil, false
	}
}

// queueLocked queues a packet for the next poll.
func (s *Session) queueLocked(p packet) {
	s.poll.queue = append(s.poll.queue, p)
	s.poll.bytes += p.size()
	s.poll.wake(false)
}

// checkQueueLocked cuts a session that does not poll what is sent to it.
func (s *Session) checkQueueLocked() error {
	if s.poll.bytes > s.srv.opts.MaxBuffered {
		s.failLocked(ReasonSlow)
		return ErrSlow
	}
	return nil
}

// takeLocked takes what one poll's answer holds. A session that has ended
// without a close packet in the queue, or is being taken over, has a word for
// the poll that waited too.
func (s *Session) takeLocked(noop bool) []byte {
	p := s.poll
	if p == nil || s.conn != nil {
		return []byte{typeNoop}
	}
	if s.state == stateDead {
		if s.reason == ReasonTransportClose {
			return []byte{typeNoop}
		}
		return []byte{typeClose}
	}
	n := min(len(p.queue), p.maxPackets)
	if n == 0 {
		if noop {
			p.lastNoop = time.Now()
			return []byte{typeNoop}
		}
		return nil
	}
	if n > 1 && p.queue[n-1].kind == typeClose {
		// The JavaScript client acts on a close packet at once and on messages a
		// turn later: in one answer it would take the end for a fault, although a
		// DISCONNECT stands before it.
		n--
	}
	size := 0
	for _, one := range p.queue[:n] {
		size += one.size()
	}
	body := appendPayload(make([]byte, 0, size), p.queue[:n])
	p.bytes -= size
	clear(p.queue[:n])
	p.queue = p.queue[n:]
	if len(p.queue) == 0 {
		p.queue = nil
	}
	s.signalLocked()
	return body
}

// startPolling opens a session that polls; the answer is the open packet alone.
func (s *Session) startPolling(w http.ResponseWriter, r *http.Request) {
	s.poll = &pollingHalf{maxPackets: int(^uint(0) >> 1)}
	if strings.HasPrefix(strings.ToLower(r.Header.Get("User-Agent")), "python") {
		s.poll.maxPackets = kindPollPackets
	}
	s.begin()
	body := append([]byte{typeOpen}, s.srv.openPacket(s.id, true)...)
	if err := s.answer(w, body); err != nil {
		s.fail(ReasonTransportClose)
	}
}

// answer writes the whole answer and sees it off. The deadlines of the HTTP
// server, which count from the request's head, are replaced by ours.
func (s *Session) answer(w http.ResponseWriter, body []byte) error {
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(s.srv.opts.WriteTimeout))
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_ = rc.SetWriteDeadline(time.Time{})
	return nil
}

// servePoll answers with everything that is queued, or waits for something.
func (s *Session) servePoll(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Time{})
	_ = rc.SetReadDeadline(time.Time{})

	s.mu.Lock()
	p := s.poll
	switch {
	case s.state == stateDead:
		s.mu.Unlock()
		refuseSession.write(w)
		return
	case s.conn != nil:
		s.mu.Unlock()
		refuseRequest.write(w)
		return
	case p.parked != nil:
		// Two at once: the first ends with a close packet, and so does all else.
		s.failLocked(ReasonTransportError)
		s.mu.Unlock()
		refuseRequest.write(w)
		return
	}
	body := s.takeLocked(false)
	if body == nil {
		me := &parkedPoll{ready: make(chan struct{})}
		p.parked = me
		s.mu.Unlock()
		body = s.park(r, p, me)
		s.mu.Lock()
	}
	s.mu.Unlock()
	if body == nil {
		return // the client gave the poll up, and the session with it
	}
	err := s.answer(w, body)

	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.failLocked(ReasonTransportClose)
	case s.state == stateClosing && s.conn == nil && len(p.queue) == 0:
		s.killLocked()
	}
}

// park waits until there is an answer for the poll; nil when its client left.
func (s *Session) park(r *http.Request, p *pollingHalf, me *parkedPoll) []byte {
	for {
		var noop <-chan time.Time
		s.mu.Lock()
		if p.probed {
			noop = time.After(time.Until(p.lastNoop.Add(noopInterval)))
		}
		s.mu.Unlock()
		select {
		case <-me.ready:
		case <-noop:
			s.mu.Lock()
			if p.probed {
				p.wake(true)
			}
			s.mu.Unlock()
			continue
		case <-r.Context().Done():
		}
		s.mu.Lock()
		if me.woken {
			body := s.takeLocked(me.noop)
			p.parked = nil
			s.mu.Unlock()
			if body == nil {
				body = []byte{typeNoop}
			}
			return body
		}
		p.parked = nil
		s.failLocked(ReasonTransportClose)
		s.mu.Unlock()
		return nil
	}
}

// servePost takes the packets of one POST, in order, and answers when they have
// been handled.
func (s *Session) servePost(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	switch {
	case s.state != stateOpen:
		s.mu.Unlock()
		refuseSession.write(w)
		return
	case s.conn != nil:
		s.mu.Unlock()
		refuseRequest.write(w)
		return
	case s.poll.posting:
		s.failLocked(ReasonTransportError)
		s.mu.Unlock()
		refuseRequest.write(w)
		return
	}
	p := s.poll
	p.posting = true
	s.mu.Unlock()

	refused := s.takePost(w, r)

	s.mu.Lock()
	p.posting = false
	if refused != nil && s.state == stateOpen {
		s.failLocked(refused.reason)
	}
	s.mu.Unlock()
	if refused != nil {
		refused.refusal.write(w)
		return
	}
	if err := s.answer(w, []byte("ok")); err != nil {
		s.fail(ReasonTransportClose)
	}
}

// badPost says how a POST is refused and its session ends.
type badPost struct {
	refusal refusal
	reason  Reason
}

func (s *Session) takePost(w http.ResponseWriter, r *http.Request) *badPost {
	opts := &s.srv.opts
	if r.ContentLength > opts.MaxPayload {
		return &badPost{refuseSize, ReasonTransportError}
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(opts.PacketTimeout))
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, opts.MaxPayload))
	if err != nil {
		if _, big := errors.AsType[*http.MaxBytesError](err); big {
			return &badPost{refuseSize, ReasonTransportError}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return &badPost{refuseRequest, ReasonTransportError}
		}
		return &badPost{refuseRequest, ReasonTransportClose}
	}
	_ = rc.SetReadDeadline(time.Time{})
	if len(payload) == 0 || !utf8.Valid(payload) {
		return &badPost{refuseRequest, ReasonParse}
	}
	s.inbound.Lock()
	defer s.inbound.Unlock()
	for rest := payload; rest != nil; {
		var one packet
		if one, rest, err = nextPacket(rest); err != nil {
			return &badPost{refuseRequest, ReasonParse}
		}
		if rest != nil && len(rest) == 0 {
			return &badPost{refuseRequest, ReasonParse} // a separator and nothing behind it
		}
		s.receive(one)
	}
	select {
	case <-s.done:
		s.mu.Lock()
		reason := s.reason
		s.mu.Unlock()
		if reason == ReasonParse {
			return &badPost{refuseRequest, ReasonParse}
		}
	default:
		s.settle()
	}
	return nil
}

// settle waits for what the messages of a POST cause, but not so long that the
// client's pongs, which it can only post after this one, come too late.
func (s *Session) settle() {
	settler, ok := s.receiver.(Settler)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.srv.opts.PingTimeout/4)
	defer cancel()
	settler.Settle(ctx)
}
