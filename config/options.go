package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Option describes one option.
type Option struct {
	Name   string // section.key
	About  string
	Secret bool // never shown
	Change bool // a reload can change it
	index  []int
}

const envPrefix = "SECURELINK_"

func envName(name string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
}

// section is one section of the file.
type section struct {
	name, about string
	options     []Option
}

// sections lists what Config's tags say, in the order of the struct.
var sections = readTags()

func readTags() []section {
	var out []section
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		f := t.Field(i)
		s := section{name: f.Tag.Get("section"), about: f.Tag.Get("about")}
		if s.name == "" {
			continue
		}
		for j := range f.Type.NumField() {
			g := f.Type.Field(j)
			s.options = append(s.options, Option{
				Name: s.name + "." + g.Tag.Get("key"), About: g.Tag.Get("about"),
				Secret: g.Tag.Get("secret") == "yes", Change: g.Tag.Get("change") == "yes", index: []int{i, j},
			})
		}
		out = append(out, s)
	}
	return out
}

// limitsSection is the one section whose keys are not in the struct.
const limitsSection = "limits"

// Options lists all options but the limits.
func Options() []Option {
	var out []Option
	for _, s := range sections {
		out = append(out, s.options...)
	}
	return out
}

func find(name string) (Option, bool) {
	for _, o := range Options() {
		if o.Name == name {
			return o, true
		}
	}
	return Option{}, false
}

// value is the option's field in c.
func (o Option) value(c *Config) reflect.Value {
	return reflect.ValueOf(c).Elem().FieldByIndex(o.index)
}

// setText sets an option from text, as the environment and flags have it: lists
// are separated by commas.
func (o Option) setText(c *Config, text string) error {
	switch v := o.value(c); v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%s: %q is neither true nor false", o.Name, text)
		}
		v.SetBool(b)
	case reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %q is no number", o.Name, text)
		}
		v.SetInt(n)
	case reflect.Slice:
		list := []string{}
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		v.Set(reflect.ValueOf(list))
	}
	return nil
}

// setAny sets an option from a value of the file.
func (o Option) setAny(c *Config, value any) error {
	v := o.value(c)
	switch x := value.(type) {
	case string:
		if v.Kind() == reflect.String {
			v.SetString(x)
			return nil
		}
	case bool:
		if v.Kind() == reflect.Bool {
			v.SetBool(x)
			return nil
		}
	case int64:
		if v.Kind() == reflect.Int64 {
			v.SetInt(x)
			return nil
		}
	case []any:
		list := make([]string, 0, len(x))
		for _, e := range x {
			if s, ok := e.(string); ok {
				list = append(list, s)
			}
		}
		if v.Kind() == reflect.Slice && len(list) == len(x) {
			v.Set(reflect.ValueOf(list))
			return nil
		}
	}
	return fmt.Errorf("%s: this wants %s", o.Name, kindName(v.Kind()))
}

func kindName(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.Int64:
		return "a number"
	case reflect.Slice:
		return `a list, like ["a", "b"]`
	}
	return `text in quotes, like "a"`
}

// text is the option's value in c, as the file writes it.
func (o Option) text(c *Config) string {
	switch v := o.value(c); v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = strconv.Quote(v.Index(i).String())
		}
		return "[" + strings.Join(parts, ", ") + "]"
	default:
		return strconv.Quote(v.String())
	}
}

// suggest returns the closest of names, as a question, or nothing.
func suggest(wrong string, names []string) string {
	best, distance := "", max(2, len(wrong)/3)+1
	for _, name := range names {
		if d := edits(wrong, name); d < distance {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// names lists the names of all options and of the limits, in order.
func names(limits []Limit) []string {
	var out []string
	for _, o := range Options() {
		out = append(out, o.Name)
	}
	for _, l := range limits {
		out = append(out, limitsSection+"."+l.Name)
	}
	slices.Sort(out)
	return out
}
