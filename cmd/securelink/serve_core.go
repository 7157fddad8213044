package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/bus/local"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/internal/metrics"
	"github.com/securelink-chat/securelink/internal/profile"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/store/sqlite"
	"github.com/securelink-chat/securelink/wire"
)

// Names in the data folder. All of it together is what a restore needs.
const (
	rootFile   = "root.key"   // seed of the root key, in hexadecimal: who has it is the server
	onlineFile = "online.key" // the online key and its certificate, in hexadecimal
	coreFile   = "core.db"
)

// renewOnline is how long before its end an online key is replaced, at start.
const renewOnline = 30 * 24 * time.Hour

// coreConfig says how to run a core.
type coreConfig struct {
	Data         string // folder; made if it is not there
	Name         string
	Registration wire.Registration
	Limits       wire.Limits
	Metrics      *metrics.Registry // may be nil
	Backups      string            // folder for the backup before an upgrade; empty: one in Data
}

// runningCore is a core with what it stands on.
type runningCore struct {
	Server *core.Server
	Store  *sqlite.Store
	Pin    [32]byte
	lock   *os.File
}

// openCore opens the data folder, makes what is missing in it, and starts a
// core. The folder is this process's alone until Close.
func openCore(ctx context.Context, cfg coreConfig, log *slog.Logger) (_ *runningCore, err error) {
	r := &runningCore{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if r.lock, err = profile.OpenData(cfg.Data); errors.Is(err, profile.ErrBusy) {
		return nil, fail(exitUsage, fmt.Errorf("a server runs on the data folder %s already", cfg.Data), "Stop it, or give this one a folder of its own: securelink serve --data FOLDER")
	} else if err != nil {
		return nil, fail(exitInternal, err, "Or choose another folder: securelink serve --data FOLDER")
	}
	keys, err := serverKeys(cfg.Data, time.Now())
	if err != nil {
		return nil, fail(exitInternal, err, "The key files in the data folder must be readable by this user, and whole.")
	}
	if err := touchPrivate(filepath.Join(cfg.Data, coreFile)); err != nil {
		return nil, fail(exitInternal, err, "")
	}
	if err := backupBeforeUpgrade(ctx, cfg, log); err != nil {
		return nil, err
	}
	if r.Store, err = sqlite.Open(ctx, filepath.Join(cfg.Data, coreFile)); err != nil {
		return nil, fail(exitInternal, err, "")
	}
	r.Server, err = core.New(ctx, core.Config{Keys: keys, Store: r.Store, Bus: local.New(), Limits: &cfg.Limits, Registration: cfg.Registration,
		Name: cfg.Name, Log: log, Metrics: cfg.Metrics})
	if err != nil {
		return nil, fail(exitInternal, err, "")
	}
	r.Pin = r.Server.Pin()
	return r, nil
}

// touchPrivate makes a file that nobody else may read, where there is none:
// the database would make it readable.
func touchPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	return f.Close()
}

// Ready says whether the core can take and keep messages.
func (r *runningCore) Ready(ctx context.Context) error { return r.Server.Ready(ctx) }

// Close stops the core, then what it stands on.
func (r *runningCore) Close() error {
	var errs []error
	if r.Server != nil {
		errs = append(errs, r.Server.Close())
	}
	if r.Store != nil {
		errs = append(errs, r.Store.Close())
	}
	if r.lock != nil {
		errs = append(errs, r.lock.Close())
	}
	return errors.Join(errs...)
}

// serverKeys reads the server's keys, and makes them the first time.
func serverKeys(folder string, now time.Time) (core.Keys, error) {
	root, err := rootKey(filepath.Join(folder, rootFile))
	if err != nil {
		return core.Keys{}, err
	}
	path := filepath.Join(folder, onlineFile)
	raw, err := readKey(path)
	if err == nil {
		online, err := link.ParseOnline(raw)
		clear(raw)
		if err != nil {
			return core.Keys{}, fmt.Errorf("%s: %w", path, err)
		}
		if online.Cert().NotAfter.After(now.Add(renewOnline)) {
			return core.NewKeys(root, online), nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return core.Keys{}, err
	}
	// The epoch has to grow with every new key; the clock does, unless it is set
	// back further than the life of a key.
	online := root.NewOnline(uint64(now.Unix()), now.Add(core.OnlineTime))
	seed := online.Bytes()
	return core.NewKeys(root, online), writeKey(path, seed[:])
}

func rootKey(path string) (link.RootKey, error) {
	raw, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		root := link.GenerateRoot()
		return root, writeKey(path, root.Seed())
	}
	if err != nil {
		return link.RootKey{}, err
	}
	defer clear(raw)
	root, err := link.ParseRoot(raw)
	if err != nil {
		return root, fmt.Errorf("%s: %w", path, err)
	}
	return root, nil
}

// readKey reads a key file, which nobody else may be able to read.
func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if os.PathSeparator == '/' && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key: others on this machine can read %s (run: chmod 600 on it)", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	defer clear(text)
	if n := len(text); n > 0 && text[n-1] == '\n' {
		text = text[:n-1]
	}
	raw := make([]byte, hex.DecodedLen(len(text)))
	if _, err := hex.Decode(raw, text); err != nil {
		return nil, fmt.Errorf("key: %s is damaged", path) // what is in it is not told
	}
	return raw, nil
}

// writeKey writes a key file whole or not at all.
func writeKey(path string, raw []byte) error {
	defer clear(raw)
	text := append(hex.AppendEncode(nil, raw), '\n')
	defer clear(text)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a renamed file's name durable.
func syncFolder(path string) error {
	if os.PathSeparator != '/' {
		return nil // only there can a folder be synced
	}
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// serveTCP hands connections of a listener to the core until ctx ends, and
// waits for them.
func serveTCP(ctx context.Context, l net.Listener, server *core.Server, log *slog.Logger) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			// Too many open files and the like: others may still be served.
			var temporary net.Error
			if errors.As(err, &temporary) && !errors.Is(err, net.ErrClosed) {
				log.Warn("accept failed", "err", err)
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
				continue
			}
			return fmt.Errorf("accept: %w", err)
		}
		conns.Go(func() { _ = server.Serve(ctx, link.NetConn(conn)) }) // why it ended is in the log
	}
}
