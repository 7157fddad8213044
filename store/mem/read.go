package mem

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

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

// Standing counts what a device is told of when it logs in.
func (s *Store) Standing(_ context.Context, device wire.DeviceID, user wire.UserID, now uint64) (core.Standing, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	last, ok := s.lastResorts[device]
	out := core.Standing{OneTime: len(s.packages[device]), LastResort: ok && !last.Used, Welcomes: len(s.inbox[device])}
	for _, d := range s.devices {
		if d.User == user && d.State == wire.DeviceWaiting && d.Expires > now {
			out.Waiting++
		}
	}
	return out, nil
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

// Outside lists the devices of a room's users that are not routed in it.
func (s *Store) Outside(_ context.Context, room wire.RoomID, limit int) ([]wire.Route, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	users, inside := map[wire.UserID]bool{}, map[wire.DeviceID]bool{}
	for _, r := range s.routes {
		if r.Room == room && r.Until == 0 {
			users[r.User], inside[r.Device] = true, true
		}
	}
	var out []wire.Route
	for _, d := range sorted(s.devices, func(d core.DeviceRecord) bool {
		_, able := s.lastResorts[d.ID]
		return able && users[d.User] && !inside[d.ID] && d.State == wire.DeviceEnrolled
	}, func(a, b core.DeviceRecord) int { return bytes.Compare(a.ID[:], b.ID[:]) }, limit) {
		out = append(out, wire.Route{User: d.User, Device: d.ID})
	}
	return out, nil
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
