package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/internal/profile"
	"github.com/securelink-chat/securelink/wire"
)

// defaultListen is where terminals of this machine find a server that was not
// told otherwise.
const defaultListen = "127.0.0.1:7443"

type serveOptions struct {
	listen       string
	data         string
	name         string
	registration string
	limits       []string
	logLevel     string
}

func newServeCmd() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a server",
		Long:  "Run a server. Without any option it keeps its keys and data in a folder of this user and listens on this machine only.",
		Example: "  securelink serve\n" +
			"  securelink serve --listen :7443 --data /srv/securelink --registration invite",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", defaultListen, "address for terminals")
	f.StringVar(&o.data, "data", "", "folder for keys and data (default: server, beside the profiles)")
	f.StringVar(&o.name, "name", "SecureLink", "what the server calls itself")
	f.StringVar(&o.registration, "registration", "", "who may make an account: open, invite or closed (default: open on this machine, invite beyond it)")
	f.StringArrayVar(&o.limits, "limit", nil, "NAME=NUMBER: change a limit (see: securelink limits)")
	f.StringVar(&o.logLevel, "log", "info", "what to log: debug, info, warn or error")
	return cmd
}

// serve runs a server until ctx ends.
func serve(ctx context.Context, o serveOptions, out, errOut io.Writer) (err error) {
	log, err := newLog(errOut, o.logLevel)
	if err != nil {
		return fail(exitUsage, err, "")
	}
	cfg, err := o.core()
	if err != nil {
		return err
	}
	running, err := openCore(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.Close()) }()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fail(exitNetwork, fmt.Errorf("listen: %w", err), "Is a server running already? Another address: securelink serve --listen 127.0.0.1:7444")
	}
	if err := announce(ctx, out, running, l.Addr().String()); err != nil {
		return errors.Join(err, l.Close())
	}
	err = serveTCP(ctx, l, running.Server, log)
	fmt.Fprintln(out, "Stopping.")
	return err
}

// core turns the options into what a core is made of.
func (o *serveOptions) core() (coreConfig, error) {
	cfg := coreConfig{Data: o.data, Name: o.name, Limits: wire.DefaultLimits()}
	if cfg.Data == "" {
		home, err := profile.Home()
		if err != nil {
			return cfg, fail(exitUsage, err, "Say where: securelink serve --data FOLDER")
		}
		cfg.Data = filepath.Join(home, "server")
	}
	mode := o.registration
	if mode == "" {
		mode = "open"
		if !onlyHere(o.listen) {
			mode = "invite"
		}
	}
	modes := map[string]wire.Registration{"open": wire.RegistrationOpen, "invite": wire.RegistrationInvite, "closed": wire.RegistrationClosed}
	var ok bool
	if cfg.Registration, ok = modes[mode]; !ok {
		return cfg, fail(exitUsage, fmt.Errorf("registration is open, invite or closed, not %q", mode), "")
	}
	return cfg, setLimits(&cfg.Limits, o.limits)
}

// setLimits reads NAME=NUMBER.
func setLimits(limits *wire.Limits, changes []string) error {
	for _, change := range changes {
		name, number, _ := strings.Cut(change, "=")
		which, err := wire.ParseLimit(name)
		if err != nil {
			return fail(exitUsage, err, "All of them: securelink limits")
		}
		value, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return fail(exitUsage, fmt.Errorf("limit %s: %q is no number", name, number), "")
		}
		if err := limits.Set(which, value); err != nil {
			return fail(exitUsage, err, "")
		}
	}
	return nil
}

// onlyHere says whether an address is reached from this machine alone.
func onlyHere(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// announce prints where to go. The administrator's link is new at every start
// until somebody has used one.
func announce(ctx context.Context, out io.Writer, running *runningCore, address string) error {
	fmt.Fprintf(out, "SecureLink server\n")
	fmt.Fprintf(out, "  Terminals     %s\n", address)
	fmt.Fprintf(out, "  Fingerprint   %x\n", running.Pin)
	fmt.Fprintf(out, "  Try it        securelink chat %s\n", address)
	has, err := running.Server.HasAdmin(ctx)
	if err != nil {
		return fail(exitInternal, err, "")
	}
	if !has {
		token, err := running.Server.NewToken(ctx, core.TokenAdmin, 1, 0, "first administrator")
		if err != nil {
			return fail(exitInternal, err, "")
		}
		fmt.Fprintf(out, "  Administrator securelink chat '%s'\n", adminLink(address, running.Pin, token))
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

// newLog logs as text to a terminal, and as JSON otherwise.
func newLog(out io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("the log level is debug, info, warn or error, not %q", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return slog.New(slog.NewTextHandler(out, opts)), nil
		}
	}
	return slog.New(slog.NewJSONHandler(out, opts)), nil
}
