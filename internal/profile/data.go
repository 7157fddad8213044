package profile

import (
	"fmt"
	"os"
	"path/filepath"
)

// OpenData makes a server's data folder where there is none and takes its
// lock, with the same care as a profile's: nobody else may read it, and one
// process at a time writes it. Closing the file gives the lock back.
func OpenData(path string) (lock *os.File, err error) {
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
	return acquire(filepath.Join(path, "lock"))
}
