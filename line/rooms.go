package line

import (
	"strconv"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/client"
)

// join goes to a room: by number, id, title, link, or the Lounge.
func (t *talk) join(where string) {
	request := client.Request{Op: client.OpJoin}
	known, found := t.find(where)
	switch {
	case strings.HasPrefix(where, "securelink:") || strings.HasPrefix(where, "https://"):
		request.Link = where
	case found && known.State != client.RoomRemoved && known.State != client.RoomLeft:
		t.show(known)
		return
	case found && known.Mode == client.ModeOpen:
		request.Room = known.ID
	case where == "" || strings.EqualFold(where, "lounge"):
		request.Text = "lounge"
	case isID(where):
		request.Room = where
	default:
		t.say("You are in no room called %q. /rooms lists yours.", SafeLine(where))
		if t.room == "" {
			t.err = ErrNoRoom
			t.stop(ErrNoRoom)
		}
		return
	}
	t.change(request, func(ev client.Event) {
		if ev.Problem != nil {
			t.problem(ev.Problem)
			if t.room == "" && (!t.Terminal || t.ended) {
				t.stop(ErrNoRoom)
			}
			return
		}
		t.rooms[ev.Room.ID] = *ev.Room
		t.show(*ev.Room)
	})
}

func isID(text string) bool {
	return len(text) == 32 && strings.Trim(text, "0123456789abcdef") == ""
}

// find looks a room up by what a person calls it.
func (t *talk) find(where string) (client.Room, bool) {
	if n, err := strconv.Atoi(where); err == nil && n >= 1 && n <= len(t.listed) {
		room, ok := t.rooms[t.listed[n-1]]
		return room, ok
	}
	if room, ok := t.rooms[where]; ok {
		return room, true
	}
	for _, room := range t.rooms {
		if where != "" && strings.EqualFold(room.Title, where) {
			return room, true
		}
		if where == "" && room.Mode == client.ModeOpen && room.Title == "Lounge" {
			return room, true
		}
	}
	return client.Room{}, false
}

// show makes a room the one that is shown, and tells what it is.
func (t *talk) show(room client.Room) {
	if t.room == room.ID {
		return
	}
	t.read()
	t.room, t.shown, t.readTo = room.ID, 0, 0
	t.blocked, t.blockedTold = "", false
	t.items, t.order = map[string]client.Item{}, nil
	delete(t.noted, room.ID)
	if !t.greeted {
		t.greeted = true
		t.say("Connected as %s. Messages here are end-to-end encrypted: only people in this room can read them.", SafeName(t.account.Name, ""))
	}
	title := SafeLine(room.Title)
	if title == "" {
		title = "this room"
	}
	header := "You are in " + title + " (" + count(max(room.Members, 1), "person") + ")."
	if room.Members > 1 {
		header = "You are in " + title + " (" + strconv.Itoa(room.Members) + " people)."
	}
	if room.Mode == client.ModeOpen {
		header += " It is open: anyone on this server can come in, and everybody here sees it."
	}
	t.say("%s", header)
	if room.Topic != "" {
		t.say("Topic: %s", SafeLine(room.Topic))
	}
	if room.State == client.RoomInvited {
		t.say("%s invited you. Type /accept to come in, or /decline.", SafeName(room.InvitedBy, ""))
	}
	t.blocks(room)
	t.fill()
}

// blocks notes whether writing in the shown room has to wait. Most waits are
// over before anybody has read why; what lasts is told by passed.
func (t *talk) blocks(room client.Room) {
	switch {
	case room.Blocked == t.blocked:
	case room.Blocked == "" || room.State == client.RoomInvited:
		if t.blockedTold && t.room == room.ID {
			t.say("You can write here again.")
		}
		t.blocked, t.blockedTold = "", false
	default:
		t.blocked, t.blockedAt, t.blockedTold = room.Blocked, time.Now(), false
	}
}

func (t *talk) roomChanged(room client.Room) {
	before := t.rooms[room.ID]
	t.rooms[room.ID] = room
	if room.ID != t.room {
		t.mention(before, room)
		return
	}
	t.blocks(room)
}

// mention says once that there is something in another room.
func (t *talk) mention(before, room client.Room) {
	switch {
	case room.State == client.RoomInvited && before.State != client.RoomInvited:
		t.say("%s invites you to %s. Type /accept %s or /decline %s.", SafeName(room.InvitedBy, ""), SafeLine(room.Title), SafeLine(room.Title), SafeLine(room.Title))
	case room.Unread > 0 && room.Unread > before.Unread && !t.noted[room.ID] && t.room != "" && room.State != client.RoomInvited:
		t.noted[room.ID] = true
		t.say("New in %s: /join %s", SafeLine(room.Title), SafeLine(room.Title))
	}
}

// itemCame shows an item of this room that is new, or how one has changed.
func (t *talk) itemCame(item client.Item) {
	if item.Own {
		t.own(item)
	}
	if item.Room != t.room {
		return
	}
	if before, ok := t.items[item.ID]; ok {
		if text := renderChange(before, item); text != "" {
			t.say("%s", text)
		}
		t.items[item.ID] = item
		return
	}
	if item.Cursor == 0 {
		return // it waits; it is shown when it is in the log
	}
	if t.filling {
		t.again = true // it is in the page that is on its way, or in the next
		return
	}
	if item.Cursor <= t.shown && item.Kind != client.ItemAlarm {
		return
	}
	t.display(item)
}

// own follows what becomes of the own messages that wait.
func (t *talk) own(item client.Item) {
	switch {
	case item.Cursor == 0 && item.State == client.StateWaiting:
		t.pending[item.ID] = true
	case item.State == client.StateFailed:
		delete(t.pending, item.ID)
		if item.Room == t.room {
			t.failed = item.ID
		}
		t.say("NOT SENT: %q: %s Type /retry to try again.", cut(SafeLine(item.Text), 40), reason(item, "the server refused it."))
	default:
		delete(t.pending, item.ID)
	}
	t.waiting = len(t.pending)
}

// display writes an item of the log.
func (t *talk) display(item client.Item) {
	t.say("%s", Render(item))
	t.shown = max(t.shown, item.Cursor)
	t.items[item.ID] = item
	t.order = append(t.order, item.ID)
	if len(t.order) > rememberMost {
		delete(t.items, t.order[0])
		t.order = t.order[1:]
	}
}

// read tells the engine how far the shown room was read, a few times a second:
// it counts what is left each time.
func (t *talk) read() {
	if t.room != "" && t.shown > t.readTo {
		t.readTo = t.shown
		t.engine.Do(client.Request{Op: client.OpRead, Room: t.room, After: t.shown})
	}
}

// fill shows what the timeline has after what was shown; at first, its end.
func (t *talk) fill() {
	if t.filling {
		t.again = true
		return
	}
	t.filling = true
	room := t.room
	request := client.Request{Op: client.OpHistory, Room: room, After: t.shown, Limit: 200}
	if t.shown == 0 {
		request.Limit = t.History
	}
	t.ask(request, func(ev client.Event) {
		t.filling = false
		if room != t.room {
			t.fill()
			return
		}
		more := false
		for _, item := range ev.Items {
			if item.Cursor > t.shown {
				t.display(item)
				more = true
			} else if item.Cursor == 0 && item.Own {
				t.own(item)
			}
		}
		// What came while the page was on its way was not shown.
		if more || t.again {
			t.again = false
			t.fill()
		}
	})
}

// refresh reads again what was missed.
func (t *talk) refresh() {
	t.ask(client.Request{Op: client.OpRooms}, func(ev client.Event) {
		for _, room := range ev.Rooms {
			t.roomChanged(room)
		}
		if t.room != "" {
			t.fill()
		}
	})
}
