// Package metrics counts what a server does and shows it in the Prometheus text
// exposition format, version 0.0.4. It has what SecureLink needs of a metrics
// library (counters, gauges, histograms, one fixed label each) and no
// dependency; names and labels come from the code alone, never from a client,
// so the number of series is fixed when the program starts.
package metrics

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Registry is a set of metrics. The zero value is not ready; see [New].
type Registry struct {
	mu       sync.Mutex
	families map[string]*family
	before   []func() // run before each scrape
}

// family is all series of one name.
type family struct {
	name, help, kind string
	series           []series
}

// series is one line, or for a histogram several.
type series struct {
	labels string // `key="value"`, or empty
	write  func(w *bufio.Writer, name, labels string)
}

// New makes an empty registry.
func New() *Registry { return &Registry{families: map[string]*family{}} }

var nameShape = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// add registers one series. It panics on a bad or repeated name: that is a
// mistake in the program, found by its first test.
func (r *Registry) add(name, help, kind string, label []string, write func(*bufio.Writer, string, string)) {
	if !nameShape.MatchString(name) || len(label) != 0 && len(label) != 2 {
		panic(fmt.Sprintf("metrics: bad name %q or label %q", name, label))
	}
	labels := ""
	if len(label) == 2 {
		labels = label[0] + "=" + strconv.Quote(label[1])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.families[name]
	if f == nil {
		f = &family{name: name, help: help, kind: kind}
		r.families[name] = f
	}
	for _, s := range f.series {
		if s.labels == labels || f.kind != kind {
			panic(fmt.Sprintf("metrics: %s{%s} is registered twice", name, labels))
		}
	}
	f.series = append(f.series, series{labels: labels, write: write})
}

// Counter is a number that only grows. Its methods may be used by many
// goroutines, and on nil, which counts nothing.
type Counter struct{ n atomic.Uint64 }

// Add adds n.
func (c *Counter) Add(n int) {
	if c != nil && n > 0 {
		c.n.Add(uint64(n))
	}
}

// Value is the count so far.
func (c *Counter) Value() uint64 {
	if c == nil {
		return 0
	}
	return c.n.Load()
}

// Counter registers a counter. label is empty or a name and a value. On a nil
// registry it returns nil, which works.
func (r *Registry) Counter(name, help string, label ...string) *Counter {
	if r == nil {
		return nil
	}
	c := &Counter{}
	r.add(name, help, "counter", label, func(w *bufio.Writer, name, labels string) {
		line(w, name, labels, strconv.FormatUint(c.Value(), 10))
	})
	return c
}

// CounterFunc registers a counter whose value is asked for at each scrape.
func (r *Registry) CounterFunc(name, help string, value func() float64, label ...string) {
	r.fromFunc(name, help, "counter", value, label)
}

// GaugeFunc registers a number that goes up and down, asked for at each scrape.
func (r *Registry) GaugeFunc(name, help string, value func() float64, label ...string) {
	r.fromFunc(name, help, "gauge", value, label)
}

func (r *Registry) fromFunc(name, help, kind string, value func() float64, label []string) {
	if r == nil {
		return
	}
	r.add(name, help, kind, label, func(w *bufio.Writer, name, labels string) {
		line(w, name, labels, float(value()))
	})
}

// Histogram counts observations in buckets. On nil it does nothing.
type Histogram struct {
	bounds []float64
	counts []atomic.Uint64 // one more than bounds; not cumulative
	sum    atomic.Uint64   // bits of a float64
}

// Histogram registers one with upper bounds in rising order.
func (r *Registry) Histogram(name, help string, bounds []float64, label ...string) *Histogram {
	if r == nil {
		return nil
	}
	if !slices.IsSorted(bounds) || len(bounds) == 0 {
		panic("metrics: bounds of " + name + " are not in order")
	}
	h := &Histogram{bounds: slices.Clone(bounds), counts: make([]atomic.Uint64, len(bounds)+1)}
	r.add(name, help, "histogram", label, h.write)
	return h
}

// Observe counts one value.
func (h *Histogram) Observe(v float64) {
	if h == nil {
		return
	}
	i, _ := slices.BinarySearch(h.bounds, v) // the first bound that is not below v
	h.counts[i].Add(1)
	for {
		old := h.sum.Load()
		if h.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

func (h *Histogram) write(w *bufio.Writer, name, labels string) {
	comma := ""
	if labels != "" {
		comma = ","
	}
	var total uint64
	for i := range h.counts {
		total += h.counts[i].Load()
		le := "+Inf"
		if i < len(h.bounds) {
			le = float(h.bounds[i])
		}
		line(w, name+"_bucket", labels+comma+`le="`+le+`"`, strconv.FormatUint(total, 10))
	}
	line(w, name+"_sum", labels, float(math.Float64frombits(h.sum.Load())))
	line(w, name+"_count", labels, strconv.FormatUint(total, 10))
}

// BeforeScrape has f run before the values are written, one scrape at a time:
// for a snapshot that many values are taken from.
func (r *Registry) BeforeScrape(f func()) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = append(r.before, f)
}

// WriteTo writes all metrics, in the order of their names.
func (r *Registry) WriteTo(w io.Writer) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.before {
		f()
	}
	counted := &countingWriter{w: w}
	b := bufio.NewWriter(counted)
	names := make([]string, 0, len(r.families))
	for name := range r.families {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f := r.families[name]
		fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, escapeHelp(f.help), name, f.kind)
		for _, s := range f.series {
			s.write(b, name, s.labels)
		}
	}
	err := b.Flush()
	return counted.n, err
}

// ServeHTTP answers a scrape.
func (r *Registry) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = r.WriteTo(w) // The only error is a scraper that went away.
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func line(w *bufio.Writer, name, labels, value string) {
	w.WriteString(name)
	if labels != "" {
		w.WriteByte('{')
		w.WriteString(labels)
		w.WriteByte('}')
	}
	w.WriteByte(' ')
	w.WriteString(value)
	w.WriteByte('\n')
}

func float(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func escapeHelp(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(s)
}
