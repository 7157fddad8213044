package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

type getter = func(...any) error

const userColumns = `SELECT id, identity, profile, coalesce(login, ''), salt, memory, passes, threads, salt2, verifier, failures, failed_at, admin, banned, created, seen FROM users `

func scanUser(get getter) (u core.UserRecord, err error) {
	err = get(fixed(u.ID[:]), fixed(u.Identity[:]), &u.Profile, &u.Login, fixed(u.Salt[:]), &u.Params.MemoryKiB, &u.Params.Time, &u.Params.Threads,
		fixed(u.Salt2[:]), fixed(u.Verifier[:]), &u.Failures, &u.FailedAt, &u.Admin, &u.Banned, &u.Created, &u.Seen)
	return u, err
}

// User finds a user.
func (s *Store) User(ctx context.Context, id wire.UserID) (core.UserRecord, bool, error) {
	return one(ctx, s, userColumns+"WHERE id = ?", scanUser, id[:])
}

// UserByLogin finds a user by login name.
func (s *Store) UserByLogin(ctx context.Context, login string) (core.UserRecord, bool, error) {
	return one(ctx, s, userColumns+"WHERE login = ?", scanUser, login)
}

// Users lists users after one.
func (s *Store) Users(ctx context.Context, after wire.UserID, limit int) ([]core.UserRecord, error) {
	return all(ctx, s, userColumns+"WHERE id > ? ORDER BY id LIMIT ?", scanUser, after[:], limit)
}

const deviceColumns = `SELECT id, user, state, key, class, created, certificate, label, seen, expires, revoked_at, revocation FROM devices `

func scanDevice(get getter) (d core.DeviceRecord, err error) {
	err = get(fixed(d.ID[:]), fixed(d.User[:]), &d.State, fixed(d.Key[:]), &d.Class, &d.Created, &d.Certificate, &d.Label, &d.Seen, &d.Expires,
		&d.RevokedAt, &d.Revocation)
	return d, err
}

// Device finds a device.
func (s *Store) Device(ctx context.Context, id wire.DeviceID) (core.DeviceRecord, bool, error) {
	return one(ctx, s, deviceColumns+"WHERE id = ?", scanDevice, id[:])
}

// Devices lists a user's.
func (s *Store) Devices(ctx context.Context, user wire.UserID) ([]core.DeviceRecord, error) {
	return all(ctx, s, deviceColumns+"WHERE user = ? ORDER BY id", scanDevice, user[:])
}

// Standing counts what a device is told of when it logs in.
func (s *Store) Standing(ctx context.Context, device wire.DeviceID, user wire.UserID, now uint64) (core.Standing, error) {
	out, _, err := one(ctx, s, `SELECT (SELECT count(*) FROM packages WHERE device = ?1), EXISTS (SELECT 1 FROM last_resorts WHERE device = ?1 AND used = 0),
		(SELECT count(*) FROM welcomes WHERE device = ?1), (SELECT count(*) FROM devices WHERE user = ?2 AND state = ?3 AND expires > ?4)`,
		func(get getter) (st core.Standing, err error) {
			err = get(&st.OneTime, &st.LastResort, &st.Welcomes, &st.Waiting)
			return st, err
		}, device[:], user[:], wire.DeviceWaiting, int64(now))
	return out, err
}

// OneTimePackages lists a device's.
func (s *Store) OneTimePackages(ctx context.Context, device wire.DeviceID, limit int) ([]core.PackageRecord, error) {
	return all(ctx, s, "SELECT hash, data FROM packages WHERE device = ? ORDER BY id LIMIT ?", func(get getter) (p core.PackageRecord, err error) {
		p.Device = device
		err = get(fixed(p.Hash[:]), &p.Data)
		return p, err
	}, device[:], limit)
}

// CountOneTime counts them.
func (s *Store) CountOneTime(ctx context.Context, device wire.DeviceID) (int, error) {
	n, err := s.count(ctx, "SELECT count(*) FROM packages WHERE device = ?", device[:])
	return int(n), err
}

// LastResort finds a device's.
func (s *Store) LastResort(ctx context.Context, device wire.DeviceID) (core.LastResortRecord, bool, error) {
	return one(ctx, s, "SELECT data, used FROM last_resorts WHERE device = ?", func(get getter) (l core.LastResortRecord, err error) {
		l.Device = device
		err = get(&l.Data, &l.Used)
		return l, err
	}, device[:])
}

const roomColumns = `SELECT num, id, kind, founded, name, user_a, user_b, generation, founder, created FROM rooms `

func (s *Store) scanRoom(get getter) (r core.RoomRecord, err error) {
	var num int64
	err = get(&num, fixed(r.ID[:]), &r.Kind, &r.Founded, &r.Name, fixed(r.Users[0][:]), fixed(r.Users[1][:]), &r.Generation, fixed(r.Founder[:]), &r.Created)
	if err == nil {
		s.nums.Store(r.ID, num) // committed: readers see nothing else
	}
	return r, err
}

// Room finds a room and where its log ends.
func (s *Store) Room(ctx context.Context, id wire.RoomID) (core.RoomRecord, core.Head, bool, error) {
	head := core.Head{Chain: wire.LogStart(id)}
	rec, ok, err := one(ctx, s, roomColumns+"WHERE id = ?", s.scanRoom, id[:])
	if err != nil || !ok {
		return rec, head, ok, err
	}
	num, _, err := s.num(ctx, id)
	if err != nil {
		return rec, head, false, err
	}
	first, last := num<<seqBits, num<<seqBits|(1<<seqBits-1)
	end, some, err := one(ctx, s, "SELECT id, time, chain FROM entries WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1", func(get getter) (h core.Head, err error) {
		var n int64
		err = get(&n, &h.Time, fixed(h.Chain[:]))
		h.Seq = uint64(n - first)
		return h, err
	}, first, last)
	if err != nil || !some {
		return rec, head, true, err
	}
	handshake, err := s.count(ctx, "SELECT coalesce(max(id), ?) FROM entries WHERE kind = 1 AND id BETWEEN ? AND ?", first, first, last)
	end.Handshake = uint64(handshake - first)
	return rec, end, err == nil, err
}

// num is a room's number.
func (s *Store) num(ctx context.Context, id wire.RoomID) (int64, bool, error) {
	if n, ok := s.nums.Load(id); ok {
		return n.(int64), true, nil
	}
	_, ok, err := one(ctx, s, roomColumns+"WHERE id = ?", s.scanRoom, id[:])
	if err != nil || !ok {
		return 0, false, err
	}
	n, _ := s.nums.Load(id)
	return n.(int64), true, nil
}

const routeColumns = `SELECT room, device, user, from_seq, until_seq, out_at FROM routes `

func scanRoute(get getter) (r core.RouteRecord, err error) {
	err = get(fixed(r.Room[:]), fixed(r.Device[:]), fixed(r.User[:]), &r.From, &r.Until, &r.OutAt)
	return r, err
}

// Routes lists who is routed.
func (s *Store) Routes(ctx context.Context, room wire.RoomID) ([]core.RouteRecord, error) {
	return all(ctx, s, routeColumns+"WHERE room = ? AND until_seq = 0 ORDER BY device", scanRoute, room[:])
}

// Outside lists the devices of a room's users that are not routed in it.
func (s *Store) Outside(ctx context.Context, room wire.RoomID, limit int) ([]wire.Route, error) {
	return all(ctx, s, `SELECT d.user, d.id FROM devices d JOIN last_resorts l ON l.device = d.id
		WHERE d.user IN (SELECT user FROM routes WHERE room = ?1 AND until_seq = 0) AND d.state = 2
		AND NOT EXISTS (SELECT 1 FROM routes r WHERE r.room = ?1 AND r.device = d.id AND r.until_seq = 0)
		ORDER BY d.id LIMIT ?2`, func(get getter) (r wire.Route, err error) {
		err = get(fixed(r.User[:]), fixed(r.Device[:]))
		return r, err
	}, room[:], limit)
}

// Route finds a device's place.
func (s *Store) Route(ctx context.Context, room wire.RoomID, device wire.DeviceID) (core.RouteRecord, bool, error) {
	return one(ctx, s, routeColumns+"WHERE room = ? AND device = ?", scanRoute, room[:], device[:])
}

// RoomsOf lists a device's places.
func (s *Store) RoomsOf(ctx context.Context, device wire.DeviceID, after wire.RoomID, limit int) ([]core.RouteRecord, error) {
	return all(ctx, s, routeColumns+"WHERE device = ? AND room > ? ORDER BY room LIMIT ?", scanRoute, device[:], after[:], limit)
}

// CountRooms counts where a device is routed.
func (s *Store) CountRooms(ctx context.Context, device wire.DeviceID) (int, error) {
	n, err := s.count(ctx, "SELECT count(*) FROM routes WHERE device = ? AND until_seq = 0", device[:])
	return int(n), err
}

// OpenRooms lists the open rooms.
func (s *Store) OpenRooms(ctx context.Context, after wire.RoomID, limit int) ([]core.RoomRecord, error) {
	return all(ctx, s, roomColumns+"WHERE kind = 2 AND id > ? ORDER BY id LIMIT ?", s.scanRoom, after[:], limit)
}

// Entries reads a room's log.
func (s *Store) Entries(ctx context.Context, room wire.RoomID, after, upTo uint64, limit, size int) ([]wire.RawEntry, error) {
	num, ok, err := s.num(ctx, room)
	if err != nil || !ok {
		return nil, err
	}
	total, taken := 0, 0
	return rows(ctx, s, "SELECT data FROM entries WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", func(get getter) (wire.RawEntry, bool, error) {
		var data sql.RawBytes
		if err := get(&data); err != nil {
			return nil, false, err
		}
		total += len(data)
		taken++
		return append(wire.RawEntry(nil), data...), total <= size || taken == 1, nil
	}, num<<seqBits|int64(after+1), num<<seqBits|int64(min(upTo, 1<<seqBits-1)), limit)
}

// GroupInfo finds what strangers join by.
func (s *Store) GroupInfo(ctx context.Context, room wire.RoomID, link wire.LinkID) (core.GroupInfoRecord, bool, error) {
	return one(ctx, s, "SELECT seq, info, tree, tree_blob FROM group_infos WHERE room = ? AND link = ?", func(get getter) (g core.GroupInfoRecord, err error) {
		g.Room, g.Link = room, link
		err = get(&g.Seq, &g.GroupInfo, &g.Tree, maybeHash{&g.TreeBlob})
		return g, err
	}, room[:], link[:])
}

// Welcomes reads a device's inbox.
func (s *Store) Welcomes(ctx context.Context, device wire.DeviceID, after uint64, limit, size int) ([]wire.Welcome, error) {
	total, taken := 0, 0
	return rows(ctx, s, "SELECT id, room, seq, from_user, from_device, data, tree FROM welcomes WHERE device = ? AND id > ? ORDER BY id LIMIT ?",
		func(get getter) (w wire.Welcome, more bool, err error) {
			err = get(&w.ID, fixed(w.Room[:]), &w.Seq, fixed(w.From.User[:]), fixed(w.From.Device[:]), &w.Data, maybeHash{&w.Tree})
			total += len(w.Data)
			taken++
			return w, total <= size || taken == 1, err
		}, device[:], int64(after), limit)
}

// CountWelcomes counts it.
func (s *Store) CountWelcomes(ctx context.Context, device wire.DeviceID) (int, error) {
	n, err := s.count(ctx, "SELECT count(*) FROM welcomes WHERE device = ?", device[:])
	return int(n), err
}

// LastWelcome is the highest id that was ever given.
func (s *Store) LastWelcome(ctx context.Context) (uint64, error) {
	n, err := s.count(ctx, "SELECT coalesce(max(value), 0) FROM counters WHERE name = 'welcome'")
	return uint64(n), err
}

// Unseen lists guests of a room that are gone.
func (s *Store) Unseen(ctx context.Context, room wire.RoomID, before uint64, limit int) ([]core.RouteRecord, error) {
	return all(ctx, s, `SELECT r.room, r.device, r.user, r.from_seq, r.until_seq, r.out_at FROM routes r JOIN users u ON u.id = r.user
		WHERE r.room = ? AND r.until_seq = 0 AND u.login IS NULL AND u.seen < ? ORDER BY r.device LIMIT ?`, scanRoute, room[:], int64(before), limit)
}

const linkColumns = `SELECT id, room, token_hash, by_user, by_device, created, expires, uses, used, approval FROM links `

func scanLink(get getter) (l core.LinkRecord, err error) {
	err = get(fixed(l.ID[:]), fixed(l.Room[:]), fixed(l.TokenHash[:]), fixed(l.By.User[:]), fixed(l.By.Device[:]), &l.Created, &l.Expires, &l.Uses,
		&l.Used, &l.Approval)
	return l, err
}

// Link finds a join link.
func (s *Store) Link(ctx context.Context, id wire.LinkID) (core.LinkRecord, bool, error) {
	return one(ctx, s, linkColumns+"WHERE id = ?", scanLink, id[:])
}

// Links lists a room's.
func (s *Store) Links(ctx context.Context, room wire.RoomID) ([]core.LinkRecord, error) {
	return all(ctx, s, linkColumns+"WHERE room = ? ORDER BY id", scanLink, room[:])
}

// Knocks lists who waits at a room's door.
func (s *Store) Knocks(ctx context.Context, room wire.RoomID) ([]core.KnockRecord, error) {
	return all(ctx, s, "SELECT device, user, link, time, data FROM knocks WHERE room = ? ORDER BY time, device", func(get getter) (k core.KnockRecord, err error) {
		k.Room = room
		err = get(fixed(k.Route.Device[:]), fixed(k.Route.User[:]), fixed(k.Link[:]), &k.Time, &k.Data)
		return k, err
	}, room[:])
}

// Blob finds a blob.
func (s *Store) Blob(ctx context.Context, room wire.RoomID, hash wire.Hash) (core.BlobRecord, bool, error) {
	return one(ctx, s, "SELECT size, device, complete, until FROM blobs WHERE room = ? AND hash = ?", func(get getter) (b core.BlobRecord, err error) {
		b.Room, b.Hash = room, hash
		err = get(&b.Size, fixed(b.Device[:]), &b.Complete, &b.Until)
		return b, err
	}, room[:], hash[:])
}

// Chunk reads one chunk of a blob.
func (s *Store) Chunk(ctx context.Context, room wire.RoomID, hash wire.Hash, index int) ([]byte, bool, error) {
	return one(ctx, s, "SELECT data FROM chunks WHERE room = ? AND hash = ? AND idx = ?", func(get getter) (data []byte, err error) {
		err = get(&data)
		return data, err
	}, room[:], hash[:], index)
}

// Chunks lists the chunks of a blob.
func (s *Store) Chunks(ctx context.Context, room wire.RoomID, hash wire.Hash) ([]int, error) {
	return all(ctx, s, "SELECT idx FROM chunks WHERE room = ? AND hash = ? ORDER BY idx", func(get getter) (i int, err error) {
		err = get(&i)
		return i, err
	}, room[:], hash[:])
}

// UnfinishedBytes sums a device's unfinished blobs.
func (s *Store) UnfinishedBytes(ctx context.Context, device wire.DeviceID) (int64, error) {
	return s.count(ctx, "SELECT coalesce(sum(size), 0) FROM blobs WHERE device = ? AND complete = 0", device[:])
}

// Answer finds what was answered.
func (s *Store) Answer(ctx context.Context, user wire.UserID, key wire.Key) (core.AnswerRecord, bool, error) {
	newest, err := s.count(ctx, "SELECT coalesce(max(hour), 0) FROM answers")
	if err != nil {
		return core.AnswerRecord{}, false, err
	}
	// One short search an hour: the day that is kept, and a margin.
	for hour := newest; hour >= newest-25; hour-- {
		a, ok, err := one(ctx, s, "SELECT op, body, time FROM answers WHERE hour = ? AND key = ? AND user = ?", func(get getter) (a core.AnswerRecord, err error) {
			a.User, a.Key = user, key
			err = get(&a.Op, &a.Body, &a.Time)
			return a, err
		}, hour, key[:], user[:])
		if err != nil || ok {
			return a, ok, err
		}
	}
	return core.AnswerRecord{}, false, nil
}

// AnswerKeys lists all keys.
func (s *Store) AnswerKeys(ctx context.Context, fn func(wire.Key)) error {
	found, err := s.read.QueryContext(ctx, "SELECT key FROM answers")
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	defer func() { _ = found.Close() }()
	for found.Next() {
		var key wire.Key
		if err := found.Scan(fixed(key[:])); err != nil {
			return fmt.Errorf("sqlite: %w", err)
		}
		fn(key)
	}
	return errors.Join(found.Err())
}

// Ticket finds a ticket.
func (s *Store) Ticket(ctx context.Context, hash wire.Hash) (core.TicketRecord, bool, error) {
	return one(ctx, s, "SELECT psk, online, expires FROM tickets WHERE hash = ?", func(get getter) (t core.TicketRecord, err error) {
		t.Hash = hash
		err = get(fixed(t.PSK[:]), fixed(t.Online[:]), &t.Expires)
		return t, err
	}, hash[:])
}

const tokenColumns = `SELECT hash, kind, uses, expires, note, created FROM tokens `

func scanToken(get getter) (t core.TokenRecord, err error) {
	err = get(fixed(t.Hash[:]), &t.Kind, &t.Uses, &t.Expires, &t.Note, &t.Created)
	return t, err
}

// Token finds a token.
func (s *Store) Token(ctx context.Context, hash wire.Hash) (core.TokenRecord, bool, error) {
	return one(ctx, s, tokenColumns+"WHERE hash = ?", scanToken, hash[:])
}

// Tokens lists them.
func (s *Store) Tokens(ctx context.Context) ([]core.TokenRecord, error) {
	return all(ctx, s, tokenColumns+"ORDER BY hash", scanToken)
}

// Bans lists them.
func (s *Store) Bans(ctx context.Context) ([]core.BanRecord, error) {
	return all(ctx, s, "SELECT what, reason, created, expires FROM bans ORDER BY what", func(get getter) (b core.BanRecord, err error) {
		err = get(&b.What, &b.Reason, &b.Created, &b.Expires)
		return b, err
	})
}

// Incarnation counts restores.
func (s *Store) Incarnation(ctx context.Context) (uint64, error) {
	n, err := s.count(ctx, "SELECT coalesce(max(value), 0) FROM counters WHERE name = 'incarnation'")
	return uint64(n), err
}

// AuditLog lists acts after an id.
func (s *Store) AuditLog(ctx context.Context, after uint64, limit int) ([]core.AuditRecord, error) {
	return all(ctx, s, "SELECT id, time, who, act, subject FROM audit WHERE id > ? ORDER BY id LIMIT ?", func(get getter) (a core.AuditRecord, err error) {
		err = get(&a.ID, &a.Time, &a.Who, &a.Act, &a.Subject)
		return a, err
	}, int64(after), limit)
}
