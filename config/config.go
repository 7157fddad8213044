// Package config is the server's configuration: one struct, filled in from
// defaults, a file, the environment and flags, in this order, the later ones
// winning. Every option has one name, `section.key`, the same in all four:
//
//	[web]
//	listen = "localhost:8080"         in the file, which is TOML
//	SECURELINK_WEB_LISTEN             in the environment; secrets also as …_FILE
//	--set web.listen=localhost:8080   as a flag (and some have one of their own)
//
// A name that nobody knows is an error, with the one that was probably meant:
// a mistyped limit must not become the default in silence. The annotated file
// that [Annotated] prints is made from the struct itself.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Config is every option. The tags hold what the file says about it; `change`
// marks what a reload can change in a running server.
type Config struct {
	Server  Server  `section:"server" about:"What this server is called, and where it keeps everything."`
	Core    Core    `section:"core" about:"The chat core: what terminal clients and gateways connect to."`
	Web     Web     `section:"web" about:"The web tier: the page, and the sockets of browsers."`
	Log     Log     `section:"log" about:"What the server says of itself. It never says what people write, and shortens addresses."`
	Metrics Metrics `section:"metrics" about:"Prometheus metrics and Go profiles, for this machine or a private network only."`
	Backup  Backup  `section:"backup" about:"Where backups go. Restoring needs one folder: the server's data, or a backup of it."`
	// Limits holds the numbers that were set, by the limit's name.
	Limits map[string]int64
}

// Server is the section of that name; so are the types below.
type Server struct {
	Name         string `key:"name" about:"shown on the page and in clients"`
	Data         string `key:"data" about:"folder with the database and the keys, readable by the server alone; empty: the usual place for this user"`
	Registration string `key:"registration" about:"who may make an account: open, invite (with a token), closed; empty: open on this machine alone, else invite" change:"yes"`
	Public       bool   `key:"public" about:"listen beyond this machine though the server has no name of its own (server.name or web.domain)"`
}

// Core configures the chat core.
type Core struct {
	Listen        string `key:"listen" about:"TCP address for terminal clients; empty: none"`
	GatewayListen string `key:"gateway-listen" about:"TCP address for gateways that run apart; empty: none"`
	GatewaySecret string `key:"gateway-secret" about:"what gateways prove themselves with, 32 characters or more; empty: the file gateway-secret in the data folder" secret:"yes"`
}

// Web configures the web tier.
type Web struct {
	Listen  string   `key:"listen" about:"address of the page; empty: no web tier"`
	Core    string   `key:"core" about:"where the core listens for gateways, host:port; for securelink gateway only"`
	Domain  string   `key:"domain" about:"get certificates for this name from Let's Encrypt (the server must be reachable as port 443)"`
	Email   string   `key:"email" about:"told to Let's Encrypt, for warnings"`
	ACME    string   `key:"acme" about:"directory of another authority that speaks ACME, as https://ca.internal/acme/acme/directory; empty: Let's Encrypt"`
	Cert    string   `key:"cert" about:"certificate file (PEM, with its chain); read again when it changes"`
	Key     string   `key:"key" about:"its key file"`
	Plain   bool     `key:"plain" about:"speak plain HTTP on an address beyond this machine: only behind a proxy that speaks HTTPS"`
	Proxies []string `key:"proxies" about:"addresses or ranges of proxies whose X-Forwarded-For is believed; none by default, for anybody can write that header" change:"yes"`
	Origins []string `key:"origins" about:"origins whose pages may open sockets, as https://chat.example.org; empty: the page's own"`
	Pin     string   `key:"pin" about:"hex fingerprint of the core's root key, shown by the page; for securelink gateway only"`
	Contact string   `key:"contact" about:"mail address or URL for security reports (/.well-known/security.txt)"`
}

// Log configures the log.
type Log struct {
	Level  string `key:"level" about:"debug, info, warn or error" change:"yes"`
	Format string `key:"format" about:"text, json, or auto: text on a terminal"`
}

// Metrics configures the private listener.
type Metrics struct {
	Listen string `key:"listen" about:"address for /metrics and /debug/pprof; empty: none"`
	Public bool   `key:"public" about:"allow an address that is not private"`
}

// Backup configures backups.
type Backup struct {
	Folder string `key:"folder" about:"where securelink backup create puts them, and where doctor looks for the last one"`
	MaxAge int64  `key:"max-age-hours" about:"doctor warns when the last one is older"`
}

// Default is what holds where nothing else is said: a server on this machine.
func Default() Config {
	return Config{
		Server:  Server{Name: "SecureLink"},
		Core:    Core{Listen: "127.0.0.1:7443"},
		Web:     Web{Listen: "localhost:8080"},
		Log:     Log{Level: "info", Format: "auto"},
		Backup:  Backup{MaxAge: 48},
		Limits:  map[string]int64{},
		Metrics: Metrics{},
	}
}

// MinSecret is the shortest gateway secret.
const MinSecret = 32

// Check refuses what cannot work or would be dangerous, all of it at once, so
// that nothing starts with half a configuration.
func (c *Config) Check() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	oneOf := func(key, value string, allowed ...string) {
		for _, a := range allowed {
			if value == a {
				return
			}
		}
		bad(key, "%q is none of %s", value, strings.Join(allowed, ", "))
	}
	address := func(key, value string) {
		if value == "" {
			return
		}
		if _, _, err := net.SplitHostPort(value); err != nil {
			bad(key, "%q is no address and port, like localhost:8080 or :443", value)
		}
	}
	oneOf("server.registration", c.Server.Registration, "", "open", "invite", "closed")
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "auto", "text", "json")
	address("core.listen", c.Core.Listen)
	address("core.gateway-listen", c.Core.GatewayListen)
	address("web.listen", c.Web.Listen)
	address("web.core", c.Web.Core)
	address("metrics.listen", c.Metrics.Listen)
	if s := c.Core.GatewaySecret; s != "" && len(s) < MinSecret {
		bad("core.gateway-secret", "it has %d characters, and needs %d", len(s), MinSecret)
	}
	if len(c.Server.Name) > 64 || c.Server.Name == "" {
		bad("server.name", "a name has 1 to 64 bytes")
	}
	if c.Backup.MaxAge < 1 {
		bad("backup.max-age-hours", "%d is less than 1", c.Backup.MaxAge)
	}
	c.checkWeb(bad)
	c.checkName(bad)
	if !c.Metrics.Public && c.Metrics.Listen != "" && !private(c.Metrics.Listen) {
		bad("metrics.listen", "%s may be reached from anywhere, and profiles show what the server does; use localhost or a private address, or say metrics.public = true", c.Metrics.Listen)
	}
	for name, n := range c.Limits {
		if n < 1 {
			bad("limits."+name, "%d is less than 1", n)
		}
	}
	return errors.Join(errs...)
}

// checkName wants a name for a server that others can reach, so that nobody
// opens one to the world by mistake, and people can tell servers apart. A gateway
// apart has its core's.
func (c *Config) checkName(bad func(key, format string, args ...any)) {
	if c.Server.Public || c.Web.Domain != "" || c.Web.Core != "" || c.Server.Name != Default().Server.Name {
		return
	}
	for _, listen := range []string{c.Core.Listen, c.Web.Listen} {
		if _, _, err := net.SplitHostPort(listen); err == nil && !Local(listen) {
			bad("server.name", "%s can be reached from beyond this machine: give the server a name of its own, by server.name or web.domain, or say server.public = true", listen)
			return
		}
	}
}

func (c *Config) checkWeb(bad func(key, format string, args ...any)) {
	if (c.Web.Cert == "") != (c.Web.Key == "") {
		bad("web.cert", "web.cert and web.key go together")
	}
	if c.Web.Domain != "" && c.Web.Cert != "" {
		bad("web.domain", "either web.domain or web.cert and web.key, not both")
	}
	if c.Web.Plain && (c.Web.Domain != "" || c.Web.Cert != "") {
		bad("web.plain", "plain HTTP and a certificate exclude each other")
	}
	if u, err := url.Parse(c.Web.ACME); c.Web.ACME != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		bad("web.acme", "%q is no address like https://ca.internal/acme/acme/directory", c.Web.ACME)
	}
	if strings.ContainsAny(c.Web.Domain, "/:*@ ") {
		bad("web.domain", "%q is no name like chat.example.org", c.Web.Domain)
	}
	if p := c.Web.Pin; p != "" && (len(p) != 64 || strings.Trim(p, "0123456789abcdef") != "") {
		bad("web.pin", "a fingerprint has 64 hex digits, in lower case")
	}
	for _, origin := range c.Web.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			bad("web.origins", "%q is no origin like https://chat.example.org", origin)
		}
	}
	if _, err := c.Web.ProxyPrefixes(); err != nil {
		bad("web.proxies", "%v", err)
	}
}

// ProxyPrefixes reads Proxies: addresses and ranges.
func (w *Web) ProxyPrefixes() ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(w.Proxies))
	for _, text := range w.Proxies {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p.Masked())
			continue
		}
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no address or range like 10.0.0.0/8", text)
		}
		out = append(out, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
	}
	return out, nil
}

// Local says whether an address to listen on is reached from this machine only.
func Local(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// private says whether an address to listen on is this machine's or a private
// network's.
func private(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast())
}
