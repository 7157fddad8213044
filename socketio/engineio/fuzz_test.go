package engineio

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// FuzzPayload takes polling payloads apart and puts them together again: what
// is accepted has one spelling only.
func FuzzPayload(f *testing.F) {
	for _, seed := range []string{"4a\x1e4b", "bAQID", "b", "2", "b4AAA\x1e4", "4a\x1e", "\x1e", "bAQ==\x1e3", "bA"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var packets []packet
		for rest := payload; rest != nil; {
			p, more, err := nextPacket(rest)
			if err != nil {
				return
			}
			packets = append(packets, p)
			rest = more
		}
		if again := appendPayload(nil, packets); !bytes.Equal(again, payload) {
			t.Fatalf("%q became %q", payload, again)
		}
	})
}

// FuzzFrames reads whatever bytes as a WebSocket and checks the bounds of what
// comes out.
func FuzzFrames(f *testing.F) {
	masked := func(frames ...ws.Frame) []byte {
		var b bytes.Buffer
		for _, one := range frames {
			_ = ws.WriteFrame(&b, ws.MaskFrameInPlaceWith(one, [4]byte{1, 2, 3, 4}))
		}
		return b.Bytes()
	}
	f.Add(masked(ws.NewTextFrame([]byte("4hello")), ws.NewBinaryFrame(bytes.Repeat([]byte{7}, 300))))
	f.Add(masked(ws.NewFrame(ws.OpText, false, []byte("4he")), ws.NewPingFrame([]byte("x")), ws.NewFrame(ws.OpContinuation, true, []byte("llo"))))
	f.Add(masked(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye"))))
	f.Add([]byte{0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1000
		c := &wsConn{nc: scripted{bytes.NewReader(stream)}, maxPayload: limit, packetTimeout: time.Second}
		c.control = func(_ *wsConn, _ ws.OpCode, payload []byte) {
			if len(payload) > 125 {
				t.Fatalf("control frame of %d bytes", len(payload))
			}
		}
		for {
			data, binary, err := c.readMessage()
			if err != nil {
				break
			}
			if len(data) > limit || cap(data) > growStep+limit || !binary && !utf8.Valid(data) {
				t.Fatalf("message of %d bytes (capacity %d), text %v", len(data), cap(data), !binary)
			}
		}
		c.release()
	})
}

// scripted is a connection that only has bytes to read.
type scripted struct{ io.Reader }

func (scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (scripted) Close() error                     { return nil }
func (scripted) LocalAddr() net.Addr              { return nil }
func (scripted) RemoteAddr() net.Addr             { return nil }
func (scripted) SetDeadline(time.Time) error      { return nil }
func (scripted) SetReadDeadline(time.Time) error  { return nil }
func (scripted) SetWriteDeadline(time.Time) error { return nil }

// TestMemoryFollowsBytes promises a megabyte and sends a little.
func TestMemoryFollowsBytes(t *testing.T) {
	stream := "\x82\xff\x00\x00\x00\x00\x00\x10\x00\x00\x01\x02\x03\x04" + strings.Repeat("x", 100)
	c := &wsConn{nc: scripted{strings.NewReader(stream)}, maxPayload: 1 << 20, packetTimeout: time.Second}
	h, err := c.readHeader(false)
	if err != nil || h.Length != 1<<20 {
		t.Fatalf("header %+v, %v", h, err)
	}
	data, err := c.appendFramePayload(nil, h)
	if err == nil || cap(data) > growStep*2 {
		t.Fatalf("%d bytes are held for 100 that came, %v", cap(data), err)
	}
}
