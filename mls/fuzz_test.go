package mls

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
)

// maxGrowth is how many bytes a decoder may allocate for one of its input,
// beside a fixed sum.
const (
	maxGrowth = 10
	fixedCost = 64 << 10
)

// frugal runs a decoder and demands that it does not allocate out of
// proportion to its input.
func frugal(t *testing.T, input []byte, decode func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	decode()
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; spent > uint64(maxGrowth*len(input)+fixedCost) {
		t.Errorf("%d bytes were allocated for %d of input", spent, len(input))
	}
}

// hostile are inputs that would cost much if counts were believed or slices
// grown.
func hostile() [][]byte {
	blanks := appendVec(nil, make([]byte, 1<<16))
	removes := appendVec(nil, bytes.Repeat(append([]byte{1}, appendProposal(nil, &Remove{1})...), 1<<14))
	updates := appendVec(nil, bytes.Repeat(append([]byte{1, 0, 2}, make([]byte, 12)...), 1<<12))
	lists := appendVec(nil, bytes.Repeat(append([]byte{1}, appendProposal(nil, &GroupContextExtensions{[]Extension{{Type: 1}}})...), 1<<12))
	inits := appendVec(nil, bytes.Repeat([]byte{1, 0, 6, 0}, 1<<14))
	commit := func(list []byte) []byte {
		b := messageHeader(wirePublic, 0)
		b = appendU64(appendVec(b, "a group"), 1)
		b = Sender{SenderMember, 0}.append(b)
		b = append(appendVec(b, ""), byte(ContentCommit))
		return append(b, list...)
	}
	return [][]byte{blanks, commit(removes), commit(updates), commit(lists), commit(inits),
		{0x80, 0x0f, 0xff, 0xff}, {0xbf, 0xff, 0xff, 0xff}, {0xc0}, nil}
}

func FuzzDecoders(f *testing.F) {
	groups := newWorld(f, DefaultSuite, 3)
	k := newPerson(f, DefaultSuite, "dave").keyPackage(f)
	pending := must(groups[0].Commit(CommitOptions{Proposals: []Proposal{&Add{k.KeyPackage}, &PreSharedKey{ExternalPSK([]byte("link"))}}, Public: true}))(f)
	for _, seed := range append(hostile(), pending.Message(), pending.Welcome(), k.KeyPackage.Bytes(), groups[0].Tree(),
		must(groups[0].GroupInfo(GroupInfoOptions{Tree: true, ExternalPub: true}))(f), must(groups[0].Encrypt([]byte("x"), nil))(f)) {
		f.Add(seed)
	}
	cs := must(lookup(DefaultSuite))(f)
	decoders := []func([]byte) error{
		func(b []byte) error { _, err := Peek(b); return err },
		func(b []byte) error { _, err := parseKeyPackage(b); return err },
		func(b []byte) error { _, err := ParseGroupInfo(b); return err },
		func(b []byte) error { _, err := readTree(cs, &reader{b: b}); return err },
		func(b []byte) error {
			_, err := OpenWelcome(testConfig(), b, nil, JoinOptions{})
			return err
		},
		func(b []byte) error {
			r := &reader{b: b}
			readGroupSecrets(r)
			return r.end("group secrets")
		},
		func(b []byte) error {
			a := &authenticatedContent{content: &framedContent{contentType: ContentCommit}}
			return a.readPlain(b)
		},
		func(b []byte) error {
			a := &authenticatedContent{content: &framedContent{contentType: ContentProposal}}
			return a.readPlain(b)
		},
		func(b []byte) error { return extensionList(b).checkContext() },
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for i, decode := range decoders {
			var err error
			frugal(t, b, func() { err = decode(b) })
			if err != nil && !Public(err) && !errors.Is(err, ErrNoKeyPackage) {
				t.Errorf("decoder %d: %v is in no class", i, err)
			}
		}
	})
}

// FuzzRoundTrip demands that whatever decodes is encoded to the same bytes:
// there is one encoding for one meaning.
func FuzzRoundTrip(f *testing.F) {
	groups := newWorld(f, DefaultSuite, 3)
	f.Add(must(groups[0].Commit(CommitOptions{Public: true}))(f).Message())
	f.Add(must(groups[0].Propose(&Remove{1}, ProposeOptions{Public: true}))(f))
	f.Add(groups[0].Tree())
	cs := must(lookup(DefaultSuite))(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if tr, err := readTree(cs, &reader{b: b}); err == nil && !bytes.Equal(tr.append(nil), b) {
			t.Errorf("a tree is encoded as %x", tr.append(nil))
		}
		public, private, err := readFramed(b)
		if err != nil {
			return
		}
		if private != nil {
			if !bytes.Equal(private.message(), b) {
				t.Error("a private message is encoded otherwise")
			}
			return
		}
		public.content.setBody()
		if !bytes.Equal(public.public(), b) {
			t.Error("a public message is encoded otherwise")
		}
	})
}

// FuzzProcess feeds a live group. mode tells whether the bytes come as they
// are, or as the contents that a member signed and encrypted.
func FuzzProcess(f *testing.F) {
	base := newWorld(f, X25519AES128, 3)
	for range base {
		base = advanceAll(f, CommitOptions{}, append(base[1:], base[0]))
	}
	alice := base[0].Clone()
	commit := must(alice.Commit(CommitOptions{Public: true}))(f).Message()
	public, _, err := readFramed(commit)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(commit, byte(0))
	f.Add(must(alice.Encrypt([]byte("x"), nil))(f), byte(0))
	f.Add(must(alice.Commit(CommitOptions{}))(f).Message(), byte(0))
	f.Add(public.content.rawBody, byte(ContentCommit))
	f.Add(appendProposal(nil, &Remove{2}), byte(ContentProposal))
	f.Add((&commitBody{proposals: values(&Remove{2}, &PreSharedKey{ExternalPSK([]byte("link"))})}).append(nil), byte(ContentCommit))
	f.Add([]byte("text"), byte(ContentApplication))
	f.Fuzz(func(t *testing.T, b []byte, mode byte) {
		from, to, third := base[0].Clone(), base[1].Clone(), base[2].Clone()
		if kind := ContentType(mode); kind >= ContentApplication && kind <= ContentCommit {
			b = signed(t, from, kind, b)
		}
		r, err := to.Process(b)
		switch {
		case err == nil && r.Commit != nil:
			if _, err := r.Commit.Apply(); err != nil {
				t.Error(err)
			}
		case err != nil && !Public(err) && !known(err):
			t.Errorf("%v is in no class", err)
		}
		// Whatever came, the group goes on.
		receive(t, to, must(third.Commit(CommitOptions{}))(t).Message())
	})
}

func known(err error) bool {
	for _, class := range []error{ErrPrivate, ErrMissingPSK, ErrOwnMessage, ErrKeyUsed, ErrGeneration} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// signed frames any bytes as a body that a member stands for.
func signed(t *testing.T, g *Group, kind ContentType, body []byte) []byte {
	t.Helper()
	a := &authenticatedContent{wire: wirePrivate, confirmationTag: random(g.cs.nh), content: &framedContent{groupID: g.context.groupID,
		epoch: g.context.epoch, sender: Sender{SenderMember, g.own}, contentType: kind, rawBody: body}}
	a.signature = must(g.signer.signLabelled("FramedContentTBS", a.tbs(g.contextRaw)))(t)
	return must(g.frame(a, 0))(t)
}

// FuzzLoad damages one record of a saved group.
func FuzzLoad(f *testing.F) {
	groups := newWorld(f, X25519AES128, 3)
	talk(f, groups...)
	must(groups[1].Propose(&Remove{2}, ProposeOptions{}))(f)
	groups[1].cfg.KeepEpochs, groups[1].cfg.KeepResumption = 1, 1
	groups = advanceAll(f, CommitOptions{}, groups)
	talk(f, groups...)
	records := groups[1].Records()
	pending := must(groups[1].Commit(CommitOptions{}))(f).Save()
	for i, r := range records {
		f.Add(uint16(i), r.Value)
	}
	f.Add(uint16(1000), pending)
	f.Add(uint16(1001), newPerson(f, X25519AES128, "x").keyPackage(f).Marshal())
	f.Fuzz(func(t *testing.T, which uint16, value []byte) {
		if _, err := groups[1].LoadPending(value); err != nil && !errors.Is(err, ErrState) {
			t.Errorf("pending: %v is not ErrState", err)
		}
		if _, err := ParsePrivateKeyPackage(value); err != nil && !errors.Is(err, ErrState) && !errors.Is(err, ErrUnsupported) {
			t.Errorf("key package: %v is not ErrState", err)
		}
		list := append([]Record(nil), records...)
		at := int(which) % len(list)
		list[at].Value = value
		g, err := Load(testConfig(), list)
		if err != nil {
			if !errors.Is(err, ErrState) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("%v is not ErrState", err)
			}
			return
		}
		if _, err := g.Encrypt([]byte("x"), nil); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrUsage) && !errors.Is(err, ErrKeyUsed) {
			t.Error(err)
		}
	})
}

func TestDamageOfSavedStateIsFound(t *testing.T) {
	groups := newWorld(t, X25519AES128, 4)
	talk(t, groups...)
	records := groups[1].Records()
	for i := range records {
		missing := append(append([]Record(nil), records[:i]...), records[i+1:]...)
		if kind := records[i].Key[0]; kind == recordState || kind == recordNode {
			if _, err := Load(testConfig(), missing); !errors.Is(err, ErrState) {
				t.Errorf("without record %x: %v", records[i].Key, err)
			}
		}
		short := append([]Record(nil), records...)
		short[i].Value = short[i].Value[:len(short[i].Value)-1]
		if _, err := Load(testConfig(), short); !errors.Is(err, ErrState) {
			t.Errorf("record %x cut short: %v", records[i].Key, err)
		}
	}
	unknown := append(append([]Record(nil), records...), Record{[]byte("?"), []byte{1}})
	if _, err := Load(testConfig(), unknown); !errors.Is(err, ErrState) {
		t.Errorf("unknown record: %v", err)
	}
}
