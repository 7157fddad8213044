// Command conformance is a small server that conformance checks and client
// libraries are pointed at: raw Engine.IO under /engine.io/ and Socket.IO under
// /socket.io/, both echoing, with short heartbeats so that a check sees them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/securelink-chat/securelink/socketio"
	"github.com/securelink-chat/securelink/socketio/engineio"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:3000", "address to listen on")
	verbose := flag.Bool("v", false, "say on standard error why sessions end")
	flag.DurationVar(&pingTimeout, "ping-timeout", pingTimeout, "time for a pong; longer for clients on a busy machine")
	flag.Parse()
	if *verbose {
		logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

var (
	pingTimeout = 200 * time.Millisecond
	logger      = slog.New(slog.DiscardHandler)
)

func options() engineio.Options {
	return engineio.Options{
		PingInterval: 300 * time.Millisecond,
		PingTimeout:  pingTimeout,
		CloseTimeout: time.Second,
		MaxPayload:   1_000_000,
		Origins:      []string{"*"},
		Log:          logger,
	}
}

func run(ctx context.Context, listen string) error {
	mux := http.NewServeMux()
	engine, err := engineio.New(options(), func(s *engineio.Session) engineio.Receiver { return echo{s} })
	if err != nil {
		return err
	}
	mux.Handle("/engine.io", engine) // a redirect to the slash would lose a POST's body
	mux.Handle("/engine.io/", engine)
	sockets, err := newSockets()
	if err != nil {
		return err
	}
	mux.Handle("/socket.io", sockets)
	mux.Handle("/socket.io/", sockets)

	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("conformance: http://%s\n", listener.Addr())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = errors.Join(engine.Shutdown(deadline), sockets.Shutdown(deadline), server.Shutdown(deadline))
	<-served
	return err
}

// echo sends every message back as it came.
type echo struct{ session *engineio.Session }

func (e echo) Message(data []byte, binary bool) {
	_ = e.session.Send(engineio.Message{Data: data, Binary: binary})
}

func (e echo) Closed(engineio.Reason) {}

func newSockets() (*socketio.Server, error) {
	srv, err := socketio.New(socketio.Options{Engine: options(), ConnectTimeout: time.Second})
	if err != nil {
		return nil, err
	}
	keepAuth := func(_ context.Context, r *socketio.Request) error {
		r.Data = r.Auth
		return nil
	}
	tellAuth := func(s *socketio.Socket) { _ = s.Emit("auth", s.Data()) }

	root := srv.Of("/")
	root.Use(keepAuth)
	root.OnConnect(tellAuth)
	root.On("message", func(s *socketio.Socket, e *socketio.Event) { _ = s.EmitArgs("message-back", e.Args) })
	root.On("message-with-ack", func(_ *socketio.Socket, e *socketio.Event) { _ = e.AckArgs(e.Args) })
	root.On("ask-me", func(s *socketio.Socket, e *socketio.Event) {
		_ = s.EmitAckArgs("question", 10*time.Second, func(answer socketio.Args, err error) {
			if err == nil {
				_ = s.EmitArgs("answer-was", answer)
			}
		}, e.Args)
	})
	root.On("kick-me", func(s *socketio.Socket, _ *socketio.Event) { s.Disconnect() })
	root.On("drop-me", func(s *socketio.Socket, _ *socketio.Event) { s.Close(socketio.ReasonForced) })

	custom := srv.Of("/custom")
	custom.Use(keepAuth)
	custom.OnConnect(tellAuth)

	guarded := srv.Of("/guarded")
	guarded.Use(func(_ context.Context, r *socketio.Request) error {
		var auth struct {
			Token string `json:"token"`
		}
		if json.Unmarshal(r.Auth, &auth) != nil || auth.Token != "letmein" {
			return &socketio.Refusal{Message: "not authorized", Data: map[string]string{"code": "E_AUTH"}}
		}
		return nil
	})
	guarded.Use(keepAuth)
	guarded.OnConnect(tellAuth)
	return srv, nil
}
