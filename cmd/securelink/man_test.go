package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestManualPages(t *testing.T) {
	folder := t.TempDir()
	root := newRoot()
	root.SetOut(io.Discard)
	root.SetArgs([]string{"man", folder})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"securelink.1":                   ".BR securelink\\-serve (1)",
		"securelink-serve.1":             `\fB\-\-domain\fR`,
		"securelink-admin-user-ban.1":    "Shut an account out",
		"securelink-backup-create.1":     "tar archive",
		"securelink-admin-token-list.1":  ".SH SEE ALSO",
		"securelink-config-default.1":    ".SH SYNOPSIS",
		"securelink-gateway.1":           "core.internal",
		"securelink-admin-user-unban.1":  "Let an account in again",
		"securelink-admin-status-show.1": "what the server is doing",
	} {
		page, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !strings.Contains(string(page), want) {
			t.Errorf("%s: %v, without %q:\n%.400s", name, err, want, page)
		}
	}
	man, err := exec.LookPath("man")
	if err != nil {
		t.Log("no man here: the pages are not rendered")
		return
	}
	pages, _ := filepath.Glob(filepath.Join(folder, "*.1"))
	for _, page := range pages {
		if out, err := exec.Command(man, "--warnings", "-E", "UTF-8", "-l", "-Tutf8", page).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%.300s", page, err, out)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		var out strings.Builder
		root := newRoot()
		root.SetOut(&out)
		root.SetArgs([]string{"completion", shell})
		if err := root.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), "securelink") {
			t.Errorf("%s: %v, %d bytes", shell, err, out.Len())
		}
	}
}
