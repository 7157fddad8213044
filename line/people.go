package line

import (
	"strconv"
	"strings"

	"github.com/securelink-chat/securelink/client"
)

// members asks who is in the room that is shown.
func (t *talk) members(then func([]client.Member)) {
	t.ask(client.Request{Op: client.OpMembers, Room: t.room}, t.worked(func(ev client.Event) {
		then(ev.Members)
	}))
}

func (t *talk) who() {
	t.members(func(members []client.Member) {
		t.say("%s here:", map[bool]string{true: "1 person is", false: strconv.Itoa(len(members)) + " people are"}[len(members) == 1])
		for _, m := range members {
			var notes []string
			if m.Own {
				notes = append(notes, "you")
			}
			if m.Role != client.RoleMember && m.Role != "" {
				notes = append(notes, m.Role)
			}
			if m.Present {
				notes = append(notes, "online")
			}
			if m.Devices > 1 {
				notes = append(notes, count(m.Devices, "device"))
			}
			if m.Verified {
				notes = append(notes, "verified")
			}
			if m.Changed {
				notes = append(notes, "NEW IDENTITY")
			}
			line := "  " + SafeName(m.Name, m.Tag)
			if len(notes) > 0 {
				line += " (" + strings.Join(notes, ", ") + ")"
			}
			t.say("%s", line)
		}
		t.whoRead(members)
	})
}

// whoRead says who has read the own newest message that is shown, and who has
// got it.
func (t *talk) whoRead(members []client.Member) {
	mine := t.items[t.nth(1, true)]
	if mine.Cursor == 0 || !t.rooms[t.room].Signals || len(members) < 2 {
		return
	}
	var read, got []string
	for _, m := range members {
		switch {
		case m.Own:
		case m.Read >= mine.Cursor:
			read = append(read, SafeName(m.Name, m.Tag))
		case m.Delivered >= mine.Cursor:
			got = append(got, SafeName(m.Name, m.Tag))
		}
	}
	text := `Your message "` + cut(SafeLine(mine.Text), 40) + `" `
	switch {
	case len(read) > 0 && len(got) > 0:
		text += "was read by " + strings.Join(read, ", ") + ", and has reached " + strings.Join(got, ", ") + "."
	case len(read) > 0:
		text += "was read by " + strings.Join(read, ", ") + "."
	case len(got) > 0:
		text += "has reached " + strings.Join(got, ", ") + "."
	default:
		text += "has not been seen by anybody who says so."
	}
	t.say("%s", text)
}

// person finds a member by name, by name and tag, or by the beginning of the
// user id.
func (t *talk) person(name string, then func(client.Member)) {
	if name == "" {
		t.say("Say who. /who lists the people here.")
		return
	}
	t.members(func(members []client.Member) {
		var found []client.Member
		for _, m := range members {
			if named(name, m.Name, m.Tag, m.User) {
				found = append(found, m)
			}
		}
		switch len(found) {
		case 0:
			t.say("Nobody here is called %q. /who lists the people here.", SafeLine(name))
		case 1:
			then(found[0])
		default:
			t.whichOf(len(found), func(i int) (string, string) { return found[i].Name, found[i].User })
		}
	})
}

// named reports whether what was typed means a person: by name, by name and
// tag, or by the beginning of the user id.
func named(typed, name, tag, user string) bool {
	return strings.EqualFold(name, typed) || strings.EqualFold(SafeName(name, tag), typed) || strings.EqualFold(SafeName(name, short(user)), typed) ||
		len(typed) >= 8 && strings.HasPrefix(user, strings.ToLower(typed))
}

// whichOf says that several people have a name, and how to tell them apart.
func (t *talk) whichOf(n int, who func(int) (name, user string)) {
	var names []string
	for i := range n {
		name, user := who(i)
		names = append(names, SafeName(name, short(user)))
	}
	t.say("%d people have that name: %s. Say which.", n, strings.Join(names, ", "))
}

// unban lets somebody who was banned be invited, or ask, again.
func (t *talk) unban(name string) {
	t.ask(client.Request{Op: client.OpBans, Room: t.room}, t.worked(func(ev client.Event) {
		var found []client.Member
		var names []string
		for _, m := range ev.Members {
			names = append(names, SafeName(m.Name, short(m.User)))
			if named(name, m.Name, m.Tag, m.User) {
				found = append(found, m)
			}
		}
		switch {
		case len(ev.Members) == 0:
			t.say("Nobody is banned from this room.")
		case name == "":
			t.say("Banned from this room: %s", strings.Join(names, ", "))
		case len(found) == 0:
			t.say("Nobody called %q is banned. /unban alone lists who is.", SafeLine(name))
		case len(found) > 1:
			t.whichOf(len(found), func(i int) (string, string) { return found[i].Name, found[i].User })
		default:
			t.do(client.Request{Op: client.OpUnban, Room: t.room, User: found[0].User}, "")
		}
	}))
}

// signals shows or changes whether this room, or all rooms, tell who is there,
// who writes and who has read what.
func (t *talk) signals(rest string) {
	mode, scope := lastWord(strings.ToLower(rest))
	if mode == "" {
		mode, scope = scope, ""
	}
	room := t.rooms[t.room]
	switch {
	case scope == "everywhere":
		t.do(client.Request{Op: client.OpSignals, Mode: mode}, "Done, for all rooms that have no setting of their own.")
	case scope != "":
		t.say("Say what: /signals on, /signals off or /signals auto, for this room; with everywhere behind it for all.")
	case t.room == "":
		t.say("You are in no room. For all rooms: /signals on everywhere, /signals off everywhere, /signals auto everywhere")
	case mode != "":
		t.do(client.Request{Op: client.OpSignals, Room: t.room, Mode: mode}, "Done, for this room.")
	case room.Signals:
		t.say("Signals are on here (%s): the others see when you are here and what you have read, and you see it of them. The server cannot read it.", SafeLine(room.SignalsMode))
	default:
		t.say("Signals are off here (%s): nobody sees when you are here and what you have read, and you do not see it of them.", SafeLine(room.SignalsMode))
	}
}

func (t *talk) verify(rest string) {
	name, yes := rest, false
	if head, word := lastWord(rest); word == "yes" && head != "" {
		name, yes = head, true
	}
	t.person(name, func(m client.Member) {
		if m.Own {
			t.say("That is you.")
			return
		}
		t.ask(client.Request{Op: client.OpVerify, User: m.User, On: yes}, func(ev client.Event) {
			switch {
			case ev.Problem != nil:
				t.problem(ev.Problem)
			case yes:
				t.say("%s is verified.", SafeName(m.Name, m.Tag))
			default:
				t.safety(m, ev.Safety)
			}
		})
	})
}

func (t *talk) safety(m client.Member, s *client.Safety) {
	t.say("Safety number with %s:", SafeName(m.Name, m.Tag))
	groups := strings.Fields(s.Number)
	for i := 0; i < len(groups); i += 4 {
		t.say("  %s", strings.Join(groups[i:min(i+4, len(groups))], " "))
	}
	t.showQR(s.QR, "The same, as a code to scan.")
	if s.Verified {
		t.say("You have compared it before.")
		return
	}
	t.say("Compare it when you meet, or on the phone. If it is the same: /verify %s yes", SafeLine(m.Name))
}

func (t *talk) dm(rest string) {
	open := func(user string) {
		t.change(client.Request{Op: client.OpDirect, User: user}, t.worked(func(ev client.Event) {
			t.rooms[ev.Room.ID] = *ev.Room
			t.show(*ev.Room)
		}))
	}
	if rest == "" {
		t.say("Say with whom: /dm NAME")
		return
	}
	if t.room == "" {
		open(strings.ToLower(rest))
		return
	}
	t.members(func(members []client.Member) {
		for _, m := range members {
			if strings.EqualFold(m.Name, rest) || strings.EqualFold(SafeName(m.Name, m.Tag), rest) {
				t.person(rest, func(m client.Member) { open(m.User) })
				return
			}
		}
		open(strings.ToLower(rest))
	})
}
