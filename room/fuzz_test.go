package room

import (
	"bytes"
	"testing"

	"github.com/securelink-chat/securelink/identity"
)

// force2 adds a device whose credential does not verify.
func (d *device) force2(t *testing.T, ghost *device) {
	t.Helper()
	kp, err := NewKeyPackage(ghost.self, false, d.s.now)
	if err != nil {
		t.Fatal(err)
	}
	d.force(addOnly(d, kp.KeyPackage))
}

// FuzzDecoders: what decodes must encode to the same bytes, so that everything
// has one form; nothing may panic or take more memory than it was given.
func FuzzDecoders(f *testing.F) {
	rules := &Rules{Mode: ModeLink, Limit: 9, Title: "t", Grants: []Grant{{identity.UserID{1}, RoleOwner}}, Links: []LinkEntry{{Number: 1, Creator: identity.UserID{1}}},
		Bans: []identity.UserID{{2}}, Revoked: []Revoked{{identity.UserID{3}, identity.DeviceID{4}}}}
	intent := Intent{Kind: IntentAdd, KeyPackages: [][]byte{{1}}}
	f.Add(rules.encode())
	f.Add((&attest{after: 7, undo: true}).encode())
	f.Add((&envelope{kind: ItemText}).encode())
	f.Add((&placeInfo{place: place{seq: 2, mark: 1}}).encode())
	f.Add(intent.Encode())
	f.Add((&status{state: StateMember, acks: []identity.UserID{{1}}}).encode(identity.GroupID{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRules(b); err == nil && !bytes.Equal(r.encode(), b) {
			t.Error("rules")
		}
		if a, err := decodeAttest(b); err == nil && !bytes.Equal(a.encode(), b) {
			t.Error("grounds of a commit")
		}
		if e, err := decodeEnvelope(b); err == nil && !bytes.Equal(e.encode(), b) {
			t.Error("envelope")
		}
		if p, err := decodePlaceInfo(b); err == nil && !bytes.Equal(p.encode(), b) {
			t.Error("place")
		}
		if i, err := DecodeIntent(b); err == nil && !bytes.Equal(i.Encode(), b) {
			t.Error("intent")
		}
		if s, id, err := decodeStatus(b); err == nil && !bytes.Equal(s.encode(id), b) {
			t.Error("status")
		}
		var d Draft
		if plain, err := unpad(b); err == nil && !bytes.Equal(pad(plain), b) {
			t.Error("padding")
		}
		d.ID, d.Kind = MessageID{1}, ItemText
		if d.readContent(b) == nil && !bytes.Equal(d.content(), b) {
			t.Error("content")
		}
	})
}

// FuzzExamine feeds a room entries that anybody can put into its log: it must
// judge them, and go on.
func FuzzExamine(f *testing.F) {
	f.Add(byte(1), []byte{1, 0, 1, 0, 2}, []byte(nil))
	f.Add(byte(1), []byte{2, 1}, []byte(nil))
	f.Add(byte(2), []byte{0, 1, 0, 2}, []byte("body"))
	f.Add(byte(3), []byte{1}, []byte(nil))
	_, alice, bob, carol := inviteRoom(f)
	syncAll(alice, bob, carol)
	records := alice.records()
	for _, e := range alice.s.log {
		f.Add(byte(e.Kind), e.Payload, e.Body)
	}
	f.Fuzz(func(t *testing.T, kind byte, payload, body []byte) {
		room, err := Load(alice.self, records)
		if err != nil {
			t.Fatal(err)
		}
		seq, _ := room.Position()
		res, err := room.Examine(Entry{Seq: seq + 1, Kind: EntryKind(kind), Payload: payload, Body: body}, true)
		if err != nil {
			t.Fatal(err)
		}
		if res.Verdict == VerdictApplied {
			t.Error("an entry that no member made is applied")
		}
		if room.State() != StateMember {
			t.Errorf("the room is in state %d", room.State())
		}
	})
}

// FuzzLoad: damaged records are an error, never a panic, and whatever loads
// can be stored and loaded again.
func FuzzLoad(f *testing.F) {
	_, alice, _, _ := inviteRoom(f)
	records := alice.records()
	for i, r := range records {
		f.Add(uint(i), r.Key, r.Value)
	}
	f.Fuzz(func(t *testing.T, at uint, key, value []byte) {
		bent := append([]Record{}, records...)
		bent[at%uint(len(bent))] = Record{key, value}
		room, err := Load(alice.self, bent)
		if err != nil {
			return
		}
		if _, err := Load(alice.self, room.Records()); err != nil {
			t.Errorf("what was loaded does not load again: %v", err)
		}
	})
}
