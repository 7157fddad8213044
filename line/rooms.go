package line

import (
	"fmt"
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
	case isLink(where):
		request.Link = where
	case found && known.State == client.RoomAsking:
		t.askedToComeIn(known)
		return
	case found && known.State != client.RoomRemoved && known.State != client.RoomLeft && known.State != client.RoomRefused:
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
		if ev.Room.State == client.RoomAsking {
			t.askedToComeIn(*ev.Room)
			return
		}
		t.show(*ev.Room)
	})
}

// isLink reports whether what was typed is a link to a room.
func isLink(text string) bool {
	_, err := client.ParseLink(text)
	return err == nil || strings.HasPrefix(text, "securelink:")
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
	if t.doorOpened(room) {
		return
	}
	if room.ID != t.room {
		t.mention(before, room)
		return
	}
	t.blocks(room)
}

// mention says once that there is something in another room.
func (t *talk) mention(before, room client.Room) {
	inside := room.State == client.RoomMember || room.State == client.RoomWaiting
	switch {
	case before.State == client.RoomAsking && inside:
		t.say("You were let into %s: /join %s", SafeLine(room.Title), SafeLine(room.Title))
	case before.State == client.RoomAsking && room.State == client.RoomRefused:
		t.say("%s", SafeLine(room.Blocked))
	case room.State == client.RoomInvited && before.State != client.RoomInvited:
		t.say("%s invites you to %s. Type /accept %s or /decline %s.", SafeName(room.InvitedBy, ""), SafeLine(room.Title), SafeLine(room.Title), SafeLine(room.Title))
	case room.Blocked == client.BlockedOutside && !t.waits:
		t.waits = true // one line for all of them
		t.say("%s /rooms lists your rooms.", SafeLine(room.Blocked))
	case room.State != client.RoomJoining && before.Blocked == client.BlockedOutside:
		t.say("This device is in %s now: /join %s", SafeLine(room.Title), SafeLine(room.Title))
	case room.Unread > 0 && room.Unread > before.Unread && !t.noted[room.ID] && t.room != "" && room.State != client.RoomInvited:
		t.noted[room.ID] = true
		t.say("New in %s: /join %s", SafeLine(room.Title), SafeLine(room.Title))
	}
}

func (t *talk) listRooms() {
	t.ask(client.Request{Op: client.OpRooms}, func(ev client.Event) {
		if len(ev.Rooms) == 0 {
			t.say("You are in no room yet.")
		}
		t.listed = nil
		for i, room := range ev.Rooms {
			t.rooms[room.ID] = room
			t.listed = append(t.listed, room.ID)
			title := SafeLine(room.Title)
			if title == "" {
				title = "a room"
			}
			line := fmt.Sprintf("%3d  %s, %s", i+1, title, roomKind(room))
			if room.Asking > 0 {
				line += ", " + count(room.Asking, "request") + " to come in"
			}
			if room.Unread > 0 && room.ID != t.room {
				line += ", " + strconv.Itoa(room.Unread) + " unread"
			}
			if room.ID == t.room {
				line += " (here)"
			}
			t.say("%s", line)
		}
	})
}

func roomKind(room client.Room) string {
	switch {
	case room.State == client.RoomInvited:
		return "you are invited"
	case room.State == client.RoomAsking:
		return "you asked to come in"
	case room.State == client.RoomRefused:
		return "you were not let in"
	case room.State == client.RoomJoining:
		return "this device waits to be let in"
	case room.State == client.RoomRemoved:
		return "you were removed"
	case room.State == client.RoomLeft:
		return "you left"
	case room.Mode == client.ModeOpen:
		return "open to all on this server"
	case room.Mode == client.ModeDirect:
		return "the two of you"
	case room.Mode == client.ModeLink:
		return "by link"
	}
	return "by invitation"
}

func (t *talk) newRoom(title string) {
	if title == "" {
		t.say("Say what to call it: /new NAME")
		return
	}
	t.change(client.Request{Op: client.OpCreate, Text: title}, t.worked(func(ev client.Event) {
		t.rooms[ev.Room.ID] = *ev.Room
		t.show(*ev.Room)
		t.say("Only people whom you invite can come in: /invite NAME")
	}))
}

// answerInvitation accepts or declines an invitation. To decline is also said of
// people who ask to come in.
func (t *talk) answerInvitation(c command) {
	room, ok := t.find(c.rest)
	if c.rest == "" {
		for _, r := range t.rooms {
			if r.State == client.RoomInvited {
				room, ok = r, true
			}
		}
	}
	if !ok || room.State != client.RoomInvited {
		if c.name == "decline" && c.rest != "" {
			t.answer(c.rest, client.OpRefuse)
			return
		}
		t.say("There is no such invitation. /rooms lists yours.")
		return
	}
	if c.name == "decline" {
		t.do(client.Request{Op: client.OpDecline, Room: room.ID}, "Declined.")
		return
	}
	t.change(client.Request{Op: client.OpAccept, Room: room.ID}, t.worked(func(ev client.Event) {
		room := t.rooms[room.ID]
		if t.room == room.ID {
			t.room = ""
		}
		t.show(room)
	}))
}

func (t *talk) leave() {
	room := t.rooms[t.room]
	t.change(client.Request{Op: client.OpLeave, Room: room.ID}, t.worked(func(ev client.Event) {
		t.say("You left %s.", SafeLine(room.Title))
		if t.room == room.ID {
			t.room = ""
		}
	}))
}
