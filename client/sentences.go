package client

import (
	"fmt"
	"strings"
	"sync"
	"unicode"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
)

// Named is a name as it stands in a sentence: a plain one as it is, any other in
// quotes, so that nobody's name can be read as a sentence of ours.
func Named(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" ._-'’", r)
	}) && name != "" && strings.Count(name, " ") <= 2 {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, "'") + `"`
}

// heads are the words that lines of ours begin with before a colon, as the eye
// keeps them.
var heads = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for _, head := range []string{"You", "Notice", "Warning", "Topic", "Connection", "Server", "Version", "This device", "Not sent", "Catching up", "Password"} {
		all[identity.Skeleton(head)] = true
	}
	return all
})

// Reserved reports whether a name could be taken for the beginning of a line of
// ours, so that it is to be shown with the mark that tells people apart.
func Reserved(name string) bool { return heads()[identity.Skeleton(name)] }

// sentence says what a line of the log means, for the kinds that an interface
// does not put together itself; "" for those.
func sentence(item room.Item) string {
	who, subject := Named(item.Name), "somebody"
	if len(item.Subjects) > 0 {
		subject = Named(item.Subjects[0].Name)
	}
	switch item.Kind {
	case room.ItemDevice:
		return fmt.Sprintf("%s has a new device (%s).", subject, class(item))
	case room.ItemRevoked:
		return fmt.Sprintf("A device of %s was taken out.", subject)
	case room.ItemRejoined:
		return fmt.Sprintf("%s came back with a fresh key.", subject)
	case room.ItemRetired:
		return fmt.Sprintf("%s has not been here for a long time and was let go.", subject)
	case room.ItemRefreshed:
		return fmt.Sprintf("%s renewed the keys of a device.", who)
	case room.ItemTopic:
		if item.Text == "" {
			return fmt.Sprintf("%s took the topic away.", who)
		}
		return fmt.Sprintf("%s set the topic: %s", who, item.Text)
	case room.ItemRole:
		return fmt.Sprintf("%s made %s %s.", who, subject, roleWithArticle(item.Role))
	case room.ItemOwner:
		return fmt.Sprintf("%s is the owner of this room now.", subject)
	case room.ItemBanned:
		return fmt.Sprintf("%s banned %s from this room.", who, subject)
	case room.ItemUnbanned:
		return fmt.Sprintf("%s lifted the ban on %s.", who, subject)
	case room.ItemMode:
		return fmt.Sprintf("%s changed who can join.", who)
	case room.ItemLink:
		return fmt.Sprintf("%s made a link that others can join by.", who)
	case room.ItemUnlink:
		return fmt.Sprintf("%s ended a join link.", who)
	case room.ItemRenamed:
		return fmt.Sprintf("%s is called %s now.", Named(item.Text), who)
	case room.ItemHealed:
		return fmt.Sprintf("%s repaired a change by %s that some devices could not follow.", who, subject)
	case room.ItemUndone:
		return fmt.Sprintf("A change by %s was taken back, because others could not follow it.", subject)
	case room.ItemWithheld:
		return "The server no longer has this message."
	case room.ItemUnreadable:
		return "This device cannot read this message."
	}
	return ""
}

func class(item room.Item) string {
	if len(item.Subjects) > 0 {
		return item.Subjects[0].Class.String()
	}
	return "unknown kind"
}

func roleWithArticle(r room.Role) string {
	switch r {
	case room.RoleOwner:
		return "the owner"
	case room.RoleAdmin:
		return "an admin"
	}
	return "a member"
}

// alarmText says what an alarm means and what to do. detail is the state
// machine's own account.
func alarmText(code, detail string) (text, hint string) {
	known, ok := map[string][2]string{
		"gap":              {"Messages are missing: the server skipped some.", "Ask the others whether you see the same, by another way than this chat."},
		"fork":             {"The server shows you another conversation than it shows the others.", "Do not trust what you read here until you have compared it with somebody."},
		"replay":           {"The server delivered something again that was here before. It was ignored.", ""},
		"reorder":          {"The server delivered messages in another order than they were written.", ""},
		"rollback":         {"This room, or this profile, was set back to an older state.", "If you restored a backup, that is why: this device asks to be let in again."},
		"log-reset":        {"The server was restored from a backup.", "What this device holds stays readable. If nobody restored a backup, ask who runs the server."},
		"ghost-device":     {"The server sends this room's messages to a device that nobody let in. It cannot read them.", "Tell the others, and who runs the server."},
		"identity-changed": {"Somebody here has another identity than the one you know under that name.", "Compare safety numbers with /verify before you write anything private; /trust accepts it."},
		"removed":          {"You were removed from this room.", ""},
		"starved":          {"This device is kept from changing the room: others always come first.", "If it goes on, the server may be holding it back."},
		"clone":            {"A copy of this profile is in use elsewhere.", "Stop one of them. This device asks to be let in again."},
	}[code]
	if !ok {
		return detail, ""
	}
	if detail != "" {
		return known[0] + " (" + detail + ")", known[1]
	}
	return known[0], known[1]
}
