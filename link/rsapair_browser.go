//go:build browser

package link

import "errors"

// A browser's RSA pairs come from WebCrypto, and it is never the server: the
// code of crypto/rsa is not loaded.
var errNoRSA = errors.New("link: this build has no RSA of its own")

// GenerateKey makes none.
func GenerateKey() (KeyPair, error) { return nil, errNoRSA }

func encryptOAEP(*[modulusSize]byte, []byte, []byte) ([]byte, error) { return nil, errNoRSA }
