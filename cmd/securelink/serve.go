package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/securelink-chat/securelink/config"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

// serverFlags are the flags of the commands that run a core.
var serverFlags = map[string]string{
	"listen": "core.listen", "gateway-listen": "core.gateway-listen", "data": "server.data", "name": "server.name",
	"registration": "server.registration", "log": "log.level", "metrics": "metrics.listen",
}

func newServeCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a server",
		Long:  "Run a server: the core and the web page in one process. Without any option it keeps its keys and data in a folder of this user and listens on this machine only.",
		Example: "  securelink serve\n" +
			"  securelink serve --listen :7443 --web :443 --domain chat.example.org --registration invite\n" +
			"  securelink serve --config /etc/securelink/securelink.toml",
		Args: cobra.NoArgs,
	}
	flags := map[string]string{"web": "web.listen", "domain": "web.domain", "email": "web.email", "cert": "web.cert", "key": "web.key",
		"plain": "web.plain", "proxies": "web.proxies"}
	for flag, option := range serverFlags {
		flags[flag] = option
	}
	s := addSettings(cmd, flags)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := s.load()
		if err != nil {
			return err
		}
		return runServer(cmd.Context(), cfg, s.load, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// defaultGatewayListen is where a core that runs apart listens for gateways of
// its own machine.
const defaultGatewayListen = "127.0.0.1:7444"

func newCoreCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "core",
		Short: "Run the core without the web page, for gateways apart",
		Long: `Run the core without the web page: it takes terminal clients, and gateways that
run apart (securelink gateway) and prove that they know the gateway secret.`,
		Example: "  securelink core\n" +
			"  securelink core --listen :7443 --gateway-listen 10.0.0.2:7444 --data /srv/securelink",
		Args: cobra.NoArgs,
	}
	s := addSettings(cmd, serverFlags)
	load := func() (*config.Loaded, error) {
		cfg, err := s.load()
		if err != nil {
			return nil, err
		}
		cfg.Web.Listen = ""
		if cfg.From["core.gateway-listen"] == "" {
			cfg.Core.GatewayListen = defaultGatewayListen
		}
		return cfg, nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return runServer(cmd.Context(), cfg, load, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// coreSettings turns the configuration into what a core is made of.
func coreSettings(cfg *config.Config) (coreConfig, error) {
	folder, err := dataFolder(cfg)
	if err != nil {
		return coreConfig{}, err
	}
	limits, err := limitsOf(cfg)
	if err != nil {
		return coreConfig{}, fail(exitUsage, err, "All of them: securelink limits")
	}
	return coreConfig{Data: folder, Name: cfg.Server.Name, Registration: registrationMode(cfg), Limits: limits, Backups: cfg.Backup.Folder}, nil
}

// registrationMode is what is configured; else accounts are open as long as
// nobody from beyond this machine can come for one.
func registrationMode(cfg *config.Config) wire.Registration {
	switch cfg.Server.Registration {
	case "open":
		return wire.RegistrationOpen
	case "invite":
		return wire.RegistrationInvite
	case "closed":
		return wire.RegistrationClosed
	}
	for _, listen := range []string{cfg.Core.Listen, cfg.Core.GatewayListen, cfg.Web.Listen} {
		// Behind a proxy on this machine everybody can come.
		if listen != "" && !config.Local(listen) || len(cfg.Web.Proxies) > 0 {
			return wire.RegistrationInvite
		}
	}
	return wire.RegistrationOpen
}

// announce prints where to go. The administrator's link is new at every start
// until somebody has used one.
func announce(ctx context.Context, out io.Writer, s *server) error {
	fmt.Fprintf(out, "SecureLink server\n")
	if s.web != nil {
		fmt.Fprintf(out, "  Page          %s\n", s.web.URL)
		for _, note := range s.web.Notes {
			fmt.Fprintf(out, "                %s\n", note)
		}
	}
	if s.terminals != "" {
		fmt.Fprintf(out, "  Terminals     %s\n", s.terminals)
	}
	if s.gateways != "" {
		fmt.Fprintf(out, "  Gateways      %s (secret: %s)\n", s.gateways, s.secretFrom)
	}
	fmt.Fprintf(out, "  Fingerprint   %x\n", s.core.Pin)
	if s.terminals == "" {
		fmt.Fprintf(out, "Ready. Stop with Ctrl-C.\n")
		return nil
	}
	fmt.Fprintf(out, "  Try it        securelink chat %s\n", s.terminals)
	has, err := s.core.Server.HasAdmin(ctx)
	if err != nil {
		return fail(exitInternal, err, "")
	}
	if !has {
		token, err := s.core.Server.NewToken(ctx, core.TokenAdmin, 1, 0, "first administrator")
		if err != nil {
			return fail(exitInternal, err, "")
		}
		fmt.Fprintf(out, "  Administrator securelink chat '%s'\n", adminLink(s.terminals, s.core.Pin, token))
		fmt.Fprintf(out, "                (works once; whoever opens it owns the Lounge)\n")
	}
	fmt.Fprintf(out, "Ready. Stop with Ctrl-C.\n")
	return nil
}

// adminLink is what the first administrator opens. The secret is behind the #,
// where no proxy and no log sees it.
func adminLink(address string, pin [32]byte, token wire.Token) string {
	return fmt.Sprintf("securelink://%s/#pin=%x&admin=%x", address, pin, token[:])
}

// listen opens a TCP listener, or says what to do.
func listen(ctx context.Context, what, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		hint := listenHint(err)
		if errors.Is(err, errAddrInUse) {
			hint = "Is a server running already? Another address: securelink serve --listen 127.0.0.1:7445"
		}
		return nil, fail(exitNetwork, fmt.Errorf("%s: %w", what, err), hint)
	}
	return l, nil
}

// setLimits reads NAME=NUMBER.
func setLimits(limits *wire.Limits, changes []string) error {
	given := map[string]string{}
	for _, change := range changes {
		name, number, _ := strings.Cut(change, "=")
		given["limits."+name] = number
	}
	cfg, err := config.Load(config.Sources{Flags: given, Limits: configLimits()})
	if err == nil {
		*limits, err = limitsOf(&cfg.Config)
	}
	if err != nil {
		return fail(exitUsage, err, "All of them: securelink limits")
	}
	return nil
}
