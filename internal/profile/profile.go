// Package profile finds and locks the folders in which clients of this machine
// keep their keys: one folder a user, below one a server, below one for all.
package profile

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// DefaultName is the profile that is used when none is named.
const DefaultName = "default"

var (
	// ErrBusy says that another process writes this profile.
	ErrBusy = errors.New("profile: in use by another securelink")
	// ErrName says that a profile's name cannot be a folder.
	ErrName = errors.New("profile: a name is 1 to 40 letters, digits, dots, dashes or underscores, and does not begin with a dot")
	// ErrOpen says that others can read the profile.
	ErrOpen = errors.New("profile: others on this machine can read it")
)

// Home returns where profiles live: what the environment's SECURELINK_HOME
// says, else a folder in the user's configuration.
func Home() (string, error) {
	if home := os.Getenv("SECURELINK_HOME"); home != "" {
		return home, nil
	}
	base, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("profile: no home for this user: %w", err)
	}
	return filepath.Join(base, "securelink"), nil
}

// Folder is one opened profile: the only writer until Close.
type Folder struct {
	Path string
	lock *os.File
}

// Open makes the profile's folder where there is none and takes its lock.
// ErrBusy means that somebody else has it; Path says where it is even so.
func Open(home string, pin [32]byte, name string) (*Folder, error) {
	path, err := Path(home, pin, name)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if exposed(info) {
		return nil, fmt.Errorf("%w: %s (run: chmod 700 on it)", ErrOpen, path)
	}
	lock, err := acquire(filepath.Join(path, "lock"))
	if err != nil {
		return nil, err
	}
	return &Folder{Path: path, lock: lock}, nil
}

// Path says where a profile lives, without making it.
func Path(home string, pin [32]byte, name string) (string, error) {
	if !valid(name) {
		return "", ErrName
	}
	return filepath.Join(home, "servers", hex.EncodeToString(pin[:]), name), nil
}

func valid(name string) bool {
	if name == "" || len(name) > 40 || name[0] == '.' {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool {
		return !(r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}) < 0
}

// Database is the file of the profile's storage.
func (f *Folder) Database() string { return filepath.Join(f.Path, "profile.db") }

// Close gives the lock back.
func (f *Folder) Close() error {
	if err := f.lock.Close(); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}

// Remove erases the profile's files, then gives the lock back.
func (f *Folder) Remove() error {
	entries, err := os.ReadDir(f.Path)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() != "lock" {
			err = errors.Join(err, os.RemoveAll(filepath.Join(f.Path, entry.Name())))
		}
	}
	return errors.Join(err, f.Close())
}

// knownServers is one line a server: address, space, pin in hexadecimal.
const knownServers = "known_servers"

// KnownPin returns the pin that this machine remembers for an address.
func KnownPin(home, address string) (pin [32]byte, known bool, err error) {
	f, err := os.Open(filepath.Join(home, knownServers))
	if errors.Is(err, os.ErrNotExist) {
		return pin, false, nil
	}
	if err != nil {
		return pin, false, fmt.Errorf("profile: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		at, hash, ok := strings.Cut(lines.Text(), " ")
		if !ok || at != address {
			continue
		}
		raw, err := hex.DecodeString(hash)
		if err != nil || len(raw) != len(pin) {
			return pin, false, fmt.Errorf("profile: %s has a damaged line for %s", knownServers, address)
		}
		return [32]byte(raw), true, nil
	}
	if err := lines.Err(); err != nil {
		return pin, false, fmt.Errorf("profile: %w", err)
	}
	return pin, false, nil
}

// RememberPin adds a server to those that this machine knows. It never changes
// one that is there.
func RememberPin(home, address string, pin [32]byte) error {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	if _, known, err := KnownPin(home, address); known || err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(home, knownServers), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s %x\n", address, pin)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}
