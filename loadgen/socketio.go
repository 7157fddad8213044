package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/securelink-chat/securelink/dial"
	"github.com/securelink-chat/securelink/link"
)

// SocketIO dials as a browser does: Socket.IO over a WebSocket to the gateway
// at an http or https address, each frame an event with one attachment.
func SocketIO(address string) (func(context.Context) (link.FrameConn, error), error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: %q is no address like http://localhost:8080", ErrConfig, address)
	}
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	u.Path, u.RawQuery = "/socket.io/", "EIO=4&transport=websocket"
	target := u.String()
	return func(ctx context.Context) (link.FrameConn, error) {
		ctx, cancel := context.WithTimeout(ctx, dial.Timeout)
		defer cancel()
		conn, early, _, err := ws.Dial(ctx, target)
		if err != nil {
			return nil, fmt.Errorf("loadgen: web socket: %w", err)
		}
		c := &socketConn{conn: conn, in: early}
		if c.in == nil {
			c.in = bufio.NewReaderSize(conn, 2048)
		}
		if addr, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
			c.remote = addr
		}
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		if err := c.open(); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return c, nil
	}, nil
}

// Packets of Engine.IO and Socket.IO that a frame connection needs.
const (
	packetPing    = "2"
	packetPong    = "3"
	packetOpen    = "0{"
	packetEnter   = "40"
	packetEntered = "40{"
	packetFrame   = `451-["frame",{"_placeholder":true,"num":0}]` // and its bytes after it
)

var errSocketIO = errors.New("loadgen: this is no Socket.IO server")

// socketConn is a Socket.IO client with one event, as a frame connection.
type socketConn struct {
	conn   net.Conn
	remote netip.AddrPort
	in     *bufio.Reader // by the reader alone

	mu  sync.Mutex // of writing: pongs go out between frames
	out bytes.Buffer
}

var _ link.FrameConn = (*socketConn)(nil)

// open enters the one namespace.
func (c *socketConn) open() error {
	if err := c.expect(packetOpen); err != nil {
		return err
	}
	if err := c.write(func() error { return c.add(ws.OpText, []byte(packetEnter)) }); err != nil {
		return err
	}
	return c.expect(packetEntered)
}

func (c *socketConn) expect(packet string) error {
	text, _, err := c.message()
	if err != nil {
		return fmt.Errorf("%w: %w", errSocketIO, err)
	}
	if !bytes.HasPrefix(text, []byte(packet)) {
		return fmt.Errorf("%w: it says %.80q", errSocketIO, text)
	}
	return nil
}

// ReadFrame implements [link.FrameConn].
func (c *socketConn) ReadFrame() ([]byte, error) {
	head, binary, err := c.message()
	if err != nil {
		return nil, err
	}
	if binary || string(head) != packetFrame {
		return nil, errSocketIO
	}
	frame, binary, err := c.message()
	if err == nil && !binary {
		err = errSocketIO
	}
	return frame, err
}

// message reads the next message; it answers pings.
func (c *socketConn) message() (data []byte, binary bool, err error) {
	for {
		h, err := ws.ReadHeader(c.in)
		if err != nil {
			return nil, false, err
		}
		if h.Length > link.MaxFrame || !h.Fin {
			return nil, false, link.ErrTooLarge
		}
		data = make([]byte, h.Length)
		if _, err := io.ReadFull(c.in, data); err != nil {
			return nil, false, err
		}
		switch {
		case h.OpCode == ws.OpClose:
			return nil, false, io.EOF
		case h.OpCode == ws.OpPing:
			err = c.write(func() error { return c.add(ws.OpPong, data) })
		case h.OpCode == ws.OpText && string(data) == packetPing:
			err = c.write(func() error { return c.add(ws.OpText, []byte(packetPong)) })
		case h.OpCode == ws.OpText, h.OpCode == ws.OpBinary:
			return data, h.OpCode == ws.OpBinary, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
}

// WriteFrames implements [link.FrameConn] by one system call.
func (c *socketConn) WriteFrames(frames ...[]byte) error {
	return c.write(func() error {
		for _, frame := range frames {
			if len(frame) == 0 || len(frame) > link.MaxFrame {
				return link.ErrTooLarge
			}
			if err := errors.Join(c.add(ws.OpText, []byte(packetFrame)), c.add(ws.OpBinary, frame)); err != nil {
				return err
			}
		}
		return nil
	})
}

// write sends what fill adds.
func (c *socketConn) write(fill func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Reset()
	if err := fill(); err != nil {
		return err
	}
	_, err := c.conn.Write(c.out.Bytes())
	return err
}

// add appends one masked frame, as clients must send them.
func (c *socketConn) add(op ws.OpCode, payload []byte) error {
	mask := ws.NewMask()
	if err := ws.WriteHeader(&c.out, ws.Header{Fin: true, OpCode: op, Masked: true, Mask: mask, Length: int64(len(payload))}); err != nil {
		return err
	}
	at := c.out.Len()
	c.out.Write(payload)
	ws.Cipher(c.out.Bytes()[at:], mask, 0)
	return nil
}

// Close implements [link.FrameConn].
func (c *socketConn) Close() error { return c.conn.Close() }

// SetReadDeadline implements [link.FrameConn].
func (c *socketConn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline implements [link.FrameConn].
func (c *socketConn) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }

// RemoteAddr implements [link.FrameConn].
func (c *socketConn) RemoteAddr() netip.AddrPort { return c.remote }
