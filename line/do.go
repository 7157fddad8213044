package line

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/client"
)

// command does what was typed after a slash.
func (t *talk) command(c command) {
	switch c.name {
	case "help":
		t.write("%s", helpText())
	case "quit":
		t.stop(nil)
	case "rooms":
		t.listRooms()
	case "join":
		t.join(c.rest)
	case "new":
		t.newRoom(c.rest)
	case "accept", "decline":
		t.answerInvitation(c)
	case "info":
		t.info()
	case "logout":
		t.logout(c.rest)
	case "devices":
		t.devices()
	case "device":
		t.device(c.rest)
	case "dm":
		t.dm(c.rest)
	case "search":
		t.search(c.rest)
	default:
		if t.room == "" {
			t.say("You are in no room yet. /rooms lists yours, /join goes to one.")
			return
		}
		t.inRoom(c)
	}
}

// inRoom does what concerns the room that is shown.
func (t *talk) inRoom(c command) {
	switch c.name {
	case "who":
		t.who()
	case "invite":
		if c.rest == "" {
			t.say("Say whom: /invite LOGINNAME, or the user id that /info shows them.")
			return
		}
		t.do(client.Request{Op: client.OpInvite, Room: t.room, User: strings.ToLower(c.rest)}, "")
	case "leave":
		t.leave()
	case "title":
		t.do(client.Request{Op: client.OpTitle, Room: t.room, Text: c.rest}, "")
	case "topic":
		t.do(client.Request{Op: client.OpTitle, Room: t.room, Topic: c.rest}, "")
	case "link":
		t.ask(client.Request{Op: client.OpLink, Room: t.room}, func(ev client.Event) {
			if ev.Problem != nil {
				t.problem(ev.Problem)
				return
			}
			t.write("Whoever has this link can come in. Show it only to those whom you want here:\n  %s", SafeLine(ev.Link))
		})
	case "links":
		t.links()
	case "unlink":
		t.do(client.Request{Op: client.OpUnlink, Room: t.room, Link: c.rest}, "That link is dead.")
	case "remove":
		t.person(c.rest, func(m client.Member) {
			t.do(client.Request{Op: client.OpRemove, Room: t.room, User: m.User}, "")
		})
	case "role":
		who, role := lastWord(c.rest)
		t.person(who, func(m client.Member) {
			t.do(client.Request{Op: client.OpRole, Room: t.room, User: m.User, Role: role}, "")
		})
	case "verify":
		t.verify(c.rest)
	case "trust":
		if c.rest == "room" {
			t.do(client.Request{Op: client.OpTrust, Room: t.room}, "This device asks those who are in this room to let it in again.")
			return
		}
		t.person(c.rest, func(m client.Member) {
			t.do(client.Request{Op: client.OpTrust, User: m.User}, "Done. You can go on with "+SafeName(m.Name, m.Tag)+".")
		})
	case "reply", "edit", "delete", "react", "retry":
		t.onMessage(c)
	}
}

// lastWord cuts the last word off.
func lastWord(s string) (rest, word string) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return "", s
	}
	return strings.TrimSpace(s[:i]), s[i+1:]
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
			line := fmt.Sprintf("%3d  %s, %s", i+1, SafeLine(room.Title), roomKind(room))
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
	t.change(client.Request{Op: client.OpCreate, Text: title}, func(ev client.Event) {
		if ev.Problem != nil {
			t.problem(ev.Problem)
			return
		}
		t.rooms[ev.Room.ID] = *ev.Room
		t.show(*ev.Room)
		t.say("Only people whom you invite can come in: /invite NAME")
	})
}

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
		t.say("There is no such invitation. /rooms lists yours.")
		return
	}
	if c.name == "decline" {
		t.do(client.Request{Op: client.OpDecline, Room: room.ID}, "Declined.")
		return
	}
	t.change(client.Request{Op: client.OpAccept, Room: room.ID}, func(ev client.Event) {
		if ev.Problem != nil {
			t.problem(ev.Problem)
			return
		}
		room := t.rooms[room.ID]
		if t.room == room.ID {
			t.room = ""
		}
		t.show(room)
	})
}

func (t *talk) leave() {
	room := t.rooms[t.room]
	t.change(client.Request{Op: client.OpLeave, Room: room.ID}, func(ev client.Event) {
		if ev.Problem != nil {
			t.problem(ev.Problem)
			return
		}
		t.say("You left %s.", SafeLine(room.Title))
		if t.room == room.ID {
			t.room = ""
		}
	})
}

// members asks who is in the room that is shown.
func (t *talk) members(then func([]client.Member)) {
	t.ask(client.Request{Op: client.OpMembers, Room: t.room}, func(ev client.Event) {
		if ev.Problem != nil {
			t.problem(ev.Problem)
			return
		}
		then(ev.Members)
	})
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
	})
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
			shown := SafeName(m.Name, m.Tag)
			if strings.EqualFold(m.Name, name) || strings.EqualFold(shown, name) || len(name) >= 8 && strings.HasPrefix(m.User, strings.ToLower(name)) {
				found = append(found, m)
			}
		}
		switch len(found) {
		case 0:
			t.say("Nobody here is called %q. /who lists the people here.", SafeLine(name))
		case 1:
			then(found[0])
		default:
			var names []string
			for _, m := range found {
				names = append(names, SafeName(m.Name, m.User[:4]))
			}
			t.say("%d people have that name: %s. Say which.", len(found), strings.Join(names, ", "))
		}
	})
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
	if s.Verified {
		t.say("You have compared it before.")
		return
	}
	t.say("Compare it when you meet, or on the phone. If it is the same: /verify %s yes", SafeLine(m.Name))
}

func (t *talk) info() {
	t.ask(client.Request{Op: client.OpInfo}, func(ev client.Event) {
		i := ev.Info
		state := "not connected"
		if i.Connected {
			state = "connected"
		}
		t.write("Server: %s, %s\nServer's fingerprint: %s", SafeLine(i.Server), state, i.Fingerprint)
		t.write("You: %s\nYour user id: %s\nThis device: %s", SafeName(t.account.Name, ""), i.User, i.Device)
		t.write("Between people: %s\nTo the server: %s\nVersion: %s", i.Suite, i.Link, i.Version)
	})
}

func (t *talk) logout(rest string) {
	erase := rest == "erase"
	if !erase && t.account.State == client.AccountGuest {
		t.say("You sign out; your keys stay on this device. This device holds their only copy: /logout erase destroys it for good.")
	}
	t.ask(client.Request{Op: client.OpLogout, On: erase}, func(ev client.Event) {
		if ev.Problem != nil {
			t.problem(ev.Problem)
			return
		}
		if erase {
			t.say("Keys and history on this device are destroyed.")
		}
		t.stop(nil)
	})
}

func (t *talk) devices() {
	t.ask(client.Request{Op: client.OpDevices}, func(ev client.Event) {
		if ev.Problem != nil {
			t.problem(ev.Problem)
			return
		}
		for _, d := range ev.Devices {
			line := fmt.Sprintf("  %s  %s, since %s", d.ID[:min(8, len(d.ID))], d.Class, time.UnixMilli(d.Added).Format("2006-01-02"))
			if d.Name != "" {
				line += ", " + SafeName(d.Name, "")
			}
			switch {
			case d.Own:
				line += " (this one)"
			case d.Waiting:
				line += " WAITS: /device approve " + d.Code
			case d.Revoked:
				line += " (taken out)"
			}
			t.say("%s", line)
		}
	})
}

func (t *talk) device(rest string) {
	verb, rest, _ := strings.Cut(rest, " ")
	rest = strings.TrimSpace(rest)
	id, name, _ := strings.Cut(rest, " ")
	switch verb {
	case "approve":
		t.do(client.Request{Op: client.OpApprove, Text: rest}, "Approved. The new device comes into your rooms by itself.")
	case "rename":
		t.withDevice(id, func(full string) {
			t.do(client.Request{Op: client.OpRename, Device: full, Name: strings.TrimSpace(name)}, "Renamed.")
		})
	case "revoke":
		t.withDevice(id, func(full string) {
			t.do(client.Request{Op: client.OpRevoke, Device: full}, "Taken out. It can read nothing from the next message on.")
		})
	default:
		t.say("Say what: /device approve CODE, /device rename ID NAME, /device revoke ID")
	}
}

// withDevice finds an own device by the beginning of its id.
func (t *talk) withDevice(id string, then func(string)) {
	t.ask(client.Request{Op: client.OpDevices}, func(ev client.Event) {
		if ev.Problem != nil {
			t.problem(ev.Problem)
			return
		}
		for _, d := range ev.Devices {
			if len(id) >= 4 && strings.HasPrefix(d.ID, strings.ToLower(id)) {
				then(d.ID)
				return
			}
		}
		t.say("You have no such device. /devices lists them.")
	})
}

func (t *talk) dm(rest string) {
	open := func(user string) {
		t.change(client.Request{Op: client.OpDirect, User: user}, func(ev client.Event) {
			if ev.Problem != nil {
				t.problem(ev.Problem)
				return
			}
			t.rooms[ev.Room.ID] = *ev.Room
			t.show(*ev.Room)
		})
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

func (t *talk) links() {
	t.ask(client.Request{Op: client.OpLinks, Room: t.room}, func(ev client.Event) {
		if ev.Problem != nil {
			t.problem(ev.Problem)
			return
		}
		if len(ev.Links) == 0 {
			t.say("This room has no link. /link makes one.")
		}
		for _, l := range ev.Links {
			t.say("  %s  used %d times  %s", l.ID, l.Uses, SafeLine(l.Link))
		}
	})
}

func (t *talk) search(words string) {
	t.ask(client.Request{Op: client.OpSearch, Text: words, Limit: 20}, func(ev client.Event) {
		if ev.Problem != nil {
			t.problem(ev.Problem)
			return
		}
		t.say("%s found on this device:", count(len(ev.Items), "message"))
		for i := len(ev.Items) - 1; i >= 0; i-- {
			item := ev.Items[i]
			t.say("  %s  %s  %s", time.UnixMilli(item.Time).Format("2006-01-02 15:04"), SafeLine(t.rooms[item.Room].Title), Render(item))
		}
	})
}

// onMessage answers, changes or takes back a message of this room.
func (t *talk) onMessage(c command) {
	first, rest, _ := strings.Cut(c.rest, " ")
	n, err := strconv.Atoi(first)
	switch c.name {
	case "retry":
		if t.failed == "" {
			t.say("Nothing has failed.")
			return
		}
		t.do(client.Request{Op: client.OpRetry, Room: t.room, Message: t.failed}, "")
	case "reply":
		text := c.rest
		if err == nil && rest != "" {
			text = rest
		} else {
			n = 1
		}
		if id := t.nth(n, false); id != "" && text != "" {
			t.do(client.Request{Op: client.OpSend, Room: t.room, Message: id, Text: text}, "")
		} else {
			t.say("There is nothing to answer: /reply [N] TEXT")
		}
	case "edit", "delete":
		op := client.OpEdit
		if c.name == "delete" {
			op = client.OpDelete
		}
		id := t.nth(1, true)
		if id == "" || c.name == "edit" && c.rest == "" {
			t.say("There is nothing of yours to change: /edit TEXT, /delete")
			return
		}
		t.do(client.Request{Op: op, Room: t.room, Message: id, Text: c.rest}, "")
	case "react":
		if n, err = strconv.Atoi(rest); err != nil {
			n = 1
		}
		if id := t.nth(n, false); id != "" && first != "" {
			t.do(client.Request{Op: client.OpReact, Room: t.room, Message: id, Text: first, On: true}, "")
		} else {
			t.say("There is nothing to react to: /react EMOJI [N]")
		}
	}
}

// nth returns the id of the nth newest message that was shown, of all or of
// the own ones.
func (t *talk) nth(n int, own bool) string {
	for i := len(t.order) - 1; i >= 0 && n > 0; i-- {
		item := t.items[t.order[i]]
		if item.Kind != client.ItemText || item.Deleted || own && !item.Own {
			continue
		}
		if n--; n == 0 {
			return item.ID
		}
	}
	return ""
}
