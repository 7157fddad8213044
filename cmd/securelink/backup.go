package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/store/sqlite"
)

// manifest is what a backup says of itself, in manifestFile.
type manifest struct {
	Format  int               `json:"format"`  // 1
	Made    time.Time         `json:"made"`    // UTC
	Version string            `json:"version"` // of the program that made it
	Store   sqlite.Report     `json:"store"`
	Files   map[string]string `json:"files"` // name to hex SHA-256
}

const (
	manifestFile   = "manifest.json"
	manifestFormat = 1
	backupPrefix   = "securelink-"
	backupTime     = "20060102-150405"
	maxManifest    = 64 << 10
)

// backupKeys are the files beside the database that make a server this server.
// The online key is not among them: a restored server makes a new one, so that
// session tickets of the time before are good for nothing.
var backupKeys = []string{rootFile, secretFile}

// createBackup makes a backup of the data folder as a new folder inside into,
// while the server runs, and returns its path. It is checked before it has its
// name.
func createBackup(ctx context.Context, data, into string, now time.Time) (_ string, _ manifest, err error) {
	m := manifest{Format: manifestFormat, Made: now.UTC().Truncate(time.Second), Version: version(), Files: map[string]string{}}
	if _, err := os.Stat(filepath.Join(data, coreFile)); err != nil {
		return "", m, fail(exitUsage, fmt.Errorf("there is no server's data in %s: %w", data, err), "Say where it is: --data FOLDER")
	}
	if err := os.MkdirAll(into, 0o700); err != nil {
		return "", m, err
	}
	final := filepath.Join(into, backupPrefix+m.Made.Format(backupTime))
	if _, err := os.Lstat(final); err == nil {
		return "", m, fail(exitUsage, fmt.Errorf("%s exists already", final), "Wait a second: a backup never takes the place of another")
	}
	work, err := os.MkdirTemp(into, ".backup-") // 0700
	if err != nil {
		return "", m, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(work))
		}
	}()
	copied := filepath.Join(work, coreFile)
	if err := touchPrivate(copied); err != nil { // VACUUM INTO takes an empty file, and keeps its mode
		return "", m, err
	}
	if err := sqlite.Copy(ctx, filepath.Join(data, coreFile), copied); err != nil {
		return "", m, err
	}
	for _, name := range backupKeys {
		if err := copyFile(filepath.Join(data, name), filepath.Join(work, name)); err != nil && !(name == secretFile && errors.Is(err, fs.ErrNotExist)) {
			return "", m, err
		}
	}
	if m.Store, err = sqlite.Verify(ctx, copied); err != nil {
		return "", m, err
	}
	if err := m.write(work); err != nil {
		return "", m, err
	}
	if err := os.Rename(work, final); err != nil {
		return "", m, err
	}
	return final, m, syncFolder(into)
}

// write hashes the files in folder, and writes the manifest durably.
func (m *manifest) write(folder string) error {
	for _, name := range append([]string{coreFile}, backupKeys...) {
		sum, err := hashFile(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		m.Files[name] = sum
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeNew(filepath.Join(folder, manifestFile), append(text, '\n'))
}

func readManifest(folder string) (m manifest, err error) {
	text, err := readBounded(filepath.Join(folder, manifestFile), maxManifest)
	if err != nil {
		return m, fail(exitUsage, fmt.Errorf("no backup: %w", err), "")
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("backup: %s: %w", manifestFile, err)
	}
	if m.Format != manifestFormat {
		return m, fmt.Errorf("backup: its format is %d, and this program knows %d", m.Format, manifestFormat)
	}
	return m, nil
}

// verifyBackup reads a whole backup: every file against the manifest, and the
// database against itself, with the chain of every room.
func verifyBackup(ctx context.Context, folder string) (manifest, error) {
	m, err := readManifest(folder)
	if err != nil {
		return m, err
	}
	for _, name := range []string{coreFile, rootFile} {
		if m.Files[name] == "" {
			return m, fmt.Errorf("backup: it has no %s", name)
		}
	}
	for name, want := range m.Files {
		if name != coreFile && !slices.Contains(backupKeys, name) {
			return m, fmt.Errorf("backup: it has an unknown file %q", name)
		}
		got, err := hashFile(filepath.Join(folder, name))
		if err != nil {
			return m, fmt.Errorf("backup: %w", err)
		}
		if got != want {
			return m, fmt.Errorf("backup: %s is damaged: its hash is another", name)
		}
	}
	report, err := sqlite.Verify(ctx, filepath.Join(folder, coreFile))
	if err == nil && report != m.Store {
		err = fmt.Errorf("backup: it holds %+v, and says %+v", report, m.Store)
	}
	return m, err
}

// restoreBackup makes a data folder from a backup. A folder with anything in it
// is refused.
func restoreBackup(ctx context.Context, backup, data string) (manifest, error) {
	m, err := verifyBackup(ctx, backup)
	if err != nil {
		return m, err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return m, err
	}
	there, err := os.ReadDir(data)
	if err != nil {
		return m, err
	}
	if len(there) > 0 {
		return m, fail(exitUsage, fmt.Errorf("%s is not empty", data), "A restore takes nobody's place: move the folder away, or say --data with another")
	}
	for name := range m.Files {
		if err := copyFile(filepath.Join(backup, name), filepath.Join(data, name)); err != nil {
			return m, err
		}
	}
	if err := markRestored(ctx, data); err != nil {
		return m, err
	}
	return m, syncFolder(data)
}

// markRestored opens a new incarnation of the server's logs: the server signs it
// to every client, so that they know why a log ends earlier than they saw it.
// A log that steps back without it is an alarm.
func markRestored(ctx context.Context, data string) error {
	store, err := sqlite.Open(ctx, filepath.Join(data, coreFile))
	if err != nil {
		return err
	}
	return errors.Join(core.Restored(ctx, store, time.Now()), store.Close())
}

// tarFolder writes a backup as a tar archive.
func tarFolder(w io.Writer, folder string) error {
	archive := tar.NewWriter(w)
	if err := archive.AddFS(os.DirFS(folder)); err != nil {
		return err
	}
	return archive.Close()
}

// copyFile copies a private file durably. The copy must not exist.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	return nil
}

// writeNew writes a private file durably. It must not exist.
func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%s is too large", path)
	}
	return content, err
}

// backups lists the backups in a folder by their names, newest first.
func backups(folder string) iter.Seq2[string, time.Time] {
	return func(yield func(string, time.Time) bool) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return
		}
		for _, e := range slices.Backward(entries) { // in the order of names
			made, err := time.Parse(backupPrefix+backupTime, e.Name())
			if err == nil && e.IsDir() && !yield(filepath.Join(folder, e.Name()), made) {
				return
			}
		}
	}
}

// lastBackup finds the newest backup in a folder; ok is false if there is none.
func lastBackup(folder string) (path string, made time.Time, ok bool) {
	for path, made := range backups(folder) {
		return path, made, true
	}
	return "", made, false
}
