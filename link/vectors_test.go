package link

import (
	"bytes"
	"context"
	"crypto/hpke"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"testing/cryptotest"
	"time"
)

var update = flag.Bool("update", false, "write the vectors again")

const vectorsFile = "../doc/vectors/link.json"

// hexBytes are bytes that JSON shows in hex.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }
func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// linkVectors is doc/vectors/link.json.
type linkVectors struct {
	RootSeed   hexBytes         `json:"root_seed"`
	RootPK     hexBytes         `json:"root_pk"`
	Pin        hexBytes         `json:"pin"`
	OnlineSeed hexBytes         `json:"online_seed"`
	Cert       hexBytes         `json:"cert"`
	Epoch      uint64           `json:"epoch"`
	NotAfter   int64            `json:"not_after"`
	Full       handshakeVectors `json:"full"`
	Ticket     ticketVectors    `json:"ticket"`
	Resumed    handshakeVectors `json:"resumed"`
}

type handshakeVectors struct {
	RSAKey    hexBytes        `json:"rsa_pkcs8,omitempty"`
	XWingSeed hexBytes        `json:"xwing_seed"`
	CH        hexBytes        `json:"ch"`
	SH        hexBytes        `json:"sh_sfin"`
	CFin      hexBytes        `json:"cfin"`
	K1        hexBytes        `json:"k1,omitempty"`
	PSK       hexBytes        `json:"psk,omitempty"`
	K2        hexBytes        `json:"k2"`
	TH        hexBytes        `json:"th"`
	C2S       hexBytes        `json:"c2s"`
	S2C       hexBytes        `json:"s2c"`
	C2SFin    hexBytes        `json:"c2s_fin"`
	S2CFin    hexBytes        `json:"s2c_fin"`
	Exporter  hexBytes        `json:"exporter"`
	Resume    hexBytes        `json:"resume"`
	Records   []recordVectors `json:"records"`
}

type recordVectors struct {
	Direction byte     `json:"direction"`
	Phase     uint32   `json:"phase"`
	Seq       uint64   `json:"seq"`
	Type      byte     `json:"type"`
	Payload   hexBytes `json:"payload"`
	Frame     hexBytes `json:"frame"`
}

type ticketVectors struct {
	ID    hexBytes `json:"ticket_id"`
	Nonce hexBytes `json:"nonce"`
	PSK   hexBytes `json:"psk"`
}

// TestMakeVectors makes the vectors from a fixed seed, if it is told to: how Go
// uses its randomness may change, the vectors do not.
func TestMakeVectors(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	cryptotest.SetGlobalRandom(t, 3)
	now := time.Unix(1_800_000_000, 0)
	root := GenerateRoot()
	online := root.NewOnline(7, now.Add(90*24*time.Hour))
	pin, rootPK, cert := root.Pin(), root.Public(), online.cert.Bytes()
	v := linkVectors{
		RootSeed: root.Seed(), RootPK: rootPK[:], Pin: pin[:], OnlineSeed: online.key.Seed(), Cert: cert[:],
		Epoch: 7, NotAfter: online.cert.NotAfter.Unix(),
	}
	server, err := NewServer(ServerConfig{
		Root: rootPK, Online: online, Tickets: &MemServerTickets{}, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	kept := &MemTickets{}
	cfg := ClientConfig{Pin: pin, Tickets: kept, Now: func() time.Time { return now }}

	var ticket Ticket
	var secretsOfFull secrets
	v.Full, secretsOfFull = handshakeVector(t, server, cfg, Ticket{})
	nonce := bytes.Repeat([]byte{0x5a}, 32)
	ticket = Ticket{ID: [32]byte(bytes.Repeat([]byte{0xa5}, 32)), PSK: ticketPSK(secretsOfFull.resume, nonce), Expires: now.Add(TicketLife)}
	v.Ticket = ticketVectors{ID: ticket.ID[:], Nonce: nonce, PSK: ticket.PSK[:]}
	kept.Put(pin, ticket)
	v.Resumed, _ = handshakeVector(t, server, cfg, ticket)

	c2s, s2c := newHalf(clientToServer, secretsOfFull.c2s), newHalf(serverToClient, secretsOfFull.s2c)
	record := func(h *half, typ byte, payload []byte) {
		r := recordVectors{Direction: h.direction, Phase: h.phase, Seq: h.seq, Type: typ, Payload: payload}
		r.Frame = h.sealOne(nil, now, typ, len(payload), payload)
		if typ == typeRekey {
			h.rekey()
		}
		v.Full.Records = append(v.Full.Records, r)
	}
	record(&c2s, typeData, []byte("hello"))
	record(&s2c, typeTicket, append(bytes.Clone(ticket.ID[:]), nonce...))
	record(&s2c, typeData, make([]byte, 251))
	record(&c2s, typeData, make([]byte, 252))
	record(&c2s, typeRekey, nil)
	record(&c2s, typeData, []byte("after the rekey"))
	record(&s2c, typeData, make([]byte, 4091))
	record(&s2c, typeData, make([]byte, 4092))
	record(&s2c, typeRekey, nil)
	record(&s2c, typeData, []byte("once"))
	record(&s2c, typeRekey, nil)
	record(&s2c, typeData, []byte("twice"))
	record(&c2s, typeClose, nil)
	record(&s2c, typeClose, nil)

	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorsFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// handshakeVector does one handshake and writes down all of it.
func handshakeVector(t *testing.T, server *Server, cfg ClientConfig, ticket Ticket) (handshakeVectors, secrets) {
	t.Helper()
	h := clientHandshake{cfg: cfg}
	if err := h.prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	hello, ok := parseClientHello(h.ch)
	if !ok {
		t.Fatal("hello refused")
	}
	a, err := server.compute(h.ch, &hello, ticket.PSK)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := h.xwing.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	s := a.secrets
	v := handshakeVectors{
		XWingSeed: seed, CH: h.ch, SH: bytes.Clone(a.frame), CFin: a.cfin[:],
		C2S: s.c2s[:], S2C: s.s2c[:], C2SFin: s.c2sFin[:], S2CFin: s.s2cFin[:], Exporter: s.exporter[:], Resume: s.resume[:],
	}
	sh, unsigned, ok := parseServerHello(v.SH, hello.resumed)
	if !ok {
		t.Fatal("answer refused")
	}
	th := transcript(hello.resumed, h.ch, unsigned)
	v.TH = th[:]
	if v.K2, err = decapsulate(h.xwing, sh.xwing, h.ch); err != nil {
		t.Fatal(err)
	}
	if hello.resumed {
		v.PSK = ticket.PSK[:]
		return v, s
	}
	if v.RSAKey, err = x509.MarshalPKCS8PrivateKey(h.rsa.(rsaPair).key); err != nil {
		t.Fatal(err)
	}
	if v.K1, err = h.rsa.DecryptOAEP(context.Background(), sh.rsa, bound(labelRSA, h.ch)); err != nil {
		t.Fatal(err)
	}
	return v, s
}

// TestVectors plays the client of the vectors, and opens their records.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v linkVectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	root, err := ParseRoot(v.RootSeed)
	if err != nil {
		t.Fatal(err)
	}
	online := root.certify(v.OnlineSeed, v.Epoch, time.Unix(v.NotAfter, 0))
	if cert := online.cert.Bytes(); !bytes.Equal(cert[:], v.Cert) || root.Pin() != [32]byte(v.Pin) || root.Public() != [32]byte(v.RootPK) {
		t.Error("the server's keys differ")
	}
	if ticketPSK([32]byte(v.Full.Resume), v.Ticket.Nonce) != [32]byte(v.Ticket.PSK) {
		t.Error("the ticket's secret differs")
	}
	v.playClient(t, &v.Full)
	v.playClient(t, &v.Resumed)

	in := map[byte]*half{}
	for _, h := range []half{newHalf(clientToServer, [32]byte(v.Full.C2S)), newHalf(serverToClient, [32]byte(v.Full.S2C))} {
		in[h.direction] = &h
	}
	for i, r := range v.Full.Records {
		h := in[r.Direction]
		if h.phase != r.Phase || h.seq != r.Seq {
			t.Fatalf("record %d: we are at phase %d, sequence %d", i, h.phase, h.seq)
		}
		typ, payload, ok := h.open(bytes.Clone(r.Frame), time.Time{})
		if !ok || typ != r.Type || !bytes.Equal(payload, r.Payload) {
			t.Fatalf("record %d does not open to what it should", i)
		}
		if typ == typeRekey {
			h.rekey()
		}
	}
}

// playClient gives the client of a handshake the server's answer.
func (v *linkVectors) playClient(t *testing.T, hv *handshakeVectors) {
	t.Helper()
	hello, ok := parseClientHello(hv.CH)
	if !ok {
		t.Fatal("the hello does not parse")
	}
	private, err := hpke.MLKEM768X25519().NewPrivateKey(hv.XWingSeed)
	if err != nil {
		t.Fatal(err)
	}
	end := &script{answer: func([]byte) []byte { return hv.SH }, written: [][]byte{hv.CH}}
	h := clientHandshake{
		fc: end, xwing: private, hello: hello, ch: hv.CH,
		cfg: ClientConfig{Pin: [32]byte(v.Pin), MinEpoch: v.Epoch, Now: func() time.Time { return time.Unix(v.NotAfter-1, 0) }},
	}
	if hello.resumed {
		h.ticket.PSK = [32]byte(v.Ticket.PSK)
	} else {
		h.rsa = vectorPair(t, hv.RSAKey)
	}
	conn, err := h.receive(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(end.written[1], hv.CFin) {
		t.Error("CFin differs")
	}
	if conn.Exporter() != [32]byte(hv.Exporter) || conn.out.k != [32]byte(hv.C2S) || conn.in.k != [32]byte(hv.S2C) {
		t.Error("the keys differ")
	}
}

func vectorPair(t *testing.T, der []byte) KeyPair {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return rsaPair{key.(*rsa.PrivateKey)}
}
