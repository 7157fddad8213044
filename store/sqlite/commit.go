package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

// maxNext bounds the rooms whose next seq is remembered.
const maxNext = 1 << 16

// Commit does the changes in one transaction. Entries and answers, of which a
// group commit holds many, are gathered and inserted many rows a statement.
func (s *Store) Commit(ctx context.Context, changes []core.Change) error {
	err := s.transaction(ctx, func() error {
		if len(s.next) > maxNext {
			clear(s.next)
		}
		entries, answers := gathered{insert: insertEntry, columns: 5}, gathered{insert: insertAnswer, columns: 6}
		for _, change := range changes {
			var err error
			switch c := change.(type) {
			case core.PutEntry:
				err = s.gatherEntryLocked(ctx, &c, &entries)
			case core.PutAnswer:
				answers.args = append(answers.args, int64(c.Time/hourMillis), c.Key[:], c.User[:], int64(c.Op), c.Body, int64(c.Time))
			default:
				err = s.applyLocked(ctx, change)
			}
			if err != nil {
				return err
			}
		}
		if err := s.flushLocked(ctx, &entries); err != nil {
			return err
		}
		return s.flushLocked(ctx, &answers)
	})
	if err != nil {
		return fmt.Errorf("sqlite: commit: %w", err)
	}
	return nil
}

const (
	insertEntry  = "INSERT INTO entries (id, kind, time, chain, data) VALUES "
	insertAnswer = "INSERT OR REPLACE INTO answers (hour, key, user, op, body, time) VALUES "
)

// gathered are the rows of one table.
type gathered struct {
	insert  string
	columns int
	args    []any
}

// rowsAtOnce are the sizes of the statements that insert, largest first.
var rowsAtOnce = []int{32, 8, 1}

func (s *Store) flushLocked(ctx context.Context, g *gathered) error {
	for _, n := range rowsAtOnce {
		row := "(?" + strings.Repeat(", ?", g.columns-1) + ")"
		query := g.insert + row + strings.Repeat(", "+row, n-1)
		for len(g.args) >= n*g.columns {
			if err := s.execLocked(ctx, query, g.args[:n*g.columns]...); err != nil {
				return err
			}
			g.args = g.args[n*g.columns:]
		}
	}
	return nil
}

func (s *Store) applyLocked(ctx context.Context, change core.Change) error {
	for _, apply := range []func(context.Context, core.Change) (bool, error){s.accountLocked, s.roomLocked, s.linkLocked, s.blobLocked, s.serviceLocked} {
		if done, err := apply(ctx, change); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("unknown change %T", change)
}

// gatherEntryLocked takes an entry's place. It asks for the end of a room's
// log once; what follows is counted here, since nobody else writes.
func (s *Store) gatherEntryLocked(ctx context.Context, c *core.PutEntry, g *gathered) error {
	num, err := s.numLocked(ctx, c.Room)
	if err != nil {
		return err
	}
	want, known := s.next[c.Room]
	if !known {
		var last int64
		err := s.conn.QueryRowContext(ctx, "SELECT coalesce(max(id), ?) FROM entries WHERE id BETWEEN ? AND ?",
			num<<seqBits, num<<seqBits, num<<seqBits|(1<<seqBits-1)).Scan(&last)
		if err != nil {
			return err
		}
		want = uint64(last-num<<seqBits) + 1
	}
	if c.Seq != want {
		return fmt.Errorf("entry %d of room %s where %d belongs", c.Seq, c.Room, want)
	}
	s.next[c.Room] = c.Seq + 1
	g.args = append(g.args, num<<seqBits|int64(c.Seq), int64(c.Kind), int64(c.Time), c.Chain[:], []byte(c.Data))
	return nil
}

// numLocked is a room's number, also of one made in this transaction.
func (s *Store) numLocked(ctx context.Context, id wire.RoomID) (int64, error) {
	if n, ok := s.nums.Load(id); ok {
		return n.(int64), nil
	}
	var n int64
	if err := s.conn.QueryRowContext(ctx, "SELECT num FROM rooms WHERE id = ?", id[:]).Scan(&n); err != nil {
		return 0, fmt.Errorf("room %s: %w", id, err)
	}
	return n, nil
}

func (s *Store) accountLocked(ctx context.Context, change core.Change) (bool, error) {
	switch c := change.(type) {
	case core.PutUser:
		var login any
		if c.Login != "" {
			login = c.Login
		}
		return true, s.execLocked(ctx, `INSERT INTO users (id, identity, profile, login, salt, memory, passes, threads, salt2, verifier, failures, failed_at, admin, banned, created, seen)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET profile = excluded.profile, login = excluded.login, salt = excluded.salt, memory = excluded.memory,
			passes = excluded.passes, threads = excluded.threads, salt2 = excluded.salt2, verifier = excluded.verifier, failures = excluded.failures,
			failed_at = excluded.failed_at, admin = excluded.admin, banned = excluded.banned, seen = excluded.seen`,
			c.ID[:], c.Identity[:], c.Profile, login, c.Salt[:], c.Params.MemoryKiB, c.Params.Time, c.Params.Threads, c.Salt2[:], c.Verifier[:],
			c.Failures, int64(c.FailedAt), c.Admin, c.Banned, int64(c.Created), int64(c.Seen))
	case core.SetFailures:
		return true, s.execLocked(ctx, "UPDATE users SET failures = ?, failed_at = ? WHERE id = ?", c.Failures, int64(c.At), c.User[:])
	case core.PutDevice:
		return true, s.execLocked(ctx, `INSERT OR REPLACE INTO devices (id, user, state, key, class, created, certificate, label, seen, expires, revoked_at, revocation)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, c.ID[:], c.User[:], c.State, c.Key[:], c.Class, int64(c.Created), c.Certificate, c.Label,
			int64(c.Seen), int64(c.Expires), int64(c.RevokedAt), c.Revocation)
	case core.DropDevice:
		return true, s.execLocked(ctx, "DELETE FROM devices WHERE id = ?", c.Device[:])
	case core.TouchDevice:
		if err := s.execLocked(ctx, "UPDATE devices SET seen = ? WHERE id = ?", int64(c.Seen), c.Device[:]); err != nil {
			return true, err
		}
		return true, s.execLocked(ctx, "UPDATE users SET seen = ? WHERE id = ?", int64(c.Seen), c.User[:])
	case core.PutPackage:
		return true, s.execLocked(ctx, "INSERT INTO packages (device, hash, data) VALUES (?, ?, ?)", c.Device[:], c.Hash[:], c.Data)
	case core.DropPackage:
		return true, s.execLocked(ctx, "DELETE FROM packages WHERE device = ? AND hash = ?", c.Device[:], c.Hash[:])
	case core.DropPackages:
		if err := s.execLocked(ctx, "DELETE FROM packages WHERE device = ?", c.Device[:]); err != nil {
			return true, err
		}
		return true, s.execLocked(ctx, "DELETE FROM last_resorts WHERE device = ?", c.Device[:])
	case core.PutLastResort:
		return true, s.execLocked(ctx, "INSERT OR REPLACE INTO last_resorts (device, data, used) VALUES (?, ?, ?)", c.Device[:], c.Data, c.Used)
	}
	return false, nil
}

func (s *Store) roomLocked(ctx context.Context, change core.Change) (bool, error) {
	switch c := change.(type) {
	case core.PutRoom:
		return true, s.execLocked(ctx, `INSERT INTO rooms (id, kind, founded, name, user_a, user_b, generation, founder, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, founded = excluded.founded, name = excluded.name, user_a = excluded.user_a, user_b = excluded.user_b,
			generation = excluded.generation, founder = excluded.founder`,
			c.ID[:], c.Kind, c.Founded, c.Name, c.Users[0][:], c.Users[1][:], c.Generation, c.Founder[:], int64(c.Created))
	case core.ClearRoom:
		return true, s.clearRoomLocked(ctx, c.Room)
	case core.PutRoute:
		return true, s.execLocked(ctx, "INSERT OR REPLACE INTO routes (room, device, user, from_seq, until_seq, out_at) VALUES (?, ?, ?, ?, ?, ?)",
			c.Room[:], c.Device[:], c.User[:], int64(c.From), int64(c.Until), int64(c.OutAt))
	case core.PutGroupInfo:
		return true, s.execLocked(ctx, "INSERT OR REPLACE INTO group_infos (room, link, seq, info, tree, tree_blob) VALUES (?, ?, ?, ?, ?, ?)",
			c.Room[:], c.Link[:], int64(c.Seq), c.GroupInfo, c.Tree, hashArg(c.TreeBlob))
	case core.DropGroupInfo:
		return true, s.execLocked(ctx, "DELETE FROM group_infos WHERE room = ? AND link = ?", c.Room[:], c.Link[:])
	case core.PutWelcome:
		w := &c.Welcome
		if err := s.execLocked(ctx, `INSERT INTO welcomes (id, device, room, seq, from_user, from_device, data, tree, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			int64(w.ID), c.Device[:], w.Room[:], int64(w.Seq), w.From.User[:], w.From.Device[:], w.Data, hashArg(w.Tree), int64(c.Expires)); err != nil {
			return true, err
		}
		return true, s.countLocked(ctx, "welcome", w.ID)
	case core.DropWelcome:
		return true, s.execLocked(ctx, "DELETE FROM welcomes WHERE id = ? AND device = ?", int64(c.ID), c.Device[:])
	}
	return false, nil
}

// clearRoomLocked deletes what is in a room. Its row stays, and so its number.
func (s *Store) clearRoomLocked(ctx context.Context, room wire.RoomID) error {
	num, err := s.numLocked(ctx, room)
	if err != nil {
		return err
	}
	delete(s.next, room)
	if err := s.execLocked(ctx, "DELETE FROM entries WHERE id BETWEEN ? AND ?", num<<seqBits, num<<seqBits|(1<<seqBits-1)); err != nil {
		return err
	}
	for _, query := range []string{"DELETE FROM routes WHERE room = ?", "DELETE FROM group_infos WHERE room = ?", "DELETE FROM links WHERE room = ?",
		"DELETE FROM knocks WHERE room = ?"} {
		if err := s.execLocked(ctx, query, room[:]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) linkLocked(ctx context.Context, change core.Change) (bool, error) {
	switch c := change.(type) {
	case core.PutLink:
		return true, s.execLocked(ctx, `INSERT OR REPLACE INTO links (id, room, token_hash, by_user, by_device, created, expires, uses, used, approval)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, c.ID[:], c.Room[:], c.TokenHash[:], c.By.User[:], c.By.Device[:], int64(c.Created),
			int64(c.Expires), c.Uses, c.Used, c.Approval)
	case core.UseLink:
		return true, s.execLocked(ctx, "UPDATE links SET used = ? WHERE id = ?", c.Used, c.Link[:])
	case core.DropLink:
		if err := s.execLocked(ctx, "DELETE FROM group_infos WHERE room = (SELECT room FROM links WHERE id = ?) AND link = ?", c.Link[:], c.Link[:]); err != nil {
			return true, err
		}
		if err := s.execLocked(ctx, "DELETE FROM knocks WHERE link = ?", c.Link[:]); err != nil {
			return true, err
		}
		return true, s.execLocked(ctx, "DELETE FROM links WHERE id = ?", c.Link[:])
	case core.PutKnock:
		return true, s.execLocked(ctx, "INSERT OR REPLACE INTO knocks (room, device, user, link, time, data) VALUES (?, ?, ?, ?, ?, ?)",
			c.Room[:], c.Route.Device[:], c.Route.User[:], c.Link[:], int64(c.Time), c.Data)
	case core.DropKnock:
		return true, s.execLocked(ctx, "DELETE FROM knocks WHERE room = ? AND device = ?", c.Room[:], c.Device[:])
	}
	return false, nil
}

func (s *Store) blobLocked(ctx context.Context, change core.Change) (bool, error) {
	switch c := change.(type) {
	case core.PutBlob:
		return true, s.execLocked(ctx, "INSERT OR REPLACE INTO blobs (room, hash, size, device, complete, until) VALUES (?, ?, ?, ?, ?, ?)",
			c.Room[:], c.Hash[:], int64(c.Size), c.Device[:], c.Complete, int64(c.Until))
	case core.KeepBlob:
		return true, s.execLocked(ctx, "UPDATE blobs SET until = 0 WHERE room = ? AND hash = ?", c.Room[:], c.Hash[:])
	case core.PutChunk:
		return true, s.execLocked(ctx, "INSERT OR REPLACE INTO chunks (room, hash, idx, data) VALUES (?, ?, ?, ?)", c.Room[:], c.Hash[:], c.Index, c.Data)
	case core.DropBlob:
		if err := s.execLocked(ctx, "DELETE FROM chunks WHERE room = ? AND hash = ?", c.Room[:], c.Hash[:]); err != nil {
			return true, err
		}
		return true, s.execLocked(ctx, "DELETE FROM blobs WHERE room = ? AND hash = ?", c.Room[:], c.Hash[:])
	}
	return false, nil
}

const hourMillis = 3600 * 1000

// countLocked raises a counter, and never lowers it.
func (s *Store) countLocked(ctx context.Context, name string, n uint64) error {
	return s.execLocked(ctx, `INSERT INTO counters (name, value) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)`, name, int64(n))
}

func (s *Store) serviceLocked(ctx context.Context, change core.Change) (bool, error) {
	switch c := change.(type) {
	case core.PutTicket:
		return true, s.execLocked(ctx, "INSERT OR REPLACE INTO tickets (hash, psk, online, expires) VALUES (?, ?, ?, ?)", c.Hash[:], c.PSK[:], c.Online[:], int64(c.Expires))
	case core.DropTicket:
		return true, s.execLocked(ctx, "DELETE FROM tickets WHERE hash = ?", c.Hash[:])
	case core.PutToken:
		return true, s.execLocked(ctx, "INSERT OR REPLACE INTO tokens (hash, kind, uses, expires, note, created) VALUES (?, ?, ?, ?, ?, ?)",
			c.Hash[:], c.Kind, c.Uses, int64(c.Expires), c.Note, int64(c.Created))
	case core.DropToken:
		return true, s.execLocked(ctx, "DELETE FROM tokens WHERE hash = ?", c.Hash[:])
	case core.PutBan:
		return true, s.execLocked(ctx, "INSERT OR REPLACE INTO bans (what, reason, created, expires) VALUES (?, ?, ?, ?)", c.What, c.Reason, int64(c.Created), int64(c.Expires))
	case core.DropBan:
		return true, s.execLocked(ctx, "DELETE FROM bans WHERE what = ?", c.What)
	case core.PutIncarnation:
		return true, s.countLocked(ctx, "incarnation", c.N)
	case core.PutAudit:
		return true, s.execLocked(ctx, "INSERT INTO audit (time, who, act, subject) VALUES (?, ?, ?, ?)", int64(c.Time), c.Who, c.Act, c.Subject)
	}
	return false, nil
}

// Collect deletes what is out of date, a table a transaction, so that appends
// wait for none of it long.
func (s *Store) Collect(ctx context.Context, now uint64) error {
	const named = `(SELECT tree_blob FROM group_infos g WHERE g.room = blobs.room AND tree_blob IS NOT NULL
		UNION ALL SELECT tree FROM welcomes w WHERE w.room = blobs.room AND tree IS NOT NULL)`
	day := int64(24 * hourMillis)
	for _, step := range []struct {
		query string
		arg   int64
	}{
		{"DELETE FROM answers WHERE hour < ?", (int64(now) - day) / hourMillis},
		{"DELETE FROM devices WHERE state = 1 AND expires < ?", int64(now)},
		{"DELETE FROM tickets WHERE expires < ?", int64(now)},
		{"DELETE FROM tokens WHERE expires <> 0 AND expires < ?", int64(now)},
		{"DELETE FROM bans WHERE expires <> 0 AND expires < ?", int64(now)},
		{"DELETE FROM welcomes WHERE expires < ?", int64(now)},
		{"DELETE FROM blobs WHERE until <> 0 AND until < ? AND hash NOT IN " + named, int64(now)},
		{"DELETE FROM chunks WHERE ? > 0 AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.room = chunks.room AND b.hash = chunks.hash)", 1},
	} {
		err := s.transaction(ctx, func() error { return s.execLocked(ctx, step.query, step.arg) })
		if err != nil {
			return fmt.Errorf("sqlite: collect: %w", err)
		}
	}
	return nil
}
