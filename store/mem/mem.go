// Package mem keeps the core's store in memory: for tests, and as the plainest
// statement of what the other stores must do. Nothing outlives Close.
package mem

import (
	"bytes"
	"cmp"
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

func sorted[K comparable, V any](m map[K]V, keep func(V) bool, order func(a, b V) int, limit int) []V {
	var out []V
	for _, v := range m {
		if keep(v) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, order)
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	return out
}

func get[K comparable, V any](s *Store, m map[K]V, key K) (V, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := m[key]
	return v, ok, nil
}

func byRoom(a, b core.RouteRecord) int   { return bytes.Compare(a.Room[:], b.Room[:]) }
func byDevice(a, b core.RouteRecord) int { return bytes.Compare(a.Device[:], b.Device[:]) }

// User finds a user.
func (s *Store) User(_ context.Context, id wire.UserID) (core.UserRecord, bool, error) {
	return get(s, s.users, id)
}

// UserByLogin finds a user by login name.
func (s *Store) UserByLogin(_ context.Context, login string) (core.UserRecord, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	id, ok := s.logins[login]
	if !ok {
		return core.UserRecord{}, false, nil
	}
	return s.users[id], true, nil
}

// Users lists users after one.
func (s *Store) Users(_ context.Context, after wire.UserID, limit int) ([]core.UserRecord, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sorted(s.users, func(u core.UserRecord) bool { return bytes.Compare(u.ID[:], after[:]) > 0 },
		func(a, b core.UserRecord) int { return bytes.Compare(a.ID[:], b.ID[:]) }, limit), nil
}

// Device finds a device.
func (s *Store) Device(_ context.Context, id wire.DeviceID) (core.DeviceRecord, bool, error) {
	return get(s, s.devices, id)
}

// Devices lists a user's.
func (s *Store) Devices(_ context.Context, user wire.UserID) ([]core.DeviceRecord, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sorted(s.devices, func(d core.DeviceRecord) bool { return d.User == user },
		func(a, b core.DeviceRecord) int { return bytes.Compare(a.ID[:], b.ID[:]) }, 0), nil
}

// OneTimePackages lists a device's.
func (s *Store) OneTimePackages(_ context.Context, device wire.DeviceID, limit int) ([]core.PackageRecord, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := s.packages[device]
	return slices.Clone(list[:min(limit, len(list))]), nil
}

// CountOneTime counts them.
func (s *Store) CountOneTime(_ context.Context, device wire.DeviceID) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.packages[device]), nil
}

// LastResort finds a device's.
func (s *Store) LastResort(_ context.Context, device wire.DeviceID) (core.LastResortRecord, bool, error) {
	return get(s, s.lastResorts, device)
}

// Room finds a room and where its log ends.
func (s *Store) Room(_ context.Context, id wire.RoomID) (core.RoomRecord, core.Head, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.rooms[id]
	head := core.Head{Chain: wire.LogStart(id)}
	if l := s.logs[id]; l != nil {
		head = l.head
	}
	return r, head, ok, nil
}

// Routes lists who is routed.
func (s *Store) Routes(_ context.Context, room wire.RoomID) ([]core.RouteRecord, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sorted(s.routes, func(r core.RouteRecord) bool { return r.Room == room && r.Until == 0 }, byDevice, 0), nil
}

// Route finds a device's place.
func (s *Store) Route(_ context.Context, room wire.RoomID, device wire.DeviceID) (core.RouteRecord, bool, error) {
	return get(s, s.routes, routeKey{room, device})
}

// RoomsOf lists a device's places.
func (s *Store) RoomsOf(_ context.Context, device wire.DeviceID, after wire.RoomID, limit int) ([]core.RouteRecord, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sorted(s.routes, func(r core.RouteRecord) bool {
		return r.Device == device && bytes.Compare(r.Room[:], after[:]) > 0
	}, byRoom, limit), nil
}

// CountRooms counts where a device is routed.
func (s *Store) CountRooms(_ context.Context, device wire.DeviceID) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(sorted(s.routes, func(r core.RouteRecord) bool { return r.Device == device && r.Until == 0 }, byRoom, 0)), nil
}

// OpenRooms lists the open rooms.
func (s *Store) OpenRooms(_ context.Context, after wire.RoomID, limit int) ([]core.RoomRecord, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sorted(s.rooms, func(r core.RoomRecord) bool { return r.Kind == wire.RoomOpen && bytes.Compare(r.ID[:], after[:]) > 0 },
		func(a, b core.RoomRecord) int { return bytes.Compare(a.ID[:], b.ID[:]) }, limit), nil
}

// Entries reads a room's log.
func (s *Store) Entries(_ context.Context, room wire.RoomID, after, upTo uint64, limit, size int) ([]wire.RawEntry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l := s.logs[room]
	if l == nil {
		return nil, nil
	}
	var out []wire.RawEntry
	total := 0
	for seq := after + 1; seq <= min(upTo, uint64(len(l.entries))) && len(out) < limit; seq++ {
		entry := l.entries[seq-1]
		total += len(entry)
		if total > size && len(out) > 0 {
			break
		}
		out = append(out, entry)
	}
	return out, nil
}

// GroupInfo finds what strangers join by.
func (s *Store) GroupInfo(_ context.Context, room wire.RoomID, link wire.LinkID) (core.GroupInfoRecord, bool, error) {
	return get(s, s.infos, infoKey{room, link})
}

// Welcomes reads a device's inbox.
func (s *Store) Welcomes(_ context.Context, device wire.DeviceID, after uint64, limit, size int) ([]wire.Welcome, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []wire.Welcome
	total := 0
	for _, i := range s.inbox[device] {
		if i.welcome.ID <= after {
			continue
		}
		total += len(i.welcome.Data)
		if len(out) >= limit || (total > size && len(out) > 0) {
			break
		}
		out = append(out, i.welcome)
	}
	return out, nil
}

// CountWelcomes counts it.
func (s *Store) CountWelcomes(_ context.Context, device wire.DeviceID) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.inbox[device]), nil
}

// LastWelcome is the highest id that was ever given.
func (s *Store) LastWelcome(context.Context) (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.lastWelcome, nil
}

// Unseen lists guests of a room that are gone.
func (s *Store) Unseen(_ context.Context, room wire.RoomID, before uint64, limit int) ([]core.RouteRecord, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sorted(s.routes, func(r core.RouteRecord) bool {
		u, ok := s.users[r.User]
		return ok && r.Room == room && r.Until == 0 && u.Login == "" && u.Seen < before
	}, byDevice, limit), nil
}

// Link finds a join link.
func (s *Store) Link(_ context.Context, id wire.LinkID) (core.LinkRecord, bool, error) {
	return get(s, s.links, id)
}

// Links lists a room's.
func (s *Store) Links(_ context.Context, room wire.RoomID) ([]core.LinkRecord, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sorted(s.links, func(l core.LinkRecord) bool { return l.Room == room },
		func(a, b core.LinkRecord) int { return bytes.Compare(a.ID[:], b.ID[:]) }, 0), nil
}

// Knocks lists who waits at a room's door.
func (s *Store) Knocks(_ context.Context, room wire.RoomID) ([]core.KnockRecord, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sorted(s.knocks, func(k core.KnockRecord) bool { return k.Room == room }, func(a, b core.KnockRecord) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), bytes.Compare(a.Route.Device[:], b.Route.Device[:]))
	}, 0), nil
}

// Blob finds a blob.
func (s *Store) Blob(_ context.Context, room wire.RoomID, hash wire.Hash) (core.BlobRecord, bool, error) {
	return get(s, s.blobs, blobKey{room, hash})
}

// Chunk reads one chunk of a blob.
func (s *Store) Chunk(_ context.Context, room wire.RoomID, hash wire.Hash, index int) ([]byte, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	data, ok := s.chunks[blobKey{room, hash}][index]
	return data, ok, nil
}

// Chunks lists the chunks of a blob.
func (s *Store) Chunks(_ context.Context, room wire.RoomID, hash wire.Hash) ([]int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.chunks[blobKey{room, hash}])), nil
}

// UnfinishedBytes sums a device's unfinished blobs.
func (s *Store) UnfinishedBytes(_ context.Context, device wire.DeviceID) (int64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var sum int64
	for _, b := range s.blobs {
		if b.Device == device && !b.Complete {
			sum += int64(b.Size)
		}
	}
	return sum, nil
}

// Answer finds what was answered.
func (s *Store) Answer(_ context.Context, user wire.UserID, key wire.Key) (core.AnswerRecord, bool, error) {
	return get(s, s.answers, answerKey{user, key})
}

// AnswerKeys lists all keys.
func (s *Store) AnswerKeys(_ context.Context, fn func(wire.Key)) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for k := range s.answers {
		fn(k.key)
	}
	return nil
}

// Ticket finds a ticket.
func (s *Store) Ticket(_ context.Context, hash wire.Hash) (core.TicketRecord, bool, error) {
	return get(s, s.tickets, hash)
}

// Token finds a token.
func (s *Store) Token(_ context.Context, hash wire.Hash) (core.TokenRecord, bool, error) {
	return get(s, s.tokens, hash)
}

// Tokens lists them.
func (s *Store) Tokens(context.Context) ([]core.TokenRecord, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sorted(s.tokens, func(core.TokenRecord) bool { return true },
		func(a, b core.TokenRecord) int { return bytes.Compare(a.Hash[:], b.Hash[:]) }, 0), nil
}

// Bans lists them.
func (s *Store) Bans(context.Context) ([]core.BanRecord, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sorted(s.bans, func(core.BanRecord) bool { return true }, func(a, b core.BanRecord) int { return cmp.Compare(a.What, b.What) }, 0), nil
}

// Incarnation counts restores.
func (s *Store) Incarnation(context.Context) (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.incarnation, nil
}

// AuditLog lists acts after an id.
func (s *Store) AuditLog(_ context.Context, after uint64, limit int) ([]core.AuditRecord, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if after >= uint64(len(s.audit)) {
		return nil, nil
	}
	rest := s.audit[after:]
	return slices.Clone(rest[:min(limit, len(rest))]), nil
}
