package link

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"time"
)

// closeWait is how long Close tries to send the close record to a peer that
// takes nothing.
const closeWait = 100 * time.Millisecond

// Conn is a link whose handshake is done. Any number of goroutines may read,
// write and close at the same time; an idle Conn has no goroutine and no buffer.
// Printing it shows nothing.
type Conn struct {
	fc       FrameConn
	now      func() time.Time
	root     [32]byte
	epoch    uint64
	exporter [32]byte
	resumed  bool

	keep func(id, nonce [32]byte) // the client's: keeps a ticket; nil after the first

	readMu  sync.Mutex // held while reading a record; guards in, readErr, keep
	in      half
	readErr error

	writeMu  sync.Mutex // guards what is below, never held while the transport is used
	busy     bool       // a writer has out and the transport to itself
	next     *batch     // what the writers after it have to say
	closed   bool
	out      half   // owned by who set busy
	first    []byte // the ticket, which leaves with the first record; owned like out
	writeErr error  // owned like out

	closing sync.Once
}

// batch is what several waiting writers will send together. The first of them
// sends it when turn is closed.
type batch struct {
	payloads   [][]byte
	end        bool // and a close record after them
	turn, done chan struct{}
	err        error
}

// Format prints the peer's address and nothing else.
func (c *Conn) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "link to %v", c.fc.RemoteAddr()) }

// Exporter is a secret of both sides that belongs to this link alone. What
// authenticates a user signs it, and cannot be used on another link.
func (c *Conn) Exporter() [32]byte { return c.exporter }

// PeerRoot is the server's root key, on either side.
func (c *Conn) PeerRoot() [32]byte { return c.root }

// CertEpoch is the epoch of the server's certificate.
func (c *Conn) CertEpoch() uint64 { return c.epoch }

// Resumed says whether the link was resumed by a ticket.
func (c *Conn) Resumed() bool { return c.resumed }

// RemoteAddr is the transport's.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.fc.RemoteAddr() }

// SetReadDeadline ends a Read with os.ErrDeadlineExceeded at t. The link can
// still be read if no part of a frame had come.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.fc.SetReadDeadline(t) }

// SetWriteDeadline ends a Write at t. The link cannot be written to after one
// that ended so, because it may have sent a part.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.closed {
		return nil // Close has its own
	}
	return c.fc.SetWriteDeadline(t)
}

// Read waits for the next record and returns its payload: one byte or more,
// made of whole payloads of the peer's Write. The slice is the caller's. The
// error is [ErrClosed] if the peer closed the link and everything it said has
// been read, and an [ErrLost] if the link ended in any other way.
func (c *Conn) Read() ([]byte, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	for c.readErr == nil {
		frame, err := c.fc.ReadFrame()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		if err != nil {
			c.readErr = c.lost(err)
			break
		}
		typ, payload, ok := c.in.open(frame, c.now())
		if ok {
			switch typ {
			case typeData:
				return payload, nil
			case typeRekey:
				c.in.rekey()
			case typeClose:
				c.readErr = ErrClosed
			case typeTicket:
				ok = c.keep != nil
				if ok {
					c.keep([32]byte(payload), [32]byte(payload[32:]))
					c.keep = nil
				}
			}
		}
		if !ok {
			c.readErr = ErrRecord
			c.fc.Close()
		}
	}
	c.in.wipe()
	return nil, c.readErr
}

// lost is the error for a transport that failed.
func (c *Conn) lost(err error) error {
	c.writeMu.Lock()
	closed := c.closed
	c.writeMu.Unlock()
	if closed {
		return ErrClosed
	}
	if err == io.EOF {
		return ErrLost
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// Write sends the payloads in order, in one system call. Small ones share
// records; one is never split, so that it must not be longer than [MaxPayload].
// Writers who wait for the transport leave together afterwards. Write returns
// when the transport has taken all and does not keep the slices.
func (c *Conn) Write(payloads ...[]byte) error {
	for _, p := range payloads {
		if len(p) > MaxPayload {
			return ErrTooLarge
		}
	}
	c.writeMu.Lock()
	if c.closed {
		c.writeMu.Unlock()
		return ErrClosed
	}
	if !c.busy {
		c.busy = true
		c.writeMu.Unlock()
		err := c.send(payloads, false)
		c.release()
		return err
	}
	b, lead := c.joinLocked()
	b.payloads = append(b.payloads, payloads...)
	c.writeMu.Unlock()
	return c.deliver(b, lead)
}

// deliver waits until the batch was sent, and sends it if lead.
func (c *Conn) deliver(b *batch, lead bool) error {
	if !lead {
		<-b.done
		return b.err
	}
	<-b.turn
	b.err = c.send(b.payloads, b.end)
	close(b.done)
	c.release()
	return b.err
}

// joinLocked returns the batch that goes next, and whether the caller is the
// one who must send it.
func (c *Conn) joinLocked() (b *batch, lead bool) {
	if c.next == nil {
		c.next = &batch{turn: make(chan struct{}), done: make(chan struct{})}
		return c.next, true
	}
	return c.next, false
}

// release hands the transport to the next batch, if there is one.
func (c *Conn) release() {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.next != nil {
		close(c.next.turn)
		c.next = nil
		return
	}
	c.busy = false
	if c.closed {
		c.endLocked()
	}
}

// endLocked forgets the key of a link that is closed; nobody is sending.
func (c *Conn) endLocked() {
	c.writeErr = ErrClosed
	c.out.wipe()
}

// sendBuffers are where records are made: a Conn holds one only while it sends.
var sendBuffers = sync.Pool{New: func() any { return new(sendBuffer) }}

type sendBuffer struct {
	boxes  []byte
	ends   []int
	frames [][]byte
}

// keepBuffer is the longest buffer that goes back to the pool.
const keepBuffer = 256 << 10

// send makes records of the payloads, and of the link's end, and writes them.
// Its caller has set busy.
func (c *Conn) send(payloads [][]byte, end bool) error {
	if c.writeErr != nil {
		return c.writeErr
	}
	b := sendBuffers.Get().(*sendBuffer)
	b.boxes, b.ends, b.frames = b.boxes[:0], b.ends[:0], b.frames[:0]
	now := c.now()
	if c.first != nil {
		b.boxes, b.ends = c.out.seal(b.boxes, b.ends, now, typeTicket, c.first)
		clear(c.first)
		c.first = nil
	}
	for len(payloads) > 0 {
		n, size := 1, len(payloads[0])
		for n < len(payloads) && size+len(payloads[n]) <= shareRecord-recordHead {
			size += len(payloads[n])
			n++
		}
		if size > 0 {
			b.boxes, b.ends = c.out.seal(b.boxes, b.ends, now, typeData, payloads[:n]...)
		}
		payloads = payloads[n:]
	}
	if end {
		b.boxes, b.ends = c.out.seal(b.boxes, b.ends, now, typeClose)
	}
	start := 0
	for _, end := range b.ends {
		b.frames = append(b.frames, b.boxes[start:end])
		start = end
	}
	if len(b.frames) > 0 {
		if err := c.fc.WriteFrames(b.frames...); err != nil {
			c.writeErr = c.lost(err)
		}
	}
	clear(b.frames)
	if cap(b.boxes) <= keepBuffer {
		sendBuffers.Put(b)
	}
	return c.writeErr
}

// Close sends the close record, so that the peer knows that this is the end,
// and closes the transport. For a peer that takes nothing it waits a tenth of a
// second, and then ends what is under way. Closing again does nothing.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		cut := time.AfterFunc(closeWait, func() { c.fc.Close() })
		defer cut.Stop()
		c.writeMu.Lock()
		c.closed = true
		c.fc.SetWriteDeadline(time.Time{}) // cut takes its place
		if !c.busy {
			c.busy = true
			c.writeMu.Unlock()
			c.send(nil, true)
			c.release()
		} else {
			b, lead := c.joinLocked()
			b.end = true
			c.writeMu.Unlock()
			c.deliver(b, lead)
		}
		c.fc.Close()
	})
	return nil
}

// Abort closes the transport at once: the peer's Read ends with [ErrLost].
func (c *Conn) Abort() error {
	c.writeMu.Lock()
	c.closed = true
	if !c.busy {
		c.endLocked()
	}
	c.writeMu.Unlock()
	return c.fc.Close()
}
