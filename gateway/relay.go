package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/internal/metrics"
	"github.com/securelink-chat/securelink/internal/proxyproto"
)

const (
	dialTime = 5 * time.Second
	// relayWrite is how long the core may take none of what is written to it.
	relayWrite = 20 * time.Second
	// relayBuffer is what a client that is idle holds here; larger frames borrow
	// more and give it back.
	relayBuffer = 4 << 10
	relayKeep   = 64 << 10
)

// RelayConfig says where the core is and how to prove to it who asks.
type RelayConfig struct {
	// Addr is the core's listener for gateways, host:port.
	Addr string
	// Secret is the gateway secret, the same on both sides.
	Secret []byte
	// Metrics may be nil.
	Metrics *metrics.Registry
}

// Relay is a core at the other end of TCP: one connection a client, opened with
// a PROXY protocol header that names the client and proves the gateway
// (package proxyproto); after it frames as u32 length | bytes, both ways.
type Relay struct {
	cfg          RelayConfig
	dialer       net.Dialer
	dials, fails *metrics.Counter
	dialSeconds  *metrics.Histogram
}

// NewRelay makes a relay. It opens nothing yet.
func NewRelay(cfg RelayConfig) (*Relay, error) {
	if len(cfg.Secret) < proxyproto.MinSecret {
		return nil, fmt.Errorf("gateway: %w", proxyproto.ErrSecret)
	}
	if _, _, err := net.SplitHostPort(cfg.Addr); err != nil {
		return nil, fmt.Errorf("gateway: the core's address: %w", err)
	}
	m := cfg.Metrics
	return &Relay{
		cfg: cfg, dialer: net.Dialer{Timeout: dialTime},
		dials:       m.Counter("securelink_gateway_core_dials_total", "connections opened to the core", "result", "ok"),
		fails:       m.Counter("securelink_gateway_core_dials_total", "connections opened to the core", "result", "failed"),
		dialSeconds: m.Histogram("securelink_gateway_core_dial_seconds", "time to open a connection to the core", []float64{0.001, 0.005, 0.02, 0.1, 0.5, 2, 5}),
	}, nil
}

// Ready asks the core whether it is there and knows this gateway.
func (r *Relay) Ready(ctx context.Context) error {
	c, err := r.dialer.DialContext(ctx, "tcp", r.cfg.Addr)
	if err != nil {
		return fmt.Errorf("gateway: core: %w", err)
	}
	return proxyproto.Ask(ctx, c, r.cfg.Secret)
}

// Serve relays one client until either side ends.
func (r *Relay) Serve(ctx context.Context, fc FrameConn) error {
	conn, err := r.dial(ctx, fc.RemoteAddr())
	if err != nil {
		return err
	}
	end := sync.OnceFunc(func() {
		conn.Close()
		fc.Close()
	})
	defer end()
	stopWatching := context.AfterFunc(ctx, end)
	defer stopWatching()

	var up sync.WaitGroup
	var upErr error
	up.Go(func() {
		defer end()
		upErr = toCore(conn, fc)
	})
	downErr := fromCore(conn, fc)
	end()
	up.Wait()
	return errors.Join(upErr, downErr)
}

// dial opens the connection for a client and says who it is.
func (r *Relay) dial(ctx context.Context, client netip.AddrPort) (net.Conn, error) {
	begun := time.Now()
	conn, err := r.dialer.DialContext(ctx, "tcp", r.cfg.Addr)
	if err != nil {
		r.fails.Add(1)
		return nil, fmt.Errorf("gateway: core: %w", err)
	}
	h := proxyproto.Header{Source: client}
	if local, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		h.Destination = local.AddrPort()
	}
	b, err := h.Sign(r.cfg.Secret, time.Now())
	if err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(dialTime))
		_, err = conn.Write(b)
	}
	if err != nil {
		r.fails.Add(1)
		conn.Close()
		return nil, fmt.Errorf("gateway: core: %w", err)
	}
	r.dials.Add(1)
	r.dialSeconds.Observe(time.Since(begun).Seconds())
	return conn, nil
}

// toCore copies the client's frames until it has gone (nil) or an error.
func toCore(conn net.Conn, fc FrameConn) error {
	var head [4]byte
	for {
		frame, err := fc.ReadFrame()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(head[:], uint32(len(frame)))
		if err := conn.SetWriteDeadline(time.Now().Add(relayWrite)); err != nil {
			return gone(err)
		}
		parts := net.Buffers{head[:], frame}
		if _, err := parts.WriteTo(conn); err != nil {
			return gone(err)
		}
	}
}

// fromCore copies the core's frames until it ends (nil) or an error. Frames that
// arrive together leave together.
func fromCore(conn net.Conn, fc FrameConn) error {
	buf := make([]byte, relayBuffer)
	have := 0
	var frames [][]byte
	for {
		n, err := conn.Read(buf[have:])
		have += n
		var used, want int
		frames, used, want = cut(frames[:0], buf[:have])
		if want > MaxFrame+4 || want < 0 {
			return errFrameSize
		}
		if len(frames) > 0 {
			if err := fc.WriteFrames(frames...); err != nil {
				return gone(err)
			}
			clear(frames)
		}
		have = copy(buf, buf[used:have])
		if err != nil {
			if have > 0 && errors.Is(err, io.EOF) {
				return fmt.Errorf("gateway: core: %w", io.ErrUnexpectedEOF)
			}
			return gone(err)
		}
		switch {
		case want > len(buf):
			buf = append(make([]byte, 0, want), buf[:have]...)[:want]
		case have == 0 && len(buf) > relayKeep:
			buf = make([]byte, relayBuffer)
		case have == 0 && n == len(buf) && n < relayKeep:
			buf = make([]byte, 4*n) // a busy one: fewer, larger reads
		}
	}
}

// cut finds the whole frames at the beginning of b, without copying. used is
// where they end; want is the length of what stands there, its head included,
// 0 if not even the head is there, and negative for a frame that is empty.
func cut(frames [][]byte, b []byte) (out [][]byte, used, want int) {
	for len(b)-used >= 4 {
		n := int(binary.BigEndian.Uint32(b[used:]))
		if n == 0 {
			return frames, used, -1
		}
		if n > MaxFrame || len(b)-used-4 < n {
			return frames, used, 4 + n
		}
		frames = append(frames, b[used+4:used+4+n])
		used += 4 + n
	}
	return frames, used, 0
}

// gone makes the ends that every connection comes to one day no error.
func gone(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
