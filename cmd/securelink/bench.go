package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/securelink-chat/securelink/dial"
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
	socketio, apart                  bool
	timeout                          time.Duration
	asJSON                           bool
}

func benchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a server with many clients",
		Long: `Measure a server from the outside, with many clients over TCP, or with --socketio
over Socket.IO as browsers come. Without --server it starts one of its own with
raised limits, and removes its data at the end.

The clients open and check every record of the link, but skip MLS, so that the
server is measured and not the generator: messages are random bytes as long as
real ones. Times count from when a message was due. Against a server that is
not its own, the limits in force apply, and its accounts and rooms remain.`,
		Example: "  securelink bench --clients 1000 --rooms 100\n" +
			"  securelink bench --clients 1000 --rooms 100 --socketio --apart\n" +
			"  securelink bench --clients 10000 --duration 0 --restart\n" +
			"  securelink bench --clients 100 --rooms 1 --rate 10\n" +
			"  taskset -c 1 securelink bench --server-cpus 0 --connects 5000 --json",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&o.server, "server", "", "measure this server, instead of one of its own: HOST:PORT, or an http address for Socket.IO")
	f.StringVar(&o.pin, "pin", "", "the server's fingerprint; with --server")
	f.BoolVar(&o.socketio, "socketio", false, "over Socket.IO, through the gateway, as browsers come")
	f.BoolVar(&o.apart, "apart", false, "with --socketio: gateway and core as two processes, whose costs are added up")
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
	if o.data != "" || o.cpus != "" || o.profile != "" || o.Restart || o.apart {
		return fail(exitUsage, errors.New("--data, --server-cpus, --server-profile, --restart and --apart are for a server of its own"), "")
	}
	if o.socketio || strings.HasPrefix(o.server, "http") {
		err = o.overSocketIO(o.server)
	} else {
		var address string
		if address, err = dial.Address(o.server); err == nil {
			o.overTCP(address)
		}
	}
	if err != nil {
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

func (o *benchOptions) overTCP(address string) {
	o.Dial, o.Transport = dial.TCP{Address: address}.Dial, "TCP"
}

func (o *benchOptions) overSocketIO(address string) (err error) {
	o.Dial, err = loadgen.SocketIO(address)
	o.Transport = "Socket.IO"
	if o.apart {
		o.Transport += ", gateway and core apart"
	}
	return err
}
