//go:build js && wasm

package main

import (
	"context"
	"fmt"
	"syscall/js"

	"github.com/securelink-chat/securelink/client"
)

// storage is the engine's storage in the page's IndexedDB.
type storage struct{ host js.Value }

// Load implements [client.Storage].
func (s storage) Load(ctx context.Context, r client.Range) ([]client.Pair, error) {
	got, err := await(ctx, s.host.Call("load", toJS(append([]byte{}, r.Prefix...)), orNull(r.After), orNull(r.Before), r.Reverse, r.Limit))
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	keys, values := got.Index(0), got.Index(1)
	pairs := make([]client.Pair, keys.Length())
	for i := range pairs {
		pairs[i] = client.Pair{Key: bytesOf(keys.Index(i)), Value: bytesOf(values.Index(i))}
	}
	return pairs, nil
}

// Apply implements [client.Storage]: one batch is one transaction. It does not
// end early with ctx, because the transaction would not either.
func (s storage) Apply(_ context.Context, batch []client.Put) error {
	keys, values := js.Global().Get("Array").New(len(batch)), js.Global().Get("Array").New(len(batch))
	for i, put := range batch {
		keys.SetIndex(i, toJS(append([]byte{}, put.Key...)))
		if put.Delete {
			values.SetIndex(i, js.Null())
		} else {
			values.SetIndex(i, toJS(append([]byte{}, put.Value...)))
		}
	}
	if _, err := await(context.Background(), s.host.Call("apply", keys, values)); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	return nil
}

// Close implements [client.Storage]; the page closes the database itself.
func (storage) Close() error { return nil }

func orNull(key []byte) js.Value {
	if key == nil {
		return js.Null()
	}
	return toJS(key)
}
