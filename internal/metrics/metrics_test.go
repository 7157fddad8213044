package metrics

import (
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

func scrape(t *testing.T, r *Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", got)
	}
	return w.Body.String()
}

func TestTextFormat(t *testing.T) {
	r := New()
	in := r.Counter("frames_total", "frames\nrelayed", "direction", "in")
	out := r.Counter("frames_total", "", "direction", "out")
	r.GaugeFunc("open", "open ones", func() float64 { return 2.5 })
	h := r.Histogram("took_seconds", "time", []float64{0.1, 1})
	in.Add(3)
	out.Add(-1)
	for _, v := range []float64{0.05, 0.1, 0.5, 7} {
		h.Observe(v)
	}
	want := `# HELP frames_total frames\nrelayed
# TYPE frames_total counter
frames_total{direction="in"} 3
frames_total{direction="out"} 0
# HELP open open ones
# TYPE open gauge
open 2.5
# HELP took_seconds time
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1"} 2
took_seconds_bucket{le="1"} 3
took_seconds_bucket{le="+Inf"} 4
took_seconds_sum 7.65
took_seconds_count 4
`
	if got := scrape(t, r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestManyGoroutines(t *testing.T) {
	r := New()
	c, h := r.Counter("c_total", ""), r.Histogram("h", "", []float64{1})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				c.Add(1)
				h.Observe(0.5)
			}
		})
	}
	wg.Wait()
	if got := scrape(t, r); c.Value() != 4000 || !strings.Contains(got, "h_sum 2000\n") {
		t.Errorf("lost counts: %d\n%s", c.Value(), got)
	}
}

func TestMistakesAreLoud(t *testing.T) {
	for name, f := range map[string]func(*Registry){
		"twice":      func(r *Registry) { r.Counter("a", ""); r.Counter("a", "") },
		"two kinds":  func(r *Registry) { r.Counter("a", "", "x", "y"); r.GaugeFunc("a", "", nil) },
		"bad name":   func(r *Registry) { r.Counter("a-b", "") },
		"half label": func(r *Registry) { r.Counter("a", "", "x") },
		"bounds":     func(r *Registry) { r.Histogram("a", "", []float64{2, 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f(New())
		})
	}
}

func TestNoRegistryIsSilence(t *testing.T) {
	var r *Registry
	r.Counter("a", "").Add(1)
	r.Histogram("b", "", []float64{1}).Observe(1)
	r.GaugeFunc("c", "", nil)
	r.BeforeScrape(nil)
	r.Runtime("")
}

func TestRuntime(t *testing.T) {
	r := New()
	r.Runtime("1.2.3")
	got := scrape(t, r)
	for _, want := range []string{"go_goroutines ", `securelink_build_info{version="1.2.3 go`, "go_heap_bytes "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "go_memory_bytes 0\n") {
		t.Error("no memory is in use")
	}
}
