//go:build js && wasm

// Command securelink-wasm is the chat engine for a browser: it turns JavaScript
// values into Go's and back, and does nothing else. The page's worker puts what
// the engine may use of the world on the global object as securelinkHost
// (web/src/engine/native.ts): storage, connections, RSA pairs, a place to tell
// events. The same file, in a worker that ends afterwards, derives a key from a
// password.
package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"syscall/js"

	"golang.org/x/crypto/argon2"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/identity"
)

func main() {
	host := js.Global().Get("securelinkHost")
	js.Global().Delete("securelinkHost")
	if host.Get("mode").String() == "argon" {
		deriveKey(host)
		return
	}
	problem := ""
	if err := runEngine(host); err != nil {
		problem = err.Error()
	}
	host.Call("done", problem)
}

// deriveKey answers one request for Argon2id and ends; the memory goes with
// the worker.
func deriveKey(host js.Value) {
	password, salt := bytesOf(host.Get("password")), bytesOf(host.Get("salt"))
	key := argon2.IDKey(password, salt, uint32(host.Get("time").Int()), uint32(host.Get("memoryKiB").Int()), 1, 32)
	clear(password)
	host.Call("done", toJS(key))
	clear(key)
}

// runEngine runs one engine until its profile is erased.
func runEngine(host js.Value) error {
	pin, err := pinOf(host.Get("pin").String())
	if err != nil {
		return err
	}
	engine, err := client.New(client.Config{
		Storage: storage{host},
		Dialer:  dialer{host},
		RSA:     rsaKeys{host},
		Pin:     pin,
		Class:   identity.ClassHostedWeb,
		Logger:  logger{host},
		Version: host.Get("version").String(),
		Server:  host.Get("server").String(),
		Argon: func(ctx context.Context, password, salt []byte, time, memoryKiB uint32) ([]byte, error) {
			key, err := await(ctx, host.Call("argon", toJS(password), toJS(salt), int(time), int(memoryKiB)))
			if err != nil {
				return nil, err
			}
			return bytesOf(key), nil
		},
	})
	if err != nil {
		return err
	}

	// Asks arrive on JavaScript's own stack, which must not wait: a goroutine
	// hands them over. The page bounds how many there are.
	asks := make(chan client.Request, 1024)
	take := js.FuncOf(func(_ js.Value, args []js.Value) any {
		request := client.Request{}
		fromJS(args[1], &request)
		request.ID = uint64(args[0].Int())
		select {
		case asks <- request:
		default:
			host.Call("log", 8, "an ask was dropped: the engine is far behind")
		}
		return nil
	})
	defer take.Release()

	ctx, stop := context.WithCancel(context.Background())
	told := make(chan struct{})
	go func() {
		defer close(told)
		for {
			select {
			case event := <-engine.Events():
				host.Call("tell", toJS(event))
			case <-ctx.Done():
				return
			}
		}
	}()
	handed := make(chan struct{})
	go func() {
		defer close(handed)
		for {
			select {
			case request := <-asks:
				engine.Do(request)
			case <-ctx.Done():
				return
			}
		}
	}()
	facade := js.Global().Get("Object").New()
	facade.Set("ask", take)
	host.Call("ready", facade)
	err = engine.Run(ctx)
	stop()
	<-told
	<-handed
	for len(engine.Events()) > 0 {
		host.Call("tell", toJS(<-engine.Events()))
	}
	return err
}

// pinOf reads the server's fingerprint; nothing means trust on first use.
func pinOf(text string) (pin [32]byte, err error) {
	if text == "" {
		return pin, nil
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(pin) {
		return pin, fmt.Errorf("the page names a server key that is none: %q", text)
	}
	return [32]byte(raw), nil
}

// logger hands the engine's lines to the console. They hold no text, name or key.
type logger struct{ host js.Value }

func (l logger) Log(level int, message string, pairs ...any) {
	line := message
	for i := 0; i+1 < len(pairs); i += 2 {
		line += fmt.Sprintf(" %v=%v", pairs[i], pairs[i+1])
	}
	l.host.Call("log", level, line)
}
