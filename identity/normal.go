//go:build !browser

package identity

import "golang.org/x/text/unicode/norm"

// nfc is Unicode's canonical composition (UAX #15).
func nfc(s string) string { return norm.NFC.String(s) }

// nfkd is its compatibility decomposition.
func nfkd(s string) string { return norm.NFKD.String(s) }
