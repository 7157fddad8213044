package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Limit is one number that the section [limits] may set.
type Limit struct {
	Name    string
	Unit    string
	Default uint64
	About   string
}

// Sources are where a configuration comes from.
type Sources struct {
	// File is read if it is not empty; then it must exist.
	File string
	// Env is the environment, as os.Environ returns it.
	Env []string
	// Flags are the options that were given as flags, by option name.
	Flags map[string]string
	// Limits are the limits that exist.
	Limits []Limit
}

// Loaded is a configuration that passed [Config.Check].
type Loaded struct {
	Config
	// From says for every option that is not the default where it was set: the
	// file's name, the variable, or the flag.
	From   map[string]string
	limits []Limit
}

// Load reads all sources and checks the result. The error names everything that
// is wrong, a line each.
func Load(s Sources) (*Loaded, error) {
	l := &Loaded{Config: Default(), From: map[string]string{}, limits: s.Limits}
	err := errors.Join(l.fromFile(s.File), l.fromEnv(s.Env), l.fromFlags(s.Flags))
	if err == nil {
		err = l.Check()
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// unknown is the error for a name that is none.
func (l *Loaded) unknown(where, name string) error {
	return fmt.Errorf("%s: there is no option %s%s", where, name, suggest(name, names(l.limits)))
}

func (l *Loaded) knowsLimit(name string) bool {
	return slices.ContainsFunc(l.limits, func(x Limit) bool { return x.Name == name })
}

func (l *Loaded) fromFile(file string) error {
	if file == "" {
		return nil
	}
	raw := map[string]map[string]any{}
	if _, err := toml.DecodeFile(file, &raw); err != nil {
		if parse, ok := errors.AsType[toml.ParseError](err); ok {
			return fmt.Errorf("%s, line %d: %s", file, parse.Position.Line, parse.Message)
		}
		return fmt.Errorf("%s: %w", file, err)
	}
	var errs []error
	for _, section := range sortedKeys(raw) {
		for _, key := range sortedKeys(raw[section]) {
			errs = append(errs, l.fromFileKey(file, section+"."+key, raw[section][key]))
		}
	}
	return errors.Join(errs...)
}

func (l *Loaded) fromFileKey(file, name string, value any) error {
	if limit, ok := strings.CutPrefix(name, limitsSection+"."); ok && l.knowsLimit(limit) {
		n, ok := value.(int64)
		if !ok {
			return fmt.Errorf("%s: %s: this wants a number", file, name)
		}
		l.Limits[limit] = n
		l.From[name] = file
		return nil
	}
	o, ok := find(name)
	if !ok {
		return l.unknown(file, name)
	}
	if err := o.setAny(&l.Config, value); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	l.From[name] = file
	return nil
}

// notOptions are variables with our prefix that mean something else.
var notOptions = []string{"SECURELINK_HOME", "SECURELINK_CONFIG", "SECURELINK_SOAK"}

func (l *Loaded) fromEnv(env []string) error {
	known := map[string]string{}
	for _, name := range names(l.limits) {
		known[envName(name)] = name
		if o, ok := find(name); ok && o.Secret {
			known[envName(name)+"_FILE"] = name
		}
	}
	var errs []error
	set := map[string]string{}
	env = slices.Sorted(slices.Values(env))
	for _, entry := range env {
		variable, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(variable, envPrefix) || slices.Contains(notOptions, variable) {
			continue
		}
		name, ok := known[variable]
		if !ok {
			errs = append(errs, fmt.Errorf("environment: there is no option %s%s", variable, suggest(variable, sortedKeys(known))))
			continue
		}
		if other := set[name]; other != "" {
			errs = append(errs, fmt.Errorf("environment: both %s and %s are set", other, variable))
			continue
		}
		set[name] = variable
		errs = append(errs, l.fromVariable(variable, name, value))
	}
	return errors.Join(errs...)
}

// maxSecretFile bounds the file of a secret, in bytes.
const maxSecretFile = 4096

func (l *Loaded) fromVariable(variable, name, value string) error {
	if variable != envName(name) { // …_FILE
		info, err := os.Stat(value)
		if err != nil {
			return fmt.Errorf("%s: %w", variable, err)
		}
		if info.Size() > maxSecretFile {
			return fmt.Errorf("%s: %s is larger than a secret", variable, value)
		}
		content, err := os.ReadFile(value)
		if err != nil {
			return fmt.Errorf("%s: %w", variable, err)
		}
		value = strings.TrimRight(string(content), "\r\n")
	}
	return l.setText(variable, name, value)
}

// setText sets an option or a limit from text.
func (l *Loaded) setText(from, name, value string) error {
	if limit, ok := strings.CutPrefix(name, limitsSection+"."); ok {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %q is no number", from, value)
		}
		l.Limits[limit] = n
	} else {
		o, _ := find(name)
		if err := o.setText(&l.Config, value); err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
	}
	l.From[name] = from
	return nil
}

func (l *Loaded) fromFlags(flags map[string]string) error {
	var errs []error
	for _, name := range sortedKeys(flags) {
		limit, isLimit := strings.CutPrefix(name, limitsSection+".")
		if _, ok := find(name); !ok && !(isLimit && l.knowsLimit(limit)) {
			errs = append(errs, l.unknown("flags", name))
			continue
		}
		errs = append(errs, l.setText("flag", name, flags[name]))
	}
	return errors.Join(errs...)
}

// Changes lists the options that differ between l and next: those that a
// running server takes over, and those that wait for a restart.
func (l *Loaded) Changes(next *Loaded) (now, later []string) {
	for _, o := range Options() {
		if o.text(&l.Config) == o.text(&next.Config) {
			continue
		}
		if o.Change {
			now = append(now, o.Name)
		} else {
			later = append(later, o.Name)
		}
	}
	for _, limit := range l.limits {
		if l.Limits[limit.Name] != next.Limits[limit.Name] {
			now = append(now, limitsSection+"."+limit.Name)
		}
	}
	return now, later
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
