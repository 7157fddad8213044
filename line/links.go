package line

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/client"
)

// link makes a join link: "ask" has an admin approve who comes by it, "uses N",
// "hours N" and "days N" end it by themselves.
func (t *talk) link(rest string) {
	request, ok := linkRequest(rest)
	if !ok {
		t.say("Say how: /link, or /link ask, with uses N, hours N or days N behind it.")
		return
	}
	request.Room = t.room
	t.ask(request, func(ev client.Event) {
		switch {
		case ev.Problem != nil:
			t.problem(ev.Problem)
		case request.Mode == client.ModeApprove:
			t.write("Whoever has this link can ask to come in; /requests lists who does:\n  %s", SafeLine(ev.Link))
		default:
			t.write("Whoever has this link can come in. Show it only to those whom you want here:\n  %s", SafeLine(ev.Link))
		}
	})
}

func linkRequest(rest string) (client.Request, bool) {
	r := client.Request{Op: client.OpLink, Mode: client.ModeOpen}
	words := strings.Fields(strings.ToLower(rest))
	for len(words) > 0 {
		if words[0] == "ask" {
			r.Mode, words = client.ModeApprove, words[1:]
			continue
		}
		if len(words) == 1 {
			return r, false
		}
		n, err := strconv.Atoi(words[1])
		if err != nil || n < 1 || n > 100_000 {
			return r, false
		}
		switch words[0] {
		case "uses":
			r.Limit = n
		case "hours":
			r.After = uint64(time.Duration(n) * time.Hour / time.Millisecond)
		case "days":
			r.After = uint64(time.Duration(n) * 24 * time.Hour / time.Millisecond)
		default:
			return r, false
		}
		words = words[2:]
	}
	return r, true
}

func (t *talk) links() {
	t.ask(client.Request{Op: client.OpLinks, Room: t.room}, t.worked(func(ev client.Event) {
		if len(ev.Links) == 0 {
			t.say("This room has no link. /link makes one.")
		}
		for _, l := range ev.Links {
			t.say("  %s  %s  %s", l.ID, linkState(l), SafeLine(l.Link))
		}
	}))
}

// linkState says what a link does and how long it still does.
func linkState(l client.Link) string {
	text := "used " + count(l.Uses, "time")
	if l.MaxUses > 0 {
		text = fmt.Sprintf("used %d of %s", l.Uses, count(l.MaxUses, "time"))
	}
	if l.Mode == client.ModeApprove {
		text += ", to ask"
	}
	if l.Expires > 0 {
		text += ", until " + time.UnixMilli(l.Expires).Format("2006-01-02 15:04")
	}
	return text
}

// knockCame tells an admin that somebody asks to be let in.
func (t *talk) knockCame(k client.Knock) {
	room := t.rooms[k.Room]
	where := "this room"
	if k.Room != t.room {
		where = SafeLine(room.Title)
	}
	name := SafeName(k.Name, k.Tag)
	t.say("%s asks to come into %s, by link %s. Type /approve %s or /decline %s; /requests shows the safety number.", name, where, SafeLine(k.Link), name, name)
}

// requests lists who asks to come into the room that is shown.
func (t *talk) requests() {
	t.knocks(t.room, func(all []client.Knock) {
		if len(all) == 0 {
			t.say("Nobody waits to be let into this room.")
		}
		for _, k := range all {
			t.say("  %s, by link %s, since %s", SafeName(k.Name, k.Tag), SafeLine(k.Link), time.UnixMilli(k.Time).Format("2006-01-02 15:04"))
			t.say("    safety number %s", k.Safety)
		}
	})
}

// knocks asks who waits at the door of a room.
func (t *talk) knocks(room string, then func([]client.Knock)) {
	t.ask(client.Request{Op: client.OpRequests, Room: room}, t.worked(func(ev client.Event) {
		then(ev.Knocks)
	}))
}

// answer lets somebody who asks in, or does not. Those who ask for the room
// that is shown come first, then those for any other.
func (t *talk) answer(name, op string) {
	if name == "" {
		t.say("Say who. /requests lists who asks to come in.")
		return
	}
	var asked []string
	if t.room != "" {
		asked = append(asked, t.room)
	}
	for id, room := range t.rooms {
		if id != t.room && room.Asking > 0 {
			asked = append(asked, id)
		}
	}
	t.answerIn(asked, name, op)
}

// answerIn looks for them in one room after the other.
func (t *talk) answerIn(rooms []string, name, op string) {
	if len(rooms) == 0 {
		t.say("Nobody called %q asks to come in. /requests lists who does.", SafeLine(name))
		return
	}
	t.knocks(rooms[0], func(all []client.Knock) {
		var found []client.Knock
		for _, k := range all {
			if named(name, k.Name, k.Tag, k.User) {
				found = append(found, k)
			}
		}
		switch len(found) {
		case 0:
			t.answerIn(rooms[1:], name, op)
		case 1:
			done := SafeName(found[0].Name, found[0].Tag) + " is not let in."
			if op == client.OpAdmit {
				done = "" // the timeline tells
			}
			t.do(client.Request{Op: op, Room: found[0].Room, User: found[0].User}, done)
		default:
			t.whichOf(len(found), func(i int) (string, string) { return found[i].Name, found[i].User })
		}
	})
}

// askedToComeIn says what a room waits for that this user has asked to enter.
func (t *talk) askedToComeIn(room client.Room) {
	t.asked = room.ID
	if !t.Terminal {
		t.hold++ // what is to be said is said inside
	}
	t.say("You have asked to come in. An admin of the room has to let you in; you can wait here, or leave and come back.")
}

// doorOpened follows what becomes of the own wish to come in, and reports
// whether that was it.
func (t *talk) doorOpened(room client.Room) bool {
	if room.ID != t.asked || room.State == client.RoomAsking || room.State == client.RoomJoining {
		return false
	}
	t.asked = ""
	if !t.Terminal {
		t.hold--
	}
	if room.State == client.RoomRefused {
		t.say("%s", SafeLine(room.Blocked))
		if t.room == "" && (!t.Terminal || t.ended) {
			t.stop(ErrNoRoom)
		}
		return true
	}
	t.show(room)
	return true
}
