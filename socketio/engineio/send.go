package engineio

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// A session that has something to send borrows a buffer of the first size,
	// and one of the second when more gathers; what is larger still is not kept.
	smallOut = 4 << 10
	largeOut = 64 << 10
	// inlineFlush is how much may gather before the sender itself hands it to
	// the kernel, so that a burst is limited by the peer and not by when the
	// flusher runs.
	inlineFlush = 32 << 10
	// writeChunk is offered to a slow peer at a time.
	writeChunk = 64 << 10
	// maxFrameHeader is the size of the largest frame header without a mask,
	// with the type byte of a text packet behind it.
	maxFrameHeader = 11
)

var (
	smallOuts = sync.Pool{New: func() any { return new([smallOut]byte) }}
	largeOuts = sync.Pool{New: func() any { return new([largeOut]byte) }}
)

// reserveLocked makes room for n more bytes in s.out.
func (s *Session) reserveLocked(n int) {
	need := len(s.out) + n
	if need <= cap(s.out) {
		return
	}
	old := s.out
	switch {
	case need <= smallOut:
		s.out = smallOuts.Get().(*[smallOut]byte)[:0]
	case need <= largeOut:
		s.out = largeOuts.Get().(*[largeOut]byte)[:0]
	default:
		s.out = make([]byte, 0, max(need, 2*len(old)))
	}
	s.out = append(s.out, old...)
	returnBuffer(old)
}

func returnBuffer(b []byte) {
	switch cap(b) {
	case smallOut:
		smallOuts.Put((*[smallOut]byte)(b[:smallOut]))
	case largeOut:
		largeOuts.Put((*[largeOut]byte)(b[:largeOut]))
	}
}

func (s *Session) returnOut() {
	returnBuffer(s.out)
	s.out = nil
}

// Send queues messages, which go out together and in order. It copies them and
// never waits: a peer for whom more than Options.MaxBuffered bytes wait is cut,
// and that call returns [ErrSlow]. On an ended session it returns [ErrClosed].
func (s *Session) Send(messages ...Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen {
		return ErrClosed
	}
	if s.conn == nil {
		for _, m := range messages {
			s.queueLocked(packet{m.kind(), slices.Clone(m.Data)})
		}
		return s.checkQueueLocked()
	}
	for _, m := range messages {
		s.reserveLocked(maxFrameHeader + len(m.Data))
		s.out = appendPacketFrame(s.out, m.kind(), m.Data)
	}
	return s.pushedLocked()
}

// SendPrepared is Send for messages that go to many sessions.
func (s *Session) SendPrepared(p *Prepared) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen {
		return ErrClosed
	}
	if s.conn == nil {
		for _, one := range p.packets {
			s.queueLocked(one)
		}
		return s.checkQueueLocked()
	}
	s.reserveLocked(len(p.frames))
	s.out = append(s.out, p.frames...)
	return s.pushedLocked()
}

// sendLocked sends one packet over whichever transport carries the session.
func (s *Session) sendLocked(p packet) {
	if s.conn == nil {
		s.queueLocked(p)
		_ = s.checkQueueLocked()
		return
	}
	s.reserveLocked(maxFrameHeader + len(p.data))
	s.out = appendPacketFrame(s.out, p.kind, p.data)
	_ = s.pushedLocked()
}

// pushedLocked sees that what was just appended to s.out leaves, and keeps to
// the bound.
func (s *Session) pushedLocked() error {
	if len(s.out) >= inlineFlush && !s.blocked {
		s.flushLocked()
		if s.state != stateOpen {
			return ErrClosed
		}
	}
	if len(s.out)+s.inflight > s.srv.opts.MaxBuffered {
		s.failLocked(ReasonSlow)
		return ErrSlow
	}
	s.markDirtyLocked()
	return nil
}

// Buffered is the number of bytes that wait for the peer to take them, or for
// its next poll.
func (s *Session) Buffered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bufferedLocked()
}

func (s *Session) bufferedLocked() int {
	if s.conn == nil {
		return s.poll.bytes
	}
	return len(s.out) + s.inflight
}

// Flush waits until no more than below bytes are buffered. It returns
// [ErrClosed] when the session ends first, or the context's error.
func (s *Session) Flush(ctx context.Context, below int) error {
	for {
		s.mu.Lock()
		if s.state != stateOpen {
			s.mu.Unlock()
			return ErrClosed
		}
		if s.bufferedLocked() <= below {
			s.mu.Unlock()
			return nil
		}
		if s.progress == nil {
			s.progress = make(chan struct{})
		}
		progress := s.progress
		s.mu.Unlock()
		select {
		case <-progress:
		case <-s.done:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// signalLocked wakes those who wait in Flush.
func (s *Session) signalLocked() {
	if s.progress != nil {
		close(s.progress)
		s.progress = nil
	}
}

// A flusher writes out what sessions have gathered. Its goroutine exists only
// while there is something: many messages to one session, or one to many, cost
// one start of it and one system call a session.
type flusher struct {
	mu      sync.Mutex
	list    []*Session
	spare   []*Session
	running bool
}

// markDirtyLocked has the session flushed soon.
func (s *Session) markDirtyLocked() {
	if s.dirty || s.blocked || len(s.out) == 0 {
		return
	}
	s.dirty = true
	f := &s.srv.flushers[s.shard]
	f.mu.Lock()
	f.list = append(f.list, s)
	start := !f.running
	f.running = true
	f.mu.Unlock()
	if start {
		s.srv.wg.Go(f.run)
	}
}

func (f *flusher) run() {
	for {
		// On a busy machine what is about to be sent by others goes out in the same
		// system calls; on an idle one this returns at once.
		runtime.Gosched()
		f.mu.Lock()
		work := f.list
		if len(work) == 0 {
			f.running = false
			f.mu.Unlock()
			return
		}
		f.list, f.spare = f.spare[:0], nil
		f.mu.Unlock()
		for i, s := range work {
			work[i] = nil
			s.mu.Lock()
			s.dirty = false
			if !s.blocked {
				s.flushLocked()
			}
			s.mu.Unlock()
		}
		f.mu.Lock()
		if cap(work) <= 4096 {
			f.spare = work[:0]
		}
		f.mu.Unlock()
	}
}

// flushLocked hands s.out to the kernel without waiting; what it does not take
// is left to a goroutine that waits.
func (s *Session) flushLocked() {
	if s.state == stateDead || s.conn == nil || len(s.out) == 0 {
		return
	}
	n, err := s.conn.tryWrite(s.out)
	if err != nil {
		s.failLocked(ReasonTransportClose)
		return
	}
	s.signalLocked()
	if n == len(s.out) {
		s.returnOut()
		s.finishLocked()
		return
	}
	s.out = s.out[:copy(s.out, s.out[n:])]
	s.blocked = true
	s.srv.wg.Go(s.writeBlocked)
}

// finishLocked closes our half of the connection when an ended session has
// nothing left to say, and all of it when nobody listens for the peer's half.
func (s *Session) finishLocked() {
	if s.state != stateClosing || s.finished {
		return
	}
	s.finished = true
	if s.readerEnd {
		s.killLocked()
		return
	}
	s.conn.closeWrite()
}

// writeBlocked writes to a peer that is slow to take it, until nothing is left.
func (s *Session) writeBlocked() {
	for {
		s.mu.Lock()
		if s.state == stateDead {
			s.mu.Unlock()
			return
		}
		work := s.out
		s.out = nil
		s.inflight = len(work)
		if len(work) == 0 {
			s.blocked = false
			_ = s.conn.nc.SetWriteDeadline(time.Time{})
			s.finishLocked()
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if !s.writeAll(work) {
			return
		}
	}
}

// writeAll writes with a deadline for every chunk; false if the session failed.
func (s *Session) writeAll(work []byte) bool {
	for len(work) > 0 {
		_ = s.conn.nc.SetWriteDeadline(time.Now().Add(s.srv.opts.WriteTimeout))
		n, err := s.conn.nc.Write(work[:min(len(work), writeChunk)])
		work = work[n:]
		s.mu.Lock()
		s.inflight = len(work)
		s.signalLocked()
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded) && n > 0:
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.failLocked(ReasonSlow)
		default:
			s.failLocked(ReasonTransportClose)
		}
		dead := s.state == stateDead
		s.mu.Unlock()
		if dead {
			return false
		}
	}
	return true
}
