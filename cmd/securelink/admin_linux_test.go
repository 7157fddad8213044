package main

import (
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/securelink-chat/securelink/config"
	"github.com/securelink-chat/securelink/wire"
)

// TestAdminSocketRefusesAnotherUser runs this test binary as nobody and has it
// ask: refused by the socket's permissions, and, when those are lost, by the
// server.
func TestAdminSocketRefusesAnotherUser(t *testing.T) {
	if path := os.Getenv("ADMIN_TEST_SOCKET"); path != "" {
		_, err := askAdmin(t.Context(), path, adminRequest{Act: "user list"})
		failed, ok := err.(*failure)
		if !ok || failed.code != exitDenied {
			t.Fatalf("got %v, want exit code %d", err, exitDenied)
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root can ask as another user")
	}
	data := serverData(t)
	running, err := openCore(t.Context(), coreConfig{Data: data, Name: "x", Limits: wire.DefaultLimits()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	s := &server{core: running, log: newLogger(config.Default().Log, io.Discard)}
	l, err := openAdmin(data)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.serveAdmin(t.Context(), l) }()
	if _, err := askAdmin(t.Context(), data, adminRequest{Act: "user list"}); err != nil {
		t.Fatalf("the operator is refused: %v", err)
	}
	asNobody := func() error {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAdminSocketRefusesAnotherUser$")
		cmd.Env = append(os.Environ(), "ADMIN_TEST_SOCKET="+data)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("%s", out)
		}
		return err
	}
	binary := filepath.Dir(os.Args[0])
	for _, folder := range []string{filepath.Dir(filepath.Dir(data)), filepath.Dir(data), binary, filepath.Dir(binary)} {
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(os.Args[0], 0o755); err != nil {
		t.Fatal(err)
	}
	if err := asNobody(); err != nil {
		t.Errorf("another user, as it is: %v", err)
	}
	for path, mode := range map[string]os.FileMode{data: 0o777, filepath.Join(data, adminSocket): 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := asNobody(); err != nil {
		t.Errorf("another user, with the permissions lost: %v", err)
	}
	l.Close()
	if err := <-ended; err != nil && !strings.Contains(err.Error(), "closed") {
		t.Error(err)
	}
}
