package link

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	mrand "math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/securelink-chat/securelink/seal"
)

// random is a source whose seed a failing test prints.
func random(t testing.TB) *mrand.Rand {
	t.Helper()
	seed := mrand.Uint64()
	t.Logf("seed %d", seed)
	return mrand.New(mrand.NewPCG(seed, 0))
}

// ends are a sender and a receiver of one direction under a fresh key.
func ends(direction byte) (out, in half, k [32]byte) {
	rand.Read(k[:])
	return newHalf(direction, k), newHalf(direction, k), k
}

// recordOf seals one data record.
func recordOf(h *half, payload string) []byte {
	b, _ := h.seal(nil, nil, time.Now(), typeData, []byte(payload))
	return b
}

// opens says whether in takes the frame, which it gets a copy of.
func opens(in *half, frame []byte) (string, bool) {
	typ, payload, ok := in.open(bytes.Clone(frame), time.Now())
	return string(payload), ok && typ == typeData
}

func TestRecordSizes(t *testing.T) {
	out, in, _ := ends(clientToServer)
	sizes := map[int]bool{}
	for _, n := range []int{1, 100, 251, 252, 507, 4091, 4092, 8187, 8188, 100_000, MaxPayload} {
		frame := recordOf(&out, string(make([]byte, n)))
		plain := len(frame) - seal.Overhead
		if plain%smallPad != 0 || plain > largePad && plain%largePad != 0 || plain < n+recordHead {
			t.Errorf("%d bytes became a plaintext of %d", n, plain)
		}
		sizes[len(frame)] = true
		if got, ok := opens(&in, frame); !ok || len(got) != n {
			t.Errorf("%d bytes did not come through", n)
		}
	}
	if frame := recordOf(&out, string(make([]byte, MaxPayload))); len(frame) > MaxFrame || len(frame)+largePad <= MaxFrame {
		t.Errorf("the longest record has %d bytes", len(frame))
	}
	few := map[int]bool{}
	for n := 1; n <= 4000; n++ {
		few[seal.SealedLen(padded(n))] = true
	}
	if len(few) > 16 {
		t.Errorf("payloads up to 4,000 bytes have %d sizes", len(few))
	}
}

// Hundreds of thousands of records that are not what was sent in this place:
// none is taken, and each time the right one still is.
func TestMutatedRecords(t *testing.T) {
	r := random(t)
	rounds := 2000
	if testing.Short() {
		rounds = 100
	}
	out, in, k := ends(clientToServer)
	back := newHalf(serverToClient, k) // the other direction, were its key the same
	otherOut, _, _ := ends(clientToServer)
	var earlier [][]byte
	tried := 0
	refused := func(what string, frame []byte) {
		t.Helper()
		tried++
		if _, ok := opens(&in, frame); ok {
			t.Fatalf("%s was taken", what)
		}
	}
	for round := range rounds {
		text := string(make([]byte, 1+r.IntN(600)))
		frame := recordOf(&out, text)
		next := out // a copy: what would be sent after it
		after := recordOf(&next, "after")
		for range 60 {
			bad := bytes.Clone(frame)
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
			refused("a flipped record", bad)
		}
		for range 20 {
			refused("a cut record", frame[:r.IntN(len(frame))])
			refused("a record cut in front", frame[1+r.IntN(len(frame)-1):])
		}
		for _, n := range []int{1, 16, 256, 4096} {
			refused("a longer record", append(bytes.Clone(frame), make([]byte, n)...))
		}
		for range min(8, len(earlier)) {
			old := earlier[r.IntN(len(earlier))]
			refused("a replayed record", old)
			cut := r.IntN(len(frame)/16) * 16
			if cut > 0 && cut < len(old) && !bytes.Equal(old[:cut], frame[:cut]) {
				refused("a spliced record", append(bytes.Clone(old[:cut]), frame[cut:]...))
				refused("a spliced record", append(bytes.Clone(frame[:cut]), old[cut:]...))
			}
		}
		refused("a record before its turn", after)
		refused("a reflected record", recordOf(&back, text))
		refused("a record of another link", recordOf(&otherOut, text))
		refused("nothing", nil)
		if got, ok := opens(&in, frame); !ok || got != text {
			t.Fatalf("round %d: the right record was refused", round)
		}
		refused("a record twice", frame)
		if earlier = append(earlier, frame); len(earlier) > 50 {
			earlier = earlier[1:]
		}
	}
	t.Logf("%d refused", tried)
}

// On a live link each of them ends it.
func TestBadRecordEndsTheLink(t *testing.T) {
	w := newWorld(t)
	for name, attack := range map[string]func(a *PipeConn, good []byte) [][]byte{
		"flip":       func(_ *PipeConn, b []byte) [][]byte { b[40] ^= 1; return [][]byte{b} },
		"replay":     func(_ *PipeConn, b []byte) [][]byte { return [][]byte{b, b} },
		"drop":       func(*PipeConn, []byte) [][]byte { return nil },
		"cut":        func(_ *PipeConn, b []byte) [][]byte { return [][]byte{b[:len(b)-16]} },
		"one byte":   func(*PipeConn, []byte) [][]byte { return [][]byte{{1}} },
		"long noise": func(*PipeConn, []byte) [][]byte { return [][]byte{make([]byte, MaxFrame)} },
		"control":    func(_ *PipeConn, b []byte) [][]byte { return [][]byte{b} },
	} {
		a, b := Pipe()
		client, server := w.connectOver(a, b)
		frames := attack(a, recordOf(&client.out, "good"))
		frames = append(frames, recordOf(&client.out, "after"))
		go a.WriteFrames(frames...) // ends when the link does
		var err error
		var heard string
		for err == nil {
			var got []byte
			got, err = server.Read()
			if heard += string(got); heard == "goodafter" {
				break
			}
		}
		if name == "control" {
			if err != nil {
				t.Error("the control fails:", err)
			}
			continue
		}
		if err != ErrRecord || !errors.Is(err, ErrLost) || errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
		if _, again := server.Read(); again != ErrRecord {
			t.Errorf("%s: read again: %v", name, again)
		}
		if _, err := client.Read(); !errors.Is(err, ErrLost) {
			t.Errorf("%s: the other side: %v", name, err)
		}
		if err := server.Write([]byte("x")); !errors.Is(err, ErrLost) {
			t.Errorf("%s: write afterwards: %v", name, err)
		}
	}
}

// crafted seals any plaintext as the next record: what only a peer can do.
func crafted(h *half, plain []byte) []byte {
	aad := h.aad()
	return h.key.Seal(nil, plain, aad[:])
}

func plaintext(typ byte, length uint32, size int) []byte {
	p := make([]byte, size)
	p[0] = typ
	binary.BigEndian.PutUint32(p[1:], length)
	return p
}

// What is wrong under a right tag is refused like what is wrong with the tag.
func TestBadContent(t *testing.T) {
	out, in, _ := ends(clientToServer)
	with := func(p []byte, at int, b byte) []byte { p[at] = b; return p }
	for name, plain := range map[string][]byte{
		"type 0":             plaintext(0, 10, 256),
		"type 5":             plaintext(5, 10, 256),
		"no payload":         plaintext(typeData, 0, 256),
		"length past end":    plaintext(typeData, 252, 256),
		"length 2^32-1":      plaintext(typeData, 1<<32-1, 256),
		"padding not zero":   with(plaintext(typeData, 10, 256), 255, 1),
		"padding 1st byte":   with(plaintext(typeData, 10, 256), 15, 1),
		"padded too far":     plaintext(typeData, 10, 512),
		"not a multiple":     plaintext(typeData, 10, 256+16),
		"small over 4 KiB":   plaintext(typeData, 4092, 4096+256),
		"close with payload": plaintext(typeClose, 1, 256),
		"rekey with payload": plaintext(typeRekey, 1, 256),
		"rekey of nothing":   plaintext(typeRekey, 0, 256),
		"ticket too short":   plaintext(typeTicket, ticketRecordSize-1, 256),
		"empty":              {},
		"a head":             plaintext(typeData, 1, 5),
	} {
		if typ, payload, ok := in.open(crafted(&out, plain), time.Now()); ok || typ != 0 || payload != nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, _, ok := in.open(crafted(&out, plaintext(typeData, 10, 256)), time.Now()); !ok {
		t.Error("the control is refused")
	}
}

var full = flag.Bool("full", false, "rekey over the real count of records, not the end of it")

// Rekeying by count: both sides go on, the old key is useless, and no sequence
// number comes twice.
func TestRekeyByCount(t *testing.T) {
	out, in, k := ends(clientToServer)
	n := phaseRecords + 10
	if !*full {
		n = 10_010
		out.records, in.records = phaseRecords-10_000, phaseRecords-10_000
	}
	now := time.Now()
	var b []byte
	var cuts []int
	for range n {
		b, cuts = out.seal(b[:0], cuts[:0], now, typeData, []byte("x"))
		start := 0
		for _, end := range cuts {
			typ, _, ok := in.open(b[start:end], now)
			if !ok {
				t.Fatal("a record was refused around the rekey")
			}
			if typ == typeRekey {
				in.rekey()
			}
			start = end
		}
	}
	if out.phase != 1 || in.phase != 1 || out.seq != in.seq || out.seq != uint64(n)+1 {
		t.Fatalf("phases %d and %d, sequences %d and %d", out.phase, in.phase, out.seq, in.seq)
	}
	if out.k == k || in.k != out.k || in.k != mustExpand(k, labelRekey) {
		t.Error("the key is not the next one")
	}
	old := newHalf(clientToServer, k)
	old.phase, old.seq = in.phase, in.seq
	if _, ok := opens(&in, recordOf(&old, "by the old key")); ok {
		t.Error("the old key still seals")
	}
	if _, ok := opens(&in, recordOf(&out, "by the new key")); !ok {
		t.Error("the control is refused")
	}
}

// Rekeying by bytes and by time; and who does not rekey is cut at twice as much.
func TestRekeyLimits(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		fill  func(*half)
		after time.Duration
	}{
		"records": {fill: func(h *half) { h.records = phaseRecords }},
		"bytes":   {fill: func(h *half) { h.bytes = phaseBytes }},
		"time":    {fill: func(*half) {}, after: phaseTime},
	} {
		out, in, _ := ends(serverToClient)
		pass := func(b []byte, at time.Time) (byte, bool) {
			typ, _, ok := in.open(b, at)
			return typ, ok
		}
		first, _ := out.seal(nil, nil, now, typeData, []byte("first"))
		if _, ok := pass(first, now); !ok {
			t.Fatal("refused")
		}
		c.fill(&out)
		b, cuts := out.seal(nil, nil, now.Add(c.after), typeData, []byte("x"))
		if len(cuts) != 2 || out.phase != 1 {
			t.Fatalf("%s: no rekey", name)
		}
		if typ, ok := pass(b[:cuts[0]], now.Add(c.after)); !ok || typ != typeRekey {
			t.Errorf("%s: the rekey record was refused", name)
		}
		in.rekey()
		if _, ok := pass(b[cuts[0]:], now.Add(c.after)); !ok {
			t.Errorf("%s: the first record of the phase was refused", name)
		}

		// A peer that goes on and on. It is let past the first limit, by which it
		// may not have heard the clock as we did, and not past the second.
		lazy, in, _ := ends(serverToClient)
		in.open(recordOf(&lazy, "first"), now)
		c.fill(&in)
		if _, _, ok := in.open(recordOf(&lazy, "past the limit"), now.Add(c.after)); !ok {
			t.Errorf("%s: cut at the first limit", name)
		}
		in.records, in.bytes = 2*in.records, 2*in.bytes
		if _, _, ok := in.open(recordOf(&lazy, "past twice the limit"), now.Add(2*c.after)); ok {
			t.Errorf("%s: not cut at twice the limit", name)
		}
	}
}

// A link that was idle for a day goes on: the phase's time runs from its first
// record, and a rekey record is never too late.
func TestRekeyAfterIdling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		client, server := w.connect()
		time.Sleep(24 * time.Hour)
		say(t, client, server, "good morning")
		time.Sleep(24 * time.Hour)
		say(t, client, server, "good morning again")
		say(t, server, client, "and to you")
		if server.in.phase != 1 || client.in.phase != 0 {
			t.Errorf("phases %d and %d", server.in.phase, client.in.phase)
		}
		w.server.Close()
	})
}

func FuzzClientHello(f *testing.F) {
	h := clientHandshake{cfg: ClientConfig{RSA: testKeys(), Now: time.Now}}
	if err := h.prepare(context.Background()); err != nil {
		f.Fatal(err)
	}
	f.Add(h.ch)
	h.hello.resumed = true
	f.Add(h.hello.encode())
	f.Add([]byte{1, 1, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		hello, ok := parseClientHello(b)
		if ok && !bytes.Equal(hello.encode(), b) {
			t.Error("a hello parsed that no client makes")
		}
	})
}

func FuzzServerHello(f *testing.F) {
	f.Add(make([]byte, serverHelloSize+finSize), false)
	f.Add(append([]byte{1, 2, 0, 1}, make([]byte, resumedHelloSize+finSize-4)...), true)
	f.Fuzz(func(t *testing.T, b []byte, resumed bool) {
		h, unsigned, ok := parseServerHello(b, resumed)
		if ok && !bytes.Equal(h.encodeUnsigned(), unsigned) {
			t.Error("a hello parsed that no server makes")
		}
	})
}

func FuzzRecord(f *testing.F) {
	_, _, k := ends(clientToServer)
	out := newHalf(clientToServer, k)
	f.Add(plaintext(typeData, 1, 256), recordOf(&out, "x"))
	f.Add(plaintext(typeRekey, 0, 256), []byte{})
	f.Fuzz(func(t *testing.T, plain, frame []byte) {
		in := newHalf(clientToServer, k)
		in.seq = 1 // where nothing was sealed
		if _, ok := opens(&in, frame); ok {
			t.Error("a record was forged")
		}
		typ, payload, ok := parseRecord(plain)
		if !ok {
			return
		}
		again := make([]byte, padded(len(payload)))
		again[0] = typ
		binary.BigEndian.PutUint32(again[1:], uint32(len(payload)))
		copy(again[recordHead:], payload)
		if !bytes.Equal(again, plain) {
			t.Error("a record parsed that no sender makes")
		}
	})
}
