package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/securelink-chat/securelink/socketio/engineio"
)

// Request is a client's wish to enter a namespace, as middleware sees it.
type Request struct {
	Namespace  string
	Auth       json.RawMessage // an object, {} where the client sent none
	RemoteAddr netip.AddrPort
	Handshake  any // what Engine.Inspect returned for the connection
	Data       any // becomes [Socket.Data]
}

// Refusal refuses a client, when middleware returns it, with words and data for
// the client to see.
type Refusal struct {
	Message string
	Data    any // left out if nil
}

func (r *Refusal) Error() string { return "socketio: refused: " + r.Message }

// Event is one event of a client.
type Event struct {
	Name string
	Args

	socket *Socket
	id     int64 // -1: no acknowledgement is wanted
	acked  atomic.Bool
}

// WantsAck reports whether the client waits for an acknowledgement.
func (e *Event) WantsAck() bool { return e.id >= 0 }

// Ack acknowledges the event, with values as for [Socket.Emit]. Only the first
// acknowledgement of an event that wants one is sent.
func (e *Event) Ack(values ...any) error {
	args, err := encodeArgs(values)
	if err != nil {
		return err
	}
	return e.ack(args)
}

// AckArgs is Ack for arguments that are encoded already.
func (e *Event) AckArgs(args Args) error {
	args, err := args.checked()
	if err != nil {
		return err
	}
	return e.ack(args)
}

func (e *Event) ack(args Args) error {
	if e.id < 0 || !e.acked.CompareAndSwap(false, true) {
		return nil
	}
	return e.socket.send(appendAck(nil, e.socket.ns.name, e.id, args), args.Attachments)
}

// binaryRoute is an event of one binary argument.
type binaryRoute struct {
	ns      *Namespace
	name    string
	handler func(*Socket, []byte)
}

// Namespace is a set of sockets with the handlers of their events. Handlers are
// registered before the server serves; the other methods may be called by any
// goroutine.
type Namespace struct {
	srv        *Server
	name       string
	middleware []func(context.Context, *Request) error
	connect    []func(*Socket)
	disconnect []func(*Socket, Reason)
	events     map[string]func(*Socket, *Event)
	binary     map[string]*binaryRoute
	headers    sync.Map // event name to the text of its binary event, for EmitBinary

	mu      sync.RWMutex
	sockets map[string]*Socket
	rooms   map[string]map[*Socket]struct{}
}

func newNamespace(srv *Server, name string) *Namespace {
	return &Namespace{
		srv: srv, name: name,
		events:  map[string]func(*Socket, *Event){},
		binary:  map[string]*binaryRoute{},
		sockets: map[string]*Socket{},
		rooms:   map[string]map[*Socket]struct{}{},
	}
}

// Name is the namespace's name, with its slash.
func (ns *Namespace) Name() string { return ns.name }

// Use adds middleware, which is asked in the order of registration before a
// client enters. An error refuses the client: it is told the words of a
// [*Refusal], and "not authorized" for any other. The context ends with the
// connection.
func (ns *Namespace) Use(middleware func(context.Context, *Request) error) {
	ns.middleware = append(ns.middleware, middleware)
}

// OnConnect adds a handler for sockets that have entered, after the client has
// been told so.
func (ns *Namespace) OnConnect(handler func(*Socket)) { ns.connect = append(ns.connect, handler) }

// OnDisconnect adds a handler that is called once for every socket that
// entered, after the last of its events.
func (ns *Namespace) OnDisconnect(handler func(*Socket, Reason)) {
	ns.disconnect = append(ns.disconnect, handler)
}

// On sets the handler of an event. Events without one are ignored.
func (ns *Namespace) On(event string, handler func(*Socket, *Event)) { ns.events[event] = handler }

// OnBinary sets the handler of an event that has one argument, bytes, and wants
// no acknowledgement; other forms of the event go to On's handler. The bytes
// are the handler's.
func (ns *Namespace) OnBinary(event string, handler func(*Socket, []byte)) {
	route := &binaryRoute{ns, event, handler}
	ns.binary[event] = route
	ns.srv.binary[string(binaryEvent(ns.name, event))] = route
}

// handle calls whoever handles an event.
func (ns *Namespace) handle(s *Socket, e *Event) {
	if route := ns.binary[e.Name]; route != nil && !e.WantsAck() && len(e.JSON) == 1 && len(e.Attachments) == 1 {
		if b, ok := e.Bytes(0); ok {
			route.handler(s, b)
			return
		}
	}
	if handler := ns.events[e.Name]; handler != nil {
		handler(s, e)
	}
}

// admit asks the middleware; nil means that the client may enter.
func (ns *Namespace) admit(ctx context.Context, r *Request) *Refusal {
	for _, middleware := range ns.middleware {
		err := middleware(ctx, r)
		if err == nil {
			continue
		}
		if refusal, ok := errors.AsType[*Refusal](err); ok {
			return refusal
		}
		return &Refusal{Message: "not authorized"}
	}
	return nil
}

func (ns *Namespace) add(s *Socket) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if !s.ended.Load() {
		ns.sockets[s.id] = s
	}
}

func (ns *Namespace) remove(s *Socket) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	delete(ns.sockets, s.id)
	for _, room := range s.rooms {
		ns.dropLocked(s, room)
	}
	s.rooms = nil
}

func (ns *Namespace) dropLocked(s *Socket, room string) {
	members := ns.rooms[room]
	delete(members, s)
	if len(members) == 0 {
		delete(ns.rooms, room)
	}
}

// Socket is the connected socket with that id, or nil.
func (ns *Namespace) Socket(id string) *Socket {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.sockets[id]
}

// Sockets are all connected sockets.
func (ns *Namespace) Sockets() []*Socket {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	all := make([]*Socket, 0, len(ns.sockets))
	for _, s := range ns.sockets {
		all = append(all, s)
	}
	return all
}

// Room are the sockets that have joined a room.
func (ns *Namespace) Room(room string) []*Socket {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	members := make([]*Socket, 0, len(ns.rooms[room]))
	for s := range ns.rooms[room] {
		members = append(members, s)
	}
	return members
}

// Emit sends an event to all sockets of the namespace, encoded once.
func (ns *Namespace) Emit(event string, values ...any) error {
	return (&Broadcast{ns: ns, all: true}).Emit(event, values...)
}

// To addresses the sockets that are in any of the rooms.
func (ns *Namespace) To(rooms ...string) *Broadcast { return &Broadcast{ns: ns, rooms: rooms} }

// Broadcast is a set of addressees. It is not for concurrent use.
type Broadcast struct {
	ns     *Namespace
	all    bool
	rooms  []string
	except []*Socket
}

// Except leaves sockets out.
func (b *Broadcast) Except(sockets ...*Socket) *Broadcast {
	b.except = append(b.except, sockets...)
	return b
}

// Emit sends an event to each addressee once; values as for [Socket.Emit]. It
// does not wait for anyone, and a socket that ends meanwhile is no error.
func (b *Broadcast) Emit(event string, values ...any) error {
	args, err := encodeArgs(values)
	if err != nil {
		return err
	}
	return b.emit(event, args)
}

// EmitArgs is Emit for arguments that are encoded already.
func (b *Broadcast) EmitArgs(event string, args Args) error {
	args, err := args.checked()
	if err != nil {
		return err
	}
	return b.emit(event, args)
}

// EmitBinary sends an event of one binary argument.
func (b *Broadcast) EmitBinary(event string, data []byte) error { return b.Emit(event, data) }

func (b *Broadcast) emit(event string, args Args) error {
	messages := make([]engineio.Message, 1, 1+len(args.Attachments))
	messages[0].Data = appendEvent(nil, b.ns.name, -1, event, args)
	for _, a := range args.Attachments {
		// A polling session keeps the message until it is fetched, the caller its
		// bytes only until we return.
		messages = append(messages, engineio.Message{Data: append([]byte(nil), a...), Binary: true})
	}
	prepared := engineio.Prepare(messages...)
	b.each(func(s *Socket) { _ = s.conn.engine.SendPrepared(prepared) })
	return nil
}

// each calls f for every addressee once.
func (b *Broadcast) each(f func(*Socket)) {
	b.ns.mu.RLock()
	defer b.ns.mu.RUnlock()
	send := func(s *Socket) {
		for _, out := range b.except {
			if s == out {
				return
			}
		}
		f(s)
	}
	if b.all {
		for _, s := range b.ns.sockets {
			send(s)
		}
		return
	}
	var seen map[*Socket]bool
	if len(b.rooms) > 1 {
		seen = map[*Socket]bool{}
	}
	for _, room := range b.rooms {
		for s := range b.ns.rooms[room] {
			if seen != nil {
				if seen[s] {
					continue
				}
				seen[s] = true
			}
			send(s)
		}
	}
}
