package engineio

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// A Receiver is told what happens in one session. Message calls come one at a
// time and in order.
type Receiver interface {
	// Message is one message of the peer; data is the receiver's to keep. While
	// it runs the session is not read, which is how a busy application slows its
	// peer down; pings go on.
	Message(data []byte, binary bool)
	// Closed is called once, when the session has ended; it may come while
	// Message still runs.
	Closed(reason Reason)
}

// A Settler is a [Receiver] that works on messages after Message has returned.
// Settle waits until it is done with them or ctx ends: the answer to a POST
// waits for it a while, so that what the messages caused is in the next poll.
type Settler interface {
	Settle(ctx context.Context)
}

// StatusError refuses a handshake, when Options.Inspect returns it, with a
// status of its own instead of 403.
type StatusError struct {
	Status int
	Text   string // shown to the client: plain words without quotes
}

func (e *StatusError) Error() string { return "engineio: " + e.Text }

// Server is an http.Handler that serves Engine.IO sessions. One Server must
// get all requests of its sessions.
type Server struct {
	opts Options
	open func(*Session) Receiver

	mu       sync.Mutex
	sessions map[string]*Session // until dead
	pending  int                 // handshakes that hold a place but have no session yet
	closing  bool

	// wg counts sessions that are not dead and the goroutines that work for them.
	// Goroutines are only started while their session, or another, is counted.
	wg       sync.WaitGroup
	flushers []flusher
	nextOne  atomic.Uint32
}

// New makes a server. Open is called for every new session before any of its
// messages are read, and returns who is told about it.
func New(opts Options, open func(*Session) Receiver) (*Server, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	if open == nil {
		return nil, errors.New("engineio: no function to open sessions with")
	}
	return &Server{
		opts:     opts,
		open:     open,
		sessions: map[string]*Session{},
		flushers: make([]flusher, runtime.GOMAXPROCS(0)),
	}, nil
}

// Options are the server's options with their defaults filled in.
func (srv *Server) Options() Options { return srv.opts }

// Sessions is the number of sessions that have not ended.
func (srv *Server) Sessions() int {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return len(srv.sessions)
}

// Shutdown refuses new sessions, ends all others with [ReasonShutdown] (what was
// sent before goes out first) and waits for every goroutine of the server. When
// ctx ends first, connections are cut, and its error is returned.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.mu.Lock()
	srv.closing = true
	srv.mu.Unlock()
	for _, s := range srv.snapshot() {
		s.Close(ReasonShutdown)
	}
	finished := make(chan struct{})
	go func() {
		srv.wg.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
	}
	for _, s := range srv.snapshot() {
		s.abort()
	}
	<-finished
	return ctx.Err()
}

func (srv *Server) snapshot() []*Session {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	all := make([]*Session, 0, len(srv.sessions))
	for _, s := range srv.sessions {
		all = append(all, s)
	}
	return all
}

// query is what a request says about itself, each parameter at most once.
type query struct {
	transport, sid, version string
}

// parseQuery takes what is needed from a query string; broken parts and
// parameters of others are ignored, a repeated one of ours is refused.
func parseQuery(raw string) (q query, ok bool) {
	values, _ := url.ParseQuery(raw)
	for name, field := range map[string]*string{"transport": &q.transport, "sid": &q.sid, "EIO": &q.version} {
		if len(values[name]) > 1 {
			return q, false
		}
		*field = values.Get(name)
	}
	return q, true
}

// ServeHTTP answers handshakes, polls, posts, WebSocket upgrades and CORS
// preflights, under whatever path it is mounted.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	allowed := srv.opts.allowsOrigin(origin, r.Host)
	if allowed {
		srv.allowOrigin(w.Header(), origin)
	}
	if r.Method == http.MethodOptions && allowed {
		servePreflight(w, r)
		return
	}
	q, ok := parseQuery(r.URL.RawQuery)
	switch {
	case !allowed:
		refuseForbidden.write(w)
	case !ok:
		refuseRequest.write(w)
	case !srv.opts.offers(q.transport):
		refuseTransport.write(w)
	case q.sid == "":
		srv.serveHandshake(w, r, q)
	default:
		srv.serveSession(w, r, q)
	}
}

// allowOrigin lets the page that asked read the answer.
func (srv *Server) allowOrigin(h http.Header, origin string) {
	for _, o := range srv.opts.Origins {
		if o == "*" && !srv.opts.Credentials {
			h.Set("Access-Control-Allow-Origin", "*")
			return
		}
	}
	h.Add("Vary", "Origin")
	if origin == "" {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if srv.opts.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}

func servePreflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

// wantsWebSocket reports whether the request still is an upgrade: proxies are
// known to drop the headers that make it one.
func wantsWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

func (srv *Server) serveHandshake(w http.ResponseWriter, r *http.Request, q query) {
	upgrade := wantsWebSocket(r)
	switch {
	case r.Method != http.MethodGet:
		refuseMethod.write(w)
		return
	case upgrade != (q.transport == WebSocket):
		refuseRequest.write(w)
		return
	case q.version != "4":
		refuseVersion.write(w)
		return
	}
	if full := srv.reserve(); full != nil {
		full.write(w)
		return
	}
	session, err := srv.newSession(r)
	if err != nil {
		srv.unreserve()
		status := refuseForbidden
		if own, ok := errors.AsType[*StatusError](err); ok {
			status.status, status.message = own.Status, own.Text
		}
		status.write(w)
		return
	}
	if q.transport == WebSocket {
		c, err := acceptWebSocket(w, r, &srv.opts)
		if err != nil {
			srv.unreserve()
			return
		}
		session.startWebSocket(c)
		return
	}
	session.startPolling(w, r)
}

func (srv *Server) serveSession(w http.ResponseWriter, r *http.Request, q query) {
	upgrade := wantsWebSocket(r)
	if upgrade != (q.transport == WebSocket) {
		refuseRequest.write(w)
		return
	}
	srv.mu.Lock()
	session := srv.sessions[q.sid]
	srv.mu.Unlock()
	if session == nil || !session.mayUse(r) {
		refuseSession.write(w)
		return
	}
	switch {
	case upgrade:
		session.serveProbe(w, r)
	case r.Method == http.MethodGet:
		session.servePoll(w, r)
	case r.Method == http.MethodPost:
		session.servePost(w, r)
	default:
		refuseMethod.write(w)
	}
}

// reserve takes a place for a session to come, or says why there is none. The
// place also keeps Shutdown waiting.
func (srv *Server) reserve() *refusal {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	switch {
	case srv.closing:
		return &refuseClosing
	case len(srv.sessions)+srv.pending >= srv.opts.MaxSessions:
		return &refuseFull
	}
	srv.pending++
	srv.wg.Add(1)
	return nil
}

func (srv *Server) unreserve() {
	srv.mu.Lock()
	srv.pending--
	srv.mu.Unlock()
	srv.wg.Done()
}

// add puts a session into the place that was reserved for it; it reports
// whether the server is closing and the session must end.
func (srv *Server) add(s *Session) (closing bool) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.pending--
	srv.sessions[s.id] = s
	return srv.closing
}

// remove forgets a dead session.
func (srv *Server) remove(s *Session) {
	srv.mu.Lock()
	delete(srv.sessions, s.id)
	srv.mu.Unlock()
	srv.wg.Done()
}

// newID is an identifier of 120 random bits: whoever knows a session's id reads
// the session.
func newID() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// openPacket is the handshake's data, the upgrades always a list.
func (srv *Server) openPacket(id string, polling bool) []byte {
	upgrades := ""
	if polling && srv.opts.offers(WebSocket) {
		upgrades = `"` + WebSocket + `"`
	}
	return []byte(`{"sid":"` + id + `","upgrades":[` + upgrades +
		`],"pingInterval":` + strconv.FormatInt(srv.opts.PingInterval.Milliseconds(), 10) +
		`,"pingTimeout":` + strconv.FormatInt(srv.opts.PingTimeout.Milliseconds(), 10) +
		`,"maxPayload":` + strconv.FormatInt(srv.opts.MaxPayload, 10) + `}`)
}
