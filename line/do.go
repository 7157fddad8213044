package line

import (
	"strings"

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
	case "approve":
		t.answer(c.rest, client.OpAdmit)
	case "signals":
		t.signals(c.rest)
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
		t.do(client.Request{Op: client.OpInvite, Room: t.room, User: strings.ToLower(c.rest)}, "Invited. They see it at once, or when they are next online.")
	case "leave":
		t.leave()
	case "title":
		t.do(client.Request{Op: client.OpTitle, Room: t.room, Text: c.rest}, "")
	case "topic":
		t.do(client.Request{Op: client.OpTitle, Room: t.room, Topic: c.rest, On: c.rest == ""}, "")
	case "link":
		t.link(c.rest)
	case "requests":
		t.requests()
	case "links":
		t.links()
	case "unlink":
		t.do(client.Request{Op: client.OpUnlink, Room: t.room, Link: c.rest}, "That link is dead.")
	case "remove":
		t.person(c.rest, func(m client.Member) {
			t.do(client.Request{Op: client.OpRemove, Room: t.room, User: m.User}, "")
		})
	case "ban":
		t.person(c.rest, func(m client.Member) {
			t.do(client.Request{Op: client.OpBan, Room: t.room, User: m.User}, "")
		})
	case "unban":
		t.unban(c.rest)
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
