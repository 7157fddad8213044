// Package loadgen is many clients in one process: it measures a server from the
// outside, over TCP or as browsers come, over Socket.IO: securelink bench.
//
// Its clients speak the link and the wire language in full: every record is
// opened and checked. They skip what a receiver does with MLS, so that the
// server is measured and not the generator: a message is random bytes of the
// length of a real one, and who gets it looks for a mark in it.
//
// Times of delivery count from when a message was due, not from when it was
// sent: a server that is too slow does not improve its figures by holding up
// the generator.
package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

// Person is who a client logs in as. Root is the server's root key, exporter
// the link's.
type Person interface {
	Account(root, exporter [32]byte) (wire.Account, error)
	Proof(root, exporter [32]byte) []byte
	Route(root [32]byte) wire.Route
}

// Process is the server where it runs on this machine. Each may be missing.
type Process struct {
	// PIDs are the server's processes, whose processor time and memory are added
	// up; none: unknown.
	PIDs []int
	// Live collects garbage and returns the bytes of heap and stacks in use.
	Live func(context.Context) (int64, error)
	// Profile writes a profile of the processor of so many seconds somewhere.
	Profile func(context.Context, time.Duration) error
	// Restart stops the server, and starts it again at the same address.
	Restart func(context.Context) (pids []int, err error)
	// Folder is where it keeps its data: the time of an fsync is measured there.
	Folder string
}

// Config says what to do. Zero fields take the value that check gives them.
type Config struct {
	// Dial opens a frame connection to the server; Transport is its name for the
	// report.
	Dial      func(context.Context) (link.FrameConn, error)
	Transport string
	Pin       [32]byte // zero: whoever answers is trusted

	Clients  int           // connections that stay; at most MaxClients
	Rooms    int           // every client is in one of them
	Rate     float64       // messages a second in all rooms together; 0: as many as Window lets
	Window   int           // without a rate: messages of a room that are not delivered to all
	Text     int           // bytes of a text; its ciphertext is Overhead longer
	Duration time.Duration // of the messages; 0: no messages
	Connects int           // full, and as many resumed connections, to measure; 0: none
	Keys     int           // RSA key pairs that the clients share
	Parallel int           // connections that are opened at once
	Restart  bool          // restart the server at the end, and wait for all clients

	NewPerson func(name string) (Person, error)
	Process   Process
	Progress  func(what string) // may be nil
}

// Bounds of a run.
const (
	MaxClients  = 100_000
	MaxConnects = 1_000_000
	MaxDuration = time.Hour
	// Overhead is what encryption adds to a short text: MLS framing,
	// signature, franking and padding.
	Overhead = 544
	// drainTime is how long deliveries are waited for after the last message.
	drainTime = 30 * time.Second
)

// ErrConfig says that a run of that kind cannot be.
var ErrConfig = errors.New("loadgen: not a run")

func (c *Config) check() error {
	c.Window, c.Text, c.Keys, c.Parallel = orElse(c.Window, 16), orElse(c.Text, 256), orElse(c.Keys, 4), orElse(c.Parallel, 16)
	c.Rooms = orElse(c.Rooms, max(1, c.Clients/10))
	switch {
	case c.NewPerson == nil, c.Dial == nil:
		return fmt.Errorf("%w: nobody to log in as, or no way there", ErrConfig)
	case c.Clients < 1, c.Clients > MaxClients:
		return fmt.Errorf("%w: %d clients, want 1 to %d", ErrConfig, c.Clients, MaxClients)
	case c.Rooms < 1, c.Rooms > c.Clients:
		return fmt.Errorf("%w: %d rooms, want 1 to the number of clients", ErrConfig, c.Rooms)
	case c.Rate < 0, c.Rate > 1e6:
		return fmt.Errorf("%w: a rate of %g, want 0 to 1,000,000", ErrConfig, c.Rate)
	case c.Window < 1, c.Window > 4096:
		return fmt.Errorf("%w: a window of %d, want 1 to 4,096", ErrConfig, c.Window)
	case c.Text < 1, c.Text > 64<<10:
		return fmt.Errorf("%w: texts of %d bytes, want 1 to 65,536", ErrConfig, c.Text)
	case c.Duration < 0, c.Duration > MaxDuration:
		return fmt.Errorf("%w: %v, want at most %v", ErrConfig, c.Duration, MaxDuration)
	case c.Connects < 0, c.Connects > MaxConnects:
		return fmt.Errorf("%w: %d connections, want at most %d", ErrConfig, c.Connects, MaxConnects)
	case c.Keys < 1, c.Keys > 1000, c.Parallel < 1, c.Parallel > 4096:
		return fmt.Errorf("%w: %d keys, %d at once; want 1 to 1,000 and 1 to 4,096", ErrConfig, c.Keys, c.Parallel)
	case c.Restart && c.Process.Restart == nil:
		return fmt.Errorf("%w: only a server of its own can be restarted", ErrConfig)
	}
	return nil
}

func orElse(v, standard int) int {
	if v == 0 {
		return standard
	}
	return v
}

// Run does all of it: accounts, connections, rooms, messages, a restart. It
// returns after every connection and goroutine has ended. The context bounds
// the whole.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	r, err := newRunner(cfg)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for _, phase := range []struct {
		name string
		skip bool
		run  func(context.Context) error
	}{
		{"disk", cfg.Process.Folder == "", r.disk},
		{"accounts", false, r.accounts},
		{"connections", cfg.Connects == 0, r.connections},
		{"clients", false, r.enter},
		{"rooms", cfg.Duration == 0, r.makeRooms},
		{"messages", cfg.Duration == 0, r.messages},
		{"restart", !cfg.Restart, r.restart},
	} {
		if phase.skip {
			continue
		}
		r.progress(phase.name)
		if err := phase.run(ctx); err != nil {
			return nil, fmt.Errorf("loadgen: %s: %w", phase.name, err)
		}
	}
	return r.report, nil
}
