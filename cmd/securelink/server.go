package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"github.com/securelink-chat/securelink/config"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/gateway"
	"github.com/securelink-chat/securelink/internal/metrics"
	"github.com/securelink-chat/securelink/internal/proxyproto"
	"github.com/securelink-chat/securelink/link"
)

// server is everything that runs in one server process.
type server struct {
	cfg      *config.Loaded
	log      *logger
	registry *metrics.Registry
	folder   string

	core       *runningCore
	web        *webServer // nil without one
	terminals  string     // where they connect; empty without a listener
	gateways   string     // the same for gateways apart
	secretFrom string     // where their secret is

	ctx    context.Context // ends when one part ends
	cancel context.CancelFunc
	parts  sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

// run starts a part of the server. When one ends, all do.
func (s *server) run(part func() error) {
	s.parts.Go(func() {
		err := part()
		s.mu.Lock()
		s.errs = append(s.errs, err)
		s.mu.Unlock()
		s.cancel()
	})
}

// runServer runs a core with the listeners that are configured until ctx ends.
func runServer(ctx context.Context, cfg *config.Loaded, load func() (*config.Loaded, error), out, logTo io.Writer) (err error) {
	settings, err := coreSettings(&cfg.Config)
	if err != nil {
		return err
	}
	s := &server{cfg: cfg, log: newLogger(cfg.Log, logTo), registry: metrics.New(), folder: settings.Data}
	s.registry.Runtime(version())
	hup, stop := hangups()
	defer stop()
	settings.Metrics = s.registry
	if s.core, err = openCore(ctx, settings, s.log.Logger); err != nil {
		return err
	}
	s.countCore()
	s.ctx, s.cancel = context.WithCancel(ctx)
	// Parts first, as they use the core; the core's own clients end with it.
	defer func() {
		s.cancel()
		s.parts.Wait()
		err = errors.Join(append(append([]error{err}, s.errs...), s.core.Close())...)
	}()
	if err := s.start(); err != nil {
		return err
	}
	if err := announce(ctx, out, s); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it had begun
		}
		return err
	}
	s.parts.Go(func() { notifyReady(s.ctx, s.core.Ready) })
	s.parts.Go(func() { reloadOnSignal(s.ctx, hup, cfg, load, s.reload, s.log.Logger) })
	<-s.ctx.Done()
	fmt.Fprintln(out, "Stopping.")
	return nil
}

// start opens every listener before it serves on any: what does not open is
// told before a client has come.
func (s *server) start() error {
	var open []io.Closer
	undo := func(err error) error {
		for _, c := range open {
			err = errors.Join(err, c.Close())
		}
		return err
	}
	var terminals, gateways net.Listener
	var err error
	if s.cfg.Core.Listen != "" {
		if terminals, err = listen(s.ctx, "terminals", s.cfg.Core.Listen); err != nil {
			return err
		}
		s.terminals = terminals.Addr().String()
		open = append(open, terminals)
	}
	var verifier *proxyproto.Verifier
	if s.cfg.Core.GatewayListen != "" {
		if gateways, verifier, err = s.openGateways(); err != nil {
			return undo(err)
		}
		s.gateways = gateways.Addr().String()
		open = append(open, gateways)
	}
	admin, err := openAdmin(s.folder)
	if err != nil {
		return undo(fail(exitInternal, err, "The data folder must be on a file system that has sockets, under a path of at most 90 bytes."))
	}
	open = append(open, admin)
	waitPrivate, err := startPrivate(s.ctx, s.cfg.Metrics.Listen, s.registry)
	if err != nil {
		return undo(err)
	}
	s.run(waitUntil(s.ctx, waitPrivate))
	if s.cfg.Web.Listen != "" {
		if err := s.startWeb(); err != nil {
			return undo(err)
		}
		s.run(s.web.Wait)
	}
	s.run(func() error { return s.serveAdmin(s.ctx, admin) })
	if terminals != nil {
		s.run(func() error { return serveTCP(s.ctx, terminals, s.core.Server, s.log.Logger) })
	}
	if gateways != nil {
		s.run(func() error { return verifier.Serve(s.ctx, gateways, s.refused, s.serveGateway) })
	}
	return nil
}

// waitUntil waits for ctx before it waits for a part that may end at once.
func waitUntil(ctx context.Context, wait func() error) func() error {
	return func() error {
		<-ctx.Done()
		return wait()
	}
}

// startWeb runs the gateway in this process. Where nobody asked for the port
// and another program has it, the page takes any that is free.
func (s *server) startWeb() error {
	o := webOptions{
		cfg: s.cfg, pin: fmt.Sprintf("%x", s.core.Pin), ready: s.core.Ready, files: appFiles(), build: appHash(), folder: s.folder,
		log: s.log.Logger, metrics: s.registry,
		core: gateway.CoreFunc(func(ctx context.Context, fc gateway.FrameConn) error { return s.core.Server.Serve(ctx, fc) }),
	}
	var err error
	s.web, err = startWeb(s.ctx, o)
	if errors.Is(err, errAddrInUse) && s.cfg.From["web.listen"] == "" {
		free := *s.cfg
		free.Web.Listen = "localhost:0"
		o.cfg = &free
		s.web, err = startWeb(s.ctx, o)
	}
	return err
}

// openGateways opens the listener for gateways apart.
func (s *server) openGateways() (net.Listener, *proxyproto.Verifier, error) {
	secret, err := gatewaySecret(&s.cfg.Config, s.folder, true)
	if err != nil {
		return nil, nil, err
	}
	s.secretFrom = s.folder + "/" + secretFile
	if from := s.cfg.From["core.gateway-secret"]; from != "" {
		s.secretFrom = from
	}
	verifier, err := proxyproto.NewVerifier(secret, nil)
	if err != nil {
		return nil, nil, fail(exitUsage, err, "")
	}
	l, err := listen(s.ctx, "gateways", s.cfg.Core.GatewayListen)
	return l, verifier, err
}

// refused hears of connections to the gateway listener that were no gateway's.
func (s *server) refused(from netip.AddrPort, err error) {
	s.log.Warn("a connection to the gateway listener was refused", "from", network(from.Addr()), "why", err)
}

// network is an address cut to its network, /24 or /48, as all addresses in the
// log are.
func network(addr netip.Addr) string {
	bits := 48
	if addr = addr.Unmap(); addr.Is4() {
		bits = 24
	}
	p, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return "unknown"
	}
	return p.String()
}

// relayed is a client's connection that a gateway opened.
type relayed struct {
	*link.NetFrames
	client netip.AddrPort
}

// RemoteAddr is the client, not the gateway.
func (r relayed) RemoteAddr() netip.AddrPort { return r.client }

func (s *server) serveGateway(ctx context.Context, c net.Conn, client netip.AddrPort) {
	_ = s.core.Server.Serve(ctx, relayed{link.NetConn(c), client}) // why it ended is in the log
}

// reload takes over what can change while the server runs. What cannot be taken
// over is found before anything is.
func (s *server) reload(next *config.Loaded) error {
	limits, err := limitsOf(&next.Config)
	if err != nil {
		return err
	}
	if s.web != nil {
		if err := s.web.reload(next); err != nil {
			return err
		}
	}
	// The mode that follows from where it listens follows from where it does.
	inForce := s.cfg.Config
	inForce.Server.Registration = next.Server.Registration
	s.core.Server.Reload(limits, registrationMode(&inForce))
	s.log.setLevel(next.Log.Level)
	return nil
}

// countCore shows the core's counts as metrics.
func (s *server) countCore() {
	var now core.Stats
	s.registry.BeforeScrape(func() { now = s.core.Server.Stats() })
	for name, g := range map[string]struct {
		about string
		value func() int
	}{
		"securelink_core_connections": {"clients connected, their handshake done", func() int { return now.Connections }},
		"securelink_core_devices":     {"devices connected now or lately", func() int { return now.Devices }},
		"securelink_core_rooms":       {"rooms in memory", func() int { return now.Rooms }},
		"securelink_core_writes":      {"jobs that wait for the store", func() int { return now.Waiting }},
	} {
		s.registry.GaugeFunc(name, g.about, func() float64 { return float64(g.value()) })
	}
}
