package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

const (
	inFlight    = 16               // requests of ours that wait for an answer at once
	callTimeout = 30 * time.Second // for one answer
	writeTime   = 20 * time.Second // for one record to leave
	pingEvery   = 45 * time.Second
)

var (
	// errOffline says that there is no connection to ask on.
	errOffline = errors.New("client: not connected")
	// errProtocol says that the server broke the language.
	errProtocol = errors.New("client: the server sent what does not belong")
)

// session is one connection to the server from its handshake to its end. Its
// reader runs in read, which hands events on in their order; anybody may call.
type session struct {
	conn     *link.Conn
	hello    wire.HelloOK
	restored uint64        // number of the newest restore from a backup, if the server's delegate has signed it
	slots    chan struct{} // one for each request in flight
	done     chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan wire.Item
	err     error // why it ended, once done is closed
	cut     *wire.Cut
}

func newSession(conn *link.Conn) *session {
	return &session{
		conn:    conn,
		slots:   make(chan struct{}, inFlight),
		done:    make(chan struct{}),
		waiting: map[uint64]chan wire.Item{},
	}
}

// read takes what the server sends until the connection ends, and returns why
// it did. Events go to handle one after the other; while it works, nothing
// else is read.
func (s *session) read(handle func(wire.Item) error) error {
	err := s.readLoop(handle)
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	close(s.done)
	s.conn.Abort()
	return err
}

func (s *session) readLoop(handle func(wire.Item) error) error {
	for {
		payload, err := s.conn.Read()
		if err != nil {
			return err
		}
		for len(payload) > 0 {
			var item wire.Item
			item, payload, err = wire.Next(payload)
			if err != nil {
				return fmt.Errorf("%w: %w", errProtocol, err)
			}
			switch item.Kind {
			case wire.ItemResponse:
				s.mu.Lock()
				answer := s.waiting[item.ID]
				delete(s.waiting, item.ID)
				s.mu.Unlock()
				if answer != nil {
					answer <- item // room for the one answer
				}
			case wire.ItemEvent:
				if item.Event == wire.EventCut {
					var cut wire.Cut
					if err := item.DecodeBody(&cut); err == nil {
						s.mu.Lock()
						s.cut = &cut
						s.mu.Unlock()
					}
					continue
				}
				if err := handle(item); err != nil {
					return err
				}
			default:
				return errProtocol
			}
		}
	}
}

// call asks and waits for the answer, which is decoded into out (nil: only
// whether it went well). A refusal is a *wire.Error. key is zero for requests
// that have none.
func (s *session) call(ctx context.Context, key wire.Key, body wire.Request, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-s.done:
		return errOffline
	case <-ctx.Done():
		return s.timedOut(ctx)
	}
	answer := make(chan wire.Item, 1)
	s.mu.Lock()
	s.next++
	id := s.next
	s.waiting[id] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, id)
		s.mu.Unlock()
	}()
	request, err := wire.AppendRequest(nil, id, key, body)
	if err != nil {
		return err
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return fmt.Errorf("%w: %w", errOffline, err)
	}
	if err := s.conn.Write(request); err != nil {
		if errors.Is(err, link.ErrTooLarge) {
			return err
		}
		s.conn.Abort()
		return fmt.Errorf("%w: %w", errOffline, err)
	}
	select {
	case item := <-answer:
		return decodeAnswer(item, out)
	case <-s.done:
		// The answer may have been the last thing that was read.
		select {
		case item := <-answer:
			return decodeAnswer(item, out)
		default:
			return errOffline
		}
	case <-ctx.Done():
		return s.timedOut(ctx)
	}
}

// timedOut tells a server that does not answer from a caller that has left.
func (s *session) timedOut(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		s.conn.Abort() // whoever answers nothing for so long is not there
		return fmt.Errorf("%w: no answer", errOffline)
	}
	return ctx.Err()
}

func decodeAnswer(item wire.Item, out any) error {
	if item.Code != wire.OK {
		return item.DecodeRefusal()
	}
	if out == nil {
		return nil
	}
	return item.DecodeBody(out)
}

// keepAlive pings until the session or the context ends.
func (s *session) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := s.call(ctx, wire.Key{}, wire.Ping{}, nil); err != nil && ctx.Err() == nil {
				s.conn.Abort()
				return
			}
		case <-s.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// ended returns the server's parting word, if there was one.
func (s *session) ended() *wire.Cut {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}
