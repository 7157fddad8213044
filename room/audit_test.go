package room

import "testing"

// Whoever holds the state of an epoch can tell from the bytes where each entry
// stands in the ratchets, and sees a state that was used twice.
func TestSpots(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	syncAll(alice, bob, carol)
	twin := *bob
	var err error
	if twin.room, err = Load(bob.self, bob.records()); err != nil {
		t.Fatal(err)
	}
	from := s.head()
	bob.must(bob.send("one"))
	bob.must(bob.send("two"))
	alice.must(alice.send("three"))
	used := map[Spot]int{}
	take := func(e Entry) {
		spot, ok, err := carol.room.Spot(e)
		if err != nil || !ok {
			t.Fatalf("entry %d: %v, %v", e.Seq, ok, err)
		}
		used[spot]++
	}
	for _, e := range s.log[from:] {
		take(e)
	}
	if len(used) != 3 {
		t.Fatalf("three messages stand in %d places", len(used))
	}
	a, err := twin.room.Message(Draft{ID: randomID(), Kind: ItemText, Text: "one, again"})
	if err != nil {
		t.Fatal(err)
	}
	take(Entry{Seq: s.head() + 1, Kind: EntryMessage, Payload: a.Payload, Body: a.Body})
	if len(used) != 3 {
		t.Error("a copied state that wrote was not seen")
	}
	// Asking changed nothing: carol reads all of it.
	carol.sync()
	if got := len(carol.timeline); carol.timeline[got-1].Text != "three" || carol.timeline[got-3].Text != "one" {
		t.Errorf("carol reads %+v", carol.timeline[got-3:])
	}
	if _, ok, err := carol.room.Spot(Entry{Kind: EntryNotice, Payload: []byte("x")}); ok || err != nil {
		t.Errorf("a notice stands in the ratchets: %v, %v", ok, err)
	}
	if _, _, err := carol.room.Spot(Entry{Kind: EntryMessage, Payload: []byte("x")}); err == nil {
		t.Error("noise stands in the ratchets")
	}
}
