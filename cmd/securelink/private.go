package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/securelink-chat/securelink/internal/metrics"
)

// startPrivate serves metrics and profiles on a listener of their own, until ctx
// ends. wait returns then. Without an address there is none.
func startPrivate(ctx context.Context, address string, registry *metrics.Registry) (wait func() error, err error) {
	if address == "" {
		return func() error { return nil }, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fail(exitUsage, fmt.Errorf("metrics cannot be served on %s: %w", address, err), listenHint(err))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", registry)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	// A profile that is being taken is not waited for.
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	return func() error {
		err := <-ended
		stop()
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	}, nil
}
