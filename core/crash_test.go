//go:build unix

package core_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/bus/local"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/store/sqlite"
	"github.com/securelink-chat/securelink/wire"
)

// childFolder makes this test binary a server in a process of its own, which
// the crash test kills.
const (
	childFolder = "SECURELINK_TEST_SERVER_FOLDER"
	childRoot   = "SECURELINK_TEST_SERVER_ROOT"
	// childProfile is set by hand, to profile the server of a benchmark.
	childProfile = "SECURELINK_TEST_SERVER_PROFILE"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		if err := serveChild(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveChild serves until it is killed, or its input ends.
func serveChild(folder string) error {
	seed, err := hex.DecodeString(os.Getenv(childRoot))
	if err != nil {
		return err
	}
	root, err := link.ParseRoot(seed)
	if err != nil {
		return err
	}
	store, err := sqlite.Open(context.Background(), filepath.Join(folder, "core.db"))
	if err != nil {
		return err
	}
	limits := wire.DefaultLimits().With(wire.NewConnections, 100000).With(wire.MessageBurst, 1<<30).With(wire.RequestRate, 1<<30).With(wire.RequestsInFlight, 1<<20).
		With(wire.JoinersPerEntry, 1000).With(wire.SendQueueBytes, 64<<20).With(wire.SendQueueItems, 1<<20).With(wire.ConnectionsPerAddress, 100000).With(wire.AccountsPerAddress, 100000)
	server, err := core.New(context.Background(), core.Config{Keys: core.NewKeys(root, root.NewOnline(1, time.Now().Add(core.OnlineTime))),
		Store: store, Bus: local.New(), Limits: &limits})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = server.Serve(context.Background(), link.NetConn(conn)) }()
		}
	}()
	if profile := os.Getenv(childProfile); profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "memory":
			fmt.Println(memory())
		case "cpu":
			var use syscall.Rusage
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
				return err
			}
			fmt.Println(use.Utime.Nano() + use.Stime.Nano())
		case "full", "room":
			if err := limitFiles(filepath.Join(folder, "core.db-wal"), lines.Text() == "full"); err != nil {
				return err
			}
			fmt.Println(0)
		case "end":
			return nil
		}
	}
	return nil
}

// limitFiles lets no file of this process grow beyond what path has now, as on a
// disk that is full, or lets them grow again.
func limitFiles(path string, full bool) error {
	signal.Ignore(syscall.SIGXFSZ) // the write fails instead
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if full {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		limit.Cur = uint64(info.Size()) + 100 // a write is cut short, too
	}
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

// memory is what the process holds after it was tidied up, in bytes.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// child is a server in a process of its own.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
	addr  string
}

func startChild(t testing.TB, folder string, root link.RootKey) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), childFolder+"="+folder, childRoot+"="+hex.EncodeToString(root.Seed()))
	c.cmd.Stderr = os.Stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	c.addr = c.line(t)
	return c
}

func (c *child) line(t testing.TB) string {
	t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// ask has the child say a number.
func (c *child) ask(t testing.TB, what string) (n int64) {
	t.Helper()
	if _, err := fmt.Fprintln(c.stdin, what); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(c.line(t), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// memory is what the child holds, in bytes.
func (c *child) memory(t testing.TB) int64 { return c.ask(t, "memory") }

// cpu is the processor time that the child has used.
func (c *child) cpu(t testing.TB) time.Duration { return time.Duration(c.ask(t, "cpu")) }

// end lets the child leave by itself, so that its profile is written.
func (c *child) end() {
	_, _ = fmt.Fprintln(c.stdin, "end")
	_ = c.cmd.Wait()
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// ledgerLine is what a sender knows of one of its messages.
type ledgerLine struct {
	key wire.Key
	req *wire.Append
	ok  *wire.AppendOK
}

// TestCrashLosesNothingThatWasAcknowledged kills the server under load, again
// and again. Senders keep a ledger of their own; what was not answered is sent
// again with the same key.
func TestCrashLosesNothingThatWasAcknowledged(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	root, folder := link.GenerateRoot(), t.TempDir()
	w := &world{t: t, root: root}
	const senders = 3
	people := make([]*person, senders)
	ledgers := make([][]*ledgerLine, senders)
	for i := range people {
		people[i] = w.person(fmt.Sprintf("P%d", i))
	}
	room := newRoom()
	for round := range rounds {
		srv := startChild(t, folder, root)
		clients := make([]*client, senders)
		for i, p := range people {
			clients[i] = dialChild(t, srv.addr, root)
			must[wire.HelloOK](clients[i], wire.Hello{Version: wire.Version})
			must[wire.LoginOK](clients[i], wire.Guest{Account: p.account(clients[i].conn.Exporter())})
		}
		if round == 0 {
			must[wire.RoomState](clients[0], wire.CreateRoom{Room: room, Kind: wire.RoomInvite})
			must[wire.AppendOK](clients[0], commit(room, 0, people[1:], nil))
		}
		var all sync.WaitGroup
		for i, c := range clients {
			all.Go(func() { ledgers[i] = load(c, room, i, ledgers[i]) })
		}
		time.Sleep(time.Duration(10+rng.IntN(120)) * time.Millisecond) // the moment is what is tried, not waited for
		srv.kill()
		all.Wait()
	}
	srv := startChild(t, folder, root)
	defer srv.kill()
	reader := dialChild(t, srv.addr, root)
	must[wire.HelloOK](reader, wire.Hello{Version: wire.Version})
	must[wire.LoginOK](reader, wire.Guest{Account: people[0].account(reader.conn.Exporter())})
	checkLedgers(t, reader, room, ledgers)
}

// TestFullDiskRefusesAndRecovers lets a real disk be full under a real database:
// nothing is acknowledged that is not durable, reading goes on, and when there is
// room again the same requests are done, once.
func TestFullDiskRefusesAndRecovers(t *testing.T) {
	root, folder := link.GenerateRoot(), t.TempDir()
	w := &world{t: t, root: root}
	srv := startChild(t, folder, root)
	alice, bob := w.person("Alice"), w.person("Bob")
	enter := func(p *person) *client {
		c := dialChild(t, srv.addr, root)
		must[wire.HelloOK](c, wire.Hello{Version: wire.Version})
		must[wire.LoginOK](c, wire.Guest{Account: p.account(c.conn.Exporter())})
		return c
	}
	a := enter(alice)
	enter(bob)
	room := newRoom()
	must[wire.RoomState](a, wire.CreateRoom{Room: room, Kind: wire.RoomInvite})
	must[wire.AppendOK](a, commit(room, 0, []*person{bob}, nil))
	var ledger []*ledgerLine
	send := func(n int) (accepted, refused int) {
		t.Helper()
		for i := range n {
			line := &ledgerLine{key: newKey(), req: text(room, 1, fmt.Sprintf("%d: %s", i, strings.Repeat("long enough for a page of its own ", 200)))}
			ledger = append(ledger, line)
			ok, err := askKey[wire.AppendOK](a, line.key, line.req)
			if err == nil {
				line.ok = &ok
				accepted++
				continue
			}
			refused++
			if why := wantCode(t, err, wire.Internal); why.RetryAfter() == 0 {
				t.Error("no hint to retry")
			}
		}
		return accepted, refused
	}
	if _, refused := send(5); refused != 0 {
		t.Fatalf("%d refused while there was room", refused)
	}
	srv.ask(t, "full")
	if accepted, refused := send(10); refused == 0 || accepted != 0 {
		t.Fatalf("%d accepted and %d refused on a full disk", accepted, refused)
	}
	if got := must[wire.SyncOK](a, wire.Sync{Room: room}); len(got.Entries) != 6 {
		t.Errorf("%d entries can be read while the disk is full, want 6", len(got.Entries))
	}
	srv.ask(t, "room")
	for _, line := range ledger {
		ok, err := askKey[wire.AppendOK](a, line.key, line.req)
		if err != nil || line.ok != nil && ok != *line.ok {
			t.Errorf("when there is room again: %+v, %v", ok, err)
		}
		line.ok = &ok
	}
	srv.kill()
	srv = startChild(t, folder, root)
	defer srv.kill()
	checkLedgers(t, enter(alice), room, [][]*ledgerLine{ledger})
}

func dialChild(t testing.TB, addr string, root link.RootKey) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	lc, err := link.Client(context.Background(), link.NetConn(conn), link.ClientConfig{Pin: root.Pin(), RSA: oneKey{}})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: lc, waiting: map[uint64]chan wire.Item{}, done: make(chan struct{}), events: make(chan wire.Item, 100000)}
	go c.read()
	t.Cleanup(func() {
		_ = lc.Abort()
		<-c.done
	})
	return c
}

// load first repeats what was never answered, then sends until the connection
// is gone, with some in flight.
func load(c *client, room wire.RoomID, who int, ledger []*ledgerLine) []*ledgerLine {
	type flight struct {
		line *ledgerLine
		ch   chan wire.Item
	}
	var window []flight
	send := func(line *ledgerLine) bool {
		ch, err := c.begin(line.key, line.req)
		if err != nil {
			return false
		}
		window = append(window, flight{line, ch})
		return true
	}
	land := func() bool {
		one := window[0]
		window = window[1:]
		ok, err := finish[wire.AppendOK](one.ch)
		if err == nil {
			one.line.ok = &ok
		}
		return err == nil
	}
	for _, line := range ledger {
		if line.ok == nil && (!send(line) || len(window) > 20 && !land()) {
			return ledger
		}
	}
	for {
		line := &ledgerLine{key: newKey(), req: text(room, 1, fmt.Sprintf("%d/%d", who, len(ledger)))}
		ledger = append(ledger, line)
		if !send(line) || len(window) > 20 && !land() {
			return ledger
		}
	}
}

// checkLedgers reads the whole log and holds it against what was acknowledged.
func checkLedgers(t *testing.T, c *client, room wire.RoomID, ledgers [][]*ledgerLine) {
	t.Helper()
	where := map[wire.MessageID]uint64{}
	chains := map[uint64]wire.Hash{}
	after, chain := uint64(0), wire.LogStart(room)
	for {
		page := must[wire.SyncOK](c, wire.Sync{Room: room, After: after})
		for _, raw := range page.Entries {
			e, err := raw.Decode()
			if err != nil || e.Seq != after+1 {
				t.Fatalf("entry %d after %d, %v", e.Seq, after, err)
			}
			if at, twice := where[e.Message]; twice {
				t.Errorf("a message is in the log twice, at %d and %d", at, e.Seq)
			}
			after, chain = e.Seq, e.Next(chain)
			where[e.Message], chains[e.Seq] = e.Seq, chain
		}
		if !page.More {
			break
		}
	}
	acked := 0
	for _, ledger := range ledgers {
		for _, line := range ledger {
			if line.ok == nil {
				continue
			}
			acked++
			if where[line.req.Message] != line.ok.Seq || chains[line.ok.Seq] != line.ok.Chain {
				t.Errorf("an acknowledged message is at %d, not at %d", where[line.req.Message], line.ok.Seq)
			}
		}
	}
	t.Logf("%d entries, %d acknowledged", after, acked)
	if acked == 0 {
		t.Error("nothing was acknowledged at all")
	}
}
