// Package gateway is the web tier: it serves the web app and the Socket.IO
// endpoint, and hands every socket as a frame connection to a [Core]. That is
// the core itself in the same process, or a [Relay], which opens one TCP
// connection to it for each client.
//
// The gateway is blind: what passes is the secure link between the client's
// engine and the core, of which it has no key. It sees addresses, times and
// lengths, and it serves the program that people's browsers run; doc/gateway.md
// says what follows from that.
//
//	gw, err := gateway.New(gateway.Config{Core: core, Files: web.FS()})
//	err = gw.Serve(ctx, listener, nil)
package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/securelink-chat/securelink/internal/metrics"
	"github.com/securelink-chat/securelink/socketio"
	"github.com/securelink-chat/securelink/socketio/engineio"
)

// FrameConn carries frames of 1 to [MaxFrame] bytes, in order. One reader and
// one writer may use it at a time, and Close at any time.
type FrameConn interface {
	// ReadFrame waits for the next frame; the slice is the caller's. io.EOF says
	// that the client has gone.
	ReadFrame() ([]byte, error)
	// WriteFrames sends all frames together and does not keep the slices. It
	// waits while the client does not take what was sent before.
	WriteFrames(frames ...[]byte) error
	Close() error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	// RemoteAddr is the client, seen through trusted proxies.
	RemoteAddr() netip.AddrPort
}

// Core is whom the gateway brings clients to.
type Core interface {
	// Serve talks to one client until it or the core ends the connection, or ctx
	// does. It runs on a goroutine of its own; fc is closed after it returns.
	Serve(ctx context.Context, fc FrameConn) error
}

// CoreFunc is a function as a [Core].
type CoreFunc func(ctx context.Context, fc FrameConn) error

// Serve calls f.
func (f CoreFunc) Serve(ctx context.Context, fc FrameConn) error { return f(ctx, fc) }

// Config is what a gateway is made of. Core is required.
type Config struct {
	Core Core
	// Files is the built web app; without an index.html in it the gateway
	// relays and says that it has no app.
	Files fs.FS
	// Ready says whether the core can take clients; nil: always.
	Ready func(context.Context) error
	// App is told to every browser.
	App App
	// Origins ("https://chat.example") are those whose pages may open sockets;
	// nil: those of the host that the request itself is for.
	Origins []string
	// Proxies are the addresses whose X-Forwarded-For is believed.
	Proxies []netip.Prefix
	// Limits bound what one client address may use; zero fields are defaults.
	Limits Limits
	// Contact, a URL or mail address, is published in security.txt.
	Contact string
	// HSTS tells browsers to come by HTTPS only: set it where the certificate is
	// one that browsers accept.
	HSTS bool
	// Log may be nil: silence. It is never told an address or a frame.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics *metrics.Registry
}

// App is what the page wants to know before there is a link: GET /app.json.
type App struct {
	Name    string `json:"name"`    // of this server, chosen by who runs it
	Pin     string `json:"pin"`     // hex SHA-256 of the core's root key, or empty
	Version string `json:"version"` // of the gateway
	Build   string `json:"build"`   // hash of the app's files
}

// MaxFrame is the longest frame in bytes, the same as the link's.
const MaxFrame = 1 << 20

// readyTime is how long the core may take to say that it is there, and
// readyKeep for how long its answer is passed on: asking /readyz often costs
// the core nothing.
const (
	readyTime = 2 * time.Second
	readyKeep = time.Second
)

var discard = slog.New(slog.DiscardHandler)

// Gateway is an http.Handler. Make it with [New]; end it with [Gateway.Shutdown].
type Gateway struct {
	cfg     Config
	static  *assets
	sockets *socketio.Server
	book    *addressBook
	proxies atomic.Pointer[[]netip.Prefix]
	count   counters
	app     []byte
	readyMu sync.Mutex // guards the next two; held while the core is asked
	readyAt time.Time
	readyIs error

	ctx     context.Context // ends with Shutdown: the Core's
	cancel  context.CancelFunc
	serving sync.WaitGroup // goroutines in Core.Serve
	drain   atomic.Bool
}

// New makes a gateway. Its goroutines are those of the sockets; end them with
// Shutdown.
func New(cfg Config) (*Gateway, error) {
	if cfg.Core == nil {
		return nil, errors.New("gateway: no core")
	}
	if cfg.Log == nil {
		cfg.Log = discard
	}
	g := &Gateway{cfg: cfg, book: newAddressBook(cfg.Limits, time.Now)}
	g.proxies.Store(&cfg.Proxies)
	g.ctx, g.cancel = context.WithCancel(context.Background())
	var err error
	if g.static, err = loadAssets(cfg.Files); err != nil {
		return nil, err
	}
	if g.app, err = json.Marshal(cfg.App); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.sockets, err = g.newSockets(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.register(cfg.Metrics)
	return g, nil
}

// newSockets makes the Socket.IO endpoint.
func (g *Gateway) newSockets() (*socketio.Server, error) {
	srv, err := socketio.New(socketio.Options{
		Engine: engineio.Options{
			MaxPayload:  MaxFrame + 64, // the frame and what polling adds to it
			MaxBuffered: maxBuffered,
			MaxSessions: g.book.limits().Total,
			Origins:     g.cfg.Origins,
			RemoteAddr:  g.clientAddr,
			Log:         g.cfg.Log,
		},
		// A browser that has a session and opens no socket holds memory that
		// the limits on sockets do not see.
		ConnectTimeout: 10 * time.Second,
		MaxAttachments: 1,
		MaxPacket:      MaxFrame + 4096,
		MaxDepth:       4,
		MaxPending:     4,
		MaxAcks:        1,
	})
	if err != nil {
		return nil, err
	}
	ns := srv.Of("/")
	ns.Use(g.admit)
	ns.OnConnect(g.connected)
	ns.OnBinary("frame", func(s *socketio.Socket, frame []byte) {
		if c, ok := s.Data().(*socketConn); ok {
			c.deliver(frame)
		}
	})
	ns.OnDisconnect(func(s *socketio.Socket, _ socketio.Reason) {
		if c, ok := s.Data().(*socketConn); ok {
			c.end()
		}
	})
	return srv, nil
}

// admit refuses a socket of an address that has enough of them.
func (g *Gateway) admit(_ context.Context, r *socketio.Request) error {
	if g.drain.Load() {
		return &socketio.Refusal{Message: "shutting down"}
	}
	if !g.book.room(r.RemoteAddr.Addr()) {
		g.count.refusedSockets.Add(1)
		return &socketio.Refusal{Message: "too many connections from this address"}
	}
	return nil
}

// connected hands a new socket to the core.
func (g *Gateway) connected(s *socketio.Socket) {
	addr := s.RemoteAddr()
	if !g.book.enter(addr.Addr()) {
		g.count.refusedSockets.Add(1)
		s.Close(socketio.ReasonForced)
		return
	}
	c := newSocketConn(s, &g.count)
	s.SetData(c)
	g.count.sockets.Add(1)
	g.serving.Go(func() {
		defer g.book.leave(addr.Addr())
		defer c.Close()
		if err := g.cfg.Core.Serve(g.ctx, c); err != nil {
			g.cfg.Log.Debug("connection ended", "err", err)
		}
	})
}

// ServeHTTP answers one request, with the strict headers on every answer.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.setHeaders(w.Header())
	counted := &statusWriter{ResponseWriter: w, count: &g.count}
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/socket.io/"):
		g.serveSocket(w, r)
	case path == "/healthz":
		plain(counted, r, http.StatusOK, "ok\n")
	case path == "/readyz":
		g.serveReady(counted, r)
	case path == "/app.json":
		counted.Header().Set("Content-Type", "application/json")
		counted.Header().Set("Cache-Control", "no-cache")
		if readOnly(counted, r) {
			_, _ = counted.Write(g.app)
		}
	case path == "/.well-known/security.txt" && g.cfg.Contact != "":
		// RFC 9116 wants an expiry; a year from now says that somebody still
		// runs this server.
		expires := time.Now().UTC().AddDate(1, 0, 0).Format(time.RFC3339)
		plain(counted, r, http.StatusOK, "Contact: "+contactURI(g.cfg.Contact)+"\nExpires: "+expires+"\n")
	default:
		g.static.ServeHTTP(counted, r)
	}
}

// serveSocket lets a request through to Socket.IO unless it opens one more
// session than its address may.
func (g *Gateway) serveSocket(w http.ResponseWriter, r *http.Request) {
	if !r.URL.Query().Has("sid") {
		if g.drain.Load() {
			w.Header().Set("Retry-After", "5")
			http.Error(w, "shutting down", http.StatusServiceUnavailable)
			return
		}
		if wait := g.book.arrive(g.clientAddr(r).Addr()); wait > 0 {
			g.count.refusedNew.Add(1)
			w.Header().Set("Retry-After", seconds(wait))
			http.Error(w, "too many new connections from this address", http.StatusTooManyRequests)
			return
		}
	}
	// A body has a deadline of its own: a client that sends a byte a second
	// must not keep a request open.
	if r.Body != nil && r.Method == http.MethodPost {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	}
	g.sockets.ServeHTTP(w, r)
}

// serveReady says whether clients that come now will be served.
func (g *Gateway) serveReady(w http.ResponseWriter, r *http.Request) {
	if err := g.ready(r.Context()); err != nil {
		g.cfg.Log.Warn("not ready", "err", err)
		plain(w, r, http.StatusServiceUnavailable, "not ready\n")
		return
	}
	plain(w, r, http.StatusOK, "ready\n")
}

func (g *Gateway) ready(ctx context.Context) error {
	if g.drain.Load() {
		return errors.New("shutting down")
	}
	if g.cfg.Ready == nil {
		return nil
	}
	g.readyMu.Lock()
	defer g.readyMu.Unlock()
	if time.Since(g.readyAt) > readyKeep {
		// Not the request's context: its end would be kept as the answer.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTime)
		defer cancel()
		g.readyIs = g.cfg.Ready(ctx)
		g.readyAt = time.Now()
	}
	return g.readyIs
}

// Reload replaces the limits and the trusted proxies. Sockets that are open stay.
func (g *Gateway) Reload(limits Limits, proxies []netip.Prefix) {
	g.book.setLimits(limits)
	g.proxies.Store(&proxies)
}

// Shutdown refuses new clients, ends all sockets (what was sent to them goes out
// first) and waits for every Core.Serve, or until ctx ends.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.drain.Store(true)
	g.cancel()
	err := g.sockets.Shutdown(ctx)
	done := make(chan struct{})
	go func() {
		g.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("gateway: connections still open: %w", ctx.Err()))
	}
}

// contactURI makes a mail address the URI that security.txt wants.
func contactURI(contact string) string {
	if strings.Contains(contact, "@") && !strings.Contains(contact, ":") {
		return "mailto:" + contact
	}
	return contact
}
