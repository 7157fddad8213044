package socketio

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/securelink-chat/securelink/socketio/engineio"
)

// Socket is one client in one namespace. Its methods may be called by any
// goroutine, also after it has ended.
type Socket struct {
	conn  *conn
	ns    *Namespace
	id    string
	ended atomic.Bool
	rooms []string // guarded by ns.mu

	mu      sync.Mutex
	data    any
	done    chan struct{} // made when it is asked for
	reason  Reason
	acks    map[uint64]*waiting
	nextAck uint64
}

// waiting is an acknowledgement that is awaited. Done is called once.
type waiting struct {
	done  func(Args, error)
	timer *time.Timer // nil: somebody else watches the time
}

// ID is the socket's public identifier; it is not the session's, which is a
// secret.
func (s *Socket) ID() string { return s.id }

// Namespace is where the socket is.
func (s *Socket) Namespace() *Namespace { return s.ns }

// RemoteAddr is who opened the connection.
func (s *Socket) RemoteAddr() netip.AddrPort { return s.conn.engine.RemoteAddr() }

// Handshake is what Engine.Inspect returned for the connection.
func (s *Socket) Handshake() any { return s.conn.engine.Handshake() }

// Transport is "polling" or "websocket", whichever carries the connection now.
func (s *Socket) Transport() string { return s.conn.engine.Transport() }

// Data is the application's, first set by middleware.
func (s *Socket) Data() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data
}

// SetData replaces what Data returns.
func (s *Socket) SetData(data any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = data
}

// Done is closed when the socket has ended.
func (s *Socket) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if s.ended.Load() {
			close(s.done)
		}
	}
	return s.done
}

// Emit sends an event. Values may be bytes ([]byte, also within []any and
// map[string]any), which become attachments; [json.RawMessage], which is sent
// as it is; and whatever else encoding/json takes, unless it would turn bytes
// into text ([ErrBytes]). Emit copies, never waits for the peer, and returns
// [ErrClosed] or [ErrSlow] when the event goes nowhere.
func (s *Socket) Emit(event string, values ...any) error {
	args, err := encodeArgs(values)
	if err != nil {
		return err
	}
	return s.send(appendEvent(nil, s.ns.name, -1, event, args), args.Attachments)
}

// EmitArgs is Emit for arguments that are encoded already, such as those of an
// event that came in.
func (s *Socket) EmitArgs(event string, args Args) error {
	args, err := args.checked()
	if err != nil {
		return err
	}
	return s.send(appendEvent(nil, s.ns.name, -1, event, args), args.Attachments)
}

// EmitBinary sends events of one binary argument, one for each payload, all of
// them together. It is the short way for bytes.
func (s *Socket) EmitBinary(event string, payloads ...[]byte) error {
	if s.ended.Load() {
		return ErrClosed
	}
	header := s.ns.binaryHeader(event)
	var few [8]engineio.Message
	messages := few[:0]
	for _, payload := range payloads {
		messages = append(messages, engineio.Message{Data: header}, engineio.Message{Data: payload, Binary: true})
	}
	return s.conn.engine.Send(messages...)
}

func (ns *Namespace) binaryHeader(event string) []byte {
	if header, ok := ns.headers.Load(event); ok {
		return header.([]byte)
	}
	header := binaryEvent(ns.name, event)
	// Only names that have a handler are surely few.
	if ns.binary[event] != nil || ns.events[event] != nil {
		ns.headers.Store(event, header)
	}
	return header
}

// send sends a packet's text and attachments with nothing between them.
func (s *Socket) send(text []byte, attachments [][]byte) error {
	if s.ended.Load() {
		return ErrClosed
	}
	return s.conn.send(text, attachments)
}

// Call emits an event and waits for its acknowledgement, [ErrTimeout] if ctx
// ends before it comes, or [ErrClosed].
func (s *Socket) Call(ctx context.Context, event string, values ...any) (Args, error) {
	type answer struct {
		args Args
		err  error
	}
	args, err := encodeArgs(values)
	if err != nil {
		return Args{}, err
	}
	answers := make(chan answer, 1)
	id, err := s.ask(event, args, 0, func(args Args, err error) { answers <- answer{args, err} })
	if err != nil {
		return Args{}, err
	}
	s.conn.calling(1)
	defer s.conn.calling(-1)
	select {
	case a := <-answers:
		return a.args, a.err
	case <-ctx.Done():
		s.settleAck(id, Args{}, ErrTimeout)
		a := <-answers
		return a.args, a.err
	}
}

// EmitAck emits an event and has done called once: with the arguments of its
// acknowledgement, with [ErrTimeout], or with [ErrClosed]. Done is called in
// line with the socket's handlers.
func (s *Socket) EmitAck(event string, timeout time.Duration, done func(Args, error), values ...any) error {
	args, err := encodeArgs(values)
	if err != nil {
		return err
	}
	_, err = s.ask(event, args, timeout, s.inLine(done))
	return err
}

// EmitAckArgs is EmitAck for arguments that are encoded already.
func (s *Socket) EmitAckArgs(event string, timeout time.Duration, done func(Args, error), args Args) error {
	args, err := args.checked()
	if err != nil {
		return err
	}
	_, err = s.ask(event, args, timeout, s.inLine(done))
	return err
}

func (s *Socket) inLine(done func(Args, error)) func(Args, error) {
	return func(args Args, err error) { s.conn.enqueue(func() { done(args, err) }) }
}

// ask emits an event that asks for an acknowledgement. The wait is noted before
// the event leaves, so that no answer can come too early.
func (s *Socket) ask(event string, args Args, timeout time.Duration, done func(Args, error)) (uint64, error) {
	s.mu.Lock()
	if s.ended.Load() {
		s.mu.Unlock()
		return 0, ErrClosed
	}
	if len(s.acks) >= s.conn.srv.opts.MaxAcks {
		s.mu.Unlock()
		return 0, ErrTooManyAcks
	}
	id := s.nextAck
	s.nextAck++
	if s.acks == nil {
		s.acks = map[uint64]*waiting{}
	}
	w := &waiting{done: done}
	s.acks[id] = w
	if timeout > 0 {
		w.timer = time.AfterFunc(timeout, func() { s.settleAck(id, Args{}, ErrTimeout) })
	}
	s.mu.Unlock()

	if err := s.send(appendEvent(nil, s.ns.name, int64(id), event, args), args.Attachments); err != nil {
		if s.takeAck(id) != nil {
			return 0, err
		}
	}
	return id, nil
}

// takeAck stops waiting for an acknowledgement; nil if nobody did.
func (s *Socket) takeAck(id uint64) *waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.acks[id]
	delete(s.acks, id)
	if w != nil && w.timer != nil {
		w.timer.Stop()
	}
	return w
}

func (s *Socket) settleAck(id uint64, args Args, err error) {
	if w := s.takeAck(id); w != nil {
		w.done(args, err)
	}
}

// Buffered is the number of bytes that wait for the client to take them.
func (s *Socket) Buffered() int { return s.conn.engine.Buffered() }

// Flush waits until no more than below bytes are buffered: what relays data
// calls it before it emits more. It returns [ErrClosed] when the connection
// ends first, or the context's error.
func (s *Socket) Flush(ctx context.Context, below int) error { return s.conn.engine.Flush(ctx, below) }

// Join adds the socket to rooms of its namespace. A socket that has ended joins
// none.
func (s *Socket) Join(rooms ...string) {
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	if s.ended.Load() {
		return
	}
	for _, room := range rooms {
		members := s.ns.rooms[room]
		if members == nil {
			members = map[*Socket]struct{}{}
			s.ns.rooms[room] = members
		}
		if _, in := members[s]; !in {
			members[s] = struct{}{}
			s.rooms = append(s.rooms, room)
		}
	}
}

// Leave removes the socket from a room.
func (s *Socket) Leave(room string) {
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	if i := slices.Index(s.rooms, room); i >= 0 {
		s.rooms = slices.Delete(s.rooms, i, i+1)
		s.ns.dropLocked(s, room)
	}
}

// Rooms are the rooms that the socket is in.
func (s *Socket) Rooms() []string {
	s.ns.mu.RLock()
	defer s.ns.mu.RUnlock()
	return slices.Clone(s.rooms)
}

// Disconnect ends the socket and tells the client, which stays connected and
// may enter again.
func (s *Socket) Disconnect() { s.conn.leave(s, ReasonServer) }

// Close ends the whole connection, with all its sockets; what was emitted goes
// out first. The reason is told to OnDisconnect; the client only learns that
// the server has ended it.
func (s *Socket) Close(reason Reason) { s.conn.close(reason) }

// end is the one way out: it reports whether this call ended the socket.
func (s *Socket) end(reason Reason) bool {
	if !s.ended.CompareAndSwap(false, true) {
		return false
	}
	s.mu.Lock()
	s.reason = reason
	if s.done != nil {
		close(s.done)
	}
	acks := s.acks
	s.acks = nil
	s.mu.Unlock()
	s.ns.remove(s)
	for _, w := range acks {
		if w.timer != nil {
			w.timer.Stop()
		}
		w.done(Args{}, ErrClosed)
	}
	return true
}
