package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// masked stands for a secret.
const masked = "[redacted]"

// Annotated writes the file with every option at its default, commented out,
// and what each is for. As it is, it changes nothing.
func Annotated(w io.Writer, limits []Limit) error {
	b := bufio.NewWriter(w)
	standard := Default()
	fmt.Fprint(b, `# SecureLink configuration. Every line that is commented out shows the default.
# Flags come before SECURELINK_* variables, those before this file. An option
# web.listen is the variable SECURELINK_WEB_LISTEN; lists are separated by commas
# there; a secret can also be in a file that SECURELINK_..._FILE names.
# Those marked (reload) change in a running server by SIGHUP.
# Check it with: securelink config check --config FILE
`)
	for _, s := range sections {
		fmt.Fprintf(b, "\n[%s]\n# %s\n", s.name, s.about)
		for _, o := range s.options {
			_, key, _ := strings.Cut(o.Name, ".")
			mark := ""
			if o.Change {
				mark = " (reload)"
			}
			fmt.Fprintf(b, "\n# %s%s\n# %s = %s\n", o.About, mark, key, o.text(&standard))
		}
	}
	if len(limits) > 0 {
		fmt.Fprintf(b, "\n[%s]\n# What one client may use, in numbers. All of it (reload).\n", limitsSection)
		for _, l := range limits {
			fmt.Fprintf(b, "\n# %s (%s)\n# %s = %d\n", l.About, l.Unit, l.Name, l.Default)
		}
	}
	return b.Flush()
}

// Setting is one option with its value, for people and scripts.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`  // as the file writes it; a secret only says that it is set
	From  string `json:"source"` // default, a file, a variable, or flag
	// Reload says that a running server takes a change over by SIGHUP.
	Reload bool `json:"reload"`
}

// Settings lists what is in force: every option, and the limits that were set.
func (l *Loaded) Settings() []Setting {
	var out []Setting
	for _, o := range Options() {
		s := Setting{Name: o.Name, Value: o.text(&l.Config), From: l.From[o.Name], Reload: o.Change}
		if o.Secret && s.Value != `""` {
			s.Value = masked
		}
		out = append(out, s)
	}
	for _, limit := range l.limits {
		if n, ok := l.Limits[limit.Name]; ok {
			name := limitsSection + "." + limit.Name
			out = append(out, Setting{Name: name, Value: fmt.Sprint(n), From: l.From[name], Reload: true})
		}
	}
	for i := range out {
		if out[i].From == "" {
			out[i].From = "default"
		}
	}
	return out
}

// String shows no secret, so that a configuration that ends in a log by mistake
// tells none.
func (c Config) String() string { return "config.Config" + masked }

// GoString is String.
func (c Config) GoString() string { return c.String() }
