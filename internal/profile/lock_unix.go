//go:build unix

package profile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// acquire takes the lock file; the system gives it back when the process ends,
// however it ends.
func acquire(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrBusy
		}
		return nil, fmt.Errorf("profile: lock: %w", err)
	}
	return f, nil
}

// exposed reports whether anybody but the owner may look inside.
func exposed(info os.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
