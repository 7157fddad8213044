package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"github.com/securelink-chat/securelink/config"
	"github.com/securelink-chat/securelink/gateway"
	"github.com/securelink-chat/securelink/internal/metrics"
)

// webFlags are the flags of the commands that run a web tier.
var webFlags = map[string]string{
	"listen": "web.listen", "domain": "web.domain", "email": "web.email", "cert": "web.cert", "key": "web.key",
	"plain": "web.plain", "proxies": "web.proxies", "data": "server.data", "log-level": "log.level", "metrics": "metrics.listen",
}

func gatewayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gateway --core HOST:PORT",
		Short: "Run the web tier apart from the core",
		Long: `Run the web tier apart from the core: it serves the page and relays browsers'
sockets, and can read none of what passes.

  securelink gateway --core core.internal:7321 --domain chat.example.org
  SECURELINK_CORE_GATEWAY_SECRET_FILE=secret securelink gateway --core 10.0.0.2:7321 --listen :8443

The core must run with core.gateway-listen, and both with the same gateway secret:
the file gateway-secret in the core's data folder.`,
		Args: cobra.NoArgs,
	}
	flags := map[string]string{"core": "web.core"}
	for flag, option := range webFlags {
		flags[flag] = option
	}
	s := addSettings(cmd, flags)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return runGateway(cmd.Context(), s, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// runGateway serves until ctx ends.
func runGateway(ctx context.Context, s *settings, out, logTo io.Writer) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	if cfg.Web.Core == "" {
		return fail(exitUsage, errors.New("where is the core?"), "Say --core HOST:PORT, where the core's core.gateway-listen is")
	}
	folder, err := dataFolder(&cfg.Config)
	if err != nil {
		return err
	}
	secret, err := gatewaySecret(&cfg.Config, folder, false)
	if err != nil {
		return err
	}
	log := newLogger(cfg.Log, logTo)
	hup, stop := hangups()
	defer stop()
	registry := metrics.New()
	registry.Runtime(version())
	relay, err := gateway.NewRelay(gateway.RelayConfig{Addr: cfg.Web.Core, Secret: secret, Metrics: registry})
	if err != nil {
		return fail(exitUsage, err, "")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	waitPrivate, err := startPrivate(ctx, cfg.Metrics.Listen, registry)
	if err != nil {
		return err
	}
	web, err := startWeb(ctx, webOptions{cfg: cfg, core: relay, ready: relay.Ready, pin: cfg.Web.Pin, files: appFiles(), build: appHash(),
		folder: folder, log: log.Logger, metrics: registry})
	if err != nil {
		cancel()
		return errors.Join(err, waitPrivate())
	}
	printWeb(out, web)
	fmt.Fprintf(out, "Core: %s\n", cfg.Web.Core)
	if err := relay.Ready(ctx); err != nil {
		log.Warn("the core does not answer; browsers wait until it does", "err", err)
	}
	var side sync.WaitGroup
	side.Go(func() { notifyReady(ctx, func(context.Context) error { return nil }) })
	side.Go(func() {
		reloadOnSignal(ctx, hup, cfg, s.load, func(next *config.Loaded) error {
			log.setLevel(next.Log.Level)
			return web.reload(next)
		}, log.Logger)
	})
	err = web.Wait()
	cancel()
	side.Wait()
	return errors.Join(err, waitPrivate())
}

// printWeb says where the page is.
func printWeb(out io.Writer, web *webServer) {
	fmt.Fprintf(out, "Page: %s\n", web.URL)
	for _, note := range web.Notes {
		fmt.Fprintln(out, note)
	}
}
