package link

import (
	"io"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// pipeBuffer is how many bytes of frames a pipe holds in each direction before
// writers wait.
const pipeBuffer = 256 << 10

// PipeConn is one end of a [Pipe].
type PipeConn struct {
	in, out *pipeHalf

	mu     sync.Mutex
	remote netip.AddrPort
}

var _ FrameConn = (*PipeConn)(nil)

// Pipe makes a frame connection in memory and returns both ends. It behaves like
// a socket: it holds some frames, what was written before a Close can still be
// read, and deadlines work. It can be used in a testing/synctest bubble.
func Pipe() (*PipeConn, *PipeConn) {
	ab, ba := newPipeHalf(), newPipeHalf()
	addr := func(last byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, last}), 1)
	}
	return &PipeConn{in: ba, out: ab, remote: addr(2)}, &PipeConn{in: ab, out: ba, remote: addr(1)}
}

// SetRemoteAddr changes what RemoteAddr says.
func (p *PipeConn) SetRemoteAddr(addr netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remote = addr
}

// RemoteAddr implements [FrameConn].
func (p *PipeConn) RemoteAddr() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remote
}

// ReadFrame implements [FrameConn].
func (p *PipeConn) ReadFrame() ([]byte, error) { return p.in.read() }

// WriteFrames implements [FrameConn].
func (p *PipeConn) WriteFrames(frames ...[]byte) error {
	for _, f := range frames {
		if len(f) == 0 || len(f) > MaxFrame {
			return ErrTooLarge
		}
	}
	return p.out.write(frames)
}

// Close implements [FrameConn].
func (p *PipeConn) Close() error {
	p.in.end(true)
	p.out.end(false)
	return nil
}

// SetReadDeadline implements [FrameConn].
func (p *PipeConn) SetReadDeadline(t time.Time) error { return p.in.deadline(&p.in.reading, t) }

// SetWriteDeadline implements [FrameConn].
func (p *PipeConn) SetWriteDeadline(t time.Time) error { return p.out.deadline(&p.out.writing, t) }

// pipeHalf is one direction.
type pipeHalf struct {
	mu               sync.Mutex
	changed          sync.Cond
	frames           [][]byte
	size             int
	writerGone       bool
	readerGone       bool
	reading, writing pipeTimer
}

// pipeTimer wakes those who wait when a deadline comes.
type pipeTimer struct {
	at    time.Time
	timer *time.Timer
}

func (t *pipeTimer) over() bool { return !t.at.IsZero() && !time.Now().Before(t.at) }

func newPipeHalf() *pipeHalf {
	h := &pipeHalf{}
	h.changed.L = &h.mu
	return h
}

func (h *pipeHalf) read() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.readerGone:
			return nil, io.ErrClosedPipe
		case h.reading.over():
			return nil, os.ErrDeadlineExceeded
		case len(h.frames) > 0:
			frame := h.frames[0]
			h.frames[0] = nil
			h.frames = h.frames[1:]
			h.size -= len(frame)
			h.changed.Broadcast()
			return frame, nil
		case h.writerGone:
			return nil, io.EOF
		}
		h.changed.Wait()
	}
}

// write waits for room before each frame; a frame may be longer than the room.
func (h *pipeHalf) write(frames [][]byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, frame := range frames {
		for h.size >= pipeBuffer && !h.readerGone && !h.writerGone && !h.writing.over() {
			h.changed.Wait()
		}
		switch {
		case h.readerGone || h.writerGone:
			return io.ErrClosedPipe
		case h.writing.over():
			return os.ErrDeadlineExceeded
		}
		h.frames = append(h.frames, slices.Clone(frame))
		h.size += len(frame)
		h.changed.Broadcast()
	}
	return nil
}

// end closes the half for its reader or its writer.
func (h *pipeHalf) end(reader bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reader {
		h.readerGone = true
		h.frames, h.size = nil, 0
	} else {
		h.writerGone = true
	}
	for _, t := range []*pipeTimer{&h.reading, &h.writing} {
		if t.timer != nil && h.readerGone {
			t.timer.Stop()
		}
	}
	h.changed.Broadcast()
}

func (h *pipeHalf) deadline(t *pipeTimer, at time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	t.at = at
	if wait := time.Until(at); !at.IsZero() && wait > 0 {
		t.timer = time.AfterFunc(wait, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changed.Broadcast()
		})
	}
	h.changed.Broadcast()
	return nil
}
