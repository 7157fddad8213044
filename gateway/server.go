package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Deadlines of HTTP. A poll is held for one ping interval (25 s) at most.
const (
	headerTime   = 5 * time.Second
	bodyTime     = 30 * time.Second
	answerTime   = 90 * time.Second
	downloadTime = 5 * time.Minute // of the app's largest file: 5 KiB a second are enough
	keepTime     = 60 * time.Second
	drainTime    = 10 * time.Second
	headerBytes  = 16 << 10
)

// Serve answers on l until ctx ends, then drains: new clients are refused,
// sockets end, requests finish. tlsConfig is nil for plain HTTP. Of several
// Serve calls on one gateway, all must be given the same ctx.
func (g *Gateway) Serve(ctx context.Context, l net.Listener, tlsConfig *tls.Config) error {
	srv := &http.Server{
		Handler:           g,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: headerTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       keepTime,
		MaxHeaderBytes:    headerBytes,
		ConnState:         g.watchConns(),
		// What net/http would say here names addresses, and anybody can make it
		// say it.
		ErrorLog: log.New(io.Discard, "", 0),
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: 100},
	}
	ended := make(chan error, 1)
	go func() {
		if tlsConfig != nil {
			ended <- srv.ServeTLS(l, "", "")
			return
		}
		ended <- srv.Serve(l)
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("gateway: %w", err)
	case <-ctx.Done():
	}
	// Sockets first: polls that are held would keep the server from its end.
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := g.Shutdown(bye)
	if err2 := srv.Shutdown(bye); err2 != nil {
		_ = srv.Close()
		err = errors.Join(err, fmt.Errorf("gateway: %w", err2))
	}
	<-ended
	return err
}

// watchConns counts TCP connections by address and closes those that are too
// many. One that became a WebSocket counts as a socket instead.
func (g *Gateway) watchConns() func(net.Conn, http.ConnState) {
	var counted sync.Map // net.Conn to netip.Addr
	return func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			peer, err := netip.ParseAddrPort(c.RemoteAddr().String())
			if err != nil || g.trusts(peer.Addr()) {
				return
			}
			if !g.book.connect(peer.Addr()) {
				g.count.refusedConns.Add(1)
				_ = c.Close()
				return
			}
			counted.Store(c, peer.Addr())
		case http.StateClosed, http.StateHijacked:
			if addr, ok := counted.LoadAndDelete(c); ok {
				g.book.disconnect(addr.(netip.Addr))
			}
		}
	}
}

// trusts says whether addr is a proxy whose X-Forwarded-For is believed.
func (g *Gateway) trusts(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range *g.proxies.Load() {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// clientAddr is who asks: the peer of the connection, or, as long as that is a
// trusted proxy, whom it names. What an untrusted peer writes into the header
// counts for nothing, and neither does what stands left of it.
func (g *Gateway) clientAddr(r *http.Request) netip.AddrPort {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}
	}
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	if !g.trusts(peer.Addr()) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		peer = hop
		if !g.trusts(hop.Addr()) {
			break
		}
	}
	return peer
}

// parseHop reads one address of X-Forwarded-For; some proxies add the port.
func parseHop(s string) (netip.AddrPort, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(addr.Unmap().WithZone(""), 0), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), true
	}
	return netip.AddrPort{}, false
}
