// Package storagetest is the one suite that every storage of the client engine
// passes, whatever it keeps its pairs in.
package storagetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/securelink-chat/securelink/client"
)

// Run runs the suite. open returns a new, empty storage each time.
func Run(t *testing.T, open func(t *testing.T) client.Storage) {
	t.Run("ranges", func(t *testing.T) { ranges(t, open(t)) })
	t.Run("batch is in order", func(t *testing.T) { order(t, open(t)) })
	t.Run("cancelled batch leaves nothing", func(t *testing.T) { cancelled(t, open(t)) })
	t.Run("like a sorted map", func(t *testing.T) { likeMap(t, open(t)) })
	t.Run("pairs are the caller's", func(t *testing.T) { owned(t, open(t)) })
	t.Run("many goroutines", func(t *testing.T) { many(t, open(t)) })
	t.Run("closed", func(t *testing.T) { closed(t, open(t)) })
}

func set(pairs ...string) []client.Put {
	var batch []client.Put
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		batch = append(batch, client.Put{Key: []byte(key), Value: []byte(value)})
	}
	return batch
}

func text(pairs []client.Pair) string {
	var out []string
	for _, p := range pairs {
		out = append(out, fmt.Sprintf("%s=%s", p.Key, p.Value))
	}
	return strings.Join(out, " ")
}

func load(t *testing.T, s client.Storage, r client.Range) string {
	t.Helper()
	pairs, err := s.Load(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return text(pairs)
}

func ranges(t *testing.T, s client.Storage) {
	if err := s.Apply(t.Context(), set("a=0", "b/1=1", "b/2=2", "b/3=3", "b\xff=4", "c=5", "\xff\xff=6", "\xff=7")); err != nil {
		t.Fatal(err)
	}
	b := []byte("b/")
	for _, c := range []struct {
		name string
		r    client.Range
		want string
	}{
		{"prefix", client.Range{Prefix: b}, "b/1=1 b/2=2 b/3=3"},
		{"limit", client.Range{Prefix: b, Limit: 2}, "b/1=1 b/2=2"},
		{"reverse", client.Range{Prefix: b, Reverse: true, Limit: 2}, "b/3=3 b/2=2"},
		{"after", client.Range{Prefix: b, After: []byte("b/1")}, "b/2=2 b/3=3"},
		{"before", client.Range{Prefix: b, Before: []byte("b/3"), Reverse: true}, "b/2=2 b/1=1"},
		{"between", client.Range{Prefix: b, After: []byte("b/1"), Before: []byte("b/3")}, "b/2=2"},
		{"outside the prefix", client.Range{Prefix: b, After: []byte("a"), Before: []byte("z")}, "b/1=1 b/2=2 b/3=3"},
		{"nothing", client.Range{Prefix: []byte("x")}, ""},
		{"prefix of all ones", client.Range{Prefix: []byte("\xff")}, "\xff=7 \xff\xff=6"},
		{"prefix of all ones, reverse", client.Range{Prefix: []byte("\xff"), Reverse: true}, "\xff\xff=6 \xff=7"},
		{"all, reverse", client.Range{Reverse: true, Limit: 1}, "\xff\xff=6"},
	} {
		if got := load(t, s, c.r); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func order(t *testing.T, s client.Storage) {
	batch := set("k=1", "k=2", "gone=1", "empty=")
	batch = append(batch, client.Put{Key: []byte("gone"), Delete: true}, client.Put{Key: []byte("never"), Delete: true})
	if err := s.Apply(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if got := load(t, s, client.Range{}); got != "empty= k=2" {
		t.Errorf("got %q", got)
	}
	if err := s.Apply(t.Context(), nil); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
}

func cancelled(t *testing.T, s client.Storage) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Apply(ctx, set("a=1", "b=2")); err == nil {
		t.Error("a cancelled batch was acknowledged")
	}
	if got := load(t, s, client.Range{}); got != "" {
		t.Errorf("a cancelled batch left %q", got)
	}
}

func likeMap(t *testing.T, s client.Storage) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	model := map[string]string{}
	for range 60 {
		var batch []client.Put
		for range 1 + rng.IntN(80) {
			key := fmt.Sprintf("%c/%03x", 'a'+rng.IntN(3), rng.IntN(700))
			if rng.IntN(4) == 0 {
				batch = append(batch, client.Put{Key: []byte(key), Delete: true})
				delete(model, key)
				continue
			}
			value := fmt.Sprint(rng.IntN(1000))
			batch = append(batch, client.Put{Key: []byte(key), Value: []byte(value)})
			model[key] = value
		}
		if err := s.Apply(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		r := client.Range{Prefix: []byte{byte('a' + rng.IntN(3)), '/'}, Reverse: rng.IntN(2) == 0, Limit: rng.IntN(10)}
		if rng.IntN(2) == 0 {
			r.After = fmt.Appendf(nil, "%c/%03x", r.Prefix[0], rng.IntN(700))
		}
		var want []client.Pair
		keys := make([]string, 0, len(model))
		for key := range model {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		if r.Reverse {
			slices.Reverse(keys)
		}
		for _, key := range keys {
			if r.Contains([]byte(key)) && (r.Limit == 0 || len(want) < r.Limit) {
				want = append(want, client.Pair{Key: []byte(key), Value: []byte(model[key])})
			}
		}
		if got := load(t, s, r); got != text(want) {
			t.Fatalf("%+v: got %q, want %q", r, got, text(want))
		}
	}
}

func owned(t *testing.T, s client.Storage) {
	batch := set("k=value")
	if err := s.Apply(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	copy(batch[0].Value, "other")
	pairs, err := s.Load(t.Context(), client.Range{})
	if err != nil {
		t.Fatal(err)
	}
	copy(pairs[0].Value, "other")
	if got := load(t, s, client.Range{}); got != "k=value" {
		t.Errorf("the storage shares memory with its caller: %q", got)
	}
}

func many(t *testing.T, s client.Storage) {
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			prefix := fmt.Appendf(nil, "%d/", g)
			for i := range 20 {
				// Both keys of a batch, or none: nobody sees half of it.
				value := bytes.Repeat([]byte{byte(i)}, 100)
				err := s.Apply(t.Context(), []client.Put{
					{Key: append(bytes.Clone(prefix), 'a'), Value: value}, {Key: append(bytes.Clone(prefix), 'b'), Value: value},
				})
				if err != nil {
					t.Error(err)
					return
				}
				pairs, err := s.Load(t.Context(), client.Range{Prefix: fmt.Appendf(nil, "%d/", (g+1)%4)})
				if err != nil {
					t.Error(err)
					return
				}
				if len(pairs) == 1 || (len(pairs) == 2 && !bytes.Equal(pairs[0].Value, pairs[1].Value)) {
					t.Errorf("half of a batch was seen")
				}
			}
		})
	}
	wg.Wait()
}

func closed(t *testing.T, s client.Storage) {
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), set("a=1")); err == nil {
		t.Error("a closed storage took a batch")
	}
	if _, err := s.Load(t.Context(), client.Range{}); err == nil {
		t.Error("a closed storage answered")
	}
}
