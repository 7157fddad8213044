package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// TicketLife is how long a ticket can be used.
const TicketLife = 24 * time.Hour

const (
	// ticketSize is the length of a stored [Ticket].
	ticketSize = 32 + 32 + 8
	// ticketRecordSize is the payload of a ticket record: id[32] | nonce[32].
	ticketRecordSize = 64
)

// Ticket lets a client resume once: with its secret in place of the RSA leg.
// Printing it shows nothing.
type Ticket struct {
	ID, PSK [32]byte
	Expires time.Time
}

// Format prints [redacted] whatever the verb.
func (t Ticket) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[redacted]") }

// Bytes is id[32] | psk[32] | u64 expires (seconds since 1970), a secret.
func (t Ticket) Bytes() [ticketSize]byte {
	var b [ticketSize]byte
	copy(b[:], t.ID[:])
	copy(b[32:], t.PSK[:])
	binary.BigEndian.PutUint64(b[64:], uint64(t.Expires.Unix()))
	return b
}

// ParseTicket reads what Bytes wrote.
func ParseTicket(b []byte) (Ticket, error) {
	if len(b) != ticketSize {
		return Ticket{}, errors.New("link: malformed ticket")
	}
	return Ticket{
		ID:      [32]byte(b),
		PSK:     [32]byte(b[32:]),
		Expires: time.Unix(int64(binary.BigEndian.Uint64(b[64:])), 0),
	}, nil
}

// ClientTickets keeps a client's tickets.
type ClientTickets interface {
	// Take hands out a ticket for the server with this pin. It must have deleted
	// it durably before it returns: a ticket sent twice shows that two links are
	// of one client.
	Take(pin [32]byte) (Ticket, bool)
	// Put keeps a ticket. It is called from within [Conn.Read] and must not
	// call the Conn. An error ends nothing: the link just has no ticket.
	Put(pin [32]byte, t Ticket) error
}

// StoredTicket is what the server keeps of a ticket, under the SHA-256 of its
// id. It is good for as long as the online key is the one it was made under.
// Printing it shows nothing.
type StoredTicket struct {
	PSK, Online [32]byte
	Expires     time.Time
}

// Format prints [redacted] whatever the verb.
func (t StoredTicket) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[redacted]") }

// ServerTickets keeps the server's side of tickets.
type ServerTickets interface {
	// PutTicket keeps a ticket. An error ends nothing: the client gets none. Who
	// implements it reports its own failures.
	PutTicket(ctx context.Context, hash [32]byte, t StoredTicket) error
	// TakeTicket returns a ticket and deletes it, durably, before it returns. Of
	// two calls for one ticket, at most one gets it.
	TakeTicket(ctx context.Context, hash [32]byte) (StoredTicket, bool, error)
}

// maxMemTickets is how many tickets the stores in memory hold: for a client's
// per server, for a server's in all. The oldest goes.
const (
	maxMemTickets       = 2
	maxMemServerTickets = 1 << 16
)

// MemTickets is [ClientTickets] in memory. The zero value is ready.
type MemTickets struct {
	mu    sync.Mutex
	byPin map[[32]byte][]Ticket
}

// Take implements [ClientTickets]; the newest comes first.
func (m *MemTickets) Take(pin [32]byte) (Ticket, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.byPin[pin]
	if len(all) == 0 {
		return Ticket{}, false
	}
	t := all[len(all)-1]
	all[len(all)-1] = Ticket{}
	m.byPin[pin] = all[:len(all)-1]
	return t, true
}

// Put implements [ClientTickets].
func (m *MemTickets) Put(pin [32]byte, t Ticket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byPin == nil {
		m.byPin = map[[32]byte][]Ticket{}
	}
	all := append(m.byPin[pin], t)
	if len(all) > maxMemTickets {
		all[0] = Ticket{}
		all = all[1:]
	}
	m.byPin[pin] = all
	return nil
}

// MemServerTickets is [ServerTickets] in memory: resumption ends with the
// process. The zero value is ready.
type MemServerTickets struct {
	mu    sync.Mutex
	all   map[[32]byte]StoredTicket
	order [][32]byte // oldest first; may name tickets that are gone
}

// PutTicket implements [ServerTickets].
func (m *MemServerTickets) PutTicket(_ context.Context, hash [32]byte, t StoredTicket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[[32]byte]StoredTicket{}
	}
	m.all[hash] = t
	m.order = append(m.order, hash)
	if len(m.order) > maxMemServerTickets {
		delete(m.all, m.order[0])
		m.order = m.order[1:]
	}
	return nil
}

// TakeTicket implements [ServerTickets].
func (m *MemServerTickets) TakeTicket(_ context.Context, hash [32]byte) (StoredTicket, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.all[hash]
	delete(m.all, hash)
	return t, ok, nil
}
