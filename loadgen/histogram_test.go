package loadgen

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/dial"
)

// Every value lies in its place, and places follow one another without a gap.
func TestHistogramPlaces(t *testing.T) {
	for at := range len(new(histogram).counts) - 1 {
		if lowest(at+1) <= lowest(at) && at < 1<<subBits*(63-subBits) {
			t.Fatalf("place %d begins at %d, the next at %d", at, lowest(at), lowest(at+1))
		}
		if got := step(lowest(at)); got != at {
			t.Fatalf("%d is in place %d, want %d", lowest(at), got, at)
		}
	}
}

func TestHistogramQuantiles(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	h := &histogram{}
	if h.quantile(0.99) != 0 {
		t.Error("an empty histogram has a quantile")
	}
	var all []int64
	for range 10_000 {
		v := int64(random.ExpFloat64() * 1e6)
		all = append(all, v)
		h.record(v)
	}
	slices.Sort(all)
	for _, share := range []float64{0, 0.5, 0.99, 0.999, 1} {
		exact := time.Duration(all[int(share*float64(len(all)-1))])
		if got := h.quantile(share); got < exact || got > exact+exact/32+1 {
			t.Errorf("quantile %g is %d, exactly %d", share, got, exact)
		}
	}
}

func TestRunsThatCannotBe(t *testing.T) {
	ok := Config{Dial: dial.TCP{}.Dial, NewPerson: func(string) (Person, error) { return nil, nil }, Clients: 10}
	if err := ok.check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no clients":            func(c *Config) { c.Clients = 0 },
		"more rooms":            func(c *Config) { c.Rooms = 11 },
		"too many clients":      func(c *Config) { c.Clients = MaxClients + 1 },
		"too long":              func(c *Config) { c.Duration = MaxDuration + 1 },
		"too many connections":  func(c *Config) { c.Connects = MaxConnects + 1 },
		"no way there":          func(c *Config) { c.Dial = nil },
		"nobody":                func(c *Config) { c.NewPerson = nil },
		"another's restart":     func(c *Config) { c.Restart = true },
		"a negative rate":       func(c *Config) { c.Rate = -1 },
		"an empty text":         func(c *Config) { c.Text = -1 },
		"a window out of reach": func(c *Config) { c.Window = 5000 },
	} {
		c := ok
		change(&c)
		if err := c.check(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
