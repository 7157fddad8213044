//go:build js && wasm

package main

import (
	"context"
	"errors"
	"syscall/js"

	"github.com/securelink-chat/securelink/link"
)

// rsaKeys hands out one-use RSA pairs that WebCrypto made ahead.
type rsaKeys struct{ host js.Value }

// Take implements link.KeySource.
func (r rsaKeys) Take(ctx context.Context) (link.KeyPair, error) {
	pair, err := await(ctx, r.host.Call("takeKey"))
	if err != nil {
		return nil, err
	}
	modulus := bytesOf(pair.Get("modulus"))
	if len(modulus) != 256 {
		return nil, errors.New("the browser made an RSA key of another size")
	}
	return rsaPair{pair, [256]byte(modulus)}, nil
}

// rsaPair is a pair whose private half stays with the browser.
type rsaPair struct {
	pair    js.Value
	modulus [256]byte
}

// Modulus implements link.KeyPair.
func (p rsaPair) Modulus() [256]byte { return p.modulus }

// DecryptOAEP implements link.KeyPair.
func (p rsaPair) DecryptOAEP(ctx context.Context, ct, label []byte) ([]byte, error) {
	plain, err := await(ctx, p.pair.Call("decrypt", toJS(ct), toJS(label)))
	if err != nil {
		return nil, err
	}
	return bytesOf(plain), nil
}
