//go:build js && wasm

package main

import (
	"context"
	"io"
	"net/netip"
	"os"
	"sync"
	"syscall/js"
	"time"

	"github.com/securelink-chat/securelink/link"
)

// frameQueue bounds the frames that wait to be read; a server that sends more
// than the engine takes loses the connection.
const frameQueue = 4096

// dialer opens Socket.IO connections through the page.
type dialer struct{ host js.Value }

// Dial implements client.Dialer.
func (d dialer) Dial(ctx context.Context) (link.FrameConn, error) {
	c := &conn{frames: make(chan []byte, frameQueue), ended: make(chan struct{})}
	c.onframe = js.FuncOf(func(_ js.Value, args []js.Value) any {
		select {
		case c.frames <- bytesOf(args[0]):
		default:
			c.end()
		}
		return nil
	})
	c.onclose = js.FuncOf(func(js.Value, []js.Value) any {
		c.end()
		return nil
	})
	socket, err := await(ctx, d.host.Call("dial", c.onframe, c.onclose))
	if err != nil {
		c.end()
		return nil, err
	}
	c.socket = socket
	return c, nil
}

// conn is one Socket.IO connection: a frame is one event with its bytes.
type conn struct {
	socket           js.Value
	frames           chan []byte
	ended            chan struct{}
	once             sync.Once
	onframe, onclose js.Func

	mu       sync.Mutex
	deadline time.Time     // for reading
	changed  chan struct{} // closed when deadline changes
}

// ReadFrame implements link.FrameConn. Frames that arrived before the end come
// first; then it is io.EOF.
func (c *conn) ReadFrame() ([]byte, error) {
	for {
		select {
		case frame := <-c.frames:
			return frame, nil
		default:
		}
		c.mu.Lock()
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed, deadline := c.changed, c.deadline
		c.mu.Unlock()
		var late <-chan time.Time
		if !deadline.IsZero() {
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			late = timer.C
		}
		select {
		case frame := <-c.frames:
			return frame, nil
		case <-changed:
		case <-late:
			return nil, os.ErrDeadlineExceeded
		case <-c.ended:
			select {
			case frame := <-c.frames:
				return frame, nil
			default:
				return nil, io.EOF
			}
		}
	}
}

// WriteFrames implements link.FrameConn. The browser queues what it is given,
// so this never waits and needs no deadline.
func (c *conn) WriteFrames(frames ...[]byte) error {
	select {
	case <-c.ended:
		return io.ErrClosedPipe
	default:
	}
	list := js.Global().Get("Array").New(len(frames))
	for i, frame := range frames {
		list.SetIndex(i, toJS(append([]byte{}, frame...)))
	}
	c.socket.Call("send", list)
	return nil
}

// end marks the connection as over, once.
func (c *conn) end() { c.once.Do(func() { close(c.ended) }) }

// Close implements link.FrameConn.
func (c *conn) Close() error {
	c.end()
	if c.socket.Truthy() {
		c.socket.Call("close")
	}
	return nil
}

// SetReadDeadline implements link.FrameConn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
	return nil
}

// SetWriteDeadline implements link.FrameConn.
func (*conn) SetWriteDeadline(time.Time) error { return nil }

// RemoteAddr implements link.FrameConn: a page is not told.
func (*conn) RemoteAddr() netip.AddrPort { return netip.AddrPort{} }
