package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/config"
)

const deployFolder = "../../deploy"

func deployed(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(deployFolder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Every command line in the units is one that this binary takes.
func TestUnitsCallCommandsThatExist(t *testing.T) {
	call := regexp.MustCompile(`(?m)^Exec\w+=/usr/local/bin/securelink (.+)$`)
	seen := 0
	for _, unit := range []string{"securelink.service", "securelink-backup.service"} {
		for _, line := range call.FindAllStringSubmatch(deployed(t, unit), -1) {
			seen++
			cmd, rest, err := newRoot().Find(strings.Fields(line[1]))
			if err != nil || cmd.Name() == "securelink" {
				t.Errorf("%s: %q is no command: %v", unit, line[1], err)
				continue
			}
			if err := cmd.ParseFlags(rest); err != nil {
				t.Errorf("%s: %q: %v", unit, line[1], err)
			}
			if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
				t.Errorf("%s: %q: %v", unit, line[1], err)
			}
		}
	}
	if seen != 3 {
		t.Errorf("%d calls found, want 3", seen)
	}
}

// Every option that image and compose file set exists, and the server would
// start with them.
func TestContainerSetsOptionsThatExist(t *testing.T) {
	variable := regexp.MustCompile(`(SECURELINK_[A-Z_]+)[=:] *(\S+)`)
	for _, name := range []string{"Containerfile", "compose.yaml"} {
		var env []string
		for _, m := range variable.FindAllStringSubmatch(deployed(t, name), -1) {
			env = append(env, m[1]+"="+m[2])
		}
		if len(env) == 0 {
			t.Errorf("%s sets nothing", name)
		}
		if _, err := config.Load(config.Sources{Env: env, Limits: configLimits()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every metric on the dashboard is one that a server shows.
func TestDashboardShowsMetricsThatExist(t *testing.T) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	private := probe.Addr().String()
	probe.Close()
	s := startCommand(t, "serve", "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--web", "127.0.0.1:0", "--metrics", private)
	s.line("Ready.")
	s.drain()
	resp, err := http.Get("http://" + private + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	shown, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(deployed(t, "grafana.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`(securelink|go)_[a-z_]+`)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			metric := strings.TrimSuffix(name.FindString(target.Expr), "_bucket")
			if metric == "" || !bytes.Contains(shown, []byte("# TYPE "+metric+" ")) {
				t.Errorf("%s: no server shows %q", p.Title, target.Expr)
			}
		}
	}
	s.wait()
}
