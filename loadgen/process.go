package loadgen

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// tick is the unit of processor time in /proc: USER_HZ, 100 on every Linux.
const tick = 10 * time.Millisecond

// usage is what a process has used: its processor time, and its resident
// memory in bytes, as /proc shows them (proc_pid_stat(5)).
type usage struct {
	cpu time.Duration
	rss int64
}

var errNoProc = errors.New("not known here")

// processUsage adds up what processes use; errNoProc where that is not known.
func processUsage(pids ...int) (sum usage, err error) {
	if len(pids) == 0 {
		return usage{}, errNoProc
	}
	for _, pid := range pids {
		one, err := usageOf(pid)
		if err != nil {
			return usage{}, err
		}
		sum.cpu += one.cpu
		sum.rss += one.rss
	}
	return sum, nil
}

// usageOf reads /proc; errNoProc where there is none.
func usageOf(pid int) (usage, error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return usage{}, fmt.Errorf("%w: %w", errNoProc, err)
	}
	// The name is in brackets and may hold anything; the rest are numbers.
	_, rest, ok := bytes.Cut(raw[max(bytes.LastIndexByte(raw, ')'), 0):], []byte(" "))
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 22 {
		return usage{}, errNoProc
	}
	var numbers [3]int64 // utime, stime, rss in pages
	for i, at := range []int{11, 12, 21} {
		if numbers[i], err = strconv.ParseInt(string(fields[at]), 10, 64); err != nil {
			return usage{}, fmt.Errorf("%w: %w", errNoProc, err)
		}
	}
	return usage{cpu: time.Duration(numbers[0]+numbers[1]) * tick, rss: numbers[2] * int64(os.Getpagesize())}, nil
}

// fsyncTime is the median and the worst of some writes of 4 KiB that are made
// durable, in a file of its own in folder.
func fsyncTime(folder string) (median, worst time.Duration, err error) {
	f, err := os.CreateTemp(folder, "fsync-")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	var times []time.Duration
	page := make([]byte, 4096)
	for range 64 {
		begin := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, 0, err
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	return times[len(times)/2], times[len(times)-1], nil
}
