package line

import (
	"fmt"
	"strings"

	"github.com/securelink-chat/securelink/client"
)

// count says "1 message", "2 messages".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// sender names who wrote an item.
func sender(item client.Item) string {
	if item.Own {
		return "You"
	}
	tag := item.Tag
	if tag == "" && client.Reserved(SafeLine(item.Name)) {
		tag = short(item.Sender)
	}
	return SafeName(item.Name, tag)
}

// short is the beginning of an id, enough to tell two people apart.
func short(id string) string { return id[:min(4, len(id))] }

// told shows a name that carries its tag: "Bob#1a2b". The engine sees to it
// that nobody's own choice of name looks like that.
func told(name string) string {
	if i := len(name) - 5; i > 0 && name[i] == '#' && strings.Trim(name[i+1:], "0123456789abcdef") == "" {
		return SafeName(name[:i], name[i+1:])
	}
	return SafeName(name, "")
}

// people joins names: "Ana", "Ana and Ben", "Ana, Ben and 3 others".
func people(names []string) string {
	var safe []string
	for _, name := range names {
		safe = append(safe, told(name))
	}
	switch n := len(safe); {
	case n == 0:
		return "Somebody"
	case n == 1:
		return safe[0]
	case n <= 3:
		return strings.Join(safe[:n-1], ", ") + " and " + safe[n-1]
	default:
		return fmt.Sprintf("%s, %s and %d others", safe[0], safe[1], n-2)
	}
}

func have(names []string) string {
	if len(names) > 1 {
		return "have"
	}
	return "has"
}

// Render turns an item of a timeline into the lines that show it, without the
// last line's end. It never returns anything that a terminal would obey.
func Render(item client.Item) string {
	switch item.Kind {
	case client.ItemText:
		return renderText(item)
	case client.ItemJoined:
		text := fmt.Sprintf("%s %s joined the chat", people(item.Names), have(item.Names))
		if item.By != "" {
			text += " (added by " + told(item.By) + ")"
		}
		return text
	case client.ItemLeft:
		return fmt.Sprintf("%s %s left the chat", people(item.Names), have(item.Names))
	case client.ItemRemoved:
		text := fmt.Sprintf("%s %s removed from the chat", people(item.Names), map[bool]string{false: "was", true: "were"}[len(item.Names) > 1])
		if item.By != "" {
			text += " by " + told(item.By)
		}
		return text
	case client.ItemCreated:
		return sender(item) + " opened this room"
	case client.ItemTitle:
		return sender(item) + ` named this room "` + SafeLine(item.Text) + `"`
	case client.ItemAlarm:
		return "Warning (" + SafeLine(item.Code) + "): " + SafeLine(item.Text)
	case client.ItemGone:
		return "Message from " + sender(item) + ": this device cannot read it"
	default:
		return "Notice: " + SafeLine(item.Text)
	}
}

func renderText(item client.Item) string {
	var out strings.Builder
	if item.ReplyTo != "" {
		quoted := SafeLine(item.ReplyText)
		if item.ReplyName != "" {
			quoted = SafeName(item.ReplyName, "") + ", " + quoted
		}
		out.WriteString(sender(item) + ` (to "` + cut(quoted, 60) + `"): `)
	} else if item.Mention {
		out.WriteString(sender(item) + " (mentions you): ")
	} else {
		out.WriteString(sender(item) + ": ")
	}
	if item.Deleted {
		return out.String() + "(deleted)"
	}
	out.WriteString(SafeText(item.Text))
	if item.Edited {
		out.WriteString(" (edited)")
	}
	if item.Code == client.CodeClockAhead {
		out.WriteString(" (clock ahead)")
	}
	switch item.State {
	case client.StateWaiting:
		out.WriteString("\n" + bar + "waiting: " + reason(item, "not sent yet"))
	case client.StateFailed:
		out.WriteString("\n" + bar + "NOT SENT: " + reason(item, "the server refused it"))
	}
	for _, r := range item.Reactions {
		var names []string
		names = append(names, r.Names...)
		out.WriteString("\n" + bar + cut(SafeLine(r.Text), 16) + " " + people(names))
	}
	return out.String()
}

func reason(item client.Item, otherwise string) string {
	if item.Reason != "" {
		return SafeLine(item.Reason)
	}
	return otherwise
}

// renderChange tells how an item that was shown has changed since, "" when
// there is nothing to say.
func renderChange(before, after client.Item) string {
	quoted := `"` + cut(SafeLine(before.Text), 40) + `"`
	switch {
	case after.Deleted && !before.Deleted:
		return sender(after) + " deleted " + quoted
	case after.Text != before.Text:
		return sender(after) + " (edited " + quoted + "): " + SafeText(after.Text)
	case after.State == client.StateFailed && before.State != client.StateFailed:
		return "NOT SENT: " + quoted + ": " + reason(after, "the server refused it") + ". Type /retry to try again."
	}
	had := map[string]bool{}
	for _, r := range before.Reactions {
		for _, name := range r.Names {
			had[r.Text+"\x01"+name] = true
		}
	}
	var fresh []string
	for _, r := range after.Reactions {
		for _, name := range r.Names {
			if !had[r.Text+"\x01"+name] {
				fresh = append(fresh, people([]string{name})+" reacted "+cut(SafeLine(r.Text), 16))
			}
		}
	}
	if len(fresh) == 0 {
		return ""
	}
	return strings.Join(fresh, ", ") + " to " + quoted
}

// renderConn says what the connection is like, in a sentence.
func renderConn(c client.Conn) string {
	waiting := ""
	if c.Waiting > 0 {
		waiting = " " + count(c.Waiting, "message") + " waiting."
	}
	because := ""
	if c.Reason != "" {
		because = " (" + SafeLine(c.Reason) + ")"
	}
	switch c.State {
	case client.ConnConnecting:
		return "Connecting…"
	case client.ConnConnected:
		return "Connected." + waiting
	case client.ConnReconnecting:
		if c.RetryMS >= 1000 {
			return fmt.Sprintf("Not connected%s. Trying again in %d s.%s", because, (c.RetryMS+999)/1000, waiting)
		}
		return "Not connected" + because + ". Trying again." + waiting
	case client.ConnOffline:
		return "Offline" + because + "." + waiting
	case client.ConnSignedOut:
		return "Signed out" + because + "."
	case client.ConnUpdateNeeded:
		return "This version of securelink is too old for the server. Update it, then come back."
	case client.ConnUntrusted:
		return "Stopped: the server's key is not the known one" + because + "."
	}
	return "Connection: " + SafeLine(c.State)
}
