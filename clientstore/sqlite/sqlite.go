// Package sqlite is the client engine's storage on disk: one table of keys and
// values in an SQLite file that only its owner may read.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the driver named "sqlite"

	"github.com/securelink-chat/securelink/client"
)

// version is the layout of the file, in SQLite's user_version.
const version = 1

// ErrNewer says that a later release wrote this file.
var ErrNewer = errors.New("clientstore: the profile was written by a newer version; update securelink")

// Store keeps an engine's pairs in an SQLite file. It is safe for many
// goroutines; one process at a time may have the file open, which the owner
// of the profile's lock sees to.
type Store struct {
	db *sql.DB
}

var _ client.Storage = (*Store)(nil)

// Open opens or makes the file, readable by its owner only. Every Apply is
// synced to the disk before it returns.
func Open(ctx context.Context, file string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("clientstore: make the profile's folder: %w", err)
	}
	// SQLite gives its side files the mode of the main one, so that one is
	// made first, and narrow.
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("clientstore: %w", err)
	}
	f.Close()
	params := url.Values{"_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", "temp_store(MEMORY)",
	}}
	db, err := sql.Open("sqlite", "file:"+escape(file)+"?"+params.Encode())
	if err != nil {
		return nil, fmt.Errorf("clientstore: %w", err)
	}
	// One connection: the engine's batches are short, and a second one would
	// only wait for the first one's lock.
	db.SetMaxOpenConns(1)
	s := &Store{db}
	if err := s.migrate(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

// escape makes a path safe inside a file: URI.
func escape(path string) string {
	path = filepath.ToSlash(path)
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

func (s *Store) migrate(ctx context.Context) error {
	var have int
	if err := s.db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&have); err != nil {
		return fmt.Errorf("clientstore: read the profile: %w", err)
	}
	switch {
	case have > version:
		return ErrNewer
	case have == version:
		return nil
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("clientstore: %w", err)
	}
	defer tx.Rollback()
	for _, statement := range []string{
		`CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, STRICT`,
		fmt.Sprintf(`PRAGMA user_version = %d`, version),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("clientstore: set up the profile: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("clientstore: set up the profile: %w", err)
	}
	return nil
}

// Load implements [client.Storage].
func (s *Store) Load(ctx context.Context, r client.Range) ([]client.Pair, error) {
	query, args := `SELECT key, value FROM kv WHERE 1`, []any(nil)
	if len(r.Prefix) > 0 {
		query, args = query+` AND key >= ?`, append(args, r.Prefix)
		if end := after(r.Prefix); end != nil {
			query, args = query+` AND key < ?`, append(args, end)
		}
	}
	if r.After != nil {
		query, args = query+` AND key > ?`, append(args, r.After)
	}
	if r.Before != nil {
		query, args = query+` AND key < ?`, append(args, r.Before)
	}
	if r.Reverse {
		query += ` ORDER BY key DESC`
	} else {
		query += ` ORDER BY key`
	}
	if r.Limit > 0 {
		query, args = query+` LIMIT ?`, append(args, r.Limit)
	}
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("clientstore: load: %w", err)
	}
	defer rows.Close()
	var pairs []client.Pair
	for rows.Next() {
		var p client.Pair
		if err := rows.Scan(&p.Key, &p.Value); err != nil {
			return nil, fmt.Errorf("clientstore: load: %w", err)
		}
		pairs = append(pairs, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("clientstore: load: %w", err)
	}
	return pairs, nil
}

// after returns the first key beyond all that begin with prefix, nil when
// there is none.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte{}, prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}

// Apply implements [client.Storage].
func (s *Store) Apply(ctx context.Context, batch []client.Put) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("clientstore: apply: %w", err)
	}
	defer tx.Rollback()
	for _, put := range batch {
		if put.Delete {
			_, err = tx.ExecContext(ctx, `DELETE FROM kv WHERE key = ?`, blob(put.Key))
		} else {
			_, err = tx.ExecContext(ctx, `INSERT INTO kv VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
				blob(put.Key), blob(put.Value))
		}
		if err != nil {
			return fmt.Errorf("clientstore: apply: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("clientstore: apply: %w", err)
	}
	return nil
}

// blob keeps an empty value from becoming NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Close implements [client.Storage].
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("clientstore: close: %w", err)
	}
	return nil
}
