package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/securelink-chat/securelink/config"
	"github.com/securelink-chat/securelink/gateway"
	"github.com/securelink-chat/securelink/internal/metrics"
)

// webOptions is what a web tier is made of.
type webOptions struct {
	cfg     *config.Loaded
	core    gateway.Core
	ready   func(context.Context) error
	pin     string // hex fingerprint of the core's root key, or empty
	files   fs.FS  // the web app
	build   string // its hash
	folder  string // for certificates
	log     *slog.Logger
	metrics *metrics.Registry
}

// webServer is a web tier that runs.
type webServer struct {
	URL   string   // where the page is
	Notes []string // what people should know of it, a line each
	gw    *gateway.Gateway
	ended chan error
}

// startWeb opens the web tier's listener and serves on it until ctx ends.
func startWeb(ctx context.Context, o webOptions) (*webServer, error) {
	limits, err := limitsOf(&o.cfg.Config)
	if err != nil {
		return nil, err
	}
	proxies, err := o.cfg.Web.ProxyPrefixes()
	if err != nil {
		return nil, err
	}
	w := &webServer{ended: make(chan error, 1)}
	l, err := net.Listen("tcp", o.cfg.Web.Listen)
	if err != nil {
		return nil, fail(exitUsage, fmt.Errorf("the web page cannot be served on %s: %w", o.cfg.Web.Listen, err), listenHint(err))
	}
	tlsConfig, hsts, err := w.transport(o, l.Addr().(*net.TCPAddr))
	if err == nil {
		w.gw, err = gateway.New(gateway.Config{
			Core: o.core, Files: o.files, Ready: o.ready, Origins: o.cfg.Web.Origins, Proxies: proxies, Limits: gatewayLimits(&limits),
			App:     gateway.App{Name: o.cfg.Server.Name, Pin: o.pin, Version: version(), Build: o.build},
			Contact: o.cfg.Web.Contact, HSTS: hsts, Log: o.log, Metrics: o.metrics,
		})
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	go func() { w.ended <- w.gw.Serve(ctx, l, tlsConfig) }()
	return w, nil
}

// Wait returns when the context has ended and every socket with it, or when
// serving failed.
func (w *webServer) Wait() error { return <-w.ended }

// reload takes over what can change in a running gateway.
func (w *webServer) reload(cfg *config.Loaded) error {
	limits, err := limitsOf(&cfg.Config)
	if err != nil {
		return err
	}
	proxies, err := cfg.Web.ProxyPrefixes()
	if err != nil {
		return err
	}
	w.gw.Reload(gatewayLimits(&limits), proxies)
	return nil
}

// transport chooses between plain HTTP and the ways to a certificate, and says
// where the page is. hsts is true for certificates that browsers accept.
func (w *webServer) transport(o webOptions, addr *net.TCPAddr) (c *tls.Config, hsts bool, err error) {
	web, port := o.cfg.Web, strconv.Itoa(addr.Port)
	host, _, _ := net.SplitHostPort(web.Listen)
	switch {
	case web.Domain != "":
		folder := filepath.Join(o.folder, "acme")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, false, err
		}
		w.URL = "https://" + web.Domain
		if addr.Port != 443 {
			w.URL += ":" + port
			w.Notes = append(w.Notes, "Let's Encrypt connects to port 443 of "+web.Domain+": it must be led to port "+port+" here.")
		}
		return gateway.ACME(folder, web.Email, web.ACME, o.log, web.Domain), true, nil
	case web.Cert != "":
		if c, err = gateway.CertificateFiles(web.Cert, web.Key, o.log); err != nil {
			return nil, false, fail(exitUsage, err, "web.cert and web.key name PEM files")
		}
		w.URL = "https://" + net.JoinHostPort(shownHost(host), port)
		return c, true, nil
	case config.Local(web.Listen):
		// localhost is a secure context: browsers give the page what it needs.
		w.URL = "http://" + net.JoinHostPort(localName(host), port)
		return nil, false, nil
	case web.Plain:
		w.URL = "http://" + net.JoinHostPort(shownHost(host), port)
		w.Notes = append(w.Notes, "Plain HTTP: browsers run the page only when it comes through a proxy that speaks HTTPS.")
		return nil, false, nil
	}
	if err := os.MkdirAll(o.folder, 0o700); err != nil {
		return nil, false, err
	}
	c, fingerprint, err := gateway.SelfSigned(o.folder, certHosts(host), time.Now())
	if err != nil {
		return nil, false, err
	}
	w.URL = "https://" + net.JoinHostPort(shownHost(host), port)
	w.Notes = append(w.Notes,
		"Certificate (SHA-256): "+fingerprint,
		"Nobody but this server signed it, so a browser will say that the connection is not private: look at the certificate there, and go on only if its SHA-256 fingerprint is the one above.")
	return c, false, nil
}

// localName is how a page on this machine is called: "localhost" where it was
// asked for, or nothing was.
func localName(host string) string {
	if host == "" {
		return "localhost"
	}
	return host
}

// shownHost is a name for host that others can connect to: the first address of
// this machine where it listens on all.
func shownHost(host string) string {
	if addr, err := netip.ParseAddr(host); host != "" && (err != nil || !addr.IsUnspecified()) {
		return host
	}
	for _, a := range ownAddresses() {
		if a.Is4() && !a.IsLoopback() {
			return a.String()
		}
	}
	return "localhost"
}

// certHosts is what a self-signed certificate is for: where it listens, or every
// name and address of this machine.
func certHosts(host string) []string {
	hosts := []string{"localhost"}
	if addr, err := netip.ParseAddr(host); host != "" && (err != nil || !addr.IsUnspecified()) {
		return append(hosts, host)
	}
	if name, err := os.Hostname(); err == nil && name != "localhost" {
		hosts = append(hosts, name)
	}
	for _, a := range ownAddresses() {
		hosts = append(hosts, a.String())
	}
	return hosts
}

// ownAddresses lists this machine's, without those that mean something on one
// link only.
func ownAddresses() []netip.Addr {
	var out []netip.Addr
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && !p.Addr().IsLinkLocalUnicast() && !slices.Contains(out, p.Addr().Unmap()) {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// listenHint says what to do about a listener that does not open.
func listenHint(err error) string {
	switch {
	case errors.Is(err, errAddrInUse):
		return "Another program listens there. Choose another port, as --set web.listen=localhost:8081"
	case errors.Is(err, os.ErrPermission):
		return "Ports below 1024 need a right: run it by the systemd unit, or give the binary cap_net_bind_service"
	}
	return ""
}
