package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

func coreIn(folder string) coreConfig {
	return coreConfig{Data: folder, Name: "Test", Registration: wire.RegistrationOpen, Limits: wire.DefaultLimits()}
}

func openIn(t *testing.T, folder string) *runningCore {
	t.Helper()
	r, err := openCore(t.Context(), coreIn(folder), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDataFolderIsPrivateAndOneServers(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	first := openIn(t, folder)
	if err := first.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if os.PathSeparator == '/' {
		for _, name := range []string{"", rootFile, onlineFile, coreFile} {
			info, err := os.Stat(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%q can be read by others: %s", name, info.Mode())
			}
		}
	}
	_, err := openCore(t.Context(), coreIn(folder), slog.New(slog.DiscardHandler))
	var failed *failure
	if !errors.As(err, &failed) || failed.code != exitUsage || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second server on the folder: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := openIn(t, folder)
	defer second.Close()
	if second.Pin != first.Pin {
		t.Error("the server is another after a restart")
	}
}

func TestOnlineKeyIsRenewedBeforeItEnds(t *testing.T) {
	folder := t.TempDir()
	now := time.Now()
	first, err := serverKeys(folder, now)
	if err != nil {
		t.Fatal(err)
	}
	same, err := serverKeys(folder, now.Add(59*24*time.Hour))
	if err != nil || same.Online.Cert() != first.Online.Cert() {
		t.Errorf("a key that lasts was replaced, %v", err)
	}
	next, err := serverKeys(folder, now.Add(61*24*time.Hour))
	if err != nil || next.Online.Cert().Epoch <= first.Online.Cert().Epoch || next.Root != first.Root {
		t.Errorf("epoch %d after %d, %v", next.Online.Cert().Epoch, first.Online.Cert().Epoch, err)
	}
	if string(next.Delegate) != string(first.Delegate) || next.Secret != first.Secret {
		t.Error("what follows from the root changed")
	}
}

func TestDamagedOrOpenKeysAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"others can read it": func(path string) error { return os.Chmod(path, 0o644) },
		"cut short":          func(path string) error { return os.Truncate(path, 20) },
		"not hexadecimal":    func(path string) error { return os.WriteFile(path, []byte("secret stuff"), 0o600) },
		"empty":              func(path string) error { return os.Truncate(path, 0) },
	} {
		if strings.HasPrefix(name, "others") && os.PathSeparator != '/' {
			continue
		}
		folder := t.TempDir()
		if _, err := serverKeys(folder, time.Now()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, rootFile)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		_, err = serverKeys(folder, time.Now())
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if strings.Contains(err.Error(), string(before[:16])) || strings.Contains(err.Error(), "secret stuff") {
			t.Errorf("%s: the error tells what is in the file: %v", name, err)
		}
	}
	// Positive control: the file is what the parser wants.
	if _, err := link.ParseRoot(make([]byte, 32)); err != nil {
		t.Error(err)
	}
}
