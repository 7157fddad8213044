package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// The admin socket is a Unix socket in the data folder: one POST /act with an
// adminRequest as JSON, answered with an adminAnswer. Who may open the socket
// is the operator; there is no other login. Folder and socket belong to the
// server's user alone, and where the system tells who connects, it is checked
// again: a mistake with permissions must not be enough.
const adminSocket = "admin.sock"

const (
	maxAdminRequest = 64 << 10
	adminTime       = 30 * time.Second
)

// adminRequest is one act.
type adminRequest struct {
	Act   string            `json:"act"` // as "user list"
	Args  []string          `json:"args,omitempty"`
	Flags map[string]string `json:"flags,omitempty"`
}

// adminAnswer is a table, or what went wrong.
type adminAnswer struct {
	Columns []string   `json:"columns,omitempty"`
	Rows    [][]string `json:"rows,omitempty"`
	Done    string     `json:"done,omitempty"` // a sentence, for acts without a table
	Error   string     `json:"error,omitempty"`
	Usage   bool       `json:"usage,omitempty"` // the fault is in the arguments
}

// usageError is a fault in the arguments of an act.
type usageError struct{ error }

func badArgument(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// openAdmin makes the socket. One that a killed server left is removed: the
// lock on the folder says that no other server has it.
func openAdmin(folder string) (net.Listener, error) {
	path := filepath.Join(folder, adminSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("admin socket: %w", err), l.Close())
	}
	return l, nil
}

// peerKey is where a request's context has the connection it came on.
type peerKey struct{}

// serveAdmin answers on the socket until ctx ends.
func (s *server) serveAdmin(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: http.HandlerFunc(s.answerAdmin), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: adminTime, WriteTimeout: 10 * time.Minute,
		MaxHeaderBytes: 4 << 10, ErrorLog: log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, peerKey{}, c) },
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin socket: %w", err)
	}
	return nil
}

func (s *server) answerAdmin(w http.ResponseWriter, r *http.Request) {
	conn, _ := r.Context().Value(peerKey{}).(net.Conn)
	if err := checkPeer(conn); err != nil {
		s.log.Warn("refused on the admin socket", "err", err)
		http.Error(w, "denied", http.StatusForbidden)
		return
	}
	var request adminRequest
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdminRequest)).Decode(&request)
	var answer adminAnswer
	if err != nil {
		err = badArgument("unreadable request")
	} else {
		answer, err = s.act(r.Context(), request)
	}
	if err != nil {
		var usage usageError
		answer = adminAnswer{Error: err.Error(), Usage: errors.As(err, &usage)}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // Who asked may be gone.
}

// act does one act.
func (s *server) act(ctx context.Context, r adminRequest) (adminAnswer, error) {
	for _, a := range adminActs {
		if a.name != r.Act {
			continue
		}
		if len(r.Args) != len(strings.Fields(a.args)) {
			return adminAnswer{}, badArgument("%s wants: %s", a.name, a.args)
		}
		answer, err := a.do(ctx, s, adminInput{args: r.Args, flags: r.Flags})
		return answer, inWords(a, r.Args, err)
	}
	return adminAnswer{}, badArgument("this server knows no act %q", r.Act)
}

// inWords says of an act on what is not there that it is not there: this is the
// arguments' fault and not the server's.
func inWords(a adminAct, args []string, err error) error {
	if refusal, ok := errors.AsType[*wire.Error](err); ok && refusal.Code == wire.NotFound {
		return badArgument("%s: there is no such %s, or it has nothing that this changes: %s", a.name, strings.ToLower(a.args), strings.Join(args, " "))
	}
	return err
}

// askAdmin sends one act to the server that runs on the data folder.
func askAdmin(ctx context.Context, folder string, request adminRequest) (adminAnswer, error) {
	path := filepath.Join(folder, adminSocket)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	body, err := json.Marshal(request)
	if err != nil {
		return adminAnswer{}, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin/act", bytes.NewReader(body))
	if err != nil {
		return adminAnswer{}, err
	}
	resp, err := client.Do(post)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return adminAnswer{}, fail(exitDenied, fmt.Errorf("the admin socket %s is another user's", path), "Run it as the server's user, as with: sudo -u securelink securelink admin …")
	case err != nil:
		return adminAnswer{}, fail(exitNetwork, fmt.Errorf("no server answers on %s", path), "Is it running, and is --data its folder?")
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusForbidden {
		return adminAnswer{}, fail(exitDenied, errors.New("the server does not take this user as its operator"), "")
	}
	var answer adminAnswer
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return adminAnswer{}, fail(exitNetwork, fmt.Errorf("the server's answer is unreadable: %w", err), "")
	}
	if answer.Error != "" {
		code := exitInternal
		if answer.Usage {
			code = exitUsage
		}
		return answer, fail(code, errors.New(answer.Error), "")
	}
	return answer, nil
}
