package line

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/client"
)

// Engine is what line mode needs of the client engine.
type Engine interface {
	Do(client.Request)
	Events() <-chan client.Event
}

// Options say how to talk.
type Options struct {
	In       io.Reader
	Out      io.Writer
	Terminal bool       // a person sits there: ask for what is missing
	Width    func() int // columns of the terminal, 0 if not known; nil: there is none
	Room     string     // to start in: an id, a title, a link; "" is the Lounge
	Name     string     // for a new guest
	Login    string     // for a new device of an account, or with Register for a new one
	Register bool
	Password func(prompt string) (string, error) // asks without showing; nil: cannot
	Claim    string                              // an administrator's link to open first
	History  int                                 // lines of the past to show; 0: 20
}

const (
	inputLine    = 64 << 10                // bytes of one line that is typed
	quietFor     = 1500 * time.Millisecond // before a lost connection is mentioned
	drainTime    = 30 * time.Second        // for what is still to be sent when the input ends
	rememberMost = 500                     // shown items that later changes are held against
)

// ErrRefused is the end of a talk that did not come about; it was told.
var ErrRefused = errors.New("line: stopped")

// ErrNoRoom is the end of a talk in a room that this user is not in; it was told.
var ErrNoRoom = errors.New("line: not in that room")

// talk is one run of line mode. All of it belongs to the goroutine of Run.
type talk struct {
	Options
	engine Engine
	ctx    context.Context

	nextID  uint64
	replies map[uint64]func(client.Event)

	account     client.Account
	conn        client.Conn
	lost        time.Time // since when there is no connection; zero: there is
	told        bool      // that there is none
	rooms       map[string]client.Room
	listed      []string // ids, as /rooms last numbered them
	room        string   // the one shown
	greeted     bool
	shown       uint64                 // newest cursor shown
	readTo      uint64                 // and the one that the engine knows of
	items       map[string]client.Item // as shown
	order       []string               // their ids, oldest first
	noted       map[string]bool        // rooms whose news were mentioned
	asked       string                 // room that this user waits to be let into
	waits       bool                   // said that this device waits to be let into rooms
	asking      func(string)           // takes the next line, instead of a message
	blocked     string                 // why nothing can be written in the room that is shown
	blockedAt   time.Time
	blockedTold bool
	hold        int  // changes of place under way
	ended       bool // no more input
	endedAt     time.Time
	leaving     bool
	err         error
	filling     bool // a page of history is on its way
	again       bool // another one is wanted then
	progress    string
	code        string
	pending     map[string]bool // own messages that wait, by id
	waiting     int             // how many
	failed      string          // the newest one that was not sent
	late        []command       // of a script, that wait for them
}

// Run talks until the input ends and everything is sent, the user quits, or
// the context ends. The reader of In is left behind when it waits for a line
// that never comes.
func Run(ctx context.Context, engine Engine, o Options) error {
	if o.History == 0 {
		o.History = 20
	}
	t := &talk{
		Options: o, engine: engine, ctx: ctx, replies: map[uint64]func(client.Event){},
		rooms: map[string]client.Room{}, items: map[string]client.Item{}, noted: map[string]bool{},
		pending: map[string]bool{},
	}
	return t.run()
}

func (t *talk) run() error {
	var lines <-chan string
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	t.lost = time.Now()
	t.hold = 1 // until the account is known
	for !t.leaving {
		// The input is read from when the first line is wanted, and not before:
		// a password may stand there, or be typed, that is for somebody else.
		if lines == nil && !t.ended && t.listens() {
			lines = readLines(t.ctx, t.In)
		}
		select {
		case ev := <-t.engine.Events():
			t.event(ev)
		case text, open := <-t.listening(lines):
			if !open {
				lines, t.ended, t.endedAt = nil, true, time.Now()
				if t.Terminal {
					t.stop(nil)
				}
				continue
			}
			t.typed(text)
		case <-tick.C:
			t.passed()
		case <-t.ctx.Done():
			return nil
		}
	}
	return t.err
}

// listening is where the next line comes from: nowhere, while what was typed
// before it is still being done. A script's lines are done one by one.
func (t *talk) listening(lines <-chan string) <-chan string {
	if t.listens() {
		return lines
	}
	return nil
}

func (t *talk) listens() bool {
	return t.asking != nil || t.hold == 0 && (t.Terminal || len(t.replies) == 0)
}

// change sends a request after which the talk is elsewhere: what is typed in
// the meantime waits for that.
func (t *talk) change(r client.Request, then func(client.Event)) {
	t.hold++
	t.ask(r, func(ev client.Event) {
		t.hold--
		then(ev)
	})
}

// readLines reads lines until the input ends.
func readLines(ctx context.Context, in io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(in)
		scanner.Buffer(make([]byte, 4096), inputLine)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// say writes lines, which may hold what others have chosen.
func (t *talk) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if t.Width != nil {
		text = wrap(text, t.Width())
	}
	fmt.Fprintln(t.Out, text)
}

// write writes lines of our own, as they are.
func (t *talk) write(format string, args ...any) { fmt.Fprintf(t.Out, format+"\n", args...) }

// ask sends a request; then gets its reply.
func (t *talk) ask(r client.Request, then func(client.Event)) {
	t.nextID++
	r.ID = t.nextID
	t.replies[r.ID] = then
	t.engine.Do(r)
}

// worked is what to do with the reply to a request that succeeded. A failure is
// told.
func (t *talk) worked(then func(client.Event)) func(client.Event) {
	return func(ev client.Event) {
		if ev.Problem != nil {
			t.problem(ev.Problem)
			return
		}
		then(ev)
	}
}

// do sends a request of which only a failure is worth a line.
func (t *talk) do(r client.Request, done string) {
	t.ask(r, t.worked(func(client.Event) {
		if done != "" {
			t.say("%s", done)
		}
	}))
}

func (t *talk) problem(p *client.Problem) {
	text := SafeLine(p.Text)
	if p.Hint != "" {
		text += " " + SafeLine(p.Hint)
	}
	t.say("%s", text)
}

// refuse tells of a problem and ends the talk with it.
func (t *talk) refuse(p *client.Problem) {
	t.problem(p)
	t.stop(&Problem{Code: p.Code, Text: p.Text, RetryMS: p.RetryMS, Told: true})
}

// stop ends the talk with an error that was told.
func (t *talk) stop(err error) { t.leaving, t.err = true, err }

// event takes what the engine tells.
func (t *talk) event(ev client.Event) {
	switch ev.Kind {
	case client.EvReply:
		if then := t.replies[ev.Reply]; then != nil {
			delete(t.replies, ev.Reply)
			then(ev)
		}
	case client.EvAccount:
		t.accountChanged(*ev.Account)
	case client.EvConnection:
		t.connChanged(*ev.Conn)
	case client.EvRoom:
		t.roomChanged(*ev.Room)
	case client.EvRoomGone:
		delete(t.rooms, ev.Room.ID)
	case client.EvItem:
		t.itemCame(*ev.Item)
	case client.EvLagged:
		t.refresh()
	case client.EvAlarm:
		// Alarms of a room are lines of its timeline.
		if ev.Alarm.Room == "" {
			t.say("Warning (%s): %s %s", SafeLine(ev.Alarm.Code), SafeLine(ev.Alarm.Text), SafeLine(ev.Alarm.Hint))
		} else if ev.Alarm.Hint != "" && ev.Alarm.Room == t.room {
			t.say("%s%s", bar, SafeLine(ev.Alarm.Hint))
		}
	case client.EvKnock:
		t.knockCame(*ev.Knock)
	case client.EvCode:
		t.codeCame(ev.Code)
	case client.EvProgress:
		t.progressCame(*ev.Progress)
	}
}

// typed takes one line of input.
func (t *talk) typed(text string) {
	if t.asking != nil {
		answer := t.asking
		t.asking = nil
		answer(text)
		return
	}
	c, err := parse(text)
	if err != nil {
		t.say("There is no such command. /help lists them; to send a line that begins with a slash, begin it with two.")
		return
	}
	if c.name != "" {
		t.command(c)
		return
	}
	if strings.TrimSpace(c.rest) == "" {
		return
	}
	if t.room == "" && t.asked != "" {
		t.say("You are not in the room yet: an admin has to let you in.")
		return
	}
	if t.room == "" {
		t.say("You are in no room. /rooms lists yours, /join goes to one.")
		return
	}
	t.do(client.Request{Op: client.OpSend, Room: t.room, Text: c.rest}, "")
}

// passed is called a few times a second.
func (t *talk) passed() {
	t.read()
	if !t.lost.IsZero() && !t.told && time.Since(t.lost) > quietFor {
		t.told = true
		t.say("%s", renderConn(t.conn))
	}
	if t.blocked != "" && !t.blockedTold && time.Since(t.blockedAt) > quietFor {
		t.blockedTold = true
		t.say("%s", SafeLine(t.blocked))
	}
	if !t.ended {
		return
	}
	busy := len(t.replies) > 0 || t.hold > 0 || t.waiting > 0
	switch {
	case !busy:
		t.stop(nil)
	case time.Since(t.endedAt) > drainTime:
		t.say("Not everything could be sent. It is kept, and sent when you come back.")
		t.stop(ErrRefused)
	}
}

func (t *talk) connChanged(c client.Conn) {
	before := t.conn
	t.conn = c
	switch c.State {
	case client.ConnConnected:
		if t.told {
			t.say("Connected again.")
		}
		if c.FirstUse && !before.FirstUse && c.Fingerprint != "" {
			t.say("First visit to this server. Its fingerprint: %s", c.Fingerprint)
		}
		t.lost, t.told = time.Time{}, false
	case client.ConnUntrusted, client.ConnUpdateNeeded:
		t.say("%s", renderConn(c))
		t.stop(ErrRefused)
	case client.ConnSignedOut:
		t.say("%s", renderConn(c))
		t.stop(nil)
	default:
		if t.lost.IsZero() {
			t.lost = time.Now()
		}
		if t.told && c.State != before.State {
			t.say("%s", renderConn(c))
		}
	}
}

func (t *talk) codeCame(code string) {
	switch {
	case code != "":
		t.say("This device waits to be let in. On a device that is in already, type:")
		t.say("  /device approve %s", SafeLine(code))
	case t.code != "" && t.account.State == client.AccountRegistered:
		t.say("This device is in.")
	case t.code != "":
		t.say("The request was turned down.")
		t.stop(ErrRefused)
	}
	t.code = code
	if code == "" {
		t.enter()
	}
}

func (t *talk) progressCame(p client.Progress) {
	text := p.What + "…"
	if p.Total > 1 {
		text = fmt.Sprintf("%s: %d of %d", p.What, p.Done, p.Total)
	}
	if text != t.progress && p.Done < max(p.Total, 1) {
		t.say("%s", text)
	}
	t.progress = text
}
