// Command load is the one load generator of the comparison: it opens
// connections, has the server under test send into them, and counts what
// arrives and what it cost the server.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

var (
	target   = flag.String("url", "ws://127.0.0.1:4000", "server under test")
	proto    = flag.String("proto", "sio", "sio, centrifuge or ws")
	mode     = flag.String("mode", "text", "idle, text, binary or frames")
	count    = flag.Int("n", 1000, "connections")
	window   = flag.Int("window", 4, "broadcasts under way at a time")
	duration = flag.Duration("time", 4*time.Second, "how long to measure")
	pid      = flag.Int("pid", 0, "process of the server")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// protocol is what differs between the servers.
type protocol struct {
	path      string
	hello     string            // sent by the client
	isReady   func([]byte) bool // the answer that ends the handshake
	publish   func(mode string) string
	ping      string
	pong      string
	perFrame  func([]byte, ws.OpCode) int // deliveries in a frame
	firstRead bool                        // the server speaks first
}

var protocols = map[string]protocol{
	"sio": {
		path: "/socket.io/?EIO=4&transport=websocket", hello: "40", firstRead: true, ping: "2", pong: "3",
		isReady: func(b []byte) bool { return bytes.HasPrefix(b, []byte("40{")) },
		publish: func(mode string) string { return `42["` + mode + `"]` },
		perFrame: func(b []byte, op ws.OpCode) int {
			if op == ws.OpBinary || bytes.HasPrefix(b, []byte(`42["m"`)) {
				return 1
			}
			return 0
		},
	},
	"centrifuge": {
		path: "/connection/websocket", hello: `{"id":1,"connect":{}}`, ping: "{}", pong: "{}",
		isReady: func(b []byte) bool { return bytes.Contains(b, []byte(`"connect"`)) },
		publish: func(mode string) string { return `{"id":2,"rpc":{"method":"` + mode + `"}}` },
		perFrame: func(b []byte, _ ws.OpCode) int {
			if !bytes.HasPrefix(b, []byte(`{"push"`)) {
				return 0
			}
			return 1 + bytes.Count(bytes.TrimSuffix(b, []byte{'\n'}), []byte{'\n'})
		},
	},
	"ws": {
		path: "/", hello: "hello", isReady: func(b []byte) bool { return string(b) == "hello" },
		publish: func(mode string) string { return mode },
		perFrame: func(b []byte, op ws.OpCode) int {
			if op == ws.OpBinary || len(b) > 200 {
				return 1
			}
			return 0
		},
	},
}

type client struct {
	nc net.Conn
	r  *bufio.Reader
}

func dial(p protocol) (*client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	nc, r, _, err := ws.Dialer{ReadBufferSize: 512, WriteBufferSize: 512}.Dial(ctx, *target+p.path)
	if err != nil {
		return nil, err
	}
	if r == nil {
		r = bufio.NewReaderSize(nc, 512)
	}
	c := &client{nc, r}
	if p.firstRead {
		if _, _, err := c.read(nil); err != nil {
			return nil, err
		}
	}
	if err := c.send(p.hello); err != nil {
		return nil, err
	}
	for {
		b, _, err := c.read(nil)
		if err != nil {
			return nil, err
		}
		if p.isReady(b) {
			return c, nil
		}
	}
}

func (c *client) send(text string) error {
	return ws.WriteFrame(c.nc, ws.MaskFrameInPlace(ws.NewTextFrame([]byte(text))))
}

// read reads one frame into buf, or into new memory.
func (c *client) read(buf []byte) ([]byte, ws.OpCode, error) {
	b0, err := c.r.ReadByte()
	if err != nil {
		return nil, 0, err
	}
	b1, err := c.r.ReadByte()
	if err != nil {
		return nil, 0, err
	}
	length := int(b1 & 0x7f)
	more := map[int]int{126: 2, 127: 8}[length]
	if more > 0 {
		length = 0
		for range more {
			b, err := c.r.ReadByte()
			if err != nil {
				return nil, 0, err
			}
			length = length<<8 | int(b)
		}
	}
	buf = slices.Grow(buf[:0], length)[:length]
	_, err = io.ReadFull(c.r, buf)
	if op := ws.OpCode(b0 & 0xf); op == ws.OpClose {
		return buf, op, errors.New("the server closed")
	}
	return buf, ws.OpCode(b0 & 0xf), err
}

// connect opens connections, 32 at a time.
func connect(p protocol, n int) ([]*client, error) {
	clients := make([]*client, n)
	places := make(chan struct{}, 32)
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for i := range clients {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			c, err := dial(p)
			if err != nil {
				failed.Store(&err)
				return
			}
			clients[i] = c
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return clients, nil
}

// tally counts deliveries and tells the publisher when it may go on.
type tally struct {
	delivered, next atomic.Int64
	wake            chan struct{}
}

func (t *tally) add(n int) {
	if t.delivered.Add(int64(n)) >= t.next.Load() {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

func (c *client) listen(p protocol, t *tally) error {
	c.r = bufio.NewReaderSize(c.nc, 16<<10)
	var buf []byte
	var op ws.OpCode
	var err error
	pending := 0
	for {
		if c.r.Buffered() == 0 && pending > 0 {
			t.add(pending)
			pending = 0
		}
		if buf, op, err = c.read(buf); err != nil {
			return err
		}
		if p.ping != "" && string(buf) == p.ping {
			if err := c.send(p.pong); err != nil {
				return err
			}
			continue
		}
		pending += p.perFrame(buf, op)
	}
}

type result struct {
	Proto      string  `json:"proto"`
	Mode       string  `json:"mode"`
	N          int     `json:"n"`
	PerSecond  float64 `json:"per_second,omitempty"`
	CPUMicros  float64 `json:"cpu_us,omitempty"`
	IdleKiB    float64 `json:"idle_kib,omitempty"`
	Broadcasts int64   `json:"broadcasts,omitempty"`
}

func run() error {
	p, ok := protocols[*proto]
	if !ok {
		return fmt.Errorf("no protocol %q", *proto)
	}
	out := result{Proto: *proto, Mode: *mode, N: *count}
	before, err := residentKiB(*pid)
	if err != nil {
		return err
	}
	clients, err := connect(p, *count)
	if err != nil {
		return err
	}
	if *mode == "idle" {
		time.Sleep(*duration)
		after, err := residentKiB(*pid)
		if err != nil {
			return err
		}
		out.IdleKiB = float64(after-before) / float64(*count)
		return json.NewEncoder(os.Stdout).Encode(out)
	}
	t := &tally{wake: make(chan struct{}, 1)}
	for _, c := range clients {
		go func() {
			if err := c.listen(p, t); err != nil {
				fmt.Fprintln(os.Stderr, "load: lost a connection:", err)
				os.Exit(1)
			}
		}()
	}
	if err := measure(p, clients[0], t, &out); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// measure publishes in a closed loop: a second to warm up, then for the time.
func measure(p protocol, publisher *client, t *tally, out *result) error {
	n := int64(*count)
	var published int64
	publishUntil := func(end time.Time) error {
		for time.Now().Before(end) {
			t.next.Store((published - int64(*window) + 1) * n)
			for t.delivered.Load() < t.next.Load() {
				select {
				case <-t.wake:
				case <-time.After(10 * time.Second):
					return fmt.Errorf("%d of %d deliveries, and no more come", t.delivered.Load(), published*n)
				}
			}
			if err := publisher.send(p.publish(*mode)); err != nil {
				return err
			}
			published++
		}
		return nil
	}
	if err := publishUntil(time.Now().Add(time.Second)); err != nil {
		return err
	}
	start, delivered, broadcasts := time.Now(), t.delivered.Load(), published
	cpu, err := cpuTime(*pid)
	if err != nil {
		return err
	}
	if err := publishUntil(start.Add(*duration)); err != nil {
		return err
	}
	spent, err := cpuTime(*pid)
	if err != nil {
		return err
	}
	got := float64(t.delivered.Load() - delivered)
	out.PerSecond = got / time.Since(start).Seconds()
	out.CPUMicros = float64((spent - cpu).Microseconds()) / got
	out.Broadcasts = published - broadcasts
	return nil
}

// residentKiB is the resident memory of a process.
func residentKiB(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, errors.New("no VmRSS")
}

// cpuTime is what all threads of a process have used, to the nanosecond where
// the kernel tells.
func cpuTime(pid int) (time.Duration, error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, task := range tasks {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, task.Name()))
		if err != nil {
			return tickTime(pid)
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

func tickTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}
