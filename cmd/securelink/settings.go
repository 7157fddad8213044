package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/securelink-chat/securelink/config"
	"github.com/securelink-chat/securelink/gateway"
	"github.com/securelink-chat/securelink/internal/profile"
	"github.com/securelink-chat/securelink/wire"
)

// settings are the flags by which a command gets its configuration.
type settings struct {
	cmd   *cobra.Command
	file  string
	set   []string
	limit []string
	short map[string]string // flag name to option name
}

// addSettings gives cmd the flags --config and --set, and those of short, which
// maps a flag's name to the option that it sets.
func addSettings(cmd *cobra.Command, short map[string]string) *settings {
	s := &settings{cmd: cmd, short: short}
	flags := cmd.Flags()
	flags.StringVar(&s.file, "config", "", "configuration file (or SECURELINK_CONFIG)")
	flags.StringArrayVar(&s.set, "set", nil, "set any option, as web.listen=localhost:8080; see securelink config default")
	flags.StringArrayVar(&s.limit, "limit", nil, "change a limit, as message-rate=20; see securelink limits")
	about := map[string]config.Option{}
	for _, o := range config.Options() {
		about[o.Name] = o
	}
	for flag, option := range short {
		if strings.HasPrefix(about[option].About, "speak plain") {
			flags.Bool(flag, false, about[option].About)
		} else {
			flags.String(flag, "", about[option].About)
		}
	}
	return s
}

// load reads all sources. It can be called again, for a reload.
func (s *settings) load() (*config.Loaded, error) {
	given := map[string]string{}
	for flag, option := range s.short {
		if f := s.cmd.Flags().Lookup(flag); f.Changed {
			given[option] = f.Value.String()
		}
	}
	for _, pair := range s.set {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fail(exitUsage, fmt.Errorf("--set %s: this wants option=value", pair), "")
		}
		given[name] = value
	}
	for _, pair := range s.limit {
		name, value, _ := strings.Cut(pair, "=")
		given["limits."+name] = value
	}
	file := s.file
	if file == "" {
		file = os.Getenv("SECURELINK_CONFIG")
	}
	cfg, err := config.Load(config.Sources{File: file, Env: os.Environ(), Flags: given, Limits: configLimits()})
	if err != nil {
		return nil, fail(exitUsage, err, "All options: securelink config default")
	}
	return cfg, nil
}

// loadFolder is load, with the data folder that the configuration means.
func (s *settings) loadFolder() (*config.Loaded, string, error) {
	cfg, err := s.load()
	if err != nil {
		return nil, "", err
	}
	folder, err := dataFolder(&cfg.Config)
	return cfg, folder, err
}

// printJSON prints what scripts read.
func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// configLimits are the limits that the configuration may set.
func configLimits() []config.Limit {
	var out []config.Limit
	for _, l := range wire.AllLimits() {
		out = append(out, config.Limit{Name: l.Name, Unit: l.Unit, Default: l.Default, About: l.About})
	}
	return out
}

// limitsOf is the limits table with what the configuration changes.
func limitsOf(cfg *config.Config) (wire.Limits, error) {
	l := wire.DefaultLimits()
	var errs []error
	for name, n := range cfg.Limits {
		which, err := wire.ParseLimit(name)
		if err == nil {
			err = l.Set(which, uint64(n))
		}
		errs = append(errs, err)
	}
	return l, errors.Join(errs...)
}

// gatewayLimits are those that the gateway enforces.
func gatewayLimits(l *wire.Limits) gateway.Limits {
	return gateway.Limits{
		Sockets: l.Get(wire.ConnectionsPerAddress), PrefixSockets: l.Get(wire.ConnectionsPerPrefix),
		NewSockets: l.Get(wire.NewConnections), Total: l.Get(wire.ConnectionsTotal),
	}
}

// dataFolder is where the server keeps everything: as configured, what systemd
// gives the service, or a folder of this user's.
func dataFolder(cfg *config.Config) (string, error) {
	if cfg.Server.Data != "" {
		return cfg.Server.Data, nil
	}
	if state := os.Getenv("STATE_DIRECTORY"); state != "" {
		first, _, _ := strings.Cut(state, ":")
		return first, nil
	}
	home, err := profile.Home()
	if err != nil {
		return "", fail(exitUsage, fmt.Errorf("no folder for the data: %w", err), "Say where: --data FOLDER")
	}
	return filepath.Join(home, "server"), nil
}

// secretFile is the name of the file with the gateway secret in the data folder.
const secretFile = "gateway-secret"

// gatewaySecret is what gateway and core prove themselves with. Where none is
// configured, it is in a file of the data folder; the core makes one.
func gatewaySecret(cfg *config.Config, folder string, create bool) ([]byte, error) {
	if cfg.Core.GatewaySecret != "" {
		return []byte(cfg.Core.GatewaySecret), nil
	}
	name := filepath.Join(folder, secretFile)
	content, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) && create {
		token := wireToken()
		content = []byte(token + "\n")
		err = os.WriteFile(name, content, 0o600)
	}
	if err != nil {
		return nil, fail(exitUsage, fmt.Errorf("no gateway secret: %w", err),
			"Copy "+secretFile+" from the core's data folder and name it by SECURELINK_CORE_GATEWAY_SECRET_FILE")
	}
	secret := strings.TrimSpace(string(content))
	if len(secret) < config.MinSecret {
		return nil, fail(exitUsage, fmt.Errorf("%s holds %s characters, and needs %d", name, strconv.Itoa(len(secret)), config.MinSecret), "")
	}
	return []byte(secret), nil
}
