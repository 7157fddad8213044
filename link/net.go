//go:build !js

package link

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"
)

// readBuffer is what a connection holds to read a frame in one system call: most
// of what clients say is one record of the smallest size.
const readBuffer = 512

// firstRead is how much memory a frame gets before more than that of it has come.
const firstRead = 64 << 10

// NetFrames carries frames over a stream: u32 length | bytes.
type NetFrames struct {
	conn   net.Conn
	remote netip.AddrPort

	r     *bufio.Reader // by the reader alone, like limit and err
	limit int
	err   error // a frame was cut: there is no next one

	head []byte      // by the writer alone, like bufs and rest
	bufs net.Buffers // kept between calls
	rest net.Buffers // what of them is not written
}

var (
	_ FrameConn    = (*NetFrames)(nil)
	_ FrameLimiter = (*NetFrames)(nil)
)

// NetConn makes a frame connection of a stream, which is its own from then on.
func NetConn(c net.Conn) *NetFrames {
	f := &NetFrames{conn: c, r: bufio.NewReaderSize(c, readBuffer), limit: MaxFrame}
	if addr, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		f.remote = addr
	}
	return f
}

// SetFrameLimit implements [FrameLimiter]. It is for the reader to call.
func (f *NetFrames) SetFrameLimit(n int) { f.limit = n }

// ReadFrame implements [FrameConn]. A frame of no or too many bytes ends the
// reading, as does a deadline or an end within a frame; a deadline before one
// does not.
func (f *NetFrames) ReadFrame() ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	if _, err := f.r.Peek(1); err != nil {
		return nil, err
	}
	frame, err := f.readFrame()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	f.err = err
	if errors.Is(err, os.ErrDeadlineExceeded) {
		f.err = io.ErrUnexpectedEOF // who tries again later must not take this for another deadline
	}
	return frame, err
}

func (f *NetFrames) readFrame() ([]byte, error) {
	head, err := f.r.Peek(4)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head)
	if size == 0 || int64(size) > int64(f.limit) {
		return nil, ErrTooLarge
	}
	f.r.Discard(4)
	n := int(size)
	frame := make([]byte, min(n, firstRead))
	for done := 0; ; {
		got, err := io.ReadFull(f.r, frame[done:])
		if done += got; err != nil {
			return nil, err
		}
		if done == n {
			return frame, nil
		}
		more := min(n, 2*done) - done
		frame = slices.Grow(frame, more)[:done+more]
	}
}

// WriteFrames implements [FrameConn] by one writev.
func (f *NetFrames) WriteFrames(frames ...[]byte) error {
	f.head = slices.Grow(f.head[:0], 4*len(frames))
	bufs := f.bufs[:0]
	for _, frame := range frames {
		if len(frame) == 0 || len(frame) > MaxFrame {
			return ErrTooLarge
		}
		at := len(f.head)
		f.head = binary.BigEndian.AppendUint32(f.head, uint32(len(frame)))
		bufs = append(bufs, f.head[at:], frame)
	}
	f.bufs, f.rest = bufs, bufs
	_, err := f.rest.WriteTo(f.conn)
	clear(f.bufs) // the frames are the caller's
	return err
}

// Close implements [FrameConn].
func (f *NetFrames) Close() error { return f.conn.Close() }

// SetReadDeadline implements [FrameConn].
func (f *NetFrames) SetReadDeadline(t time.Time) error { return f.conn.SetReadDeadline(t) }

// SetWriteDeadline implements [FrameConn].
func (f *NetFrames) SetWriteDeadline(t time.Time) error { return f.conn.SetWriteDeadline(t) }

// RemoteAddr implements [FrameConn]; it is not valid if the stream has no such
// address.
func (f *NetFrames) RemoteAddr() netip.AddrPort { return f.remote }
