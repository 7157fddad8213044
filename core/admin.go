package core

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// What an operator may do. Nothing here reads a message, enters a room or
// makes anybody an administrator of one: the core has no key to do it with.
// Every act is in the audit log.

// operator is who acts through the local socket, in the audit log.
const operator = "operator"

func (s *Server) audit(who, act, subject string) Change {
	return PutAudit{AuditRecord{Time: s.now(), Who: who, Act: act, Subject: subject}}
}

// HasAdmin reports whether anybody has claimed the administrator's link.
func (s *Server) HasAdmin(ctx context.Context) (bool, error) {
	var after wire.UserID
	for {
		users, err := s.store.Users(ctx, after, 1000)
		if err != nil || len(users) == 0 {
			return false, err
		}
		for _, u := range users {
			if u.Admin {
				return true, nil
			}
			after = u.ID
		}
	}
}

// NewToken makes a token: for an administrator (one use, replacing earlier
// ones), or to register. life 0 means that it does not expire.
func (s *Server) NewToken(ctx context.Context, kind TokenKind, uses uint32, life time.Duration, note string) (wire.Token, error) {
	t := NewToken()
	rec := TokenRecord{Hash: sha256.Sum256(t[:]), Kind: kind, Uses: max(uses, 1), Note: note, Created: s.now()}
	if life > 0 {
		rec.Expires = s.now() + uint64(life.Milliseconds())
	}
	var changes []Change
	if kind == TokenAdmin {
		rec.Uses = 1
		old, err := s.store.Tokens(ctx)
		if err != nil {
			return t, err
		}
		for _, o := range old {
			if o.Kind == TokenAdmin {
				changes = append(changes, DropToken{Hash: o.Hash})
			}
		}
	}
	changes = append(changes, PutToken{rec}, s.audit(operator, "token created", note))
	return t, s.writer.commit(changes...)
}

// spendToken returns the change that takes one use of a token.
func (s *Server) spendToken(ctx context.Context, t wire.Token, kinds ...TokenKind) ([]Change, error) {
	rec, ok, err := s.store.Token(ctx, sha256.Sum256(t[:]))
	if err != nil {
		return nil, err
	}
	fits := false
	for _, k := range kinds {
		fits = fits || rec.Kind == k
	}
	if !ok || !fits || rec.Expires != 0 && rec.Expires <= s.now() {
		return nil, wire.Refuse(wire.BadCredentials)
	}
	if rec.Kind == TokenAdmin && len(kinds) > 1 {
		return nil, nil // it lets its holder register; claiming spends it
	}
	if rec.Uses <= 1 {
		return []Change{DropToken{Hash: rec.Hash}}, nil
	}
	rec.Uses--
	return []Change{PutToken{rec}}, nil
}

// Tokens lists the tokens in force, by their hashes.
func (s *Server) Tokens(ctx context.Context) ([]TokenRecord, error) { return s.store.Tokens(ctx) }

// DropToken ends a token.
func (s *Server) DropToken(hash wire.Hash) error {
	return s.writer.commit(DropToken{Hash: hash}, s.audit(operator, "token dropped", hash.String()))
}

// Users lists accounts after one.
func (s *Server) Users(ctx context.Context, after wire.UserID, limit int) ([]UserRecord, error) {
	return s.store.Users(ctx, after, limit)
}

// FindUser finds an account by login name.
func (s *Server) FindUser(ctx context.Context, login string) (UserRecord, bool, error) {
	return s.store.UserByLogin(ctx, login)
}

// Devices lists a user's devices.
func (s *Server) Devices(ctx context.Context, user wire.UserID) ([]DeviceRecord, error) {
	return s.store.Devices(ctx, user)
}

// RevokeDevice ends a device on the operator's word. That word is in the audit
// log before the act: no act is without its line.
func (s *Server) RevokeDevice(ctx context.Context, id wire.DeviceID) error {
	_, ok, err := s.store.Device(ctx, id)
	if err != nil || !ok {
		return errors.Join(err, wire.Refuse(wire.NotFound))
	}
	if err := s.writer.commit(s.audit(operator, "device revoked", id.String())); err != nil {
		return err
	}
	return s.dropDevice(id, 0, nil)
}

// RemoveUser ends an account for good: it is banned, its password is forgotten,
// and its devices can never log in again. Its name is nobody else's afterwards,
// and what it wrote is the rooms'. Done again, it finishes what was cut short.
func (s *Server) RemoveUser(ctx context.Context, id wire.UserID) error {
	if err := s.changeUser(ctx, id, "user removed", func(u *UserRecord) error {
		u.Banned, u.Admin, u.Verifier, u.Salt2 = true, false, NewToken(), [16]byte{}
		return nil
	}); err != nil {
		return err
	}
	devices, err := s.store.Devices(ctx, id)
	if err != nil {
		return err
	}
	for _, d := range devices {
		if d.State != wire.DeviceRevoked {
			if err := s.dropDevice(d.ID, 0, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// RetireGuest makes a guest who is not connected count as long unseen: in open
// rooms members take such guests out. One who comes back is a guest again.
func (s *Server) RetireGuest(ctx context.Context, id wire.UserID) error {
	devices, err := s.store.Devices(ctx, id)
	if err != nil {
		return err
	}
	for _, d := range devices {
		if len(s.devices.of(d.ID)) > 0 {
			return wire.Refuse(wire.Conflict)
		}
	}
	return s.changeUser(ctx, id, "guest retired", func(u *UserRecord) error {
		if u.Login != "" {
			return wire.Refuse(wire.Conflict)
		}
		u.Seen = 0
		for _, d := range devices {
			s.devices.forgetSeen(d.ID)
		}
		return nil
	})
}

// changeUser changes an account, with a line in the audit log.
func (s *Server) changeUser(ctx context.Context, id wire.UserID, act string, change func(*UserRecord) error) error {
	defer s.keyed.lock(id)()
	user, ok, err := s.store.User(ctx, id)
	if err != nil || !ok {
		return errors.Join(err, wire.Refuse(wire.NotFound))
	}
	if err := change(&user); err != nil {
		return err
	}
	return s.writer.commit(PutUser{user}, s.audit(operator, act, id.String()))
}

// Links lists the join links of a room.
func (s *Server) Links(ctx context.Context, room wire.RoomID) ([]LinkRecord, error) {
	return s.store.Links(ctx, room)
}

// RevokeLink stops to serve a join link: nobody comes in by it any more. That
// the room's members take it out of the group as well is theirs.
func (s *Server) RevokeLink(ctx context.Context, id wire.LinkID) error {
	_, ok, err := s.store.Link(ctx, id)
	if err != nil || !ok {
		return errors.Join(err, wire.Refuse(wire.NotFound))
	}
	return s.writer.commit(DropLink{Link: id}, s.audit(operator, "link revoked", id.String()))
}

// Note leaves a line in the audit log about an act of the operator that the
// core has no part in.
func (s *Server) Note(act, subject string) error {
	return s.writer.commit(s.audit(operator, act, subject))
}

// BanUser shuts an account out, or lets it in again.
func (s *Server) BanUser(ctx context.Context, id wire.UserID, banned bool, reason string) error {
	act := "user unbanned"
	if banned {
		act = "user banned: " + reason
	}
	if err := s.changeUser(ctx, id, act, func(u *UserRecord) error {
		u.Banned = banned
		return nil
	}); err != nil || !banned {
		return err
	}
	devices, err := s.store.Devices(ctx, id)
	if err != nil {
		return err
	}
	for _, d := range devices {
		for _, c := range s.devices.of(d.ID) {
			c.cut(wire.Cut{Code: wire.Banned})
		}
	}
	return nil
}

// SetAdmin gives or takes the mark of an administrator of the server.
func (s *Server) SetAdmin(ctx context.Context, id wire.UserID, admin bool) error {
	return s.changeUser(ctx, id, fmt.Sprintf("admin %t", admin), func(u *UserRecord) error {
		u.Admin = admin
		return nil
	})
}

// ResetPassword forgets an account's password, and its failures: only enrolled
// devices can log in until one of them sets another.
func (s *Server) ResetPassword(ctx context.Context, id wire.UserID) error {
	return s.changeUser(ctx, id, "password reset", func(u *UserRecord) error {
		if u.Login == "" {
			return wire.Refuse(wire.NotFound)
		}
		u.Verifier, u.Salt2 = NewToken(), [16]byte{}
		u.Failures, u.FailedAt = 0, 0
		s.guesses.clear(u.Login)
		return nil
	})
}

// CreateOpenRoom makes a named room that anyone may enter; whoever enters
// first founds its group.
func (s *Server) CreateOpenRoom(name string) (wire.RoomID, error) {
	t := NewToken()
	id := wire.RoomID(t[:16])
	return id, s.writer.commit(PutRoom{RoomRecord{ID: id, Kind: wire.RoomOpen, Name: name, Created: s.now()}},
		s.audit(operator, "room created", id.String()))
}

// OpenRooms lists the open rooms after one.
func (s *Server) OpenRooms(ctx context.Context, after wire.RoomID, limit int) ([]RoomRecord, error) {
	return s.store.OpenRooms(ctx, after, limit)
}

// AuditLog lists acts after an id, oldest first.
func (s *Server) AuditLog(ctx context.Context, after uint64, limit int) ([]AuditRecord, error) {
	return s.store.AuditLog(ctx, after, limit)
}

// Restored notes in a store that it was brought back from a backup, before a
// server is opened over it: clients are told by the delegate's signature, and
// do not take a shorter log for a silent step back. now becomes the number, so
// that it grows whatever the backup says.
func Restored(ctx context.Context, store Store, now time.Time) error {
	before, err := store.Incarnation(ctx)
	if err != nil {
		return fmt.Errorf("core: read incarnation: %w", err)
	}
	n := max(before+1, uint64(now.Unix())+1) // every entry that was lost is older
	changes, err := dropAllPackages(ctx, store)
	if err != nil {
		return err
	}
	return store.Commit(ctx, append(changes, PutIncarnation{N: n}, PutAudit{AuditRecord{Time: uint64(now.UnixMilli()), Who: operator, Act: "restored from a backup",
		Subject: fmt.Sprint(n)}}))
}

// dropAllPackages empties the directory: some of what a backup holds was used
// since, and its private halves are gone. Devices bring new ones when they
// connect.
func dropAllPackages(ctx context.Context, store Store) (changes []Change, err error) {
	var after wire.UserID
	for {
		users, err := store.Users(ctx, after, pageRooms)
		if err != nil {
			return nil, fmt.Errorf("core: read users: %w", err)
		}
		for _, u := range users {
			after = u.ID
			devices, err := store.Devices(ctx, u.ID)
			if err != nil {
				return nil, fmt.Errorf("core: read devices: %w", err)
			}
			for _, d := range devices {
				changes = append(changes, DropPackages{Device: d.ID})
			}
		}
		if len(users) < pageRooms {
			return changes, nil
		}
	}
}

// Ready says whether the store takes writes.
func (s *Server) Ready(ctx context.Context) error {
	result := make(chan error, 1)
	if err := s.writer.submit(job{done: func(err error) { result <- err }}); err != nil {
		return err
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("core: not ready: %w", ctx.Err())
	}
}

// Stats are counts of this moment.
type Stats struct {
	Connections int // with their handshake done
	Devices     int // known to be connected, or lately
	Rooms       int // in memory
	Waiting     int // jobs for the writer
}

// Stats counts.
func (s *Server) Stats() Stats {
	var out Stats
	s.mu.Lock()
	out.Connections = len(s.conns)
	s.mu.Unlock()
	s.devices.mu.Lock()
	out.Devices = len(s.devices.by)
	s.devices.mu.Unlock()
	out.Rooms = s.rooms.count()
	s.writer.mu.Lock()
	out.Waiting = len(s.writer.queue)
	s.writer.mu.Unlock()
	return out
}

// bans holds the banned address ranges in memory.
type bans struct {
	store ServiceStore

	mu  sync.RWMutex
	all []BanRecord
}

func newBans(ctx context.Context, store ServiceStore) (*bans, error) {
	b := &bans{store: store}
	return b, b.load(ctx)
}

func (b *bans) load(ctx context.Context) error {
	all, err := b.store.Bans(ctx)
	if err != nil {
		return fmt.Errorf("core: read bans: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = all
	return nil
}

// address refuses a banned address.
func (b *bans) address(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	now := uint64(time.Now().UnixMilli())
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, ban := range b.all {
		if ban.Expires != 0 && ban.Expires <= now {
			continue
		}
		if p, err := netip.ParsePrefix(ban.What); err == nil && p.Contains(addr) {
			return wire.Refuse(wire.Banned)
		}
	}
	return nil
}

// BanAddress shuts a range of addresses out; life 0 is for ever.
func (s *Server) BanAddress(ctx context.Context, what netip.Prefix, reason string, life time.Duration) error {
	rec := BanRecord{What: what.Masked().String(), Reason: reason, Created: s.now()}
	if life > 0 {
		rec.Expires = s.now() + uint64(life.Milliseconds())
	}
	if err := s.writer.commit(PutBan{rec}, s.audit(operator, "addresses banned: "+reason, rec.What)); err != nil {
		return err
	}
	if err := s.bans.load(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if what.Contains(c.link.RemoteAddr().Addr().Unmap()) {
			c.cut(wire.Cut{Code: wire.Banned})
		}
	}
	return nil
}

// UnbanAddress lets a range in again.
func (s *Server) UnbanAddress(ctx context.Context, what netip.Prefix) error {
	name := what.Masked().String()
	if err := s.writer.commit(DropBan{What: name}, s.audit(operator, "addresses unbanned", name)); err != nil {
		return err
	}
	return s.bans.load(ctx)
}

// Bans lists the bans.
func (s *Server) Bans(ctx context.Context) ([]BanRecord, error) { return s.store.Bans(ctx) }
