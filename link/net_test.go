//go:build !js

package link

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

func TestLinkOverTCP(t *testing.T) {
	w := newWorld(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	taken, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	client, server := w.connectOver(NetConn(dialed), NetConn(taken))
	say(t, client, server, "hello")
	large := string(bytes.Repeat([]byte("0123456789"), 100_000))
	go client.Write([]byte("before"), []byte(large), []byte("after"))
	hear(t, server, "before")
	hear(t, server, large)
	hear(t, server, "after")
	if !server.RemoteAddr().IsValid() {
		t.Error("no remote address")
	}
	server.Close()
	if _, err := client.Read(); err != ErrClosed {
		t.Errorf("after the close record: %v", err)
	}
}

// stream is a net.Conn that reads what it is given and then ends.
type stream struct {
	net.Conn
	r io.Reader
}

func (s stream) Read(p []byte) (int, error)       { return s.r.Read(p) }
func (s stream) Close() error                     { return nil }
func (s stream) SetReadDeadline(time.Time) error  { return nil }
func (s stream) SetWriteDeadline(time.Time) error { return nil }
func (s stream) RemoteAddr() net.Addr             { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }

// Cut anywhere, an answer is "lost"; only whole is it "ended".
func TestCuts(t *testing.T) {
	_, _, k := ends(serverToClient)
	var bytesSent []byte
	out := newHalf(serverToClient, k)
	texts := []string{"one", string(make([]byte, 5000)), "three"}
	frame := func(b []byte) {
		bytesSent = binary.BigEndian.AppendUint32(bytesSent, uint32(len(b)))
		bytesSent = append(bytesSent, b...)
	}
	for _, text := range texts {
		frame(recordOf(&out, text))
	}
	last, _ := out.seal(nil, nil, time.Now(), typeClose)
	frame(last)
	for n := 0; n <= len(bytesSent); n++ {
		c := &Conn{
			fc: NetConn(stream{r: bytes.NewReader(bytesSent[:n])}), now: time.Now,
			in: newHalf(serverToClient, k), out: newHalf(clientToServer, k),
		}
		var err error
		heard := 0
		for err == nil {
			var got []byte
			if got, err = c.Read(); err == nil && string(got) != texts[heard] {
				t.Fatalf("cut at %d: read something else", n)
			} else if err == nil {
				heard++
			}
		}
		if n < len(bytesSent) && (!errors.Is(err, ErrLost) || errors.Is(err, ErrClosed)) {
			t.Fatalf("cut at %d of %d: %v", n, len(bytesSent), err)
		}
		if n == len(bytesSent) && (err != ErrClosed || heard != 3) {
			t.Fatalf("the whole answer: %d heard, %v", heard, err)
		}
	}
}

// Frames that announce a lot take no memory until they come.
func TestFrameLengths(t *testing.T) {
	read := func(b ...byte) error {
		_, err := NetConn(stream{r: bytes.NewReader(b)}).ReadFrame()
		return err
	}
	for name, head := range map[string][]byte{
		"zero": {0, 0, 0, 0}, "2^32-1": {255, 255, 255, 255}, "one too many": {0, 16, 0, 1}, "2^31": {128, 0, 0, 0},
	} {
		if err := read(append(head, 1, 2, 3)...); err != ErrTooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := read(); err != io.EOF {
		t.Errorf("nothing: %v", err)
	}
	if err := read(0, 0, 0, 2, 1); err != io.ErrUnexpectedEOF {
		t.Errorf("half a frame: %v", err)
	}
	if err := read(0, 0, 0, 1, 1); err != nil {
		t.Errorf("the control: %v", err)
	}
	limited := NetConn(stream{r: bytes.NewReader([]byte{0, 0, 16, 1})})
	limited.SetFrameLimit(helloFrame)
	if _, err := limited.ReadFrame(); err != ErrTooLarge {
		t.Errorf("past the limit of a hello: %v", err)
	}
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			read(0, 16, 0, 0, 1, 2, 3)
		}
	})
	if result.AllocedBytesPerOp() > 2*firstRead {
		t.Errorf("an announcement took %d bytes", result.AllocedBytesPerOp())
	}
	long := make([]byte, MaxFrame)
	rand.Read(long)
	got, err := NetConn(stream{r: io.MultiReader(bytes.NewReader([]byte{0, 16, 0, 0}), bytes.NewReader(long))}).ReadFrame()
	if err != nil || !bytes.Equal(got, long) {
		t.Errorf("the longest frame: %v", err)
	}
}

// A deadline before a frame can be tried again; one within a frame has cut it.
func TestFrameDeadlines(t *testing.T) {
	near, far := net.Pipe()
	fc := NetConn(near)
	fc.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := fc.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	fc.SetReadDeadline(time.Time{})
	go far.Write([]byte{0, 0, 0, 1, 'x', 0, 0})
	if frame, err := fc.ReadFrame(); err != nil || string(frame) != "x" {
		t.Fatalf("%q, %v", frame, err)
	}
	fc.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := fc.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	fc.SetReadDeadline(time.Time{})
	if _, err := fc.ReadFrame(); err != io.ErrUnexpectedEOF {
		t.Errorf("after a frame was cut: %v", err)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 9, 0, 0, 0, 2, 8, 7})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		fc := NetConn(stream{r: bytes.NewReader(b)})
		var again []byte
		for {
			frame, err := fc.ReadFrame()
			if err == io.EOF && !bytes.Equal(again, b) {
				t.Error("frames were read that were not sent")
			}
			if err != nil {
				return
			}
			again = binary.BigEndian.AppendUint32(again, uint32(len(frame)))
			again = append(again, frame...)
		}
	})
}
