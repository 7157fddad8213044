package malice

import (
	"bytes"
	"fmt"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

// tap is one client's connection, between its secure link and the core.
type tap struct {
	core.Link
	s      *server
	client string // whose it is

	// Guarded by the server's mu.
	now    *message               // what passes at the moment
	asked  map[uint64]wire.Item   // requests on their way to the core
	pushed map[wire.RoomID]uint64 // in a room with another history: newest entry that this client was shown
}

// message is one item as it passes, with the request that it answers.
type message struct {
	wire.Item
	head    []byte     // what comes before the body
	request *wire.Item // of an answer
}

// fate is what becomes of a message.
type fate struct {
	touched bool
	dropped bool
	refused *wire.Error // what the client gets instead of an answer
	answer  any         // or this
	after   wire.Event  // and after it, this
}

var (
	pass    = fate{}
	edited  = fate{touched: true}
	dropped = fate{touched: true, dropped: true}
)

// refuse answers with an error that the core knows nothing of.
func refuse(code wire.Code, why wire.Refusal) fate {
	return fate{touched: true, refused: &wire.Error{Code: code, Refusal: why}}
}

// lie is something that the server does to what passes.
type lie struct {
	victim string // a client's name; "" for all
	see    func(t *tap, m *message) fate
}

// requests is a lie about what a client asks: the core gets to read something
// else. Refused or dropped, the core never hears of it.
func requests[R wire.Request](victim string, edit func(t *tap, r *R) fate) lie {
	var zero R
	return lie{victim, func(t *tap, m *message) fate {
		if m.Kind != wire.ItemRequest || m.Op != zero.Op() {
			return pass
		}
		return recode(m, func(r *R) fate { return edit(t, r) })
	}}
}

// answers is a lie about what the core answers to a request.
func answers[R wire.Request, A any](victim string, edit func(t *tap, r *R, a *A) fate) lie {
	var zero R
	return lie{victim, func(t *tap, m *message) fate {
		if m.Kind != wire.ItemResponse || m.Code != wire.OK || m.request == nil || m.request.Op != zero.Op() {
			return pass
		}
		var asked R
		must(m.request.DecodeBody(&asked))
		return recode(m, func(a *A) fate { return edit(t, &asked, a) })
	}}
}

// events is a lie about what the core tells by itself.
func events[E wire.Event](victim string, edit func(t *tap, e *E) fate) lie {
	var zero E
	return lie{victim, func(t *tap, m *message) fate {
		if m.Kind != wire.ItemEvent || m.Event != zero.EventType() {
			return pass
		}
		return recode(m, func(e *E) fate { return edit(t, e) })
	}}
}

// recode lets edit change the decoded body of a message.
func recode[T any](m *message, edit func(*T) fate) fate {
	var body T
	must(m.DecodeBody(&body))
	f := edit(&body)
	if f.touched && !f.dropped && f.refused == nil && f.answer == nil {
		raw, err := wire.Encode(body)
		must(err)
		m.Body = raw
	}
	return f
}

// times lets a lie be told so often and no more.
func times(n int, l lie) lie {
	return lie{l.victim, func(t *tap, m *message) fate {
		if n == 0 {
			return pass
		}
		f := l.see(t, m)
		if f.touched {
			n--
		}
		return f
	}}
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("malice: what passes is not in the language: %v", err))
	}
}

// Read gives the core what the client asks, or what the server makes of it.
func (t *tap) Read() ([]byte, error) {
	for {
		payload, err := t.Link.Read()
		if err != nil {
			return nil, err
		}
		out, err := t.fromClient(bytes.Clone(payload))
		if err != nil || len(out) > 0 {
			return out, err
		}
	}
}

func (t *tap) fromClient(payload []byte) (out []byte, err error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for len(payload) > 0 {
		var m *message
		if m, payload, err = next(payload); err != nil {
			return nil, err
		}
		t.s.note(t.client, m)
		f := t.s.tell(t, m)
		switch {
		case f.refused != nil || f.answer != nil:
			t.answer(m, f)
		case !f.dropped:
			t.translate(m)
			t.asked[m.ID] = m.Item
			out = m.append(out)
		}
	}
	return out, nil
}

// Write gives the client what the core says, or what the server makes of it.
func (t *tap) Write(payloads ...[]byte) error {
	var out [][]byte
	for _, payload := range payloads {
		changed, err := t.toClient(payload)
		if err != nil {
			return err
		}
		if len(changed) > 0 {
			out = append(out, changed)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return t.Link.Write(out...)
}

func (t *tap) toClient(payload []byte) (out []byte, err error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for len(payload) > 0 {
		var m *message
		if m, payload, err = next(payload); err != nil {
			return nil, err
		}
		if asked, ok := t.asked[m.ID]; ok && m.Kind == wire.ItemResponse {
			m.request = &asked
			delete(t.asked, m.ID)
		}
		for _, shown := range t.rewrite(m) {
			f := t.s.tell(t, shown)
			switch {
			case f.refused != nil:
				out, err = wire.AppendRefusal(out, shown.ID, f.refused.Code, f.refused.Refusal)
				must(err)
			case !f.dropped:
				out = shown.append(out)
			}
		}
	}
	return out, nil
}

// answer gives the client an answer of which the core knows nothing.
func (t *tap) answer(m *message, f fate) {
	var raw []byte
	var err error
	if f.refused != nil {
		raw, err = wire.AppendRefusal(nil, m.ID, f.refused.Code, f.refused.Refusal)
	} else {
		raw, err = wire.AppendResponse(nil, m.ID, f.answer)
	}
	must(err)
	// A client that has just left gets none.
	_ = t.Link.Write(raw)
	if f.after != nil {
		t.say(f.after)
	}
}

// hold keeps the request that passes at the moment, until its answer is given
// with the function that it returns. For lies, which run with mu held.
func (t *tap) hold() (release func(fate)) {
	held := *t.now
	return func(f fate) { t.answer(&held, f) }
}

// say tells the client something that the core knows nothing of.
func (t *tap) say(ev wire.Event) {
	raw, err := wire.AppendEvent(nil, ev)
	must(err)
	// A client that has just left is told nothing.
	_ = t.Link.Write(raw)
}

// next takes the first message off a record's payload.
func next(payload []byte) (*message, []byte, error) {
	item, rest, err := wire.Next(payload)
	if err != nil {
		return nil, nil, err
	}
	return &message{Item: item, head: payload[:len(payload)-len(rest)-len(item.Body)]}, rest, nil
}

// append encodes the message as it is now.
func (m *message) append(out []byte) []byte { return append(append(out, m.head...), m.Body...) }
