package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

// ErrDamaged means that a file is not what a store wrote.
var ErrDamaged = errors.New("sqlite: damaged")

// Report is what [Verify] found in a file.
type Report struct {
	Schema  int   `json:"schema"`
	Users   int64 `json:"users"`
	Devices int64 `json:"devices"`
	Rooms   int64 `json:"rooms"`
	Entries int64 `json:"entries"`
}

// Verify reads a whole file without changing it: SQLite's own check of every
// page and index, the schema, and the hash chain of every room's log from its
// first entry on. ErrDamaged, or [core.ErrNewerSchema].
func Verify(ctx context.Context, path string) (r Report, err error) {
	db, err := sql.Open("sqlite", dsn(path, "busy_timeout(10000)", "query_only(1)"))
	if err != nil {
		return r, fmt.Errorf("sqlite: verify: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return r, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if verdict != "ok" {
		return r, fmt.Errorf("%w: %s", ErrDamaged, strings.TrimSpace(verdict))
	}
	all, err := steps()
	if err != nil {
		return r, err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&r.Schema); err != nil {
		return r, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	switch {
	case r.Schema > len(all):
		return r, fmt.Errorf("%w: schema %d, this program knows %d", core.ErrNewerSchema, r.Schema, len(all))
	case r.Schema == 0:
		return r, fmt.Errorf("%w: there is no schema in it", ErrDamaged)
	}
	for query, into := range map[string]*int64{"users": &r.Users, "devices": &r.Devices, "rooms": &r.Rooms, "entries": &r.Entries} {
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+query).Scan(into); err != nil {
			return r, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return r, verifyChains(ctx, db)
}

// verifyChains computes every room's chain again. The log of a room begins at
// seq 1 and has no gaps.
func verifyChains(ctx context.Context, db *sql.DB) (err error) {
	rooms, err := roomNumbers(ctx, db)
	if err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, "SELECT id, chain, data FROM entries ORDER BY id")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var current int64 = -1
	var head wire.Hash
	var next uint64
	for rows.Next() {
		var id int64
		var chain, data []byte
		if err := rows.Scan(&id, &chain, &data); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if num := id >> seqBits; num != current {
			room, ok := rooms[num]
			if !ok {
				return fmt.Errorf("%w: entries of a room that is not there", ErrDamaged)
			}
			current, head, next = num, wire.LogStart(room), 1
		}
		entry, err := wire.RawEntry(data).Decode()
		if err != nil || entry.Seq != next || uint64(id)&(1<<seqBits-1) != next {
			return fmt.Errorf("%w: entry %d of room %s is missing or unreadable", ErrDamaged, next, rooms[current])
		}
		if head = entry.Next(head); string(head[:]) != string(chain) {
			return fmt.Errorf("%w: entry %d of room %s is not the one that was written", ErrDamaged, next, rooms[current])
		}
		next++
	}
	return rows.Err()
}

func roomNumbers(ctx context.Context, db *sql.DB) (out map[int64]wire.RoomID, err error) {
	rows, err := db.QueryContext(ctx, "SELECT num, id FROM rooms")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	out = map[int64]wire.RoomID{}
	for rows.Next() {
		var num int64
		var id []byte
		if err := rows.Scan(&num, &id); err != nil || len(id) != len(wire.RoomID{}) {
			return nil, fmt.Errorf("%w: a room without an id", ErrDamaged)
		}
		out[num] = wire.RoomID(id)
	}
	return out, rows.Err()
}
