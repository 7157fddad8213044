package malice

import (
	"context"
	"math"
	"slices"

	"github.com/securelink-chat/securelink/wire"
)

// shown is an entry as somebody is shown it.
type shown struct {
	wire.Entry
	real uint64 // its place in the true log; 0: made up
}

// history makes of the true log the one that somebody is shown, which is
// numbered and chained as an honest one would be. What it has shown once it
// has to show again when the log has grown, unless going back on it is the point.
type history func(log []shown) []shown

// view is whose history of which room it is.
type view struct {
	client string
	room   wire.RoomID
}

// shows gives a client another history of a room from now on.
func (s *server) shows(client string, room wire.RoomID, h history) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.views[view{client, room}] = h
}

// log reads the true log up to a place.
func (s *server) log(room wire.RoomID, upTo uint64) []shown {
	if upTo == 0 {
		return nil
	}
	entries, err := s.store.Entries(context.Background(), room, 0, upTo, math.MaxInt32, math.MaxInt32)
	must(err)
	all := make([]shown, len(entries))
	for i, e := range entries {
		all[i].Entry, err = e.Decode()
		must(err)
		all[i].real = all[i].Seq
	}
	return all
}

// head is the newest entry of the true log.
func (s *server) head(room wire.RoomID) uint64 {
	_, head, _, err := s.store.Room(context.Background(), room)
	must(err)
	return head.Seq
}

// look is what a client is shown of a log that truly ends at upTo; nil, false
// where it is the truth. The caller holds mu.
func (t *tap) look(room wire.RoomID, upTo uint64) ([]shown, bool) {
	h := t.s.views[view{t.client, room}]
	if h == nil {
		return nil, false
	}
	log := t.s.log(room, upTo)
	story := h(slices.Clone(log))
	if !slices.EqualFunc(log, story, func(a, b shown) bool { return string(encode(a.Entry)) == string(encode(b.Entry)) }) {
		t.s.applied++
	}
	for i := range story {
		story[i].Seq = uint64(i + 1)
	}
	return story, true
}

// state makes the core's word on a room fit what the client is shown.
func (t *tap) state(st *wire.RoomState) bool {
	story, other := t.look(st.Room, st.Seq)
	if !other {
		return false
	}
	st.Seq, st.Handshake, st.Chain = 0, 0, wire.LogStart(st.Room)
	for i := range story {
		e := &story[i]
		st.Seq, st.Chain = e.Seq, e.Next(st.Chain)
		if e.Kind == wire.EntryHandshake {
			st.Handshake = e.Seq
		}
	}
	t.pushed[st.Room] = st.Seq
	return true
}

// rewrite makes what the core says of a room's log fit what the client is
// shown: nothing, one message or several. The caller holds mu.
func (t *tap) rewrite(m *message) []*message {
	same := []*message{m}
	switch {
	case m.Kind == wire.ItemEvent && m.Event == wire.EventEntry:
		var ev wire.EntryEvent
		must(m.DecodeBody(&ev))
		return t.push(m, ev)
	case m.Kind == wire.ItemEvent && m.Event == wire.EventRoom:
		recode(m, func(ev *wire.RoomEvent) fate { return fate{touched: t.state(&ev.State)} })
	case m.request == nil || m.Code != wire.OK:
	case m.request.Op == wire.OpWatch:
		recode(m, func(a *wire.WatchOK) fate {
			f := pass
			for i := range a.Rooms {
				f.touched = t.state(&a.Rooms[i]) || f.touched
			}
			return f
		})
	case m.request.Op == wire.OpSync:
		var asked wire.Sync
		must(m.request.DecodeBody(&asked))
		recode(m, func(a *wire.SyncOK) fate { return fate{touched: t.sync(&asked, a)} })
	}
	return same
}

func (t *tap) push(m *message, ev wire.EntryEvent) []*message {
	entry, err := ev.Entry.Decode()
	must(err)
	story, other := t.look(ev.Room, entry.Seq)
	if !other {
		return []*message{m}
	}
	if _, known := t.pushed[ev.Room]; !known {
		t.pushed[ev.Room] = entry.Seq - 1
	}
	var out []*message
	for i := range story {
		if story[i].Seq <= t.pushed[ev.Room] {
			continue
		}
		t.pushed[ev.Room] = story[i].Seq
		raw, err := wire.AppendEvent(nil, wire.EntryEvent{Room: ev.Room, Entry: encode(story[i].Entry)})
		must(err)
		m, _, err := next(raw)
		must(err)
		out = append(out, m)
	}
	return out
}

func (t *tap) sync(asked *wire.Sync, a *wire.SyncOK) bool {
	story, other := t.look(asked.Room, a.Seq)
	if !other {
		return false
	}
	*a = wire.SyncOK{Seq: uint64(len(story))}
	for i := range story {
		if story[i].Kind == wire.EntryHandshake {
			a.Handshake = story[i].Seq
		}
		if story[i].Seq > asked.After {
			a.Entries = append(a.Entries, encode(story[i].Entry))
		}
	}
	return true
}

// translate makes what a client appends to the log that it is shown fit the
// true one. The caller holds mu.
func (t *tap) translate(m *message) {
	if m.Kind != wire.ItemRequest || m.Op != wire.OpAppend {
		return
	}
	recode(m, func(r *wire.Append) fate {
		story, other := t.look(r.Room, t.s.head(r.Room))
		if !other {
			return pass
		}
		examined := uint64(0)
		for i := range story {
			if story[i].Seq <= r.Examined && story[i].Kind == wire.EntryHandshake && story[i].real != 0 {
				examined = story[i].real
			}
		}
		r.Examined = examined
		return edited
	})
}

func encode(e wire.Entry) wire.RawEntry {
	raw, err := wire.Encode(e)
	must(err)
	return raw
}
