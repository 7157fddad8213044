// Command libs is one trivial broadcast server on each of three WebSocket
// libraries behind the same small interface, to choose one by figures: what an
// idle connection holds, and what a delivery costs.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/lxzan/gws"
)

// message is one message, and a group of them what must leave together.
type message struct {
	op   ws.OpCode
	data []byte
}

type group struct {
	messages []message
	frames   []byte // the messages, encoded once
}

func newGroup(messages ...message) *group {
	var b bytes.Buffer
	for _, m := range messages {
		_ = ws.WriteFrame(&b, ws.NewFrame(m.op, true, m.data))
	}
	return &group{messages, b.Bytes()}
}

// peer is the small interface: in one call, and one system call if the library
// lets us.
type peer interface {
	send(g *group) error
}

// library takes a connection over and returns, so that the HTTP server's
// goroutine and buffers are free; text is told to the hub until the end.
type library func(w http.ResponseWriter, r *http.Request, h *hub) error

type hub struct {
	mu     sync.Mutex
	peers  map[peer]bool
	number uint64
}

func (h *hub) add(p peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.peers[p] = true
}

func (h *hub) remove(p peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.peers, p)
}

var long = []byte(strings.Repeat("x", 256))

func (h *hub) text(p peer, text []byte) {
	switch string(text) {
	case "hello":
		_ = p.send(newGroup(message{ws.OpText, text}))
	case "text":
		h.mu.Lock()
		defer h.mu.Unlock()
		g := newGroup(message{ws.OpText, long})
		for p := range h.peers {
			_ = p.send(g)
		}
	case "frames":
		h.mu.Lock()
		defer h.mu.Unlock()
		header := []byte(`451-["frame",{"_placeholder":true,"num":0}]`)
		data := make([]byte, 1024)
		for p := range h.peers {
			h.number++
			binary.LittleEndian.PutUint64(data, h.number)
			_ = p.send(newGroup(message{ws.OpText, header}, message{ws.OpBinary, data}))
		}
	}
}

// gobwasPeer reads frame by frame from the bare connection: no buffer waits.
type gobwasPeer struct {
	mu sync.Mutex
	nc net.Conn
}

func (p *gobwasPeer) send(g *group) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.nc.Write(g.frames)
	return err
}

func serveGobwas(w http.ResponseWriter, r *http.Request, h *hub) error {
	nc, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return err
	}
	p := &gobwasPeer{nc: nc}
	h.add(p)
	go func() {
		defer nc.Close()
		defer h.remove(p)
		for {
			header, err := ws.ReadHeader(nc)
			if err != nil || header.Length > 1<<20 {
				return
			}
			payload := make([]byte, header.Length)
			if _, err := io.ReadFull(nc, payload); err != nil {
				return
			}
			ws.Cipher(payload, header.Mask, 0)
			if header.OpCode == ws.OpText {
				h.text(p, payload)
			}
		}
	}()
	return nil
}

// gwsPeer writes encoded frames past the library, which has no call for
// several messages at once; its own answers to pings are not in use here.
type gwsPeer struct {
	mu sync.Mutex
	c  *gws.Conn
}

func (p *gwsPeer) send(g *group) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.c.NetConn().Write(g.frames)
	return err
}

type gwsEvents struct {
	gws.BuiltinEventHandler
	hub *hub
}

func (e gwsEvents) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	p, _ := c.Session().Load("peer")
	e.hub.text(p.(peer), m.Bytes())
}

func (e gwsEvents) OnClose(c *gws.Conn, _ error) {
	p, _ := c.Session().Load("peer")
	e.hub.remove(p.(peer))
}

func newGWS(h *hub) library {
	up := gws.NewUpgrader(gwsEvents{hub: h}, &gws.ServerOption{ReadBufferSize: 512})
	return func(w http.ResponseWriter, r *http.Request, h *hub) error {
		c, err := up.Upgrade(w, r)
		if err != nil {
			return err
		}
		p := &gwsPeer{c: c}
		c.Session().Store("peer", peer(p))
		h.add(p)
		go c.ReadLoop()
		return nil
	}
}

// coderPeer has no way around a write for each message.
type coderPeer struct{ c *coder.Conn }

func (p *coderPeer) send(g *group) error {
	for _, m := range g.messages {
		kind := coder.MessageText
		if m.op == ws.OpBinary {
			kind = coder.MessageBinary
		}
		if err := p.c.Write(context.Background(), kind, m.data); err != nil {
			return err
		}
	}
	return nil
}

func serveCoder(w http.ResponseWriter, r *http.Request, h *hub) error {
	c, err := coder.Accept(w, r, &coder.AcceptOptions{InsecureSkipVerify: true, CompressionMode: coder.CompressionDisabled})
	if err != nil {
		return err
	}
	p := &coderPeer{c}
	h.add(p)
	go func() {
		defer func() { _ = c.CloseNow() }()
		defer h.remove(p)
		for {
			_, data, err := c.Read(context.Background())
			if err != nil {
				return
			}
			h.text(p, data)
		}
	}()
	return nil
}

func main() {
	listen := flag.String("listen", "127.0.0.1:4000", "address")
	name := flag.String("lib", "gobwas", "gobwas, gws or coder")
	flag.Parse()
	h := &hub{peers: map[peer]bool{}}
	serve := map[string]library{"gobwas": serveGobwas, "gws": newGWS(h), "coder": serveCoder}[*name]
	if serve == nil {
		log.Fatalf("no library %q", *name)
	}
	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := serve(w, r, h); err != nil {
			log.Print(err)
		}
	})))
}
