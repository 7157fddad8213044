// Package eioclient speaks Engine.IO packet by packet, so that tests can say
// what no client library would.
package eioclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// patience is how long a read may take before a test is stuck.
const patience = 20 * time.Second

// Conn is the client's end of a WebSocket.
type Conn struct {
	Net net.Conn
	r   *bufio.Reader
	// CloseCode is the status of the close frame that ended Read, 0 if none.
	CloseCode ws.StatusCode
}

// Dial opens a WebSocket to base (an http or https URL with a path) with query.
func Dial(base, query string, header http.Header) (*Conn, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	u.RawQuery = query
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// Test servers have certificates that nobody signed.
	dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header), TLSConfig: &tls.Config{InsecureSkipVerify: true}}
	nc, r, _, err := dialer.Dial(ctx, u.String())
	if err != nil {
		return nil, err
	}
	if r == nil {
		r = bufio.NewReaderSize(nc, 512)
	}
	return &Conn{Net: nc, r: r}, nil
}

// Read reads the next message. Pings of the WebSocket are skipped; a close
// frame is io.EOF.
func (c *Conn) Read() (data []byte, binary bool, err error) {
	_ = c.Net.SetReadDeadline(time.Now().Add(patience))
	for {
		h, err := ws.ReadHeader(c.r)
		if err != nil {
			return nil, false, err
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(c.r, payload); err != nil {
			return nil, false, err
		}
		switch h.OpCode {
		case ws.OpText, ws.OpBinary:
			return payload, h.OpCode == ws.OpBinary, nil
		case ws.OpClose:
			if len(payload) >= 2 {
				c.CloseCode = ws.StatusCode(payload[0])<<8 | ws.StatusCode(payload[1])
			}
			return nil, false, io.EOF
		case ws.OpPong:
			return append([]byte("pong:"), payload...), false, nil
		}
	}
}

// Next is Read that answers pings of Engine.IO and shows text as it is, bytes
// behind "bytes:".
func (c *Conn) Next() (string, error) {
	for {
		data, binary, err := c.Read()
		switch {
		case err != nil:
			return "", err
		case binary:
			return "bytes:" + string(data), nil
		case string(data) == "2":
			if err := c.Text("3"); err != nil {
				return "", err
			}
		default:
			return string(data), nil
		}
	}
}

// Text sends a text frame.
func (c *Conn) Text(text string) error {
	return c.Frame(ws.NewTextFrame([]byte(text)))
}

// Binary sends a binary frame.
func (c *Conn) Binary(data []byte) error {
	return c.Frame(ws.NewBinaryFrame(append([]byte(nil), data...)))
}

// Frame masks and sends a frame.
func (c *Conn) Frame(f ws.Frame) error {
	_ = c.Net.SetWriteDeadline(time.Now().Add(patience))
	return ws.WriteFrame(c.Net, ws.MaskFrameInPlace(f))
}

// Close cuts the connection.
func (c *Conn) Close() error { return c.Net.Close() }

// Poller is a client's long-polling.
type Poller struct {
	Base   string // an http URL with a path
	SID    string
	Client *http.Client
	Header http.Header
}

// Do sends one request with the session's query and returns status and body.
func (p *Poller) Do(ctx context.Context, method, body string) (int, string, error) {
	query := "?EIO=4&transport=polling"
	if p.SID != "" {
		query += "&sid=" + p.SID
	}
	var reader io.Reader
	if method != http.MethodGet {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.Base+query, reader)
	if err != nil {
		return 0, "", err
	}
	for name, values := range p.Header {
		req.Header[name] = values
	}
	client := p.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// Get polls once.
func (p *Poller) Get() (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.Do(ctx, http.MethodGet, "")
}

// Post sends packets.
func (p *Poller) Post(body string) (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.Do(ctx, http.MethodPost, body)
}

// Open makes the handshake and notes the session's id.
func (p *Poller) Open() (open string, err error) {
	status, body, err := p.Get()
	if err != nil {
		return "", err
	}
	if status != http.StatusOK || !strings.HasPrefix(body, `0{"sid":"`) {
		return "", fmt.Errorf("eioclient: handshake answered %d %s", status, body)
	}
	p.SID, _, _ = strings.Cut(body[len(`0{"sid":"`):], `"`)
	if p.SID == "" {
		return "", errors.New("eioclient: handshake without sid")
	}
	return body, nil
}
