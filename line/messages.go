package line

import (
	"strconv"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/client"
)

// itemCame shows an item of this room that is new, or how one has changed.
func (t *talk) itemCame(item client.Item) {
	if item.Own {
		t.own(item)
	}
	if item.Room != t.room || changesAnother(item) {
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
	t.caughtUp()
}

// changesAnother reports whether an item is told for scripts alone: what it has
// changed comes as an item of its own.
func changesAnother(item client.Item) bool {
	return item.Kind == "edit" || item.Kind == "delete" || item.Kind == "reaction"
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
		t.caughtUp()
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

func (t *talk) search(words string) {
	t.ask(client.Request{Op: client.OpSearch, Text: words, Limit: 20}, t.worked(func(ev client.Event) {
		t.say("%s found on this device:", count(len(ev.Items), "message"))
		for i := len(ev.Items) - 1; i >= 0; i-- {
			item := ev.Items[i]
			t.say("  %s  %s  %s", time.UnixMilli(item.Time).Format("2006-01-02 15:04"), SafeLine(t.rooms[item.Room].Title), Render(item))
		}
	}))
}

// onMessage answers, changes or takes back a message of this room. Which one is
// the newest is known when the own messages are in the log: a script's next
// line waits for that, a person is told.
func (t *talk) onMessage(c command) {
	switch {
	case t.waiting == 0 || c.name == "retry":
		t.onMessageNow(c)
	case t.Terminal:
		t.say("Your newest message is still on its way. Try again when it is sent.")
	default:
		t.hold++
		t.late = append(t.late, c)
	}
}

// caughtUp does what waited for the own messages to be in the log.
func (t *talk) caughtUp() {
	if t.waiting > 0 {
		return
	}
	late := t.late
	t.late = nil
	for _, c := range late {
		t.hold--
		t.onMessageNow(c)
	}
}

func (t *talk) onMessageNow(c command) {
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
