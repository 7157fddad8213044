package loadgen

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

// device is one client: who it is, and its connection if it has one.
type device struct {
	r       *runner
	person  Person
	tickets link.MemTickets
	room    *room
	session *session
}

// room is one room of the run.
type room struct {
	id       wire.RoomID
	members  []*device
	examined uint64 // its newest handshake
	accepted atomic.Int64

	// Without a rate: the places in the window, and for each how many are still
	// to get the message that has it.
	free chan int
	left []atomic.Int32
}

// session is one connection of a device. A goroutine reads it; who made the
// session closes it and waits for that.
type session struct {
	d    *device
	conn *link.Conn
	done chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan wire.Item
	appends map[uint64]int64 // due times of messages without their answer
	err     error
}

var errGone = errors.New("the connection ended")

// keys hands out the pairs of the pool in turn. That pairs are used again is
// for the generator alone; it says so in its report.
type keys struct {
	pairs []link.KeyPair
	next  atomic.Uint64
}

func newKeys(n int) (*keys, error) {
	k := &keys{}
	for range n {
		pair, err := link.GenerateKey()
		if err != nil {
			return nil, err
		}
		k.pairs = append(k.pairs, pair)
	}
	return k, nil
}

// Take implements [link.KeySource].
func (k *keys) Take(context.Context) (link.KeyPair, error) {
	return k.pairs[k.next.Add(1)%uint64(len(k.pairs))], nil
}

// connect opens a connection, says hello and logs in: with a new account if
// first, resumed if that is wanted and there is a ticket.
func (d *device) connect(ctx context.Context, first, resume bool) (*session, error) {
	fc, err := d.r.cfg.Dial(ctx)
	if err != nil {
		return nil, err
	}
	cfg := link.ClientConfig{Pin: d.r.cfg.Pin, RSA: d.r.keys, Timeout: time.Minute}
	if resume {
		cfg.Tickets = &d.tickets
	} else {
		cfg.Tickets = newTickets{&d.tickets}
	}
	conn, err := link.Client(ctx, fc, cfg)
	if err != nil {
		return nil, err
	}
	s := &session{d: d, conn: conn, done: make(chan struct{}), waiting: map[uint64]chan wire.Item{}, appends: map[uint64]int64{}}
	go s.read()
	if err := s.login(ctx, first); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// newTickets keeps tickets and hands none out.
type newTickets struct{ *link.MemTickets }

// Take implements [link.ClientTickets].
func (newTickets) Take([32]byte) (link.Ticket, bool) { return link.Ticket{}, false }

func (s *session) login(ctx context.Context, first bool) error {
	hello, err := ask[wire.HelloOK](ctx, s, wire.Hello{Version: wire.Version, Agent: "bench"})
	if err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	s.d.r.limits.CompareAndSwap(nil, &hello.Limits)
	root, exporter, route := s.conn.PeerRoot(), s.conn.Exporter(), s.d.person.Route(s.conn.PeerRoot())
	if !first {
		_, err = ask[wire.LoginOK](ctx, s, wire.Login{User: route.User, Device: route.Device, Proof: s.d.person.Proof(root, exporter)})
	} else {
		var account wire.Account
		if account, err = s.d.person.Account(root, exporter); err == nil {
			_, err = ask[wire.LoginOK](ctx, s, wire.Guest{Account: account})
		}
	}
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	return nil
}

// close ends the connection and waits for its reader.
func (s *session) close() {
	_ = s.conn.Close()
	<-s.done
}

// read passes answers on and counts deliveries until the connection ends.
func (s *session) read() {
	defer close(s.done)
	for {
		payload, err := s.conn.Read()
		now := s.d.r.now()
		for err == nil && len(payload) > 0 {
			var it wire.Item
			if it, payload, err = wire.Next(payload); err != nil {
				break
			}
			switch {
			case it.Kind == wire.ItemResponse:
				s.answered(it, now)
			case it.Kind == wire.ItemEvent && it.Event == wire.EventEntry:
				s.d.delivered(it.Body, now)
			case it.Kind == wire.ItemEvent && it.Event == wire.EventCut:
				s.d.r.cuts.Add(1)
			}
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

func (s *session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = fmt.Errorf("%w: %w", errGone, err)
	for id, ch := range s.waiting {
		close(ch)
		delete(s.waiting, id)
	}
}

func (s *session) answered(it wire.Item, now int64) {
	s.mu.Lock()
	ch := s.waiting[it.ID]
	delete(s.waiting, it.ID)
	due, isAppend := s.appends[it.ID]
	delete(s.appends, it.ID)
	s.mu.Unlock()
	switch {
	case ch != nil:
		ch <- it
	case !isAppend:
	case it.Code != wire.OK:
		s.d.r.refused(it)
	default:
		s.d.r.accepted.Add(1)
		s.d.room.accepted.Add(1)
		s.d.r.lastAccept.Store(now)
		s.d.r.ackTimes.record(now - due)
	}
}

// delivered counts an entry that carries the mark of this run.
func (d *device) delivered(entry []byte, now int64) {
	at := bytes.Index(entry, d.r.mark[:])
	if at < 0 || len(entry) < at+markSize {
		return
	}
	stamp := entry[at+len(d.r.mark):]
	d.r.deliveryTimes.record(now - int64(binary.BigEndian.Uint64(stamp)))
	d.r.lastDelivery.Store(now)
	d.r.deliveries.Add(1)
	if place := binary.BigEndian.Uint32(stamp[8:]); place != noPlace && int(place) < len(d.room.left) {
		if d.room.left[place].Add(-1) == 0 {
			d.room.free <- int(place)
		}
	}
}

// A message begins with the mark of the run, when it was due in nanoseconds of
// the run, and its place in the window.
const (
	markSize = 16 + 8 + 4
	noPlace  = 1<<32 - 1
)

// ask sends a request and waits for its answer.
func ask[R any](ctx context.Context, s *session, body wire.Request) (R, error) {
	var out R
	ch := make(chan wire.Item, 1)
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return out, s.err
	}
	s.next++
	id := s.next
	s.waiting[id] = ch
	s.mu.Unlock()
	raw, err := wire.AppendRequest(nil, id, newKey(), body)
	if err != nil {
		return out, err
	}
	if err := s.conn.Write(raw); err != nil {
		return out, err
	}
	select {
	case it, ok := <-ch:
		if !ok {
			return out, s.err
		}
		if it.Code != wire.OK {
			return out, it.DecodeRefusal()
		}
		return out, it.DecodeBody(&out)
	case <-ctx.Done():
		return out, ctx.Err()
	}
}

// message makes one message: random bytes with a mark at their front.
func (r *runner) message(to *room, due int64, place uint32) *wire.Append {
	m := &wire.Append{Room: to.id, Kind: wire.EntryMessage, Examined: to.examined}
	_, _ = rand.Read(m.Message[:])
	body := min(Overhead-4, len(r.filler)-markSize)
	m.Payload = append(make([]byte, 0, len(r.filler)-body), r.mark[:]...)
	m.Payload = binary.BigEndian.AppendUint64(m.Payload, uint64(due))
	m.Payload = binary.BigEndian.AppendUint32(m.Payload, place)
	m.Payload = append(m.Payload, r.filler[len(m.Payload):len(r.filler)-body]...)
	m.Body = r.filler[len(r.filler)-body:]
	return m
}

// send sends a message and does not wait for its answer.
func (s *session) send(m *wire.Append, due int64) error {
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return s.err
	}
	s.next++
	id := s.next
	s.appends[id] = due
	s.mu.Unlock()
	raw, err := wire.AppendRequest(nil, id, newKey(), m)
	if err != nil {
		return err
	}
	return s.conn.Write(raw)
}

func newKey() (k wire.Key) {
	_, _ = rand.Read(k[:])
	return k
}
