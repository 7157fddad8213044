package proxyproto

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var secret = []byte("a gateway secret of thirty-two bytes or more")

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func verifier(t *testing.T, now func() time.Time) *Verifier {
	t.Helper()
	v, err := NewVerifier(secret, now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sign(t *testing.T, h Header, at time.Time) []byte {
	t.Helper()
	b, err := h.Sign(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pair(src, dst string) Header {
	return Header{Source: netip.MustParseAddrPort(src), Destination: netip.MustParseAddrPort(dst)}
}

func TestAddressesArrive(t *testing.T) {
	v := verifier(t, func() time.Time { return start })
	for _, h := range []Header{
		pair("192.0.2.7:50123", "198.51.100.1:443"),
		pair("[2001:db8::7]:1", "[2001:db8::1]:65535"),
		pair("[2001:db8::7]:50123", "198.51.100.1:443"),
		{Local: true},
	} {
		b := sign(t, h, start)
		got, err := Read(bytes.NewReader(append(bytes.Clone(b), "frames"...)))
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%+v: read %x, %v; want %x and no byte more", h, got, err, b)
		}
		said, err := v.Verify(got)
		if err != nil || said != h {
			t.Errorf("%+v came as %+v, %v", h, said, err)
		}
	}
}

// The header is laid out as the specification of the protocol says: an
// independent reader of it must find the addresses where they belong.
func TestLayout(t *testing.T) {
	b := sign(t, pair("192.0.2.7:50123", "198.51.100.1:443"), start)
	want := append([]byte("\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11"),
		0, 12+60, 192, 0, 2, 7, 198, 51, 100, 1, 50123>>8, 50123&0xff, 443>>8, 443&0xff, 0xe0, 0, 57, 1)
	if !bytes.HasPrefix(b, want) || len(b) != 16+12+60 {
		t.Errorf("header\n%x does not begin with\n%x", b, want)
	}
	if ms := binary.BigEndian.Uint64(b[len(want):]); ms != uint64(start.UnixMilli()) {
		t.Errorf("time %d, want %d", ms, start.UnixMilli())
	}
}

func TestHeaderIsGoodOnceAndSoon(t *testing.T) {
	now := start
	v := verifier(t, func() time.Time { return now })
	h := pair("192.0.2.7:50123", "198.51.100.1:443")
	for _, c := range []struct {
		name string
		sent time.Duration
		ok   bool
	}{
		{"now", 0, true}, {"a slow clock", -Window, true}, {"a fast clock", Window, true},
		{"too old", -Window - time.Second, false}, {"too new", Window + time.Second, false},
	} {
		b := sign(t, h, start.Add(c.sent))
		if _, err := v.Verify(b); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := v.Verify(b); !errors.Is(err, ErrAuth) {
			t.Errorf("%s, again: %v, want ErrAuth", c.name, err)
		}
	}
	// A header with the fastest clock stays refused until its time is over,
	// however the memory turns meanwhile.
	fast := sign(t, h, start.Add(Window))
	if _, err := v.Verify(fast); err != nil {
		t.Fatal(err)
	}
	for now = start; now.Before(start.Add(6 * Window)); now = now.Add(Window / 4) {
		if _, err := v.Verify(sign(t, h, now)); err != nil {
			t.Fatalf("a fresh header at %v: %v", now.Sub(start), err)
		}
		if _, err := v.Verify(fast); !errors.Is(err, ErrAuth) {
			t.Fatalf("replay at %v was taken", now.Sub(start))
		}
	}
}

func TestReplayMemoryIsBounded(t *testing.T) {
	now := start
	v := verifier(t, func() time.Time { return now })
	v.forgetful = 4
	h := Header{Local: true}
	for range 4 {
		if _, err := v.Verify(sign(t, h, now)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.Verify(sign(t, h, now)); !errors.Is(err, ErrAuth) {
		t.Errorf("a fifth header: %v, want ErrAuth", err)
	}
	now = now.Add(2*Window + 1)
	if _, err := v.Verify(sign(t, h, now)); err != nil {
		t.Errorf("after the window: %v", err)
	}
}

// Every changed bit, another secret and every cut are refused, with no other
// error than the one.
func TestForgedHeadersAreRefused(t *testing.T) {
	good := sign(t, pair("192.0.2.7:50123", "198.51.100.1:443"), start)
	for i := range len(good) * 8 {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := verifier(t, func() time.Time { return start }).Verify(bad); !errors.Is(err, ErrAuth) {
			t.Fatalf("bit %d changed: %v", i, err)
		}
	}
	for n := range good {
		if _, err := verifier(t, func() time.Time { return start }).Verify(good[:n]); !errors.Is(err, ErrAuth) {
			t.Fatalf("cut to %d: %v", n, err)
		}
	}
	other, err := pair("192.0.2.7:50123", "198.51.100.1:443").Sign(bytes.Repeat([]byte("x"), MinSecret), start)
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, func() time.Time { return start })
	if _, err := v.Verify(other); !errors.Is(err, ErrAuth) {
		t.Errorf("another secret: %v", err)
	}
	if _, err := v.Verify(good); err != nil {
		t.Errorf("the good one after all that: %v", err)
	}
}

func TestReadRefusesAtTheFirstWrongByte(t *testing.T) {
	r, w := net.Pipe()
	defer r.Close()
	defer w.Close()
	go w.Write([]byte("\x00\x00\x08\x00")) // a frame of a client that took the wrong port
	if _, err := Read(r); !errors.Is(err, ErrHeader) {
		t.Errorf("got %v, want ErrHeader without waiting for sixteen bytes", err)
	}
	long := append([]byte(signature), 0x21, 0x11, 0xff, 0xff)
	if _, err := Read(bytes.NewReader(long)); !errors.Is(err, ErrHeader) {
		t.Errorf("64 KiB announced: %v, want ErrHeader", err)
	}
	if _, err := Read(strings.NewReader(signature)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: %v, want io.ErrUnexpectedEOF", err)
	}
}

func TestSecretsHaveALength(t *testing.T) {
	if _, err := NewVerifier(secret[:MinSecret-1], nil); !errors.Is(err, ErrSecret) {
		t.Errorf("verifier: %v", err)
	}
	if _, err := (Header{Local: true}).Sign(secret[:MinSecret-1], start); !errors.Is(err, ErrSecret) {
		t.Errorf("signer: %v", err)
	}
}

func TestListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	refused := make(chan error, 8)
	v := verifier(t, nil)
	go func() {
		served <- v.Serve(ctx, l, func(_ netip.AddrPort, err error) { refused <- err }, func(_ context.Context, c net.Conn, client netip.AddrPort) {
			defer c.Close()
			io.WriteString(c, client.String()+" ")
			io.Copy(c, c)
		})
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}

	// A gateway: the core sees the client's address, and what follows the header is untouched.
	header := sign(t, pair("192.0.2.7:50123", "198.51.100.1:443"), time.Now())
	c := dial()
	c.Write(append(bytes.Clone(header), "hello"...))
	c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "192.0.2.7:50123 hello" {
		t.Errorf("got %q, %v", got, err)
	}
	// The same header again, and no header at all: closed, unseen.
	for _, sent := range [][]byte{header, []byte("\x00\x00\x00\x05hello")} {
		c := dial()
		c.Write(sent)
		if got, _ := io.ReadAll(c); len(got) != 0 {
			t.Errorf("%x was answered with %q", sent, got)
		}
		if err := <-refused; !errors.Is(err, ErrAuth) && !errors.Is(err, ErrHeader) {
			t.Errorf("refused because of %v", err)
		}
	}
	// Who asks whether the core is there learns it only with the secret.
	if err := Ask(t.Context(), dial(), secret); err != nil {
		t.Errorf("ask: %v", err)
	}
	if err := Ask(t.Context(), dial(), bytes.Repeat([]byte("x"), MinSecret)); err == nil {
		t.Error("a stranger was told that the core is there")
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func FuzzHeader(f *testing.F) {
	for _, h := range []Header{pair("192.0.2.7:50123", "198.51.100.1:443"), pair("[2001:db8::7]:1", "[::1]:2"), {Local: true}} {
		b, err := h.Sign(secret, start)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(signature + "\x21\x11\xff\xff"))
	f.Add([]byte(signature + "\x21\x21\x00\x03\xe0\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := Read(bytes.NewReader(in))
		if err != nil {
			return
		}
		if len(b) > MaxHeader || !bytes.HasPrefix(in, b) {
			t.Fatalf("read %d bytes that are not the beginning", len(b))
		}
		// As it came, it is almost never authentic; signed by us, whatever it
		// holds must come out as an address or as an error.
		v, err := NewVerifier(secret, func() time.Time { return start })
		if err != nil {
			t.Fatal(err)
		}
		_, _ = v.Verify(b)
		if len(b) < fixed+authTLV {
			return
		}
		auth := b[len(b)-authTLV:]
		auth[0], auth[1], auth[2], auth[3] = authType, 0, authLength, authV1
		binary.BigEndian.PutUint64(auth[4:], uint64(start.UnixMilli()))
		copy(auth[28:], tag(secret, b[:len(b)-32]))
		h, err := v.Verify(b)
		if err != nil && !errors.Is(err, ErrHeader) && !errors.Is(err, ErrAuth) {
			t.Fatalf("unexpected error %v", err)
		}
		if err == nil && !h.Local && !h.Source.IsValid() {
			t.Fatalf("no error and no address: %+v", h)
		}
	})
}
