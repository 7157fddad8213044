package core_test

import (
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/wire"
)

// acts reads the audit log as "who: act".
func (w *world) acts() (out []string) {
	w.t.Helper()
	log, err := w.server.AuditLog(w.t.Context(), 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range log {
		out = append(out, a.Who+": "+a.Act)
	}
	return out
}

func (w *world) audited(want ...string) {
	w.t.Helper()
	all := strings.Join(w.acts(), "\n")
	for _, act := range want {
		if !strings.Contains(all, "operator: "+act) {
			w.t.Errorf("the audit log has no %q by the operator:\n%s", act, all)
		}
	}
}

// A removed account is out at once and for good; others are not touched.
func TestRemovedUserIsOutForGood(t *testing.T) {
	w := start(t)
	alice, bob := w.person("Alice"), w.person("Bob")
	a, b := w.guest(alice), w.guest(bob)
	if err := w.server.RemoveUser(t.Context(), alice.user); err != nil {
		t.Fatal(err)
	}
	<-a.done
	again := w.connect()
	refused(again, wire.DeviceGone, alice.login(again))
	refused(again, wire.DeviceGone, wire.Guest{Account: alice.account(again.conn.Exporter())})
	phone := alice.second()
	fresh := w.connect()
	if _, err := ask[wire.LoginOK](fresh, wire.Guest{Account: phone.account(fresh.conn.Exporter())}); err == nil {
		t.Error("another device of the removed account logs in")
	}
	must[wire.Empty](b, wire.Ping{})
	w.audited("user removed")
	wantCode(t, w.server.RemoveUser(t.Context(), w.person("Nobody").user), wire.NotFound)
}

// A guest who is not there counts as long unseen from then on; one who is, or
// who has a name, is nobody's to retire. Who comes back is seen again.
func TestRetiredByTheOperator(t *testing.T) {
	w := start(t)
	alice, bob := w.person("Alice"), w.person("Bob")
	a, b := w.guest(alice), w.guest(bob)
	lounge := w.server.Lounge()
	must[wire.RoomState](a, wire.CreateRoom{Room: lounge, Kind: wire.RoomOpen, GroupInfo: []byte("info")})
	joined := must[wire.AppendOK](b, commit(lounge, 0, []*person{bob}, nil))
	wantCode(t, w.server.RetireGuest(t.Context(), bob.user), wire.Conflict)
	_ = b.conn.Close()
	b.served <- <-b.served
	if err := w.server.RetireGuest(t.Context(), bob.user); err != nil {
		t.Fatal(err)
	}
	if got := must[wire.ListRetiredOK](a, wire.ListRetired{Room: lounge}); len(got.Gone) != 1 {
		t.Errorf("%d retired, want 1", len(got.Gone))
	}
	w.audited("guest retired")
	w.guest(bob)
	must[wire.AppendOK](a, text(lounge, joined.Seq, "the writer has done what waited before this"))
	if got := must[wire.ListRetiredOK](a, wire.ListRetired{Room: lounge}); len(got.Gone) != 0 {
		t.Error("who came back is retired")
	}
}

// What the operator does to devices and links is the operator's in the log.
func TestOperatorsActsAreAudited(t *testing.T) {
	w := start(t)
	alice := w.person("Alice")
	a := w.guest(alice)
	room := group(t, []*client{a}, []*person{alice})
	create := wire.CreateLink{Room: room, Link: wire.LinkID{7}, TokenHash: wire.Hash{1}}
	must[wire.Empty](a, create)
	links, err := w.server.Links(t.Context(), room)
	if err != nil || len(links) != 1 || links[0].By.User != alice.user {
		t.Fatalf("links: %+v, %v", links, err)
	}
	if err := w.server.RevokeLink(t.Context(), create.Link); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.server.RevokeLink(t.Context(), create.Link), wire.NotFound)
	if got := must[wire.ListLinksOK](a, wire.ListLinks{Room: room}); len(got.Links) != 0 {
		t.Error("a revoked link is there")
	}
	if err := w.server.RevokeDevice(t.Context(), alice.id); err != nil {
		t.Fatal(err)
	}
	<-a.done
	wantCode(t, w.server.RevokeDevice(t.Context(), wire.DeviceID{9}), wire.NotFound)
	w.audited("link revoked", "device revoked")
}
