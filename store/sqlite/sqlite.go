// Package sqlite keeps the core's store in one SQLite file: write-ahead log,
// synchronous=FULL, one connection that writes and a few that read. What Commit
// has returned for survives the loss of power.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the driver

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

//go:embed schema/*.sql
var schema embed.FS

// readers is how many connections read at once.
const readers = 4

// seqBits is how much of an entry's number is its seq.
const seqBits = 40

// Store is the store in a file.
type Store struct {
	path  string
	write *sql.DB
	conn  *sql.Conn // the one connection of write
	read  *sql.DB

	mu    sync.Mutex             // the statements, and Commit against Collect
	stmts map[string]*sql.Stmt   // on conn
	next  map[wire.RoomID]uint64 // seq of the next entry, of rooms written since the last failure

	reads sync.Map // query -> *sql.Stmt on read
	nums  sync.Map // wire.RoomID -> int64
	steps []string // of the schema
}

var _ core.Store = (*Store)(nil)

// Open opens or makes the file, and brings its schema up to date. A file of a
// newer program is [core.ErrNewerSchema].
func Open(ctx context.Context, path string) (*Store, error) {
	all, err := steps()
	if err != nil {
		return nil, err
	}
	return openSteps(ctx, path, all)
}

func openSteps(ctx context.Context, path string, steps []string) (*Store, error) {
	s := &Store{path: path, stmts: map[string]*sql.Stmt{}, next: map[wire.RoomID]uint64{}, steps: steps}
	if err := s.open(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open: %w", err), s.Close())
	}
	return s, nil
}

func dsn(path string, pragmas ...string) string {
	q := url.Values{}
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func (s *Store) open(ctx context.Context, path string) (err error) {
	common := []string{"busy_timeout(10000)", "temp_store(memory)"}
	s.write, err = sql.Open("sqlite", dsn(path, append(common, "journal_mode(wal)", "synchronous(full)", "cache_size(-65536)",
		"wal_autocheckpoint(4000)", "journal_size_limit(67108864)")...))
	if err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if s.conn, err = s.write.Conn(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	s.read, err = sql.Open("sqlite", dsn(path, append(common, "query_only(1)", "cache_size(-16384)")...))
	if err != nil {
		return err
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	return s.read.PingContext(ctx)
}

// steps are the migrations, in order; the schema's version is their number.
func steps() ([]string, error) {
	names, err := fs.Glob(schema, "schema/*.sql")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names { // Glob sorts
		raw, err := schema.ReadFile(name)
		if err != nil {
			return nil, err
		}
		out = append(out, string(raw))
	}
	return out, nil
}

// Schema says which schema a file has, 0 if it is new or not there, and which
// one Open would bring it to. It changes nothing.
func Schema(ctx context.Context, path string) (has, newest int, err error) {
	all, err := steps()
	if err != nil {
		return 0, 0, err
	}
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return 0, len(all), nil
	}
	db, err := sql.Open("sqlite", dsn(path, "busy_timeout(10000)", "query_only(1)"))
	if err == nil {
		err = errors.Join(db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&has), db.Close())
	}
	if err != nil {
		return 0, 0, fmt.Errorf("sqlite: schema: %w", err)
	}
	return has, len(all), nil
}

// migrate runs the steps that the file lacks, each in a transaction with its
// number, so that a kill in between leaves one schema or the next.
func (s *Store) migrate(ctx context.Context) error {
	var version int
	if err := s.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(s.steps) {
		return fmt.Errorf("%w: schema %d, this program knows %d", core.ErrNewerSchema, version, len(s.steps))
	}
	for i := version; i < len(s.steps); i++ {
		step := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;", s.steps[i], i+1)
		if _, err := s.conn.ExecContext(ctx, step); err != nil {
			_, _ = s.conn.ExecContext(ctx, "ROLLBACK")
			return fmt.Errorf("migration %d: %w", i+1, err)
		}
	}
	return nil
}

// Close ends all connections. It waits for a commit that runs.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	s.reads.Range(func(_, st any) bool {
		errs = append(errs, st.(*sql.Stmt).Close())
		return true
	})
	for _, st := range s.stmts {
		errs = append(errs, st.Close())
	}
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Backup writes a consistent copy of the file to path, which must not exist,
// while the store is in use.
func (s *Store) Backup(ctx context.Context, path string) error { return Copy(ctx, s.path, path) }

// Copy writes a consistent copy of a store's file to path, which must not exist,
// also while another process uses it. It changes nothing in from.
func Copy(ctx context.Context, from, path string) error {
	// A connection of its own: those that read may not write, and the one that
	// writes is not to wait for this.
	db, err := sql.Open("sqlite", dsn(from, "busy_timeout(10000)"))
	if err != nil {
		return fmt.Errorf("sqlite: backup: %w", err)
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", path)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("sqlite: backup: %w", err)
	}
	return nil
}

// Check asks SQLite whether the file is sound.
func (s *Store) Check(ctx context.Context) error {
	var verdict string
	if err := s.read.QueryRowContext(ctx, "PRAGMA quick_check").Scan(&verdict); err != nil {
		return fmt.Errorf("sqlite: check: %w", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("sqlite: check: %s", strings.TrimSpace(verdict))
	}
	return nil
}

// Version is SQLite's own.
func (s *Store) Version(ctx context.Context) (v string, err error) {
	err = s.read.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&v)
	return v, err
}

// execLocked runs a prepared statement in the transaction that is open.
func (s *Store) execLocked(ctx context.Context, query string, args ...any) error {
	st := s.stmts[query]
	if st == nil {
		var err error
		if st, err = s.conn.PrepareContext(ctx, query); err != nil {
			return err
		}
		s.stmts[query] = st
	}
	_, err := st.ExecContext(ctx, args...)
	return err
}

// transaction runs fn between BEGIN and COMMIT.
func (s *Store) transaction(ctx context.Context, fn func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.execLocked(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := fn()
	if err == nil {
		err = s.execLocked(ctx, "COMMIT")
	}
	if err != nil {
		clear(s.next)
		// Also when ctx is what ended it.
		_, rollback := s.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		if rollback != nil && !strings.Contains(rollback.Error(), "no transaction is active") {
			err = errors.Join(err, rollback)
		}
	}
	return err
}

// query prepares once and asks on a connection that reads.
func (s *Store) query(ctx context.Context, query string) (*sql.Stmt, error) {
	if st, ok := s.reads.Load(query); ok {
		return st.(*sql.Stmt), nil
	}
	st, err := s.read.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if other, loaded := s.reads.LoadOrStore(query, st); loaded {
		_ = st.Close()
		return other.(*sql.Stmt), nil
	}
	return st, nil
}

// rows collects what a query finds, by a function that scans one row. It stops
// early when scan says so.
func rows[T any](ctx context.Context, s *Store, query string, scan func(func(...any) error) (T, bool, error), args ...any) ([]T, error) {
	st, err := s.query(ctx, query)
	if err != nil {
		return nil, err
	}
	// database/sql and the driver each start a goroutine for a context that can
	// end. What is read here is bounded and short, so that costs more than it saves.
	found, err := st.QueryContext(context.WithoutCancel(ctx), args...)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	defer func() { _ = found.Close() }()
	var out []T
	for found.Next() {
		v, more, err := scan(found.Scan)
		if err != nil {
			return nil, fmt.Errorf("sqlite: %w", err)
		}
		if !more {
			break
		}
		out = append(out, v)
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	return out, nil
}

// all is rows for a scan that always goes on.
func all[T any](ctx context.Context, s *Store, query string, scan func(func(...any) error) (T, error), args ...any) ([]T, error) {
	return rows(ctx, s, query, func(get func(...any) error) (T, bool, error) {
		v, err := scan(get)
		return v, true, err
	}, args...)
}

// one is the first of what a query finds.
func one[T any](ctx context.Context, s *Store, query string, scan func(func(...any) error) (T, error), args ...any) (T, bool, error) {
	found, err := all(ctx, s, query, scan, args...)
	if err != nil || len(found) == 0 {
		var none T
		return none, false, err
	}
	return found[0], true, nil
}

// count is a query's one number.
func (s *Store) count(ctx context.Context, query string, args ...any) (int64, error) {
	n, _, err := one(ctx, s, query, func(get func(...any) error) (n int64, err error) {
		err = get(&n)
		return n, err
	}, args...)
	return n, err
}

// fixed scans a blob into an array, and refuses another length.
type fixed []byte

// Scan copies the bytes.
func (f fixed) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok || len(b) != len(f) {
		return fmt.Errorf("sqlite: a column does not hold %d bytes", len(f))
	}
	copy(f, b)
	return nil
}

// maybeHash scans a blob that may be NULL.
type maybeHash struct{ to **wire.Hash }

// Scan copies the bytes, if any.
func (m maybeHash) Scan(src any) error {
	if src == nil {
		*m.to = nil
		return nil
	}
	h := new(wire.Hash)
	if err := fixed(h[:]).Scan(src); err != nil {
		return err
	}
	*m.to = h
	return nil
}

func hashArg(h *wire.Hash) any {
	if h == nil {
		return nil
	}
	return h[:]
}
