package socketio

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/socketio/engineio"
)

// conn is one connection: it takes packets apart, knows the sockets, and runs
// their handlers in order.
type conn struct {
	srv    *Server
	engine *engineio.Session

	// Owned by whoever calls Message.
	gather *gathering   // a packet whose attachments are coming
	route  *binaryRoute // the same for an event of one binary argument
	late   *time.Timer  // ends the wait for attachments

	mu      sync.Mutex
	sockets []*Socket
	left    []*Namespace // that the server threw the client out of
	refused int
	idle    *time.Timer // runs while the connection is in no namespace
	jobs    []func()
	running bool          // a goroutine works on jobs
	calls   int           // handlers that wait for an acknowledgement
	change  chan struct{} // closed when there are fewer jobs; made when awaited
	closed  bool
}

// gathering is a packet with those of its attachments that have come.
type gathering struct {
	packet packet
	size   int64
}

// open is what the engine calls for a new session.
func (srv *Server) open(session *engineio.Session) engineio.Receiver {
	c := &conn{srv: srv, engine: session}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaitConnectLocked()
	return c
}

func (c *conn) awaitConnectLocked() {
	c.idle = time.AfterFunc(c.srv.opts.ConnectTimeout, func() {
		c.mu.Lock()
		nowhere := len(c.sockets) == 0
		c.mu.Unlock()
		if nowhere {
			c.engine.Close(ReasonConnect)
		}
	})
}

// Message takes one message of the client; it implements engineio.Receiver.
func (c *conn) Message(data []byte, binary bool) {
	switch {
	case binary:
		c.attachment(data)
	case c.gather != nil || c.route != nil:
		c.refuse() // text where bytes are due
	default:
		if route := c.srv.binary[string(data)]; route != nil {
			c.route = route
			c.awaitAttachments()
			return
		}
		p, err := parsePacket(data, &c.srv.opts)
		if err != nil {
			c.refuse()
			return
		}
		if p.attachments > 0 {
			c.gather = &gathering{packet: p, size: int64(len(data))}
			c.awaitAttachments()
			return
		}
		c.packet(p)
	}
}

// refuse ends the connection because of a packet that makes no sense.
func (c *conn) refuse() { c.engine.Close(ReasonParse) }

func (c *conn) awaitAttachments() {
	if c.late == nil {
		c.late = time.AfterFunc(c.srv.opts.Engine.PacketTimeout, c.refuse)
		return
	}
	c.late.Reset(c.srv.opts.Engine.PacketTimeout)
}

func (c *conn) attachment(data []byte) {
	if route := c.route; route != nil {
		c.route = nil
		c.late.Stop()
		c.wait()
		c.enqueue(func() {
			if s := c.socketFor(route.ns); s != nil {
				route.handler(s, data)
			}
		})
		return
	}
	g := c.gather
	if g == nil {
		c.refuse() // bytes that nobody announced
		return
	}
	if g.size += int64(len(data)); g.size > c.srv.opts.MaxPacket {
		c.refuse()
		return
	}
	g.packet.args.Attachments = append(g.packet.args.Attachments, data)
	if len(g.packet.args.Attachments) == g.packet.attachments {
		c.gather = nil
		c.late.Stop()
		c.packet(g.packet)
	}
}

// packet acts on a whole packet. Acknowledgements are settled at once, so that
// a handler may wait for one; all else waits for the handlers before it.
func (c *conn) packet(p packet) {
	switch p.kind {
	case typeAck, typeBinaryAck:
		ns := c.srv.namespaces[p.namespace]
		s, gone := c.find(ns)
		switch {
		case s != nil:
			s.settleAck(p.id, p.args, nil)
		case !gone:
			c.refuse()
		}
		return
	}
	c.wait()
	switch p.kind {
	case typeConnect:
		c.enqueue(func() { c.connect(p.namespace, p.payload) })
	case typeDisconnect:
		c.enqueue(func() {
			if s := c.socketFor(c.srv.namespaces[p.namespace]); s != nil {
				c.leave(s, ReasonClient)
			}
		})
	default:
		c.enqueue(func() {
			ns := c.srv.namespaces[p.namespace]
			if s := c.socketFor(ns); s != nil {
				e := &Event{Name: p.name, Args: p.args, socket: s, id: -1}
				if p.hasID {
					e.id = int64(p.id)
				}
				ns.handle(s, e)
			}
		})
	}
}

// find is the client's socket in a namespace. Gone says that there was one,
// which the server ended: what the client sent before it knew is no offence.
func (c *conn) find(ns *Namespace) (s *Socket, gone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sockets {
		if s.ns == ns {
			return s, false
		}
	}
	return nil, c.closed || slices.Contains(c.left, ns)
}

// socketFor is find, where a client that is not in the namespace must not have
// sent what it did.
func (c *conn) socketFor(ns *Namespace) *Socket {
	s, gone := c.find(ns)
	if s == nil && !gone {
		c.refuse()
	}
	return s
}

// connect lets the client into a namespace, or not.
func (c *conn) connect(name string, auth json.RawMessage) {
	ns := c.srv.namespaces[name]
	if ns == nil {
		c.reject(name, &Refusal{Message: "Invalid namespace"})
		return
	}
	if s, _ := c.find(ns); s != nil {
		c.refuse() // it is in already
		return
	}
	if len(auth) == 0 {
		auth = json.RawMessage("{}")
	}
	r := &Request{Namespace: name, Auth: auth, RemoteAddr: c.engine.RemoteAddr(), Handshake: c.engine.Handshake()}
	if refusal := ns.admit(connContext{context.Background(), c.engine.Done()}, r); refusal != nil {
		c.reject(name, refusal)
		return
	}
	s := &Socket{conn: c, ns: ns, id: newID(), data: r.Data}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.sockets = append(c.sockets, s)
	c.left = slices.DeleteFunc(c.left, func(other *Namespace) bool { return other == ns })
	if c.idle != nil {
		c.idle.Stop()
		c.idle = nil
	}
	c.mu.Unlock()
	// The answer leaves before the socket can be found, or a broadcast could
	// reach the client before it knows that it is in.
	_ = c.send(append(appendNamespace([]byte{typeConnect}, name), `{"sid":"`+s.id+`"}`...), nil)
	ns.add(s)
	for _, handler := range ns.connect {
		handler(s)
	}
}

// reject refuses a client. Nothing is kept of it but the count.
func (c *conn) reject(name string, refusal *Refusal) {
	text := appendNamespace([]byte{typeConnectError}, name)
	text = appendString(append(text, `{"message":`...), refusal.Message)
	if refusal.Data != nil {
		data, err := encodeArgs([]any{refusal.Data})
		if err == nil && len(data.Attachments) == 0 {
			text = append(append(text, `,"data":`...), data.JSON[0]...)
		} else {
			c.srv.log.Error("socketio: the data of a refusal cannot be sent", "namespace", name)
		}
	}
	_ = c.send(append(text, '}'), nil)
	c.mu.Lock()
	c.refused++
	tooMany := c.refused > c.srv.opts.MaxRefused
	c.mu.Unlock()
	if tooMany {
		c.engine.Close(ReasonRefused)
	}
}

// leave takes a socket out of the connection.
func (c *conn) leave(s *Socket, reason Reason) {
	if reason == ReasonServer {
		_ = s.send(appendNamespace([]byte{typeDisconnect}, s.ns.name), nil)
	}
	if !s.end(reason) {
		return
	}
	c.mu.Lock()
	c.sockets = slices.DeleteFunc(c.sockets, func(other *Socket) bool { return other == s })
	if reason == ReasonServer && !slices.Contains(c.left, s.ns) {
		c.left = append(c.left, s.ns)
	}
	if len(c.sockets) == 0 && !c.closed && c.idle == nil {
		c.awaitConnectLocked()
	}
	c.mu.Unlock()
	c.enqueueDisconnect(s, reason)
}

func (c *conn) enqueueDisconnect(s *Socket, reason Reason) {
	if len(s.ns.disconnect) == 0 {
		return
	}
	c.enqueue(func() {
		for _, handler := range s.ns.disconnect {
			handler(s, reason)
		}
	})
}

// close ends the connection from the server's side: every socket is told, or
// clients would take it for a fault and come back.
func (c *conn) close(reason Reason) {
	c.mu.Lock()
	sockets := slices.Clone(c.sockets)
	c.mu.Unlock()
	for _, s := range sockets {
		_ = s.send(appendNamespace([]byte{typeDisconnect}, s.ns.name), nil)
	}
	c.engine.Close(reason)
}

// byPeer are the ends that come from outside: what the client sent before is
// still handled. Where the application itself ends a connection, it wants to
// hear no more.
var byPeer = map[Reason]bool{
	ReasonTransportClose: true, ReasonTransportError: true, ReasonPingTimeout: true, ReasonParse: true,
}

// Closed ends all sockets at once, and tells the application behind what is
// still to be handled; it implements engineio.Receiver.
func (c *conn) Closed(reason Reason) {
	c.mu.Lock()
	c.closed = true
	sockets := slices.Clone(c.sockets)
	if !byPeer[reason] {
		c.sockets = nil
	}
	if c.idle != nil {
		c.idle.Stop()
	}
	c.signalLocked()
	c.mu.Unlock()
	for _, s := range sockets {
		if s.end(reason) {
			c.enqueueDisconnect(s, reason)
		}
	}
	c.enqueue(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sockets = nil
	})
}

func (c *conn) send(text []byte, attachments [][]byte) error {
	if len(attachments) == 0 {
		return c.engine.Send(engineio.Message{Data: text})
	}
	messages := make([]engineio.Message, 1, 1+len(attachments))
	messages[0].Data = text
	for _, a := range attachments {
		messages = append(messages, engineio.Message{Data: a, Binary: true})
	}
	return c.engine.Send(messages...)
}
