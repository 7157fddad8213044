package dial

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
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

	"github.com/securelink-chat/securelink/link"
)

// Web dials a server by the address of its page, where the terminals' port is
// not known: over a WebSocket to the page's Socket.IO endpoint (protocol 5 on
// Engine.IO 4), as the page does. A frame is one event with one attachment.
//
// What it carries is a secure link, whose pin is the authority on who is at the
// other end. The page's certificate is held against what TLS says.
type Web struct {
	Origin string      // as Origin returns it
	TLS    *tls.Config // nil: what the system trusts
}

// frameEvent is the text in front of a frame.
const frameEvent = `451-["frame",{"_placeholder":true,"num":0}]`

// maxText bounds a text message in bytes: a greeting, a ping, a frameEvent.
const maxText = 4096

// pongTime is how long the answer to a ping may take to leave.
const pongTime = 10 * time.Second

// errSpeech says that what answers does not speak as a gateway does.
var errSpeech = errors.New("dial: what answers there is no page of a SecureLink server")

// Origin is the part of a page's address that names its server: scheme, host
// and port.
func Origin(address string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return "", fmt.Errorf("%w: %q", ErrAddress, address)
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// Dial opens a fresh frame connection. The context bounds the attempt only.
func (d Web) Dial(ctx context.Context) (link.FrameConn, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	dialer := ws.Dialer{TLSConfig: d.TLS}
	conn, buffered, _, err := dialer.Dial(ctx, "ws"+strings.TrimPrefix(d.Origin, "http")+"/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	c := &webConn{conn: conn, r: buffered, limit: link.MaxFrame}
	if c.r == nil {
		c.r = bufio.NewReaderSize(conn, 512)
	}
	if addr, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		c.remote = addr
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := c.open(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("dial: %w", errors.Join(err, context.Cause(ctx)))
	}
	return c, nil
}

// webConn is a frame connection over Socket.IO. Its reader answers the server's
// pings, so somebody has to read; the engine does.
type webConn struct {
	conn   net.Conn
	remote netip.AddrPort
	r      *bufio.Reader // by the reader alone, like limit
	limit  int

	mu      sync.Mutex // held while something is written
	writeBy struct {   // for frames
		sync.Mutex
		at time.Time
	}
}

var (
	_ link.FrameConn    = (*webConn)(nil)
	_ link.FrameLimiter = (*webConn)(nil)
)

// open makes the Engine.IO session and joins the namespace.
func (c *webConn) open() error {
	hello, err := c.text()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(hello, "0{") {
		return errSpeech
	}
	if err := c.write(time.Now().Add(Timeout), textFrame("40")); err != nil {
		return err
	}
	answer, err := c.text()
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(answer, "44"):
		return errors.New("dial: the server takes no more connections from here now")
	case !strings.HasPrefix(answer, "40"):
		return errSpeech
	}
	return nil
}

// text reads the next text message that is no ping.
func (c *webConn) text() (string, error) {
	for {
		message, binary, err := c.message(maxText)
		switch {
		case err != nil:
			return "", err
		case binary:
			return "", errSpeech
		case string(message) == "2":
			if err := c.write(time.Now().Add(pongTime), textFrame("3")); err != nil {
				return "", err
			}
		default:
			return string(message), nil
		}
	}
}

// ReadFrame implements [link.FrameConn]. The end of the session, by either
// layer, is io.EOF.
func (c *webConn) ReadFrame() ([]byte, error) {
	head, err := c.text()
	switch {
	case err != nil:
		return nil, err
	case head == "1", head == "41":
		return nil, io.EOF
	case head != frameEvent:
		return nil, errSpeech
	}
	frame, binary, err := c.message(c.limit)
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	if !binary || len(frame) == 0 {
		return nil, errSpeech
	}
	return frame, nil
}

// message reads a whole message of at most limit bytes, and answers pings of
// the WebSocket on the way. Memory is taken for what has come, not for what is
// announced.
func (c *webConn) message(limit int) (message []byte, binary bool, err error) {
	var whole bytes.Buffer
	begun := false
	for {
		h, err := ws.ReadHeader(c.r)
		if err != nil {
			return nil, false, err
		}
		if h.Masked || h.Rsv != 0 || h.OpCode.IsControl() && (h.Length > ws.MaxControlFramePayloadSize || !h.Fin) {
			return nil, false, errSpeech
		}
		if h.OpCode.IsControl() {
			if err := c.control(h); err != nil {
				return nil, false, err
			}
			continue
		}
		if h.OpCode == ws.OpContinuation != begun || h.Length > int64(limit-whole.Len()) {
			return nil, false, errSpeech
		}
		if !begun {
			begun, binary = true, h.OpCode == ws.OpBinary
		}
		if _, err := io.CopyN(&whole, c.r, h.Length); err != nil {
			return nil, false, fmt.Errorf("dial: %w", unexpected(err))
		}
		if h.Fin {
			return whole.Bytes(), binary, nil
		}
	}
}

// control takes a control frame.
func (c *webConn) control(h ws.Header) error {
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(c.r, payload); err != nil {
		return fmt.Errorf("dial: %w", unexpected(err))
	}
	switch h.OpCode {
	case ws.OpClose:
		return io.EOF
	case ws.OpPing:
		return c.write(time.Now().Add(pongTime), ws.NewPongFrame(payload))
	}
	return nil
}

// unexpected makes an end within a frame what it is.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func textFrame(text string) ws.Frame { return ws.NewTextFrame([]byte(text)) }

// WriteFrames implements [link.FrameConn].
func (c *webConn) WriteFrames(frames ...[]byte) error {
	all := make([]ws.Frame, 0, 2*len(frames))
	for _, frame := range frames {
		if len(frame) == 0 || len(frame) > link.MaxFrame {
			return link.ErrTooLarge
		}
		all = append(all, textFrame(frameEvent), ws.NewBinaryFrame(bytes.Clone(frame)))
	}
	c.writeBy.Lock()
	by := c.writeBy.at
	c.writeBy.Unlock()
	return c.write(by, all...)
}

// write masks and sends WebSocket frames in one system call.
func (c *webConn) write(by time.Time, frames ...ws.Frame) error {
	var out bytes.Buffer
	for _, f := range frames {
		if err := ws.WriteFrame(&out, ws.MaskFrameInPlace(f)); err != nil {
			return fmt.Errorf("dial: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetWriteDeadline(by); err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	if _, err := c.conn.Write(out.Bytes()); err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	return nil
}

// Close implements [link.FrameConn].
func (c *webConn) Close() error { return c.conn.Close() }

// SetFrameLimit implements [link.FrameLimiter]. It is for the reader to call.
func (c *webConn) SetFrameLimit(n int) { c.limit = n }

// SetReadDeadline implements [link.FrameConn].
func (c *webConn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline implements [link.FrameConn]: of the next frames, and of those
// that are being written.
func (c *webConn) SetWriteDeadline(t time.Time) error {
	c.writeBy.Lock()
	c.writeBy.at = t
	c.writeBy.Unlock()
	return c.conn.SetWriteDeadline(t)
}

// RemoteAddr implements [link.FrameConn].
func (c *webConn) RemoteAddr() netip.AddrPort { return c.remote }
