package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/internal/profile"
	"github.com/securelink-chat/securelink/line"
)

// A profile has one writer. What runs on it opens a socket in its folder, and
// send hands its message over through it: one line of JSON each way.

const (
	socketName    = "send.sock"
	socketPath    = 100     // bytes of a path that fit a socket's address
	localLine     = 1 << 20 // bytes of one request
	localTime     = time.Minute
	localAtOnce   = 16
	localPatience = 10 * time.Second // with a process that has the profile for a moment
)

// short makes a path that fits a socket's address: through a link in the
// folder for temporary files, if need be. forget removes that link.
func short(folder string) (path string, forget func(), err error) {
	path = filepath.Join(folder, socketName)
	if len(path) <= socketPath {
		return path, func() {}, nil
	}
	temporary, err := os.MkdirTemp("", "sl")
	if err != nil {
		return "", nil, err
	}
	forget = func() { os.RemoveAll(temporary) }
	if err := os.Symlink(folder, filepath.Join(temporary, "p")); err != nil {
		forget()
		return "", nil, err
	}
	return filepath.Join(temporary, "p", socketName), forget, nil
}

// answerLocally takes messages from other processes of this user, until the
// function that it returns is called.
func (o *opened) answerLocally(ctx context.Context) (stop func(), err error) {
	none := func() {}
	path, forget, err := short(o.folder.Path)
	if err != nil {
		return none, err
	}
	os.Remove(path) // of a process that is gone: the profile's lock is ours
	listener, err := net.Listen("unix", path)
	if err != nil {
		forget()
		return none, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		forget()
		return none, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	slots := make(chan struct{}, localAtOnce)
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			select {
			case slots <- struct{}{}:
				work.Go(func() {
					defer func() { <-slots }()
					answerOne(ctx, conn, o.hub)
				})
			default:
				conn.Close()
			}
		}
	})
	return func() {
		cancel()
		listener.Close()
		work.Wait()
		os.Remove(path)
		forget()
	}, nil
}

func answerOne(ctx context.Context, conn net.Conn, hub *line.Hub) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if conn.SetDeadline(time.Now().Add(localTime)) != nil {
		return
	}
	var r line.SendRequest
	if err := json.NewDecoder(io.LimitReader(conn, localLine)).Decode(&r); err != nil {
		return
	}
	port := hub.Port()
	defer port.Close()
	json.NewEncoder(conn).Encode(line.Send(ctx, port, r)) // nobody is left to tell of an error
}

// claim takes the profile's lock. Whoever holds it for long takes messages by
// the socket, and then it is profile.ErrBusy at once; a process that is about
// to end or has just begun is waited for.
func claim(ctx context.Context, home string, pin [32]byte, name string) (*profile.Folder, error) {
	path, err := profile.Path(home, pin, name)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(localPatience)
	for {
		folder, err := profile.Open(home, pin, name)
		if !errors.Is(err, profile.ErrBusy) || time.Now().After(deadline) {
			return folder, err
		}
		if conn, dialErr := dialLocal(ctx, path); dialErr == nil {
			conn.Close()
			return nil, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func dialLocal(ctx context.Context, folder string) (net.Conn, error) {
	path, forget, err := short(folder)
	if err != nil {
		return nil, err
	}
	defer forget()
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

// handOver gives a message to the process that has the profile.
func handOver(ctx context.Context, folder string, r line.SendRequest) (line.SendResult, error) {
	conn, err := dialLocal(ctx, folder)
	if err != nil {
		return line.SendResult{}, fmt.Errorf("the profile is in use and does not take messages: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return line.SendResult{}, err
	}
	var result line.SendResult
	err = json.NewDecoder(bufio.NewReader(io.LimitReader(conn, localLine))).Decode(&result)
	return result, err
}
