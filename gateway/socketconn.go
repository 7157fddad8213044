package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/securelink-chat/securelink/socketio"
)

// Bounds of one socket, in bytes.
const (
	// highWater is what may wait for a browser before a writer has to.
	highWater = 256 << 10
	// maxBatch is the most that goes out in one go.
	maxBatch = 1 << 20
	// maxBuffered is where the session is cut. A writer waits below highWater and
	// adds at most one batch, or one frame, and what Socket.IO adds to it: this
	// is never reached unless a bound above is wrong.
	maxBuffered = highWater + 2*maxBatch
)

// errFrameSize says that a peer sent an empty frame or one over the limit.
var errFrameSize = errors.New("gateway: frame of a size that is not allowed")

// socketConn is a Socket.IO socket as a frame connection: an event "frame" with
// one binary attachment each way.
//
// Backpressure: at most one frame waits in it for ReadFrame; then deliver blocks
// Socket.IO's handler, which lets the connection go unread. The other way,
// WriteFrames waits until the browser has taken most of what was sent before.
type socketConn struct {
	s      *socketio.Socket
	count  *counters
	remote netip.AddrPort
	in     chan []byte
	limit  atomic.Int64 // largest frame that ReadFrame lets through

	once   sync.Once
	closed chan struct{} // closed by Close, and when the socket has ended

	readBy, writeBy deadline
}

func newSocketConn(s *socketio.Socket, count *counters) *socketConn {
	c := &socketConn{s: s, count: count, remote: s.RemoteAddr(), in: make(chan []byte, 1), closed: make(chan struct{})}
	c.limit.Store(MaxFrame)
	return c
}

// deliver hands a frame that arrived to ReadFrame, and waits for its turn.
func (c *socketConn) deliver(frame []byte) {
	if n := int64(len(frame)); n == 0 || n > c.limit.Load() {
		_ = c.Close() // The reader finds out by io.EOF, as of any client that breaks off.
		return
	}
	select {
	case c.in <- frame:
	case <-c.closed:
	}
}

// end tells both sides that the socket is no more.
func (c *socketConn) end() { c.once.Do(func() { close(c.closed) }) }

// ReadFrame waits for the next frame. After the socket's end it still hands out
// what had arrived, then io.EOF.
func (c *socketConn) ReadFrame() ([]byte, error) {
	for {
		at, changed := c.readBy.get()
		if !at.IsZero() && !time.Now().Before(at) {
			return nil, fmt.Errorf("gateway: read: %w", os.ErrDeadlineExceeded)
		}
		select {
		case frame := <-c.in:
			return c.took(frame)
		default:
		}
		timer, expired := alarm(at)
		select {
		case frame := <-c.in:
			stop(timer)
			return c.took(frame)
		case <-expired:
			return nil, fmt.Errorf("gateway: read: %w", os.ErrDeadlineExceeded)
		case <-changed:
			stop(timer)
		case <-c.closed:
			stop(timer)
			select {
			case frame := <-c.in:
				return c.took(frame)
			default:
				return nil, io.EOF
			}
		}
	}
}

func (c *socketConn) took(frame []byte) ([]byte, error) {
	if int64(len(frame)) > c.limit.Load() { // lowered after it had arrived
		_ = c.Close()
		return nil, errFrameSize
	}
	c.count.framesIn.Add(1)
	c.count.bytesIn.Add(len(frame))
	return frame, nil
}

// WriteFrames sends frames, as many as fit maxBatch in one system call.
func (c *socketConn) WriteFrames(frames ...[]byte) error {
	for len(frames) > 0 {
		n, size := 0, 0
		for n < len(frames) && (n == 0 || size+len(frames[n]) <= maxBatch) {
			if len(frames[n]) == 0 || len(frames[n]) > MaxFrame {
				return errFrameSize
			}
			size += len(frames[n])
			n++
		}
		if err := c.flush(); err != nil {
			return fmt.Errorf("gateway: write: %w", err)
		}
		if err := c.s.EmitBinary("frame", frames[:n]...); err != nil {
			return fmt.Errorf("gateway: write: %w", err)
		}
		c.count.framesOut.Add(n)
		c.count.bytesOut.Add(size)
		frames = frames[n:]
	}
	return nil
}

// flush waits until no more than highWater waits for the browser, or the write
// deadline.
func (c *socketConn) flush() error {
	for {
		at, changed := c.writeBy.get()
		if !at.IsZero() && !time.Now().Before(at) {
			return os.ErrDeadlineExceeded
		}
		select {
		case <-c.closed:
			return socketio.ErrClosed
		default:
		}
		if c.s.Buffered() <= highWater {
			return nil
		}
		err := c.waitFlushed(at, changed)
		if err == nil || !errors.Is(err, context.Canceled) {
			return err
		}
	}
}

// waitFlushed waits for the browser until the deadline at, or until changed says
// that there is another one (context.Canceled).
func (c *socketConn) waitFlushed(at time.Time, changed <-chan struct{}) error {
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	timer, expired := alarm(at)
	defer stop(timer)
	watch.Go(func() {
		select {
		case <-expired:
		case <-changed:
		case <-c.closed:
		case <-ctx.Done():
		}
		cancel()
	})
	return c.s.Flush(ctx, highWater)
}

// Close ends the whole connection; what was written goes out first.
func (c *socketConn) Close() error {
	c.end()
	c.s.Close(socketio.ReasonForced)
	return nil
}

// SetReadDeadline takes effect on a ReadFrame that waits, too.
func (c *socketConn) SetReadDeadline(t time.Time) error {
	c.readBy.set(t)
	return nil
}

// SetWriteDeadline takes effect on a WriteFrames that waits, too.
func (c *socketConn) SetWriteDeadline(t time.Time) error {
	c.writeBy.set(t)
	return nil
}

// SetFrameLimit bounds the frames that are accepted from now on.
func (c *socketConn) SetFrameLimit(n int) { c.limit.Store(int64(min(n, MaxFrame))) }

// RemoteAddr is the client.
func (c *socketConn) RemoteAddr() netip.AddrPort { return c.remote }

// deadline is a time that can be moved while somebody waits for it. Moving it
// costs no timer: only who waits makes one.
type deadline struct {
	mu      sync.Mutex
	at      time.Time
	changed chan struct{} // made by who waits, closed by set
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// get returns the deadline and a channel that is closed when it moves.
func (d *deadline) get() (time.Time, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.at, d.changed
}

// alarm is a timer for at; none, and a channel that never speaks, for the zero time.
func alarm(at time.Time) (*time.Timer, <-chan time.Time) {
	if at.IsZero() {
		return nil, nil
	}
	t := time.NewTimer(time.Until(at))
	return t, t.C
}

func stop(t *time.Timer) {
	if t != nil {
		t.Stop()
	}
}
