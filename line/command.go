package line

import (
	"errors"
	"fmt"
	"strings"
)

// command is what a person typed: a message, or a word after a slash with the
// rest of the line.
type command struct {
	name string // "" for a message
	rest string
}

var errUnknown = errors.New("line: unknown command")

// verbs are the commands with what they take and do, in the order of /help.
var verbs = []struct{ name, takes, does string }{
	{"help", "", "show this"},
	{"rooms", "", "list your rooms"},
	{"join", "ROOM|LINK", "go to a room (a number of /rooms, a name, a link, or: lounge)"},
	{"new", "NAME", "make a room that only invited people enter"},
	{"invite", "NAME", "invite somebody by login name or user id"},
	{"accept", "ROOM", "accept an invitation"},
	{"decline", "ROOM|NAME", "decline an invitation, or somebody's request to come in"},
	{"leave", "", "leave this room"},
	{"who", "", "who is here, who of them is online, and who has read your last message"},
	{"remove", "NAME", "remove somebody from this room"},
	{"ban", "NAME", "remove somebody, who cannot come back"},
	{"unban", "[NAME]", "lift a ban; alone: list them"},
	{"role", "NAME owner|admin|member", "change what somebody may do here"},
	{"title", "TEXT", "name this room"},
	{"topic", "[TEXT]", "say what this room is about; alone: no topic any more"},
	{"link", "[ask] [uses N] [days N]", "make a link that others can join this room by; ask: an admin approves each"},
	{"links", "", "list this room's links"},
	{"unlink", "ID", "end a link"},
	{"requests", "", "who asks to come in by a link"},
	{"approve", "NAME", "let somebody in who asks"},
	{"dm", "NAME", "talk to one person alone"},
	{"reply", "[N] TEXT", "answer the newest message, or the Nth newest"},
	{"edit", "TEXT", "change your newest message"},
	{"delete", "", "delete your newest message"},
	{"react", "EMOJI [N]", "react to the newest message, or the Nth newest"},
	{"retry", "", "try to send again what failed"},
	{"search", "WORDS", "find messages that this device holds"},
	{"signals", "[on|off|auto] [everywhere]", "tell and see who is here, who writes and who has read what"},
	{"verify", "NAME [yes]", "compare safety numbers; yes: they match"},
	{"trust", "NAME | room", "go on with somebody who came with a new identity, or with a room that a restored server has changed"},
	{"devices", "", "your devices"},
	{"device", "approve CODE | rename ID NAME | revoke ID", "change your devices"},
	{"info", "", "server, keys and version"},
	{"logout", "[erase]", "sign out; erase: destroy keys and history on this device"},
	{"quit", "", "stop"},
}

// parse understands one line of input. "//text" is the message "/text".
func parse(line string) (command, error) {
	line = strings.TrimRight(line, "\r")
	if !strings.HasPrefix(line, "/") {
		return command{rest: line}, nil
	}
	if strings.HasPrefix(line, "//") {
		return command{rest: line[1:]}, nil
	}
	name, rest, _ := strings.Cut(line[1:], " ")
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "exit" {
		name = "quit"
	}
	for _, verb := range verbs {
		if verb.name == name {
			return command{name: name, rest: strings.TrimSpace(rest)}, nil
		}
	}
	return command{}, fmt.Errorf("%w: /%s", errUnknown, SafeLine(name))
}

// helpText lists the commands.
func helpText() string {
	var out strings.Builder
	out.WriteString("Type a message and press Enter. Commands:")
	for _, verb := range verbs {
		head := "/" + verb.name
		if verb.takes != "" {
			head += " " + verb.takes
		}
		if len(head) > 24 {
			head += "\n" + strings.Repeat(" ", 26)
		}
		fmt.Fprintf(&out, "\n  %-24s %s", head, verb.does)
	}
	return out.String()
}
