package link

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

// script is a transport whose far end says what the test wants: answer is given
// the first frame written and returns the one to read.
type script struct {
	FrameConn
	answer  func(ch []byte) []byte
	written [][]byte
}

func (s *script) WriteFrames(frames ...[]byte) error {
	for _, f := range frames {
		s.written = append(s.written, bytes.Clone(f))
	}
	return nil
}

func (s *script) ReadFrame() ([]byte, error) {
	if f := s.answer(s.written[0]); f != nil {
		return bytes.Clone(f), nil
	}
	return nil, io.EOF
}

func (s *script) Close() error { return nil }

// forged is an answer by someone who holds a server's keys and does as they like.
type forged struct {
	version    uint16
	sh         serverHello
	k1, k2     []byte
	online     Online
	transcript []byte // the CH that th is made over
}

// forge answers ch as mutate wants; without it, as an honest server does.
func (w *world) forge(ch []byte, mutate func(*forged)) []byte {
	w.t.Helper()
	hello, ok := parseClientHello(ch)
	if !ok {
		w.t.Fatal("the client's hello does not parse")
	}
	f := &forged{version: versionFull, online: w.online, transcript: ch, k1: make([]byte, 32)}
	rand.Read(f.k1)
	f.sh = serverHello{resumed: hello.resumed, suite: suiteRSAXWing, root: w.root.Public(), cert: w.online.cert.Bytes()}
	var err error
	if f.sh.xwing, f.k2, err = encapsulate(hello.xwing, ch); err != nil {
		w.t.Fatal(err)
	}
	if f.sh.rsa, err = encryptOAEP(&hello.modulus, f.k1, bound(labelRSA, ch)); err != nil {
		w.t.Fatal(err)
	}
	if mutate != nil {
		mutate(f)
	}
	frame := f.sh.encodeUnsigned()
	binary.BigEndian.PutUint16(frame, f.version)
	th := transcript(hello.resumed, f.transcript, frame)
	s, err := schedule(hello.resumed, th, f.k1, f.k2)
	if err != nil {
		w.t.Fatal(err)
	}
	sig := ed25519.Sign(f.online.key, signed(th))
	sfin := finished(s.s2cFin, finishedServer, th[:], sig)
	return append(append(frame, sig...), sfin...)
}

// meet lets a client meet a forger.
func (w *world) meet(mutate func(*forged)) (*Conn, error) {
	w.t.Helper()
	return Client(context.Background(), &script{answer: func(ch []byte) []byte { return w.forge(ch, mutate) }}, w.client)
}

// Every byte of the server's hello is flipped in turn: no client goes on.
func TestFlippedServerHello(t *testing.T) {
	w := newWorld(t)
	var frame []byte
	honest := func(ch []byte) []byte {
		if frame == nil {
			frame = w.forge(ch, nil)
		}
		return frame
	}
	h := clientHandshake{cfg: w.client}
	h.cfg.Now = time.Now
	if err := h.prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	// One hello is used again and again, so that one answer fits all.
	attempt := func(answer func([]byte) []byte) (frames int, err error) {
		s := &script{answer: answer, written: [][]byte{h.ch}}
		again := h
		again.fc = s
		_, err = again.receive(context.Background())
		return len(s.written), err
	}
	if n, err := attempt(honest); err != nil || n != 2 {
		t.Fatalf("the control fails: %v, %d frames", err, n)
	}
	for i := range frame {
		n, err := attempt(func([]byte) []byte {
			bad := bytes.Clone(frame)
			bad[i] ^= 0x40
			return bad
		})
		if !errors.Is(err, ErrHandshake) || n != 1 {
			t.Errorf("byte %d flipped: %v, %d frames sent", i, err, n)
		}
	}
	for _, n := range []int{0, 1, 2, 1000, len(frame) - 1} {
		if _, err := attempt(func([]byte) []byte { return append([]byte{}, frame[:n]...) }); !errors.Is(err, ErrHandshake) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	if _, err := attempt(func([]byte) []byte { return append(bytes.Clone(frame), 0) }); err != ErrHandshake {
		t.Errorf("one byte more: %v", err)
	}
	if n, err := attempt(honest); err != nil || n != 2 {
		t.Fatalf("the control fails at the end: %v, %d frames", err, n)
	}
}

// tamper passes frames on and changes the one it is told to.
type tamper struct {
	FrameConn
	frame, byte int
	seen        int
}

func (f *tamper) WriteFrames(frames ...[]byte) error {
	for _, frame := range frames {
		frame = bytes.Clone(frame)
		if f.seen == f.frame {
			frame[f.byte] ^= 0x40
		}
		f.seen++
		if err := f.FrameConn.WriteFrames(frame); err != nil {
			return err
		}
	}
	return nil
}

// Every byte of what the client says is flipped in turn, hello and finish: no
// server makes a link, and none keeps anything for the client.
func TestFlippedClientFrames(t *testing.T) {
	w := newWorld(t)
	h := clientHandshake{cfg: w.client}
	h.cfg.Now = time.Now
	if err := h.prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	attempt := func(frame, at int) error {
		a, b := Pipe()
		result := w.accept(b)
		again := h
		again.fc = &tamper{FrameConn: a, frame: frame, byte: at}
		if err := again.fc.WriteFrames(again.ch); err != nil {
			t.Fatal(err)
		}
		_, clientErr := again.receive(context.Background())
		a.Close()
		r := <-result
		if r.err == nil {
			r.conn.Abort()
		}
		if frame == 0 && clientErr == nil {
			t.Errorf("the client went on after byte %d of its hello was flipped", at)
		}
		return r.err
	}
	if err := attempt(-1, 0); err != nil {
		t.Fatal("the control fails:", err)
	}
	kept := len(w.tickets.all)
	if kept != 1 {
		t.Fatalf("the control left %d tickets", kept)
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for i := 0; i < clientHelloSize; i += step {
		if err := attempt(0, i); err == nil {
			t.Errorf("the server accepted a hello with byte %d flipped", i)
		}
	}
	for i := range finSize {
		if err := attempt(1, i); !errors.Is(err, ErrHandshake) {
			t.Errorf("the server took a finish with byte %d flipped: %v", i, err)
		}
	}
	if len(w.tickets.all) != kept {
		t.Error("a refused handshake left a ticket")
	}
	if err := attempt(-1, 0); err != nil {
		t.Fatal("the control fails at the end:", err)
	}
}

// A server with the right keys that does one leg wrong gets nothing, and every
// way of doing it wrong looks the same.
func TestWrongLegs(t *testing.T) {
	w := newWorld(t)
	if _, err := w.meet(nil); err != nil {
		t.Fatal("the control fails:", err)
	}
	var earlier forged
	w.meet(func(f *forged) { earlier = *f })
	other := newWorld(t)
	want := ""
	for name, mutate := range map[string]func(*forged){
		"k1 not what is encrypted": func(f *forged) { f.k1[0] ^= 1 },
		"k2 not what is shared":    func(f *forged) { f.k2[31] ^= 1 },
		"rsa zero":                 func(f *forged) { f.sh.rsa = make([]byte, rsaCTSize) },
		"rsa all ones":             func(f *forged) { f.sh.rsa = bytes.Repeat([]byte{0xff}, rsaCTSize) },
		"rsa flipped":              func(f *forged) { f.sh.rsa[100] ^= 1 },
		"rsa of another session":   func(f *forged) { f.sh.rsa, f.k1 = earlier.sh.rsa, earlier.k1 },
		"xwing zero":               func(f *forged) { f.sh.xwing = make([]byte, xwingCTSize) },
		"xwing flipped":            func(f *forged) { f.sh.xwing[0] ^= 1 },
		"xwing point zero":         func(f *forged) { clear(f.sh.xwing[xwingCTSize-32:]) },
		"xwing of another session": func(f *forged) { f.sh.xwing, f.k2 = earlier.sh.xwing, earlier.k2 },
		"both of another session": func(f *forged) {
			f.sh.rsa, f.k1, f.sh.xwing, f.k2 = earlier.sh.rsa, earlier.k1, earlier.sh.xwing, earlier.k2
		},
		"k1 too short": func(f *forged) {
			pair := testKeys().pair.Modulus()
			ct, err := encryptOAEP(&pair, f.k1[:31], bound(labelRSA, f.transcript))
			if err != nil {
				t.Fatal(err)
			}
			f.sh.rsa = ct
		},
		"rsa without its label": func(f *forged) {
			pair := testKeys().pair.Modulus()
			ct, err := encryptOAEP(&pair, f.k1, nil)
			if err != nil {
				t.Fatal(err)
			}
			f.sh.rsa = ct
		},
		"zeros as keys":        func(f *forged) { f.k1, f.k2 = make([]byte, 32), make([]byte, 32) },
		"suite not offered":    func(f *forged) { f.sh.suite = 2 },
		"version of resuming":  func(f *forged) { f.version = versionResumed },
		"version 2":            func(f *forged) { f.version = 0x0201 },
		"another hello":        func(f *forged) { f.transcript = bytes.Clone(f.transcript); f.transcript[20] ^= 1 },
		"another online key":   func(f *forged) { f.online = other.online },
		"another root's cert":  func(f *forged) { f.sh.cert, f.online = other.online.cert.Bytes(), other.online },
		"cert by nobody":       func(f *forged) { f.sh.cert[60] ^= 1 },
		"cert with more life":  func(f *forged) { f.sh.cert[46] ^= 1 },
		"cert with more epoch": func(f *forged) { f.sh.cert[7]++ },
	} {
		_, err := w.meet(mutate)
		if !errors.Is(err, ErrHandshake) || errors.Is(err, ErrPin) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want == "" {
			want = err.Error()
		}
		if err.Error() != want {
			t.Errorf("%s says %q, others say %q", name, err, want)
		}
	}
	// Another root that is otherwise honest is told apart, in full.
	_, err := w.meet(func(f *forged) {
		f.sh.root, f.sh.cert, f.online = other.root.Public(), other.online.cert.Bytes(), other.online
	})
	var pin *PinError
	if !errors.As(err, &pin) || pin.Got != other.root.Pin() {
		t.Errorf("another server: %v", err)
	}
	for _, print := range []string{fmt.Sprintf("%x", pin.Want), fmt.Sprintf("%x", pin.Got)} {
		if !bytes.Contains([]byte(err.Error()), []byte(print)) {
			t.Errorf("the error does not show %s", print)
		}
	}
}

// Suites: one in the middle cannot take away what the client offered, and a
// server answers only what it knows.
func TestSuites(t *testing.T) {
	w := newWorld(t)
	h := clientHandshake{cfg: w.client}
	h.cfg.Now = time.Now
	if err := h.prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	offer := func(suites ...uint16) []byte {
		hello := h.hello
		hello.suites = suites
		return hello.encode()
	}
	attempt := func(sent, arrives []byte) (error, error) {
		a, b := Pipe()
		result := w.accept(b)
		again := h
		again.fc, again.ch = a, sent
		if err := a.WriteFrames(arrives); err != nil {
			t.Fatal(err)
		}
		_, err := again.receive(context.Background())
		a.Close()
		return err, (<-result).err
	}
	both := offer(0x7777, suiteRSAXWing)
	if c, s := attempt(both, both); c != nil || s != nil {
		t.Error("an offer with a suite of the future:", c, s)
	}
	if c, s := attempt(both, offer(suiteRSAXWing)); c == nil || s == nil {
		t.Error("a suite was taken away:", c, s)
	}
	if c, s := attempt(offer(suiteRSAXWing), both); c == nil || s == nil {
		t.Error("a suite was added:", c, s)
	}
	for name, hello := range map[string][]byte{"unknown suites": offer(2, 3), "no suites": offer()} {
		if _, s := attempt(hello, hello); !errors.Is(s, ErrHandshake) {
			t.Errorf("%s: %v", name, s)
		}
	}
	many := make([]uint16, 254)
	many[253] = suiteRSAXWing
	if c, s := attempt(offer(many...), offer(many...)); c != nil || s != nil {
		t.Error("as many suites as fit:", c, s)
	}
}

// Wrong moduli are refused by their look, in much less than a millisecond, and
// so is a hello that is longer, to hold a longer one.
func TestModuli(t *testing.T) {
	good := testKeys().pair.Modulus()
	if !goodModulus(&good) {
		t.Fatal("the control is refused")
	}
	bad := map[string][256]byte{}
	bad["zero"] = [256]byte{}
	m := good
	m[255]--
	bad["even"] = m
	m = good
	m[0] &= 0x7f
	bad["2047 bits"] = m
	m = [256]byte{}
	m[255] = 1
	bad["one"] = m
	m = [256]byte{0: 0x80, 255: 1}
	for _, p := range smallPrimes {
		// The next odd multiple of p above 2^2047.
		n := m
		for rem(n, p) != 0 || n[255]&1 == 0 {
			increment(&n)
		}
		bad[fmt.Sprintf("multiple of %d", p)] = n
	}
	start := time.Now()
	for name, m := range bad {
		if goodModulus(&m) {
			t.Errorf("%s was taken", name)
		}
	}
	if per := time.Since(start) / time.Duration(len(bad)); per > time.Millisecond {
		t.Errorf("refusing a modulus took %v", per)
	}
	w := newWorld(t)
	for name, frame := range map[string][]byte{
		"16,384 bits": make([]byte, clientHelloSize+2048-256),
		"trailing":    append(make([]byte, clientHelloSize), 0x30),
		"nothing":     {0},
		"too large":   make([]byte, helloFrame+1),
	} {
		a, b := Pipe()
		result := w.accept(b)
		if err := a.WriteFrames(frame); err != nil {
			t.Fatal(err)
		}
		if r := <-result; !errors.Is(r.err, ErrHandshake) {
			t.Errorf("%s: %v", name, r.err)
		}
	}
}

func rem(n [256]byte, p uint64) (r uint64) {
	for _, b := range n {
		r = (r<<8 | uint64(b)) % p
	}
	return r
}

func increment(n *[256]byte) {
	for i := 255; i >= 0; i-- {
		if n[i]++; n[i] != 0 {
			return
		}
	}
}

// A client whose context ends, or whose server says nothing, is not left waiting.
func TestClientGivesUp(t *testing.T) {
	w := newWorld(t)
	a, _ := Pipe()
	cfg := w.client
	cfg.Timeout = time.Millisecond
	if _, err := Client(context.Background(), a, cfg); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a, _ = Pipe()
	if _, err := Client(ctx, a, w.client); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	a, b := Pipe()
	b.Close()
	if _, err := Client(context.Background(), a, w.client); !errors.Is(err, ErrLost) {
		t.Errorf("the server hung up: %v", err)
	}
}
