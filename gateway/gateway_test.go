package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/internal/metrics"
	"github.com/securelink-chat/securelink/internal/proxyproto"
	"github.com/securelink-chat/securelink/link"
)

var gatewaySecret = []byte("a gateway secret of thirty-two bytes or more")

// world is a gateway on a port of this machine, with a core of the test's.
type world struct {
	url     string
	gw      *Gateway
	stop    context.CancelFunc
	stopped chan error
	metrics *metrics.Registry
}

// tiers are the two ways to run: core in the same process, or behind TCP.
var tiers = []struct {
	name  string
	apart bool
}{{"one process", false}, {"apart", true}}

// eachTier runs a test both ways.
func eachTier(t *testing.T, test func(t *testing.T, apart bool)) {
	for _, tier := range tiers {
		t.Run(tier.name, func(t *testing.T) {
			t.Parallel()
			test(t, tier.apart)
		})
	}
}

func start(t testing.TB, apart bool, cfg Config, core CoreFunc) *world {
	t.Helper()
	w := &world{stopped: make(chan error, 1), metrics: metrics.New()}
	cfg.Core, cfg.Metrics = core, w.metrics
	if apart {
		relay := startRelay(t, core)
		cfg.Core, cfg.Ready = relay, relay.Ready
	}
	gw, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.gw, w.url, w.stop = gw, "http://"+l.Addr().String(), cancel
	ended := make(chan struct{})
	go func() {
		w.stopped <- gw.Serve(ctx, l, nil)
		close(ended)
	}()
	t.Cleanup(func() {
		// A connection that never carried a request keeps an HTTP server up for
		// five seconds.
		http.DefaultClient.CloseIdleConnections()
		cancel()
		<-ended
	})
	return w
}

// clientConn is a frame connection over TCP whose client is who the gateway named.
type clientConn struct {
	*link.NetFrames
	client netip.AddrPort
}

func (c clientConn) RemoteAddr() netip.AddrPort { return c.client }

// startRelay starts core behind the listener for gateways, and a relay to it.
func startRelay(t testing.TB, core CoreFunc) *Relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := proxyproto.NewVerifier(gatewaySecret, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- verifier.Serve(ctx, l, nil, func(ctx context.Context, c net.Conn, client netip.AddrPort) {
			fc := clientConn{link.NetConn(c), client}
			defer fc.Close()
			stop := context.AfterFunc(ctx, func() { fc.Close() })
			defer stop()
			_ = core(ctx, fc)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	relay, err := NewRelay(RelayConfig{Addr: l.Addr().String(), Secret: gatewaySecret})
	if err != nil {
		t.Fatal(err)
	}
	return relay
}

// echo is a core that says everything again.
func echo(_ context.Context, fc FrameConn) error {
	for {
		frame, err := fc.ReadFrame()
		if err != nil {
			return err
		}
		if err := fc.WriteFrames(frame); err != nil {
			return err
		}
	}
}

func (w *world) browse(t *testing.T, transport string, header http.Header) browser {
	t.Helper()
	var b browser
	var err error
	if transport == "polling" {
		b, err = dialPolling(t, w.url, header)
	} else {
		b, err = dialWebSocket(t, w.url, header)
	}
	if err != nil {
		t.Fatalf("%s: %v", transport, err)
	}
	return b
}

var transports = []string{"websocket", "polling"}

func TestFramesOfEverySizeGoThrough(t *testing.T) {
	eachTier(t, func(t *testing.T, apart bool) {
		w := start(t, apart, Config{}, echo)
		for _, transport := range transports {
			b := w.browse(t, transport, nil)
			sizes := []int{1, 255, 4096, 4097, 65536, 256 << 10}
			if transport == "websocket" {
				sizes = append(sizes, MaxFrame) // in Base64 it is over what one POST may have
			}
			for _, n := range sizes {
				frame := make([]byte, n)
				for i := range frame {
					frame[i] = byte(rand.Uint32())
				}
				if err := b.send(frame); err != nil {
					t.Fatalf("%s: send %d bytes: %v", transport, n, err)
				}
				got, err := b.recv()
				if err != nil || !bytes.Equal(got, frame) {
					t.Fatalf("%s: %d bytes came back as %d, %v", transport, n, len(got), err)
				}
			}
			b.close()
		}
	})
}

func TestManyFramesKeepTheirOrder(t *testing.T) {
	const n = 2000
	eachTier(t, func(t *testing.T, apart bool) {
		w := start(t, apart, Config{}, echo)
		for _, transport := range transports {
			b := w.browse(t, transport, nil)
			count := n
			if transport == "polling" {
				count = n / 20
			}
			var sending sync.WaitGroup
			sending.Go(func() {
				for i := range count {
					if err := b.send(fmt.Appendf(nil, "frame %d %s", i, strings.Repeat("x", i%700))); err != nil {
						t.Errorf("send %d: %v", i, err)
						return
					}
				}
			})
			for i := range count {
				got, err := b.recv()
				if want := fmt.Sprintf("frame %d ", i); err != nil || !strings.HasPrefix(string(got), want) {
					t.Fatalf("%s: frame %d is %.20q, %v", transport, i, got, err)
				}
			}
			sending.Wait()
		}
	})
}

// The core's limits are by address: it must see the client, through the proxies
// that are trusted and through no other.
func TestTheCoreSeesTheClientsAddress(t *testing.T) {
	whoami := func(_ context.Context, fc FrameConn) error {
		return fc.WriteFrames([]byte(fc.RemoteAddr().Addr().String()))
	}
	for _, c := range []struct {
		name    string
		proxies []netip.Prefix
		header  string
		want    string
	}{
		{"no proxy", nil, "", "127.0.0.1"},
		{"a header that nobody trusts", nil, "203.0.113.7", "127.0.0.1"},
		{"a trusted proxy", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "203.0.113.7", "203.0.113.7"},
		{"what the client wrote itself", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "198.51.100.1, 203.0.113.7", "203.0.113.7"},
		{"two proxies", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}, "198.51.100.1, 203.0.113.7:1234, 10.1.2.3", "203.0.113.7"},
		{"IPv6", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "2001:db8::7", "2001:db8::7"},
		{"nonsense", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "unknown, ;drop", "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachTier(t, func(t *testing.T, apart bool) {
				w := start(t, apart, Config{Proxies: c.proxies}, whoami)
				header := http.Header{}
				if c.header != "" {
					header.Set("X-Forwarded-For", c.header)
				}
				for _, transport := range transports {
					b := w.browse(t, transport, header)
					got, err := b.recv()
					if err != nil || string(got) != c.want {
						t.Errorf("%s: the core sees %q, want %q (%v)", transport, got, c.want, err)
					}
					if got, err := b.recv(); err == nil { // lets the socket end at once
						t.Errorf("%s: then came %q", transport, got)
					}
				}
			})
		})
	}
}

func TestWhatTheCoreSaidLastArrives(t *testing.T) {
	last := bytes.Repeat([]byte("the end "), 20_000)
	eachTier(t, func(t *testing.T, apart bool) {
		w := start(t, apart, Config{}, func(_ context.Context, fc FrameConn) error {
			return fc.WriteFrames([]byte("almost"), last)
		})
		for _, transport := range transports {
			b := w.browse(t, transport, nil)
			if got, err := b.recv(); err != nil || string(got) != "almost" {
				t.Fatalf("%s: %q, %v", transport, got, err)
			}
			if got, err := b.recv(); err != nil || !bytes.Equal(got, last) {
				t.Fatalf("%s: the last frame came as %d bytes, %v", transport, len(got), err)
			}
			if got, err := b.recv(); err == nil {
				t.Errorf("%s: after the end came %q", transport, got)
			}
		}
	})
}

func TestTheCoreHearsThatAClientHasGone(t *testing.T) {
	eachTier(t, func(t *testing.T, apart bool) {
		ends := make(chan error, 1)
		w := start(t, apart, Config{}, func(_ context.Context, fc FrameConn) error {
			frame, err := fc.ReadFrame()
			if err != nil || string(frame) != "hello" {
				t.Errorf("first: %q, %v", frame, err)
			}
			_, err = fc.ReadFrame()
			ends <- err
			return err
		})
		for _, transport := range transports {
			b := w.browse(t, transport, nil)
			if err := b.send([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			b.close() // at once: what was sent before still arrives
			if err := <-ends; !errors.Is(err, io.EOF) {
				t.Errorf("%s: the core reads %v, want io.EOF", transport, err)
			}
		}
	})
}

func TestFramesOverTheLimitEndTheConnection(t *testing.T) {
	eachTier(t, func(t *testing.T, apart bool) {
		set := make(chan struct{}, 1)
		ends := make(chan error, 1)
		w := start(t, apart, Config{}, func(_ context.Context, fc FrameConn) error {
			fc.(interface{ SetFrameLimit(int) }).SetFrameLimit(4096)
			set <- struct{}{}
			if got, err := fc.ReadFrame(); err != nil || len(got) != 4096 {
				t.Errorf("4096 bytes came as %d, %v", len(got), err)
			}
			_, err := fc.ReadFrame()
			ends <- err
			return err
		})
		b := w.browse(t, "websocket", nil)
		<-set
		for _, n := range []int{4096, 4097} {
			if err := b.send(make([]byte, n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ends; err == nil {
			t.Error("a frame over the limit was delivered")
		}
		if _, err := b.recv(); err == nil {
			t.Error("the socket is still open")
		}
	})
}

// A browser that does not read makes the core's writes wait; what is held for it
// meanwhile is bounded, and nothing is lost.
func TestASlowBrowserMakesTheCoreWait(t *testing.T) {
	eachTier(t, func(t *testing.T, apart bool) {
		const frames, size = 400, 128 << 10 // 50 MiB: more than the kernel's buffers
		waits := make(chan int, 1)          // how many frames had been taken when one had to wait
		w := start(t, apart, Config{}, func(_ context.Context, fc FrameConn) error {
			told := apart // over TCP a write that was cut short cannot be tried again
			for i := range frames {
				frame := make([]byte, size)
				frame[0] = byte(i)
				if !told {
					fc.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
				}
				err := fc.WriteFrames(frame)
				if !told && errors.Is(err, os.ErrDeadlineExceeded) {
					told = true
					waits <- i
					fc.SetWriteDeadline(time.Time{})
					err = fc.WriteFrames(frame)
				}
				if err != nil {
					return fmt.Errorf("frame %d: %w", i, err)
				}
			}
			if !told {
				waits <- frames
			}
			return nil
		})
		b := w.browse(t, "websocket", nil)
		if !apart {
			// No more than the high water mark, one batch, and what the kernel takes.
			if taken := <-waits; taken*size > 30<<20 {
				t.Errorf("%d bytes were taken for a browser that does not read", taken*size)
			}
		}
		for i := range frames {
			got, err := b.recv()
			if err != nil || len(got) != size || got[0] != byte(i) {
				t.Fatalf("frame %d: %d bytes, %v", i, len(got), err)
			}
		}
	})
}
