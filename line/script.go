package line

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/client"
)

// Schema names the form of the objects that [Listen] and [Send] write. Fields
// may be added under the same name; none is taken away.
const Schema = "securelink/1"

// Problem is a refusal that ends a script, with its code.
type Problem struct {
	Code    string
	Text    string
	RetryMS int64
	Told    bool // it was written out already
}

func (p *Problem) Error() string { return p.Text }

func asProblem(p *client.Problem) *Problem {
	text := p.Text
	if p.Hint != "" {
		text += " " + p.Hint
	}
	return &Problem{Code: p.Code, Text: SafeLine(text), RetryMS: p.RetryMS}
}

// SendRequest is one message of a script.
type SendRequest struct {
	Room    string `json:"room"`
	Text    string `json:"text"`
	Key     string `json:"key,omitempty"`
	ReplyTo string `json:"reply_to,omitempty"`
	Name    string `json:"name,omitempty"` // for a new guest
}

// SendResult is what became of it.
type SendResult struct {
	Schema  string `json:"schema"`
	ID      string `json:"id,omitempty"`
	Cursor  string `json:"cursor,omitempty"`
	State   string `json:"state"` // sent, failed or refused
	Code    string `json:"code,omitempty"`
	Error   string `json:"error,omitempty"`
	RetryMS int64  `json:"retry_ms,omitempty"`
}

// Script is a straight line of requests over an engine.
type Script struct {
	engine Engine
	ctx    context.Context
	next   uint64
	seen   func(client.Event) // every event that is no reply
}

// NewScript begins a script. seen, which may be nil, gets every event that is
// no reply.
func NewScript(ctx context.Context, engine Engine, seen func(client.Event)) *Script {
	return &Script{engine: engine, ctx: ctx, seen: seen}
}

// Do asks and waits for the reply.
func (s *Script) Do(r client.Request) (client.Event, error) {
	s.next++
	r.ID = s.next
	s.engine.Do(r)
	for {
		ev, err := s.Next()
		if err != nil {
			return ev, err
		}
		if ev.Kind == client.EvReply && ev.Reply == r.ID {
			if ev.Problem != nil {
				return ev, asProblem(ev.Problem)
			}
			return ev, nil
		}
	}
}

// Next takes the next event.
func (s *Script) Next() (client.Event, error) {
	select {
	case ev := <-s.engine.Events():
		if ev.Kind == client.EvConnection && ev.Conn.State == client.ConnUntrusted {
			return ev, &Problem{Code: client.ProblemUntrusted, Text: renderConn(*ev.Conn)}
		}
		if ev.Kind != client.EvReply && s.seen != nil {
			s.seen(ev)
		}
		return ev, nil
	case <-s.ctx.Done():
		return client.Event{}, s.ctx.Err()
	}
}

// Account waits until there is one, and makes a guest's if a name is given.
func (s *Script) Account(name string) error {
	for {
		ev, err := s.Next()
		if err != nil {
			return err
		}
		if ev.Kind != client.EvAccount {
			continue
		}
		switch ev.Account.State {
		case client.AccountNone:
			if name == "" {
				return &Problem{Code: client.ProblemNoAccount, Text: "There is no account in this profile yet. Say who you are: --name NAME."}
			}
			_, err := s.Do(client.Request{Op: client.OpGuest, Name: name})
			return err
		case client.AccountGuest, client.AccountRegistered:
			return nil
		}
		return &Problem{Code: client.ProblemNoAccount, Text: "This profile is not signed in (" + ev.Account.State + ")."}
	}
}

// Room finds a room by id, title or link; the Lounge is entered if need be.
func (s *Script) Room(where string) (client.Room, error) {
	ev, err := s.Do(client.Request{Op: client.OpRooms})
	if err != nil {
		return client.Room{}, err
	}
	for _, room := range ev.Rooms {
		inside := room.State == client.RoomMember || room.State == client.RoomWaiting || room.State == client.RoomFrozen
		if inside && (room.ID == where || strings.EqualFold(room.Title, where)) {
			return room, nil
		}
		if room.State == client.RoomInvited && strings.EqualFold(room.Title, where) {
			_, err := s.Do(client.Request{Op: client.OpAccept, Room: room.ID})
			return room, err
		}
	}
	request := client.Request{Op: client.OpJoin}
	switch {
	case where == "" || strings.EqualFold(where, "lounge"):
		request.Text = "lounge"
	case isLink(where):
		request.Link = where
	case isID(where):
		request.Room = where
	default:
		return client.Room{}, &Problem{Code: client.ProblemNoRoom, Text: fmt.Sprintf("You are in no room called %q.", SafeLine(where))}
	}
	ev, err = s.Do(request)
	if err != nil {
		return client.Room{}, err
	}
	return *ev.Room, nil
}

// Send sends one message and waits until the server has it.
func Send(ctx context.Context, engine Engine, r SendRequest) SendResult {
	s := &Script{engine: engine, ctx: ctx}
	result, err := s.send(r)
	if err == nil {
		return result
	}
	result.Schema, result.State, result.Code, result.Error = Schema, "refused", client.ProblemInternal, err.Error()
	var p *Problem
	switch {
	case errors.As(err, &p):
		result.Code, result.RetryMS = p.Code, p.RetryMS
	case ctx.Err() != nil:
		result.Code, result.Error = client.ProblemOffline, "It took too long. If it was kept, it is sent when there is a connection."
	}
	return result
}

func (s *Script) send(r SendRequest) (SendResult, error) {
	if err := s.Account(r.Name); err != nil {
		return SendResult{}, err
	}
	room, err := s.Room(r.Room)
	if err != nil {
		return SendResult{}, err
	}
	last := map[string]client.Item{}
	s.seen = func(ev client.Event) {
		if ev.Kind == client.EvItem && ev.Item.Own {
			last[ev.Item.ID] = *ev.Item
		}
	}
	ev, err := s.Do(client.Request{Op: client.OpSend, Room: room.ID, Text: r.Text, Key: r.Key, Message: r.ReplyTo})
	if err != nil {
		return SendResult{}, err
	}
	item := *ev.Item
	for {
		if newer, ok := last[item.ID]; ok {
			item = newer
		}
		switch item.State {
		case client.StateSent:
			return SendResult{Schema: Schema, ID: item.ID, Cursor: cursor(item.Cursor), State: item.State}, nil
		case client.StateFailed:
			return SendResult{ID: item.ID}, &Problem{Code: client.ProblemRefused, Text: SafeLine(item.Reason)}
		}
		if _, err := s.Next(); err != nil {
			return SendResult{ID: item.ID}, err
		}
	}
}

// Line is one thing that happened, as a script sees it.
type Line struct {
	Schema  string   `json:"schema"`
	Cursor  string   `json:"cursor"`
	Room    string   `json:"room"`
	Type    string   `json:"type"` // text, joined, left, …, edit, delete, reaction, alarm; knock: somebody asks to come in
	ID      string   `json:"id,omitempty"`
	Sender  string   `json:"sender,omitempty"`
	Name    string   `json:"name,omitempty"`
	Text    string   `json:"text,omitempty"`
	Time    string   `json:"time"`
	Own     bool     `json:"own,omitempty"`
	Mention bool     `json:"mention,omitempty"`
	Target  string   `json:"target,omitempty"`
	Names   []string `json:"names,omitempty"`
	By      string   `json:"by,omitempty"`
	Code    string   `json:"code,omitempty"`
}

func cursor(n uint64) string { return "c1." + strconv.FormatUint(n, 36) }

// ParseCursor reads what a line carried.
func ParseCursor(text string) (uint64, error) {
	digits, ok := strings.CutPrefix(text, "c1.")
	n, err := strconv.ParseUint(digits, 36, 53)
	if !ok || err != nil {
		return 0, &Problem{Code: client.ProblemUsage, Text: "That is not a cursor. Use one that listen has written."}
	}
	return n, nil
}

// ListenOptions say what to listen to.
type ListenOptions struct {
	Room  string
	Since string // a cursor; "": from now on
	Name  string // for a new guest
	JSON  bool
	Out   io.Writer
}

// Listen writes what happens in a room, in the order of its log, each thing
// once, until the context ends. What came before it is written too, from Since
// on.
func Listen(ctx context.Context, engine Engine, o ListenOptions) error {
	s := &Script{engine: engine, ctx: ctx}
	err := s.listen(o)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Script) listen(o ListenOptions) error {
	// Who asks to come in is told as soon as there is a connection, which may be
	// before the room is found.
	var knocks []client.Knock
	knocked := func(ev client.Event) {
		if ev.Kind == client.EvKnock {
			knocks = append(knocks, *ev.Knock)
		}
	}
	s.seen = knocked
	if err := s.Account(o.Name); err != nil {
		return err
	}
	room, err := s.Room(o.Room)
	if err != nil {
		return err
	}
	after := max(room.Cursor, 1)
	if o.Since != "" {
		if after, err = ParseCursor(o.Since); err != nil {
			return err
		}
	}
	news := true
	s.seen = func(ev client.Event) {
		knocked(ev)
		news = news || ev.Kind == client.EvLagged || ev.Kind == client.EvItem && ev.Item.Room == room.ID && ev.Item.Cursor != 0 ||
			ev.Kind == client.EvRoom && ev.Room.ID == room.ID && ev.Room.Cursor > after
	}
	for {
		for news {
			news = false
			page, err := s.Do(client.Request{Op: client.OpHistory, Room: room.ID, After: max(after, 1), Limit: 200, On: true})
			if err != nil {
				return err
			}
			for _, item := range page.Items {
				if item.Cursor == 0 {
					continue
				}
				after, news = item.Cursor, true
				if err := o.write(item); err != nil {
					return err
				}
			}
		}
		for _, k := range knocks {
			if k.Room != room.ID {
				continue
			}
			if err := o.writeKnock(k, after); err != nil {
				return err
			}
		}
		knocks = nil
		if _, err := s.Next(); err != nil {
			return err
		}
	}
}

// writeKnock writes that somebody asks to come in. That is in no log: its cursor
// is that of what was written last, from where listening can go on.
func (o *ListenOptions) writeKnock(k client.Knock, after uint64) error {
	if !o.JSON {
		_, err := fmt.Fprintf(o.Out, "%s asks to come in, by link %s\n", SafeName(k.Name, k.Tag), SafeLine(k.Link))
		return err
	}
	return o.writeLine(Line{
		Schema: Schema, Cursor: cursor(after), Room: k.Room, Type: client.EvKnock, Sender: k.User, Name: k.Name,
		Target: k.Link, Time: scriptTime(k.Time),
	})
}

// write writes one item.
func (o *ListenOptions) write(item client.Item) error {
	if !o.JSON {
		if changesAnother(item) {
			return nil // lines show what came of them
		}
		_, err := fmt.Fprintln(o.Out, Render(item))
		return err
	}
	return o.writeLine(Line{
		Schema: Schema, Cursor: cursor(item.Cursor), Room: item.Room, Type: item.Kind, ID: item.ID, Sender: item.Sender,
		Name: item.Name, Text: item.Text, Time: scriptTime(item.Time), Own: item.Own,
		Mention: item.Mention, Target: item.ReplyTo, Names: item.Names, By: item.By, Code: item.Code,
	})
}

func scriptTime(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }

func (o *ListenOptions) writeLine(l Line) error {
	line, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("line: %w", err)
	}
	_, err = o.Out.Write(append(line, '\n'))
	return err
}
