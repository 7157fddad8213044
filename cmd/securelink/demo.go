package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/securelink-chat/securelink/client"
	store "github.com/securelink-chat/securelink/clientstore/sqlite"
	"github.com/securelink-chat/securelink/dial"
	"github.com/securelink-chat/securelink/line"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

// demoTime bounds the whole demonstration.
const demoTime = 2 * time.Minute

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Three people talk; beside it, what the server saw",
		Long: `Run a real server and three real clients in this process, over real sockets and
with folders of their own; show what the three say to each other, and beside it
what the server saw of it. Nothing is left behind.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), demoTime)
			defer cancel()
			if err := demo(ctx, cmd.OutOrStdout()); err != nil {
				return fail(exitInternal, fmt.Errorf("the demonstration failed: %w", err), "")
			}
			return nil
		},
	}
}

// demonstration is one run of it.
type demonstration struct {
	out    io.Writer
	folder string
	core   *runningCore
	addr   string
	people []*demoPerson
	lounge wire.RoomID
	shown  uint64 // newest entry of the log that was printed
}

// demoPerson is one of the three, with everything that went over its socket.
type demoPerson struct {
	name   string
	script *line.Script
	wire   *tap
	heard  map[string]bool
}

func demo(ctx context.Context, out io.Writer) (err error) {
	folder, err := os.MkdirTemp("", "securelink-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	d := &demonstration{out: out, folder: folder}
	if d.core, err = openCore(ctx, coreConfig{
		Data: filepath.Join(folder, "server"), Name: "Demo", Registration: wire.RegistrationOpen, Limits: wire.DefaultLimits(),
	}, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.core.Close()
		return err
	}
	d.addr = listener.Addr().String()
	serving, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { serveTCP(serving, listener, d.core.Server, slog.New(slog.DiscardHandler)) })
	err = d.talk(ctx)
	if closed := d.core.Close(); err == nil {
		err = closed
	}
	stop()
	work.Wait()
	if err == nil {
		err = d.verdict()
	}
	return err
}

// talk lets the three come in one after the other and speak.
func (d *demonstration) talk(ctx context.Context) error {
	ctx, leave := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer leave()
	fmt.Fprintf(d.out, "%-38s | %s\n", "What people see", "What the server sees")
	fmt.Fprintf(d.out, "%-38s-+-%s\n", dashes(38), dashes(60))
	for _, name := range []string{"Alice", "Bob", "Carol"} {
		p, err := d.enter(ctx, &work, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		d.people = append(d.people, p)
		if err := d.beside(ctx, name+" has joined the chat"); err != nil {
			return err
		}
	}
	for i, text := range []string{"Hey", "Hello", "Hey guys"} {
		if err := d.say(ctx, d.people[i], text); err != nil {
			return err
		}
	}
	return nil
}

// enter starts a client with a profile of its own, and brings it into the
// Lounge.
func (d *demonstration) enter(ctx context.Context, work *sync.WaitGroup, name string) (*demoPerson, error) {
	storage, err := store.Open(ctx, filepath.Join(d.folder, name, "profile.db"))
	if err != nil {
		return nil, err
	}
	p := &demoPerson{name: name, wire: &tap{dialer: dial.TCP{Address: d.addr}}, heard: map[string]bool{}}
	engine, err := client.New(client.Config{Storage: storage, Dialer: p.wire, Pin: d.core.Pin, Server: d.addr})
	if err != nil {
		storage.Close()
		return nil, err
	}
	work.Go(func() {
		engine.Run(ctx)
		storage.Close()
	})
	p.script = line.NewScript(ctx, engine, func(ev client.Event) {
		if ev.Kind == client.EvItem && ev.Item.Cursor != 0 {
			p.heard[ev.Item.Text] = true
		}
	})
	if err := p.script.Account(name); err != nil {
		return nil, err
	}
	room, err := p.script.Room("lounge")
	if err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(room.ID)
	if err == nil {
		d.lounge = wire.RoomID(raw)
	}
	return p, err
}

// say lets one speak and waits until all three have it.
func (d *demonstration) say(ctx context.Context, p *demoPerson, text string) error {
	if _, err := p.script.Do(client.Request{Op: client.OpSend, Room: d.lounge.String(), Text: text}); err != nil {
		return err
	}
	for _, other := range d.people {
		for !other.heard[text] {
			if _, err := other.script.Next(); err != nil {
				return fmt.Errorf("%s did not hear %q: %w", other.name, text, err)
			}
		}
	}
	return d.beside(ctx, p.name+": "+text)
}

// beside prints what people see, and next to it the entries that the server
// has got for it, straight from its database.
func (d *demonstration) beside(ctx context.Context, people string) error {
	entries, err := d.core.Store.Entries(ctx, d.lounge, d.shown, 1<<52, 100, 1<<20)
	if err != nil {
		return err
	}
	for i, raw := range entries {
		entry, err := raw.Decode()
		if err != nil {
			return err
		}
		if i == len(entries)-1 {
			fmt.Fprintf(d.out, "%-38s | %s\n", people, asServer(entry))
			people = ""
		} else {
			fmt.Fprintf(d.out, "%-38s | %s\n", "", asServer(entry))
		}
		d.shown = entry.Seq
	}
	if people != "" {
		fmt.Fprintf(d.out, "%-38s | %s\n", people, "a new room, and no word of what it is for")
	}
	return nil
}

// asServer is an entry as it lies in the log.
func asServer(entry wire.Entry) string {
	kind := "handshake"
	sample := entry.Payload
	if entry.Kind == wire.EntryMessage {
		kind, sample = "message", entry.Body
	}
	return fmt.Sprintf("#%d %-9s %5d bytes  %x…", entry.Seq, kind, len(entry.Payload)+len(entry.Body), sample[max(0, len(sample)-12):])
}

func dashes(n int) string { return string(bytes.Repeat([]byte{'-'}, n)) }

// verdict looks for every word that was said in all that the server holds and
// in all that went over the sockets. A word that the server does know, the
// room's id, shows that the search would find one.
func (d *demonstration) verdict() error {
	var stored []byte
	err := filepath.WalkDir(filepath.Join(d.folder, "server"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		stored = append(stored, raw...)
		return err
	})
	if err != nil {
		return err
	}
	var sent []byte
	for _, p := range d.people {
		sent = append(sent, p.wire.bytes()...)
	}
	found := 0
	for _, text := range []string{"Hey", "Hello", "Hey guys"} {
		for _, form := range forms(text) {
			// Three or four letters turn up in random bytes by chance.
			if len(form) >= 5 && (bytes.Contains(stored, form) || bytes.Contains(sent, form)) {
				found++
			}
		}
	}
	if found > 0 {
		return fmt.Errorf("the server holds %d of the texts", found)
	}
	if !bytes.Contains(stored, d.lounge[:]) {
		return fmt.Errorf("the search finds nothing at all, not even the room's id")
	}
	fmt.Fprintf(d.out, "\nSearched for the texts, in plain (five letters or more), hexadecimal and base64 form:\n")
	fmt.Fprintf(d.out, "  in all that the server keeps   %8d bytes   nothing\n", len(stored))
	fmt.Fprintf(d.out, "  in all that the sockets saw    %8d bytes   nothing\n", len(sent))
	fmt.Fprintf(d.out, "The server knows who was there (by key and chosen name), when, and how much. Nothing else.\n")
	return nil
}

// forms are the ways in which a text may lie somewhere.
func forms(text string) [][]byte {
	raw := []byte(text)
	all := [][]byte{raw, []byte(hex.EncodeToString(raw)), bytes.ToUpper([]byte(hex.EncodeToString(raw)))}
	return append(all, []byte(base64.StdEncoding.EncodeToString(raw)), []byte(base64.RawURLEncoding.EncodeToString(raw)))
}

// tap dials and keeps a copy of all that goes by.
type tap struct {
	dialer dial.TCP
	mu     sync.Mutex
	seen   []byte
}

func (t *tap) Dial(ctx context.Context) (link.FrameConn, error) {
	fc, err := t.dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &tapped{FrameConn: fc, tap: t}, nil
}

func (t *tap) note(frames ...[]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range frames {
		t.seen = append(t.seen, f...)
	}
}

func (t *tap) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen
}

type tapped struct {
	link.FrameConn
	tap *tap
}

func (c *tapped) ReadFrame() ([]byte, error) {
	frame, err := c.FrameConn.ReadFrame()
	c.tap.note(frame)
	return frame, err
}

func (c *tapped) WriteFrames(frames ...[]byte) error {
	c.tap.note(frames...)
	return c.FrameConn.WriteFrames(frames...)
}
