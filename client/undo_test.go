package client

import (
	"slices"
	"testing"

	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// TestWhatARepairTakesOutIsSentAgain: a repair of the room takes lines out of
// the timeline. Those that this device wrote wait to be sent again; those of
// others, and lines from before, are not touched by that.
func TestWhatARepairTakesOutIsSentAgain(t *testing.T) {
	e, err := New(Config{Storage: NewMemory(), Dialer: noDialer{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for name, test := range map[string]struct {
		result room.Result
		kept   []string
	}{
		"an undo":                     {room.Result{Undone: 3}, []string{"before", "after"}},
		"a return from a void branch": {room.Result{Undone: 3, Resync: true}, []string{"before"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := e.newChat(wire.RoomID{1})
			c.id[1] = byte(len(name))
			c.mu.Lock()
			defer c.mu.Unlock()
			mine := room.MessageID{1}
			b := c.newBatch()
			for _, item := range []room.Item{
				{Seq: 2, Kind: room.ItemText, ID: room.MessageID{9}, Text: "before"},
				{Seq: 4, Kind: room.ItemText, ID: mine, Text: "mine", Own: true},
				{Seq: 5, Kind: room.ItemText, ID: room.MessageID{2}, Text: "theirs"},
				{Seq: 7, Kind: room.ItemText, ID: room.MessageID{3}, Text: "after"},
			} {
				if err := c.record(ctx, b, item, 0); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.commitLocked(ctx); err != nil {
				t.Fatal(err)
			}
			b = c.newBatch()
			test.result.Resend = []room.MessageID{mine}
			if err := c.digest(ctx, b, wire.Entry{Seq: 6}, &test.result); err != nil {
				t.Fatal(err)
			}
			if err := b.commitLocked(ctx); err != nil {
				t.Fatal(err)
			}
			if len(c.out) != 1 || c.out[0].ID != mine || c.out[0].Text != "mine" {
				t.Errorf("%d messages wait to be sent again", len(c.out))
			}
			pairs, err := e.cfg.Storage.Load(ctx, Range{Prefix: key(keyItem, c.id[:])})
			if err != nil {
				t.Fatal(err)
			}
			var kept []string
			for _, p := range pairs {
				var r itemRecord
				if err := wire.Decode(p.Value, &r); err != nil {
					t.Fatal(err)
				}
				kept = append(kept, r.Text)
			}
			if !slices.Equal(kept, test.kept) {
				t.Errorf("the timeline shows %q, want %q", kept, test.kept)
			}
		})
	}
}
