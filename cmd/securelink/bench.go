package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/securelink-chat/securelink/dial"
	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/loadgen"
	"github.com/securelink-chat/securelink/wire"
)

// benchLimits are raised on a server that bench starts: all its clients come
// from one address, and what the machine can do is what is asked.
var benchLimits = []wire.Limit{
	wire.ConnectionsPerAddress, wire.ConnectionsPerPrefix, wire.NewConnections, wire.ConnectionsTotal, wire.AccountsPerAddress, wire.LoginsPerAddress,
	wire.RequestsInFlight, wire.RequestRate, wire.SendQueueBytes, wire.SendQueueItems, wire.MessageBurst, wire.MessageRate,
	wire.HandshakeBurst, wire.HandshakeRate, wire.RoutesPerRoom,
}

const benchLimit = 1 << 30

type benchOptions struct {
	loadgen.Config
	server, pin, data, cpus, profile string
	timeout                          time.Duration
	asJSON                           bool
}

func benchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a server with many clients",
		Long: `Measure a server from the outside, with many clients over TCP. Without --server
it starts one of its own with raised limits, and removes its data at the end.

The clients open and check every record of the link, but skip MLS, so that the
server is measured and not the generator: messages are random bytes as long as
real ones. Times count from when a message was due. Against a server that is
not its own, the limits in force apply, and its accounts and rooms remain.`,
		Example: "  securelink bench --clients 1000 --rooms 100\n" +
			"  securelink bench --clients 100 --rooms 1 --rate 10\n" +
			"  taskset -c 1 securelink bench --server-cpus 0 --connects 5000 --json",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&o.server, "server", "", "measure this server (HOST:PORT), instead of one of its own")
	f.StringVar(&o.pin, "pin", "", "the server's fingerprint; with --server")
	f.StringVar(&o.data, "data", "", "folder for the data of a server of its own; a temporary one")
	f.StringVar(&o.cpus, "server-cpus", "", "processors of a server of its own, as taskset -c takes them")
	f.StringVar(&o.profile, "server-profile", "", "write a processor profile of a server of its own during the messages to this file")
	f.IntVar(&o.Clients, "clients", 100, "clients that are connected at once")
	f.IntVar(&o.Rooms, "rooms", 0, "rooms; every client is in one (clients / 10)")
	f.Float64Var(&o.Rate, "rate", 0, "messages a second in all rooms together; 0: as fast as --window lets")
	f.IntVar(&o.Window, "window", 16, "without a rate: messages of a room that are under way")
	f.IntVar(&o.Text, "text", 256, "bytes of a text")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "for how long messages are sent; 0: none")
	f.IntVar(&o.Connects, "connects", 0, "measure so many full and so many resumed connections")
	f.IntVar(&o.Keys, "keys", 4, "RSA key pairs that the clients share")
	f.IntVar(&o.Parallel, "parallel", 16, "connections that are opened at once")
	f.BoolVar(&o.Restart, "restart", false, "at the end, restart a server of its own and wait for all clients")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "give up after this time")
	f.BoolVar(&o.asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
		defer cancel()
		return o.run(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func (o *benchOptions) run(ctx context.Context, out, errOut io.Writer) (err error) {
	o.NewPerson = newBenchPerson
	o.Progress = func(what string) { fmt.Fprintf(errOut, "bench: %s\n", what) }
	if o.server != "" {
		err = o.otherServer()
	} else {
		var own *benchServer
		if own, err = o.ownServer(ctx); err == nil {
			defer func() { err = errors.Join(err, own.close()) }()
		}
	}
	if err != nil {
		return err
	}
	report, err := loadgen.Run(ctx, o.Config)
	switch {
	case errors.Is(err, loadgen.ErrConfig):
		return fail(exitUsage, err, "")
	case err != nil:
		return fail(exitNetwork, err, "Refused for a limit? A server of another process needs them raised: securelink serve --limit new-connections=100000 …")
	}
	if o.asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	return report.Table(out)
}

func (o *benchOptions) otherServer() (err error) {
	if o.data != "" || o.cpus != "" || o.profile != "" || o.Restart {
		return fail(exitUsage, errors.New("--data, --server-cpus, --server-profile and --restart are for a server of its own"), "")
	}
	if o.Address, err = dial.Address(o.server); err != nil {
		return fail(exitUsage, err, "")
	}
	if o.pin == "" {
		return nil
	}
	raw, err := hex.DecodeString(o.pin)
	if err != nil || len(raw) != len(o.Pin) {
		return fail(exitUsage, errors.New("--pin: this wants the 64 digits that the server shows as Fingerprint"), "")
	}
	o.Pin = [32]byte(raw)
	return nil
}

// benchServer is a server that bench started.
type benchServer struct {
	o       *benchOptions
	folder  string // removed at the end, unless empty
	address string
	private string
	cmd     *exec.Cmd
	exited  chan error
}

// ownServer starts this program as a server, and says in the configuration
// what is known of it.
func (o *benchOptions) ownServer(ctx context.Context) (*benchServer, error) {
	s := &benchServer{o: o}
	data := o.data
	if data == "" {
		folder, err := os.MkdirTemp("", "securelink-bench-")
		if err != nil {
			return nil, fail(exitInternal, err, "")
		}
		s.folder, data = folder, folder
	}
	o.data = data
	var err error
	if s.address, err = freeAddress(); err == nil {
		s.private, err = freeAddress()
	}
	if err != nil {
		return nil, fail(exitNetwork, errors.Join(err, s.close()), "")
	}
	if err := s.start(ctx); err != nil {
		return nil, fail(exitInternal, errors.Join(fmt.Errorf("the server does not start: %w", err), s.close()), "")
	}
	o.Address = s.address
	o.Process = loadgen.Process{PID: s.cmd.Process.Pid, Folder: data, Restart: s.restart, Live: s.live}
	if o.profile != "" {
		o.Process.Profile = s.takeProfile
	}
	return s, nil
}

// freeAddress is an address on this machine that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start runs the server and waits until it is ready.
func (s *benchServer) start(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{program, "serve", "--listen", s.address, "--web", "", "--metrics", s.private, "--data", filepath.Join(s.o.data, "server"), "--log", "error"}
	for _, l := range benchLimits {
		args = append(args, "--limit", l.String()+"="+strconv.Itoa(benchLimit))
	}
	if s.o.cpus != "" {
		args = append([]string{"taskset", "-c", s.o.cpus}, args...)
	}
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Stderr = os.Stderr
	output, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.exited = make(chan error, 1)
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(output)
		pin := ""
		for lines.Scan() {
			if p, ok := strings.CutPrefix(lines.Text(), "  Fingerprint   "); ok {
				pin = p
			}
			if strings.HasPrefix(lines.Text(), "Ready.") {
				ready <- pin
			}
		}
		s.exited <- s.cmd.Wait()
	}()
	select {
	case pin := <-ready:
		_, err := hex.Decode(s.o.Pin[:], []byte(pin))
		return err
	case err := <-s.exited:
		s.exited <- err
		return fmt.Errorf("it ended: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends the server as an operator does, and after half a minute by force.
func (s *benchServer) stop() error {
	if s.cmd == nil || s.cmd.Process == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-s.exited:
		return err
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("the server did not stop"), s.cmd.Process.Kill(), <-s.exited)
	}
}

func (s *benchServer) close() error {
	err := s.stop()
	if s.folder != "" {
		err = errors.Join(err, os.RemoveAll(s.folder))
	}
	return err
}

func (s *benchServer) restart(ctx context.Context) (int, error) {
	if err := s.stop(); err != nil {
		return 0, err
	}
	if err := s.start(ctx); err != nil {
		return 0, err
	}
	return s.cmd.Process.Pid, nil
}

func (s *benchServer) fetch(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.private+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 64<<20))
}

// live asks for a profile of the heap, which collects garbage first; its text
// form ends with the runtime's figures.
func (s *benchServer) live(ctx context.Context) (int64, error) {
	text, err := s.fetch(ctx, "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return 0, err
	}
	var sum int64
	found := 0
	for line := range strings.Lines(string(text)) {
		for _, name := range []string{"# HeapInuse = ", "# Stack = "} {
			if rest, ok := strings.CutPrefix(line, name); ok {
				rest, _, _ = strings.Cut(strings.TrimSpace(rest), " ")
				n, err := strconv.ParseInt(rest, 10, 64)
				if err != nil {
					return 0, err
				}
				sum += n
				found++
			}
		}
	}
	if found != 2 {
		return 0, errors.New("the server does not say what memory it uses")
	}
	return sum, nil
}

func (s *benchServer) takeProfile(ctx context.Context, d time.Duration) error {
	raw, err := s.fetch(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(d.Seconds()))))
	if err != nil {
		return err
	}
	return os.WriteFile(s.o.profile, raw, 0o600)
}

// benchPerson is a guest with one device.
type benchPerson struct {
	name   string
	key    *identity.Key
	device *identity.DeviceKey
	id     wire.DeviceID
	made   uint64
}

func newBenchPerson(name string) (loadgen.Person, error) {
	p := &benchPerson{name: name, key: identity.NewKey(), device: identity.NewDeviceKey(), made: uint64(time.Now().Unix())}
	_, err := rand.Read(p.id[:])
	return p, err
}

// Account implements [loadgen.Person].
func (p *benchPerson) Account(root, exporter [32]byte) (wire.Account, error) {
	profile, err := p.key.SignProfile(root, p.name, 1)
	if err != nil {
		return wire.Account{}, err
	}
	cert := p.key.Certify(root, identity.DeviceID(p.id), p.device.Public(), identity.ClassNative, p.made)
	return wire.Account{Certificate: cert.Encode(), Profile: profile.Encode(), Proof: p.Proof(root, exporter)}, nil
}

// Proof implements [loadgen.Person].
func (p *benchPerson) Proof(root, exporter [32]byte) []byte {
	sig := p.device.SignLogin(root, exporter, identity.DeviceID(p.id), p.key.User(root))
	return sig[:]
}

// Route implements [loadgen.Person].
func (p *benchPerson) Route(root [32]byte) wire.Route {
	return wire.Route{User: wire.UserID(p.key.User(root)), Device: p.id}
}
