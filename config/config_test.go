package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var limits = []Limit{{"message-rate", "per-s", 10, "messages of a device"}, {"idle-time", "ms", 120000, "silence"}}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "securelink.toml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestFlagsBeforeEnvironmentBeforeFileBeforeDefaults(t *testing.T) {
	f := file(t, `
[server]
name = "from the file"
[web]
listen = "localhost:1"
proxies = ["10.0.0.0/8"]
[core]
listen = "localhost:1"
[limits]
message-rate = 20
idle-time = 5
`)
	l, err := Load(Sources{File: f, Limits: limits,
		Env:   []string{"SECURELINK_WEB_LISTEN=localhost:2", "SECURELINK_CORE_LISTEN=localhost:2", "SECURELINK_LIMITS_IDLE_TIME=6", "HOME=/", "SECURELINK_HOME=/x"},
		Flags: map[string]string{"web.listen": "localhost:3"}})
	if err != nil {
		t.Fatal(err)
	}
	if l.Server.Name != "from the file" || l.Core.Listen != "localhost:2" || l.Web.Listen != "localhost:3" || l.Log.Level != "info" ||
		l.Web.Proxies[0] != "10.0.0.0/8" || l.Limits["message-rate"] != 20 || l.Limits["idle-time"] != 6 {
		t.Errorf("got %+v", l.Settings())
	}
	for name, want := range map[string]string{"server.name": f, "core.listen": "SECURELINK_CORE_LISTEN", "web.listen": "flag", "log.level": "default",
		"limits.message-rate": f, "limits.idle-time": "SECURELINK_LIMITS_IDLE_TIME"} {
		found := false
		for _, s := range l.Settings() {
			if s.Name == name {
				found = s.From == want
			}
		}
		if !found {
			t.Errorf("%s does not come from %s: %v", name, want, l.Settings())
		}
	}
}

// A wrong configuration is refused with a sentence that helps.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, file string
		env        []string
		flags      map[string]string
		want       string
	}{
		{"mistyped key", "[web]\nlistn = \"x:1\"", nil, nil, "there is no option web.listn; did you mean web.listen?"},
		{"mistyped section", "[wed]\nlisten = \"x:1\"", nil, nil, "there is no option wed.listen; did you mean web.listen?"},
		{"mistyped limit", "[limits]\nmesage-rate = 1", nil, nil, "there is no option limits.mesage-rate; did you mean limits.message-rate?"},
		{"nothing like it", "[xyz]\nqqqqqqqqqq = 1", nil, nil, "there is no option xyz.qqqqqqqqqq"},
		{"mistyped variable", "", []string{"SECURELINK_WEB_LISTN=x"}, nil, "there is no option SECURELINK_WEB_LISTN; did you mean SECURELINK_WEB_LISTEN?"},
		{"a file for what is no secret", "", []string{"SECURELINK_WEB_LISTEN_FILE=x"}, nil, "there is no option SECURELINK_WEB_LISTEN_FILE"},
		{"twice", "", []string{"SECURELINK_CORE_GATEWAY_SECRET=x", "SECURELINK_CORE_GATEWAY_SECRET_FILE=x"}, nil, "both SECURELINK_CORE_GATEWAY_SECRET and SECURELINK_CORE_GATEWAY_SECRET_FILE"},
		{"not TOML", "[web\n", nil, nil, "line 2"},
		{"wrong kind", "[web]\nlisten = 8080", nil, nil, `web.listen: this wants text in quotes`},
		{"wrong kind of list", "[web]\nproxies = \"10.0.0.1\"", nil, nil, `web.proxies: this wants a list`},
		{"wrong number", "", []string{"SECURELINK_BACKUP_MAX_AGE_HOURS=soon"}, nil, `"soon" is no number`},
		{"wrong address", "[web]\nlisten = \"8080\"", nil, nil, `web.listen: "8080" is no address and port, like`},
		{"wrong choice", "[server]\nregistration = \"all\"", nil, nil, `server.registration: "all" is none of , open, invite, closed`},
		{"wrong proxy", "[web]\nproxies = [\"nginx\"]", nil, nil, `"nginx" is no address or range`},
		{"half a certificate", "[web]\ncert = \"x\"", nil, nil, "web.cert and web.key go together"},
		{"two certificates", "[web]\ncert = \"x\"\nkey = \"x\"\ndomain = \"x.example\"", nil, nil, "not both"},
		{"public metrics", "[metrics]\nlisten = \":9090\"", nil, nil, "metrics.public"},
		{"short secret", "[core]\ngateway-secret = \"short\"", nil, nil, "it has 5 characters, and needs 32"},
		{"open to the world by mistake", "", nil, map[string]string{"core.listen": ":7443"}, "server.name: :7443 can be reached from beyond this machine"},
		{"a page for the world", "[web]\nlisten = \"192.0.2.1:443\"", nil, nil, "say server.public = true"},
		{"an authority without TLS", "[web]\nacme = \"http://ca.internal/directory\"", nil, nil, "web.acme: \"http://ca.internal/directory\" is no address"},
		{"limit of nothing", "[limits]\nidle-time = 0", nil, nil, "limits.idle-time: 0 is less than 1"},
		{"unknown flag", "", nil, map[string]string{"web.lisen": "x:1"}, "did you mean web.listen?"},
		{"two mistakes", "[web]\nlisten = \"8080\"\n[log]\nlevel = \"loud\"", nil, nil, "log.level"},
		{"no file", "-", nil, nil, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Sources{Env: c.env, Flags: c.flags, Limits: limits}
			if c.file == "-" {
				s.File = filepath.Join(t.TempDir(), "none")
			} else if c.file != "" {
				s.File = file(t, c.file)
			}
			_, err := Load(s)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant …%s…", err, c.want)
			}
		})
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	const secret = "a secret of more than thirty-two characters"
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Load(Sources{Env: []string{"SECURELINK_CORE_GATEWAY_SECRET_FILE=" + name}})
	if err != nil {
		t.Fatal(err)
	}
	if l.Core.GatewaySecret != secret {
		t.Errorf("read %q", l.Core.GatewaySecret)
	}
	shown := fmt.Sprintf("%v %+v %#v %s %v", l.Config, l.Config, l.Config, l.Config, l.Settings())
	if strings.Contains(shown, secret) || !strings.Contains(shown, masked) {
		t.Errorf("shown: %s", shown)
	}
}

// The annotated file is accepted as it is and changes nothing; with every line
// of it in force it says the same.
func TestAnnotatedFile(t *testing.T) {
	var b bytes.Buffer
	if err := Annotated(&b, limits); err != nil {
		t.Fatal(err)
	}
	l, err := Load(Sources{File: file(t, b.String()), Limits: limits})
	if err != nil || len(l.From) != 0 {
		t.Fatalf("as it is: %v, %v", l, err)
	}
	var active []string
	for line := range strings.SplitSeq(b.String(), "\n") {
		if rest, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(rest, " = ") && !strings.Contains(rest, ":") || strings.HasPrefix(line, "# listen =") {
			line = rest
		}
		active = append(active, line)
	}
	l, err = Load(Sources{File: file(t, strings.Join(active, "\n")), Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.From) != len(Options())+len(limits) {
		t.Errorf("%d of %d options are in the file", len(l.From), len(Options())+len(limits))
	}
	standard := &Loaded{Config: Default(), limits: limits}
	standard.Limits = map[string]int64{"message-rate": 10, "idle-time": 120000}
	if now, later := standard.Changes(l); len(now)+len(later) != 0 {
		t.Errorf("the file's defaults are others: %v %v", now, later)
	}
	for _, o := range Options() {
		if o.About == "" || strings.HasSuffix(o.Name, ".") {
			t.Errorf("%s has no name or nothing to say", o.Name)
		}
	}
}

func TestWhatAReloadChanges(t *testing.T) {
	a, err := Load(Sources{Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Load(Sources{Limits: limits, Flags: map[string]string{"log.level": "debug", "web.listen": "localhost:1", "limits.idle-time": "7"}})
	if err != nil {
		t.Fatal(err)
	}
	now, later := a.Changes(b)
	if fmt.Sprint(now, later) != "[log.level limits.idle-time] [web.listen]" {
		t.Errorf("got %v %v", now, later)
	}
}

func TestListensBeyondThisMachine(t *testing.T) {
	for listen, want := range map[string]bool{"localhost:1": true, "127.0.0.1:1": true, "[::1]:1": true, ":1": false, "0.0.0.0:1": false, "192.168.1.2:1": false, "chat.example:1": false} {
		if Local(listen) != want {
			t.Errorf("%s: %v", listen, !want)
		}
	}
}

// A server that others can reach has a name, or somebody said yes.
func TestServersForOthers(t *testing.T) {
	for name, flags := range map[string]map[string]string{
		"a name":          {"core.listen": ":7443", "server.name": "Home"},
		"a domain":        {"core.listen": ":7443", "web.domain": "chat.example.org"},
		"an explicit yes": {"core.listen": ":7443", "web.listen": ":8443", "server.public": "true"},
		"this machine":    {"core.listen": "[::1]:7443", "web.listen": "127.0.0.1:8443"},
		"a gateway":       {"web.listen": ":8443", "web.core": "10.0.0.1:7321"},
	} {
		if _, err := Load(Sources{Flags: flags}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
