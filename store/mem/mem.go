// Package mem keeps the core's store in memory: for tests, and as the plainest
// statement of what the other stores must do. Nothing outlives Close.
package mem

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

type (
	routeKey struct {
		room   wire.RoomID
		device wire.DeviceID
	}
	infoKey struct {
		room wire.RoomID
		link wire.LinkID
	}
	blobKey struct {
		room wire.RoomID
		hash wire.Hash
	}
	answerKey struct {
		user wire.UserID
		key  wire.Key
	}
	inboxItem struct {
		welcome wire.Welcome
		expires uint64
	}
	log struct {
		head    core.Head
		entries []wire.RawEntry // entries[i] has seq i+1
	}
)

// Store is the store in memory.
type Store struct {
	mu sync.RWMutex

	users       map[wire.UserID]core.UserRecord
	logins      map[string]wire.UserID
	devices     map[wire.DeviceID]core.DeviceRecord
	packages    map[wire.DeviceID][]core.PackageRecord
	lastResorts map[wire.DeviceID]core.LastResortRecord
	rooms       map[wire.RoomID]core.RoomRecord
	logs        map[wire.RoomID]*log
	routes      map[routeKey]core.RouteRecord
	infos       map[infoKey]core.GroupInfoRecord
	inbox       map[wire.DeviceID][]inboxItem
	lastWelcome uint64
	links       map[wire.LinkID]core.LinkRecord
	knocks      map[routeKey]core.KnockRecord
	blobs       map[blobKey]core.BlobRecord
	chunks      map[blobKey]map[int][]byte
	answers     map[answerKey]core.AnswerRecord
	tickets     map[wire.Hash]core.TicketRecord
	tokens      map[wire.Hash]core.TokenRecord
	bans        map[string]core.BanRecord
	audit       []core.AuditRecord
	incarnation uint64
}

var _ core.Store = (*Store)(nil)

// New makes an empty store.
func New() *Store {
	return &Store{
		users: map[wire.UserID]core.UserRecord{}, logins: map[string]wire.UserID{}, devices: map[wire.DeviceID]core.DeviceRecord{},
		packages: map[wire.DeviceID][]core.PackageRecord{}, lastResorts: map[wire.DeviceID]core.LastResortRecord{},
		rooms: map[wire.RoomID]core.RoomRecord{}, logs: map[wire.RoomID]*log{}, routes: map[routeKey]core.RouteRecord{},
		infos: map[infoKey]core.GroupInfoRecord{}, inbox: map[wire.DeviceID][]inboxItem{}, links: map[wire.LinkID]core.LinkRecord{},
		knocks: map[routeKey]core.KnockRecord{}, blobs: map[blobKey]core.BlobRecord{}, chunks: map[blobKey]map[int][]byte{},
		answers: map[answerKey]core.AnswerRecord{}, tickets: map[wire.Hash]core.TicketRecord{}, tokens: map[wire.Hash]core.TokenRecord{},
		bans: map[string]core.BanRecord{},
	}
}

// Close does nothing: what was kept stays readable.
func (s *Store) Close() error { return nil }

// Commit does the changes in order. Everything that can be refused is looked
// at first, so that a refused commit changes nothing.
func (s *Store) Commit(_ context.Context, changes []core.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(changes); err != nil {
		return err
	}
	for _, change := range changes {
		if !s.applyAccount(change) && !s.applyRoom(change) {
			s.applyService(change)
		}
	}
	return nil
}

func (s *Store) check(changes []core.Change) error {
	next := map[wire.RoomID]uint64{}
	for _, change := range changes {
		switch c := change.(type) {
		case core.PutEntry:
			seq, ok := next[c.Room]
			if !ok {
				seq = 1
				if l := s.logs[c.Room]; l != nil {
					seq = l.head.Seq + 1
				}
			}
			if c.Seq != seq {
				return fmt.Errorf("mem: entry %d of room %s where %d belongs", c.Seq, c.Room, seq)
			}
			next[c.Room] = seq + 1
		case core.PutUser:
			if c.Login == "" {
				continue
			}
			if owner, taken := s.logins[c.Login]; taken && owner != c.ID {
				return fmt.Errorf("mem: login name is taken")
			}
		case core.DropDevice, core.PutDevice, core.TouchDevice, core.SetFailures, core.PutPackage, core.DropPackage, core.DropPackages, core.PutLastResort,
			core.PutRoom, core.ClearRoom, core.PutRoute, core.PutGroupInfo, core.DropGroupInfo, core.PutWelcome, core.DropWelcome, core.PutLink, core.UseLink, core.DropLink,
			core.PutKnock, core.DropKnock, core.PutBlob, core.KeepBlob, core.PutChunk, core.DropBlob, core.PutAnswer, core.PutTicket, core.DropTicket,
			core.PutToken, core.DropToken, core.PutBan, core.DropBan, core.PutAudit, core.PutIncarnation:
		default:
			return fmt.Errorf("mem: unknown change %T", change)
		}
	}
	return nil
}

func (s *Store) applyAccount(change core.Change) bool {
	switch c := change.(type) {
	case core.PutUser:
		if c.Login != "" {
			s.logins[c.Login] = c.ID
		}
		s.users[c.ID] = c.UserRecord
	case core.PutDevice:
		s.devices[c.ID] = c.DeviceRecord
	case core.DropDevice:
		delete(s.devices, c.Device)
	case core.TouchDevice:
		if d, ok := s.devices[c.Device]; ok {
			d.Seen = c.Seen
			s.devices[c.Device] = d
		}
		if u, ok := s.users[c.User]; ok {
			u.Seen = c.Seen
			s.users[c.User] = u
		}
	case core.SetFailures:
		if u, ok := s.users[c.User]; ok {
			u.Failures, u.FailedAt = c.Failures, c.At
			s.users[c.User] = u
		}
	case core.PutPackage:
		s.packages[c.Device] = append(s.packages[c.Device], c.PackageRecord)
	case core.DropPackage:
		s.packages[c.Device] = slices.DeleteFunc(slices.Clone(s.packages[c.Device]), func(p core.PackageRecord) bool { return p.Hash == c.Hash })
	case core.DropPackages:
		delete(s.packages, c.Device)
		delete(s.lastResorts, c.Device)
	case core.PutLastResort:
		s.lastResorts[c.Device] = c.LastResortRecord
	default:
		return false
	}
	return true
}

func (s *Store) applyRoom(change core.Change) bool {
	switch c := change.(type) {
	case core.PutRoom:
		s.rooms[c.ID] = c.RoomRecord
	case core.ClearRoom:
		delete(s.logs, c.Room)
		maps.DeleteFunc(s.routes, func(k routeKey, _ core.RouteRecord) bool { return k.room == c.Room })
		maps.DeleteFunc(s.infos, func(k infoKey, _ core.GroupInfoRecord) bool { return k.room == c.Room })
		maps.DeleteFunc(s.links, func(_ wire.LinkID, l core.LinkRecord) bool { return l.Room == c.Room })
		maps.DeleteFunc(s.knocks, func(k routeKey, _ core.KnockRecord) bool { return k.room == c.Room })
	case core.PutEntry:
		l := s.logs[c.Room]
		if l == nil {
			l = &log{}
			s.logs[c.Room] = l
		}
		l.entries = append(l.entries, c.Data)
		l.head.Seq, l.head.Time, l.head.Chain = c.Seq, c.Time, c.Chain
		if c.Kind == wire.EntryHandshake {
			l.head.Handshake = c.Seq
		}
	case core.PutRoute:
		s.routes[routeKey{c.Room, c.Device}] = c.RouteRecord
	case core.PutGroupInfo:
		s.infos[infoKey{c.Room, c.Link}] = c.GroupInfoRecord
	case core.DropGroupInfo:
		delete(s.infos, infoKey{c.Room, c.Link})
	case core.PutWelcome:
		s.inbox[c.Device] = append(s.inbox[c.Device], inboxItem{c.Welcome, c.Expires})
		s.lastWelcome = max(s.lastWelcome, c.Welcome.ID)
	case core.DropWelcome:
		s.inbox[c.Device] = slices.DeleteFunc(slices.Clone(s.inbox[c.Device]), func(i inboxItem) bool { return i.welcome.ID == c.ID })
	case core.PutLink:
		s.links[c.ID] = c.LinkRecord
	case core.UseLink:
		if l, ok := s.links[c.Link]; ok {
			l.Used = c.Used
			s.links[c.Link] = l
		}
	case core.DropLink:
		room := s.links[c.Link].Room
		delete(s.links, c.Link)
		delete(s.infos, infoKey{room, c.Link})
		maps.DeleteFunc(s.knocks, func(_ routeKey, k core.KnockRecord) bool { return k.Link == c.Link })
	case core.PutKnock:
		s.knocks[routeKey{c.Room, c.Route.Device}] = c.KnockRecord
	case core.DropKnock:
		delete(s.knocks, routeKey{c.Room, c.Device})
	case core.PutBlob:
		s.blobs[blobKey{c.Room, c.Hash}] = c.BlobRecord
	case core.KeepBlob:
		if b, ok := s.blobs[blobKey{c.Room, c.Hash}]; ok {
			b.Until = 0
			s.blobs[blobKey{c.Room, c.Hash}] = b
		}
	case core.PutChunk:
		key := blobKey{c.Room, c.Hash}
		if s.chunks[key] == nil {
			s.chunks[key] = map[int][]byte{}
		}
		s.chunks[key][c.Index] = c.Data
	case core.DropBlob:
		delete(s.blobs, blobKey{c.Room, c.Hash})
		delete(s.chunks, blobKey{c.Room, c.Hash})
	default:
		return false
	}
	return true
}

func (s *Store) applyService(change core.Change) {
	switch c := change.(type) {
	case core.PutAnswer:
		s.answers[answerKey{c.User, c.Key}] = c.AnswerRecord
	case core.PutTicket:
		s.tickets[c.Hash] = c.TicketRecord
	case core.DropTicket:
		delete(s.tickets, c.Hash)
	case core.PutToken:
		s.tokens[c.Hash] = c.TokenRecord
	case core.DropToken:
		delete(s.tokens, c.Hash)
	case core.PutBan:
		s.bans[c.What] = c.BanRecord
	case core.DropBan:
		delete(s.bans, c.What)
	case core.PutIncarnation:
		s.incarnation = max(s.incarnation, c.N)
	case core.PutAudit:
		c.ID = uint64(len(s.audit) + 1)
		s.audit = append(s.audit, c.AuditRecord)
	}
}

// Collect deletes what is out of date.
func (s *Store) Collect(_ context.Context, now uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	day := uint64(24 * 3600 * 1000)
	maps.DeleteFunc(s.answers, func(_ answerKey, a core.AnswerRecord) bool { return a.Time+day < now })
	maps.DeleteFunc(s.devices, func(_ wire.DeviceID, d core.DeviceRecord) bool {
		return d.State == wire.DeviceWaiting && d.Expires < now
	})
	maps.DeleteFunc(s.tickets, func(_ wire.Hash, t core.TicketRecord) bool { return t.Expires < now })
	maps.DeleteFunc(s.tokens, func(_ wire.Hash, t core.TokenRecord) bool { return t.Expires != 0 && t.Expires < now })
	maps.DeleteFunc(s.bans, func(_ string, b core.BanRecord) bool { return b.Expires != 0 && b.Expires < now })
	for device, items := range s.inbox {
		s.inbox[device] = slices.DeleteFunc(slices.Clone(items), func(i inboxItem) bool { return i.expires < now })
	}
	named := map[blobKey]bool{}
	for _, info := range s.infos {
		if info.TreeBlob != nil {
			named[blobKey{info.Room, *info.TreeBlob}] = true
		}
	}
	for _, items := range s.inbox {
		for _, i := range items {
			if i.welcome.Tree != nil {
				named[blobKey{i.welcome.Room, *i.welcome.Tree}] = true
			}
		}
	}
	maps.DeleteFunc(s.blobs, func(key blobKey, b core.BlobRecord) bool {
		gone := b.Until != 0 && b.Until < now && !named[key]
		if gone {
			delete(s.chunks, key)
		}
		return gone
	})
	return nil
}
