package main

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/securelink-chat/securelink/client"
	store "github.com/securelink-chat/securelink/clientstore/sqlite"
	"github.com/securelink-chat/securelink/dial"
	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/profile"
	"github.com/securelink-chat/securelink/line"
	"github.com/securelink-chat/securelink/link"
)

// clientFlags are what chat, send and listen have in common.
type clientFlags struct {
	profile string
	home    string
	verbose bool
}

func (f *clientFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.profile, "profile", profile.DefaultName, "which of your profiles to use")
	cmd.Flags().StringVar(&f.home, "home", "", "folder of all profiles (default: $SECURELINK_HOME, or your configuration)")
	cmd.Flags().BoolVar(&f.verbose, "verbose", false, "write a log of what the client does to the standard error")
}

// target is where to go: a server, and what a link says beside it.
type target struct {
	address string   // host:port; of a page scheme://host:port
	host    string   // of a page: where terminals go by themselves
	pin     [32]byte // zero: not known
	link    string   // of a room
	admin   string   // the administrator's link
}

// parseTarget reads what stands behind "chat": nothing, an address or a link.
func parseTarget(arg string) (target, error) {
	if l, err := client.ParseLink(arg); err == nil {
		t := target{pin: l.Pin, link: arg}
		if !l.Web {
			t.address, err = dial.Address(l.Server)
			return t, err
		}
		if t.address, err = dial.Origin(arg); err != nil {
			return t, err
		}
		page, err := url.Parse(t.address)
		if err != nil {
			return t, dial.ErrAddress
		}
		t.host, err = dial.Address(page.Hostname())
		return t, err
	}
	if rest, ok := strings.CutPrefix(arg, "securelink:"); ok {
		place, fragment, _ := strings.Cut(rest, "#")
		values, err := url.ParseQuery(fragment)
		if err != nil {
			return target{}, dial.ErrAddress
		}
		address, err := dial.Address(strings.Trim(place, "/"))
		t := target{address: address}
		if pin, bad := hex.DecodeString(values.Get("pin")); bad == nil && len(pin) == 32 {
			t.pin = [32]byte(pin)
		}
		if values.Has("admin") {
			t.admin = arg
		}
		return t, err
	}
	address, err := dial.Address(arg)
	return target{address: address}, err
}

// dialer connects to it: a page's address does not say where terminals are
// served, so what a browser's link leads to is reached as the browser does. The
// page's certificate is not asked for: many who run a server at home have none
// that a system vouches for, the way of terminals has no TLS at all, and whom
// one talks to is decided by the secure link inside, by the pin in the link.
func (t target) dialer() client.Dialer {
	if strings.Contains(t.address, "://") {
		return dial.Web{Origin: t.address, TLS: &tls.Config{InsecureSkipVerify: true}}
	}
	return dial.TCP{Address: t.address}
}

// opened is a profile with its engine, ready to run.
type opened struct {
	engine *client.Engine
	hub    *line.Hub // what uses the engine does so through it
	folder *profile.Folder
	store  *store.Store
	pool   *link.KeyPool
	fresh  bool // the server was met for the first time
	pin    [32]byte
}

// open finds the server's pin and opens the profile for it. A profile that
// somebody else writes is profile.ErrBusy, with its path.
func (f *clientFlags) open(ctx context.Context, t target, log io.Writer) (_ *opened, path string, err error) {
	home := f.home
	if home == "" {
		if home, err = profile.Home(); err != nil {
			return nil, "", fail(exitInternal, err, "")
		}
	}
	o := &opened{pool: link.NewKeyPool(1)}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	if err := o.meet(ctx, home, t); err != nil {
		return nil, "", err
	}
	path, err = profile.Path(home, o.pin, f.profile)
	if err != nil {
		return nil, "", fail(exitUsage, err, "")
	}
	if o.folder, err = claim(ctx, home, o.pin, f.profile); err != nil {
		if errors.Is(err, profile.ErrBusy) {
			return nil, path, fail(exitUsage, fmt.Errorf("the profile %q cannot be used now: %w", f.profile, err),
				"Close that one, or use another: --profile NAME")
		}
		return nil, path, fail(exitInternal, err, "")
	}
	if o.store, err = store.Open(ctx, o.folder.Database()); err != nil {
		return nil, path, fail(exitInternal, err, "")
	}
	cfg := client.Config{
		Storage: o.store, Dialer: t.dialer(), Pin: o.pin, RSA: o.pool,
		Class: identity.ClassNative, Version: version(), Server: t.address,
	}
	if f.verbose {
		cfg.Logger = writerLog{log}
	}
	if o.engine, err = client.New(cfg); err != nil {
		return nil, path, fail(exitInternal, err, "")
	}
	o.hub = line.NewHub(o.engine)
	return o, path, nil
}

// meet learns the server's pin: from the link, from an earlier visit, or by
// asking it for the first time. A link that contradicts an earlier visit is
// refused.
func (o *opened) meet(ctx context.Context, home string, t target) error {
	known, visited, err := profile.KnownPin(home, t.address)
	if err == nil && !visited && t.host != "" {
		// A page that was not seen before, of a host that terminals know.
		known, visited, err = profile.KnownPin(home, t.host)
	}
	if err != nil {
		return fail(exitInternal, err, "")
	}
	switch {
	case visited && t.pin != [32]byte{} && known != t.pin:
		return fail(exitUntrusted, fmt.Errorf("the link names another key for %s than this machine knows", t.address),
			"The server was set up anew, or somebody is in between. Ask who runs it.")
	case visited:
		o.pin = known
		return nil
	case t.pin != [32]byte{}:
		o.pin = t.pin
	default:
		if o.pin, err = o.ask(ctx, t); err != nil {
			return err
		}
		o.fresh = true
	}
	if err := profile.RememberPin(home, t.address, o.pin); err != nil {
		return fail(exitInternal, err, "")
	}
	return nil
}

// ask makes one secure link to see whose it is.
func (o *opened) ask(ctx context.Context, t target) ([32]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	fc, err := t.dialer().Dial(ctx)
	if err != nil {
		return [32]byte{}, fail(exitNetwork, fmt.Errorf("no server answers at %s", t.address), "Is it running? Start one with: securelink serve")
	}
	conn, err := link.Client(ctx, fc, link.ClientConfig{RSA: o.pool})
	if err != nil {
		return [32]byte{}, fail(exitNetwork, fmt.Errorf("what answers at %s is not a SecureLink server: %w", t.address, err), "Check the address and the port.")
	}
	defer conn.Close()
	return link.Fingerprint(conn.PeerRoot()), nil
}

// close gives everything back, the lock last.
func (o *opened) close() error {
	var errs []error
	if o.store != nil {
		errs = append(errs, o.store.Close())
	}
	if o.folder != nil {
		errs = append(errs, o.folder.Close())
	}
	o.pool.Close()
	return errors.Join(errs...)
}

// writerLog writes the engine's log as lines.
type writerLog struct{ out io.Writer }

// Log implements [client.Logger].
func (l writerLog) Log(level int, message string, pairs ...any) {
	if level < client.LogInfo {
		return
	}
	text := fmt.Sprintf("%s %s", time.Now().Format("15:04:05.000"), message)
	for i := 0; i+1 < len(pairs); i += 2 {
		text += fmt.Sprintf(" %v=%v", pairs[i], pairs[i+1])
	}
	fmt.Fprintln(l.out, text)
}

// atTerminal reports whether a person is at the other end of a file.
func atTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
