// Package socketio is a Socket.IO server of protocol revision 5, on the
// Engine.IO 4 of its subpackage engineio: what npm's socket.io-client 3 and 4
// and python-socketio 5 speak.
//
// Arguments of events reach their handlers as raw JSON and byte slices and are
// decoded there, so that numbers keep their form and no reflection is spent on
// what nobody looks at. Events whose one argument is bytes have a path of their
// own in both directions, [Namespace.OnBinary] and [Socket.EmitBinary].
//
// Handlers of one connection run one after the other, in the order in which
// their events came, on a goroutine that exists only while there is something
// to handle. They may block: then the connection is not read any further once
// Options.MaxPending events wait, while pings go on and acknowledgements that
// were read before still arrive.
//
// It follows https://github.com/socketio/socket.io-protocol (v5). Everything
// that a peer can make the server hold is bounded by an option.
package socketio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/socketio/engineio"
)

// Options bound and tune a [Server]. The zero value of a field means its
// default.
type Options struct {
	// Engine are the options of the transport beneath.
	Engine engineio.Options
	// ConnectTimeout is how long a connection may be in no namespace, at its
	// beginning or later; default 45 s.
	ConnectTimeout time.Duration
	// MaxAttachments is how many attachments a packet may have; default 10, as
	// JavaScript clients have it.
	MaxAttachments int
	// MaxPacket is the size of the largest packet with its attachments, in
	// bytes; default twice Engine.MaxPayload.
	MaxPacket int64
	// MaxDepth is how deep JSON may be nested; default 256.
	MaxDepth int
	// MaxPending is how many packets of one connection may wait for their
	// handlers before the connection is not read any further; default 128.
	MaxPending int
	// MaxAcks is how many acknowledgements one socket may owe us; default 256.
	MaxAcks int
	// MaxRefused is how many CONNECT packets of one connection may be refused
	// before it is closed; default 32.
	MaxRefused int
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o Options) complete() (Options, error) {
	orDefault(&o.ConnectTimeout, 45*time.Second)
	orDefault(&o.MaxAttachments, 10)
	orDefault(&o.MaxPacket, 2*o.Engine.MaxPayload)
	orDefault(&o.MaxDepth, 256)
	orDefault(&o.MaxPending, 128)
	orDefault(&o.MaxAcks, 256)
	orDefault(&o.MaxRefused, 32)
	if o.ConnectTimeout < 0 || o.MaxAttachments < 0 || o.MaxPacket < 0 || o.MaxDepth < 1 || o.MaxPending < 1 ||
		o.MaxAcks < 0 || o.MaxRefused < 0 {
		return o, errors.New("socketio: a bound in options is out of range")
	}
	return o, nil
}

// Reason says why a socket was disconnected.
type Reason = engineio.Reason

// Reasons, in the words of Node's server where it has some. An application may
// close sockets with its own.
const (
	ReasonTransportClose = engineio.ReasonTransportClose
	ReasonTransportError = engineio.ReasonTransportError
	ReasonPingTimeout    = engineio.ReasonPingTimeout
	ReasonParse          = engineio.ReasonParse
	ReasonSlow           = engineio.ReasonSlow
	ReasonForced         = engineio.ReasonForced
	ReasonShutdown       = engineio.ReasonShutdown

	ReasonServer   Reason = "server namespace disconnect" // [Socket.Disconnect]
	ReasonClient   Reason = "client namespace disconnect" // the client left the namespace
	ReasonConnect  Reason = "connect timeout"             // in no namespace for too long
	ReasonRefused  Reason = "too many refused connects"
	ReasonPanicked Reason = "handler panicked"
)

var (
	// ErrClosed is returned for a socket that is not connected any more.
	ErrClosed = engineio.ErrClosed
	// ErrSlow is returned by the call that made a connection be cut because its
	// peer does not read.
	ErrSlow = engineio.ErrSlow
	// ErrTimeout is returned when an acknowledgement does not come in time.
	ErrTimeout = errors.New("socketio: no acknowledgement in time")
	// ErrTooManyAcks is returned when a socket owes too many acknowledgements.
	ErrTooManyAcks = errors.New("socketio: too many acknowledgements outstanding")
)

// Server is an http.Handler that serves Socket.IO, under whatever path it is
// mounted ("/socket.io/" is where clients look). Its namespaces and their
// handlers are to be registered before it serves.
type Server struct {
	opts       Options
	engine     *engineio.Server
	namespaces map[string]*Namespace
	// binary finds the handler of an event by the packet's whole text; see
	// binaryEvent.
	binary map[string]*binaryRoute
	log    *slog.Logger
	wg     sync.WaitGroup // dispatchers
}

// New makes a server without namespaces; "/" too exists only once it is asked
// for with [Server.Of].
func New(opts Options) (*Server, error) {
	srv := &Server{namespaces: map[string]*Namespace{}, binary: map[string]*binaryRoute{}}
	engine, err := engineio.New(opts.Engine, srv.open)
	if err != nil {
		return nil, fmt.Errorf("socketio: %w", err)
	}
	opts.Engine = engine.Options()
	if opts, err = opts.complete(); err != nil {
		return nil, err
	}
	srv.engine, srv.opts, srv.log = engine, opts, opts.Engine.Log
	return srv, nil
}

// Of is the namespace of that name, made if there is none. A name begins with a
// slash and has no comma; another panics, as does a route that cannot be in
// net/http.
func (srv *Server) Of(name string) *Namespace {
	if !strings.HasPrefix(name, "/") || strings.Contains(name, ",") || len(name) > maxNamespace {
		panic("socketio: no name for a namespace: " + name)
	}
	ns := srv.namespaces[name]
	if ns == nil {
		ns = newNamespace(srv, name)
		srv.namespaces[name] = ns
	}
	return ns
}

// ServeHTTP serves one request of a client.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	srv.engine.ServeHTTP(w, r)
}

// Sessions is the number of open connections.
func (srv *Server) Sessions() int { return srv.engine.Sessions() }

// Shutdown refuses new connections, ends all others (what was emitted goes out
// first) and waits for their handlers and every goroutine of the server. When
// ctx ends first, connections are cut and ctx's error is returned; handlers
// that do not return then are waited for no longer.
func (srv *Server) Shutdown(ctx context.Context) error {
	err := srv.engine.Shutdown(ctx)
	finished := make(chan struct{})
	go func() {
		srv.wg.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
