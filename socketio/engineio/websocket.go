package engineio

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

const (
	// readBuffer is borrowed by a connection that has bytes to read. Larger
	// messages are read straight into their own memory.
	readBuffer = 8 << 10
	// growStep is how much memory a message may claim before its bytes arrive.
	growStep = 64 << 10
)

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// wsError is a breach of RFC 6455 by the peer, with the status code that the
// close frame tells it.
type wsError struct {
	code ws.StatusCode
	text string
}

func (e *wsError) Error() string { return "engineio: websocket: " + e.text }

var (
	errTooBig      = &wsError{ws.StatusMessageTooBig, "message exceeds maxPayload"}
	errNotUTF8     = &wsError{ws.StatusInvalidFramePayloadData, "text is not UTF-8"}
	errUnmasked    = &wsError{ws.StatusProtocolError, "frame of a client without mask"}
	errReserved    = &wsError{ws.StatusProtocolError, "reserved bit or opcode"}
	errControl     = &wsError{ws.StatusProtocolError, "long or fragmented control frame"}
	errFragments   = &wsError{ws.StatusProtocolError, "fragments out of order"}
	errPeerClosing = errors.New("engineio: websocket: peer sent a close frame")
)

// wsConn reads and writes the frames of one WebSocket. One goroutine reads; the
// session's lock guards the writing half.
//
// The waiting for bytes holds no buffer where the system allows it (raw is not
// nil): the read callback borrows one only when it is called to read.
type wsConn struct {
	nc            net.Conn
	raw           syscall.RawConn // nil when reads and writes go through nc
	maxPayload    int64
	packetTimeout time.Duration

	// Owned by the reader.
	buf      *[readBuffer]byte // nil when nothing is buffered
	r, w     int               // buf[r:w] is unread
	dst      []byte            // where the next read goes; nil: buf
	n        int
	err      error
	readable func(fd uintptr) bool
	armed    atomic.Bool // a message is under way, with a read deadline; others may look
	control  func(c *wsConn, op ws.OpCode, payload []byte)

	// Guarded by the session's lock.
	src      []byte
	wrote    int
	writeErr error
	writable func(fd uintptr) bool
}

// acceptWebSocket answers the upgrade request and takes the connection over
// from the HTTP server, so that its goroutine and buffers are free again when
// the handler returns. Extensions, compression among them, are not negotiated.
func acceptWebSocket(w http.ResponseWriter, r *http.Request, opts *Options) (*wsConn, error) {
	nc, rw, _, err := ws.HTTPUpgrader{Timeout: opts.WriteTimeout}.Upgrade(r, w)
	if err != nil {
		if nc != nil {
			_ = nc.Close()
		}
		return nil, fmt.Errorf("engineio: websocket handshake: %w", err)
	}
	c := &wsConn{nc: nc, maxPayload: opts.MaxPayload, packetTimeout: opts.PacketTimeout}
	if n := rw.Reader.Buffered(); n > 0 {
		early, _ := rw.Reader.Peek(min(n, readBuffer))
		c.buf = readBuffers.Get().(*[readBuffer]byte)
		c.w = copy(c.buf[:], early)
	}
	c.raw = rawConn(nc)
	c.readable, c.writable = c.onReadable, c.onWritable
	return c, nil
}

// onReadable is called by the poller, first at once and then whenever bytes
// have arrived; false sends it back to wait.
func (c *wsConn) onReadable(fd uintptr) bool {
	dst := c.dst
	if dst == nil {
		if c.buf == nil {
			c.buf = readBuffers.Get().(*[readBuffer]byte)
			c.r, c.w = 0, 0
		}
		dst = c.buf[c.w:]
	}
	var again bool
	c.n, again, c.err = rawRead(fd, dst)
	if again {
		c.releaseIfEmpty()
		return false
	}
	if c.n == 0 && c.err == nil {
		c.err = io.EOF
	}
	return true
}

func (c *wsConn) releaseIfEmpty() {
	if c.buf != nil && c.r == c.w {
		readBuffers.Put(c.buf)
		c.buf, c.r, c.w = nil, 0, 0
	}
}

// fill reads once, into c.dst or else into the buffer, and waits for bytes as
// long as it must.
func (c *wsConn) fill() (int, error) {
	if c.raw != nil {
		c.n, c.err = 0, nil
		if err := c.raw.Read(c.readable); err != nil {
			return 0, err
		}
		return c.n, c.err
	}
	dst := c.dst
	if dst == nil {
		if c.buf == nil {
			c.buf = readBuffers.Get().(*[readBuffer]byte)
			c.r, c.w = 0, 0
		}
		dst = c.buf[c.w:]
	}
	n, err := c.nc.Read(dst)
	if n > 0 {
		err = nil
	}
	return n, err
}

// arm starts the clock of a message whose first byte is here.
func (c *wsConn) arm() {
	if !c.armed.Load() {
		c.armed.Store(true)
		_ = c.nc.SetReadDeadline(time.Now().Add(c.packetTimeout))
	}
}

func (c *wsConn) disarm() {
	if c.armed.Load() {
		c.armed.Store(false)
		_ = c.nc.SetReadDeadline(time.Time{})
	}
}

// need makes n bytes (a frame header's at most) readable in the buffer.
func (c *wsConn) need(n int, inMessage bool) error {
	for c.w-c.r < n {
		if c.buf != nil && c.r > 0 {
			c.w = copy(c.buf[:], c.buf[c.r:c.w])
			c.r = 0
		}
		if inMessage || c.w > c.r {
			c.arm()
		}
		got, err := c.fill()
		if err != nil {
			if c.w > c.r && errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		c.w += got
	}
	return nil
}

// readHeader reads a frame header and checks it (RFC 6455 section 5.2).
func (c *wsConn) readHeader(inMessage bool) (h ws.Header, err error) {
	if err := c.need(2, inMessage); err != nil {
		return h, err
	}
	b0, b1 := c.buf[c.r], c.buf[c.r+1]
	if b1&0x80 == 0 {
		return h, errUnmasked
	}
	size := 6
	switch b1 & 0x7f {
	case 126:
		size = 8
	case 127:
		size = 14
	}
	if err := c.need(size, true); err != nil {
		return h, err
	}
	b := c.buf[c.r : c.r+size]
	c.r += size
	h = ws.Header{Fin: b0&0x80 != 0, Rsv: b0 >> 4 & 7, OpCode: ws.OpCode(b0 & 0xf), Masked: true, Length: int64(b1 & 0x7f)}
	switch size {
	case 8:
		h.Length = int64(b[2])<<8 | int64(b[3])
	case 14:
		var n uint64
		for _, x := range b[2:10] {
			n = n<<8 | uint64(x)
		}
		if n >= 1<<63 {
			return h, errReserved
		}
		h.Length = int64(n)
	}
	copy(h.Mask[:], b[size-4:])
	if h.Rsv != 0 || h.OpCode.IsReserved() {
		return h, errReserved
	}
	if h.OpCode.IsControl() && (!h.Fin || h.Length > 125) {
		return h, errControl
	}
	return h, nil
}

// appendFramePayload reads the payload of a frame behind dst. Memory is claimed
// as the bytes arrive, not as the header promises them.
func (c *wsConn) appendFramePayload(dst []byte, h ws.Header) ([]byte, error) {
	var done int
	length := int(h.Length)
	for done < length {
		room := cap(dst) - len(dst)
		if room == 0 {
			dst = slices.Grow(dst, min(length-done, max(growStep, len(dst))))
			room = cap(dst) - len(dst)
		}
		chunk := dst[len(dst) : len(dst)+min(room, length-done)]
		if c.w > c.r {
			n := copy(chunk, c.buf[c.r:c.w])
			c.r += n
			chunk = chunk[:n]
		} else {
			c.arm()
			c.dst = chunk
			n, err := c.fill()
			c.dst = nil
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return dst, err
			}
			chunk = chunk[:n]
		}
		ws.Cipher(chunk, h.Mask, done)
		done += len(chunk)
		dst = dst[:len(dst)+len(chunk)]
	}
	return dst, nil
}

// readMessage reads the next message, its fragments put together; control
// frames between them go to c.control. The bytes are the caller's.
func (c *wsConn) readMessage() (data []byte, binary bool, err error) {
	started := false
	for {
		h, err := c.readHeader(started)
		if err != nil {
			return nil, false, err
		}
		if h.OpCode.IsControl() {
			var space [125]byte
			payload, err := c.appendFramePayload(space[:0], h)
			if err != nil {
				return nil, false, err
			}
			c.control(c, h.OpCode, payload)
			if h.OpCode == ws.OpClose {
				return nil, false, errPeerClosing
			}
			if !started {
				c.disarm()
			}
			continue
		}
		if started != (h.OpCode == ws.OpContinuation) {
			return nil, false, errFragments
		}
		if !started {
			started = true
			binary = h.OpCode == ws.OpBinary
			data = []byte{}
		}
		if h.Length > c.maxPayload-int64(len(data)) {
			return nil, false, errTooBig
		}
		if data, err = c.appendFramePayload(data, h); err != nil {
			return nil, false, err
		}
		if !h.Fin {
			continue
		}
		c.disarm()
		if !binary && !utf8.Valid(data) {
			return nil, false, errNotUTF8
		}
		return data, binary, nil
	}
}

// onWritable writes once, whatever the kernel takes, and does not wait.
func (c *wsConn) onWritable(fd uintptr) bool {
	c.wrote, c.writeErr = rawWrite(fd, c.src)
	return true
}

// tryWrite hands the kernel what it takes of p without waiting; 0 where the
// connection can only be written to by waiting.
func (c *wsConn) tryWrite(p []byte) (int, error) {
	if c.raw == nil {
		return 0, nil
	}
	c.src = p
	err := c.raw.Write(c.writable)
	c.src = nil
	if err != nil {
		return 0, err
	}
	return c.wrote, c.writeErr
}

// release gives the buffer back; only for the reader, when it reads no more.
func (c *wsConn) release() {
	if c.buf != nil {
		readBuffers.Put(c.buf)
		c.buf, c.r, c.w = nil, 0, 0
	}
}

// discard reads and forgets what still comes, until the peer or the session
// closes: closing with unread bytes would reset the connection, and the peer
// could lose what was sent to it last.
func (c *wsConn) discard() {
	c.disarm()
	for {
		c.r, c.w = 0, 0
		if _, err := c.fill(); err != nil {
			return
		}
	}
}

// closeWrite ends our half of the connection.
func (c *wsConn) closeWrite() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// close ends the connection at once, without TLS's farewell, which may wait.
func (c *wsConn) close() {
	if t, ok := c.nc.(*tls.Conn); ok {
		_ = t.NetConn().Close()
		return
	}
	_ = c.nc.Close()
}
