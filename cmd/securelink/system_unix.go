//go:build linux || darwin

package main

import "golang.org/x/sys/unix"

// fileLimit is how many files this process may have open.
func fileLimit() (uint64, error) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Cur, err
}

// diskFree is how many bytes an ordinary user may still write in folder.
func diskFree(folder string) (uint64, error) {
	var s unix.Statfs_t
	err := unix.Statfs(folder, &s)
	return s.Bavail * uint64(s.Bsize), err
}
