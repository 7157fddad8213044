package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// startServer runs serve on a fresh data folder and returns it.
func startServer(t *testing.T) (data string, s *started) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	s = startCommand(t, "serve", "--data", data, "--listen", "127.0.0.1:0", "--web", "127.0.0.1:0")
	s.line("Ready.")
	s.drain()
	return data, s
}

// admin runs an admin command and returns what it printed and its exit code.
func admin(t *testing.T, data string, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(append(append([]string{"admin"}, args...), "--data", data))
	err := root.ExecuteContext(t.Context())
	if err == nil {
		return out.String(), exitOK
	}
	if failed, ok := err.(*failure); ok {
		return failed.Error(), failed.code
	}
	return err.Error(), exitUsage
}

func TestAdminActs(t *testing.T) {
	data, s := startServer(t)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"user list", exitOK, "ID  LOGIN"},
		{"user ban nobody", exitUsage, "no account has the login name"},
		{"user ban " + strings.Repeat("00", 32), exitUsage, "there is no such user"},
		{"user remove " + strings.Repeat("00", 32), exitUsage, "there is no such user"},
		{"user retire " + strings.Repeat("00", 32), exitUsage, "there is no such user"},
		{"device revoke " + strings.Repeat("00", 16), exitUsage, "there is no such device"},
		{"link list " + strings.Repeat("00", 16), exitOK, "APPROVAL"},
		{"link list Lounge", exitUsage, "32 hex digits"},
		{"link revoke " + strings.Repeat("00", 16), exitUsage, "there is no such link"},
		{"device revoke xyz", exitUsage, "32 hex digits"},
		{"room list", exitOK, "Lounge"},
		{"room create Garden", exitOK, "Made room "},
		{"room list", exitOK, "Garden"},
		{"token create --uses 5 --expires 24h --note family", exitOK, ""},
		{"token create --uses many", exitUsage, "uses is a number"},
		{"token create --expires soon", exitUsage, "no time like"},
		{"token list", exitOK, "family"},
		{"ban add 192.0.2.77/24 --reason flood", exitOK, "Banned 192.0.2.0/24"},
		{"ban list", exitOK, "flood"},
		{"ban drop 192.0.2.0/24", exitOK, "Lifted"},
		{"ban add everybody", exitUsage, "no address or range"},
		{"log level debug", exitOK, "debug"},
		{"log level loud", exitUsage, "a level is"},
		{"status show", exitOK, "yes"},
		{"audit list", exitOK, "room created"},
		{"audit list", exitOK, "log level"},
		{"audit list --after x", exitUsage, "after is a number"},
	} {
		got, code := admin(t, data, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("admin %s: exit code %d, want %d; %q", c.args, code, c.code, got)
		}
	}
	got, _ := admin(t, data, "room", "list", "--json")
	var answer struct {
		Schema string
		Rows   []map[string]string
	}
	if err := json.Unmarshal([]byte(got), &answer); err != nil || answer.Schema != "securelink.admin.1" || len(answer.Rows) != 2 {
		t.Errorf("%v: %s", err, got)
	}
	s.wait()
	if got, code := admin(t, data, "user", "list"); code != exitNetwork {
		t.Errorf("without a server: exit code %d, %q", code, got)
	}
}

// A banned address gets no connection, and the socket survives a server that
// was killed.
func TestAdminBansTakeEffect(t *testing.T) {
	data, s := startServer(t)
	if _, code := admin(t, data, "ban", "add", "127.0.0.0/8"); code != exitOK {
		t.Fatal("the ban was refused")
	}
	status, _ := admin(t, data, "status", "show", "--json")
	var answer struct{ Rows []map[string]string }
	if err := json.Unmarshal([]byte(status), &answer); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", answer.Rows[0]["terminals"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, err := io.ReadAll(c); err != nil || len(b) != 0 {
		t.Errorf("a banned address was answered: %q, %v", b, err)
	}
	s.wait()
	left, err := net.Listen("unix", filepath.Join(data, adminSocket))
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()
	s = startCommand(t, "serve", "--data", data, "--listen", "127.0.0.1:0", "--web", "127.0.0.1:0")
	s.line("Ready.")
	s.drain()
	if got, code := admin(t, data, "ban", "list"); code != exitOK || !strings.Contains(got, "127.0.0.0/8") {
		t.Errorf("after the restart: %d, %q", code, got)
	}
	s.wait()
}
