package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// browser is what the tests need of a Socket.IO client.
type browser interface {
	send(frame []byte) error
	recv() ([]byte, error) // io.EOF or another error at the end
	close()
}

const frameEvent = `451-["frame",{"_placeholder":true,"num":0}]`

var errRefused = errors.New("connect refused")

// wsBrowser speaks WebSocket from the first request on.
type wsBrowser struct {
	conn net.Conn
	rw   io.ReadWriter
	mu   sync.Mutex // guards writing: pongs go out between frames
}

func dialWebSocket(t testing.TB, url string, header http.Header) (*wsBrowser, error) {
	t.Helper()
	d := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header)}
	conn, br, _, err := d.Dial(t.Context(), "ws"+strings.TrimPrefix(url, "http")+"/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		return nil, err
	}
	b := &wsBrowser{conn: conn, rw: conn}
	if br != nil {
		b.rw = struct {
			io.Reader
			io.Writer
		}{br, conn}
	} else {
		b.rw = struct {
			io.Reader
			io.Writer
		}{bufio.NewReader(conn), conn}
	}
	t.Cleanup(b.close)
	if text, err := b.next(); err != nil || !bytes.HasPrefix(text, []byte("0{")) {
		return nil, fmt.Errorf("no open packet: %q, %w", text, err)
	}
	if err := b.write(ws.OpText, []byte("40")); err != nil {
		return nil, err
	}
	text, err := b.next()
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(text, []byte("40{")) {
		return nil, fmt.Errorf("%w: %s", errRefused, text)
	}
	return b, nil
}

// next reads a message; it answers pings.
func (b *wsBrowser) next() ([]byte, error) {
	for {
		msg, op, err := wsutil.ReadServerData(b.rw)
		if err != nil {
			return nil, err
		}
		if op == ws.OpText && string(msg) == "2" {
			if err := b.write(ws.OpText, []byte("3")); err != nil {
				return nil, err
			}
			continue
		}
		return msg, nil
	}
}

func (b *wsBrowser) write(op ws.OpCode, msg []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return wsutil.WriteClientMessage(b.conn, op, msg)
}

func (b *wsBrowser) send(frame []byte) error {
	if err := b.write(ws.OpText, []byte(frameEvent)); err != nil {
		return err
	}
	return b.write(ws.OpBinary, frame)
}

func (b *wsBrowser) recv() ([]byte, error) {
	head, err := b.next()
	if err != nil {
		return nil, err
	}
	if string(head) != frameEvent {
		return nil, fmt.Errorf("not a frame: %q", head)
	}
	return b.next()
}

func (b *wsBrowser) close() { b.conn.Close() }

// pollBrowser never leaves long-polling, as behind a proxy without WebSocket.
type pollBrowser struct {
	ctx    context.Context
	url    string
	header http.Header
	ready  [][]byte // packets that came
}

func dialPolling(t *testing.T, url string, header http.Header) (*pollBrowser, error) {
	t.Helper()
	b := &pollBrowser{ctx: t.Context(), url: url + "/socket.io/?EIO=4&transport=polling", header: header}
	open, err := b.packet()
	if err != nil {
		return nil, err
	}
	_, rest, ok := strings.Cut(string(open), `"sid":"`)
	if !ok {
		return nil, fmt.Errorf("no open packet: %q", open)
	}
	sid, _, _ := strings.Cut(rest, `"`)
	b.url += "&sid=" + sid
	if err := b.post([]byte("40")); err != nil {
		return nil, err
	}
	answer, err := b.packet()
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(answer, []byte("40{")) {
		return nil, fmt.Errorf("%w: %s", errRefused, answer)
	}
	t.Cleanup(b.close)
	return b, nil
}

func (b *pollBrowser) do(method string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(b.ctx, method, b.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range b.header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, answer)
	}
	return answer, err
}

func (b *pollBrowser) post(packet []byte) error {
	_, err := b.do(http.MethodPost, packet)
	return err
}

func (b *pollBrowser) packet() ([]byte, error) {
	for {
		for len(b.ready) > 0 {
			p := b.ready[0]
			b.ready = b.ready[1:]
			switch string(p) {
			case "2":
				if err := b.post([]byte("3")); err != nil {
					return nil, err
				}
			case "6": // noop
			case "1":
				return nil, io.EOF
			default:
				return p, nil
			}
		}
		body, err := b.do(http.MethodGet, nil)
		if err != nil {
			return nil, err
		}
		b.ready = bytes.Split(body, []byte{0x1e})
	}
}

func (b *pollBrowser) send(frame []byte) error {
	return b.post([]byte(frameEvent + "\x1eb" + base64.StdEncoding.EncodeToString(frame)))
}

func (b *pollBrowser) recv() ([]byte, error) {
	head, err := b.packet()
	if err != nil {
		return nil, err
	}
	if string(head) != frameEvent {
		return nil, fmt.Errorf("not a frame: %q", head)
	}
	body, err := b.packet()
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(strings.TrimPrefix(string(body), "b"))
}

// close ends the connection and takes the last poll, for which the server waits.
func (b *pollBrowser) close() {
	b.ctx = context.Background() // The test's own has ended when its cleanup runs.
	if b.post([]byte("1")) != nil {
		_, _ = b.do(http.MethodGet, nil)
	}
}
