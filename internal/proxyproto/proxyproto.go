// Package proxyproto carries a client's address from a gateway to the core: a
// PROXY protocol v2 header (haproxy, "The PROXY protocol", section 2.2) at the
// start of a TCP connection, with one TLV that proves that the header comes
// from a gateway that knows the core's gateway secret.
//
//	signature[12] | 0x20 LOCAL or 0x21 PROXY | family | u16 length | addresses | other TLVs | auth TLV
//	auth TLV = 0xe0 | u16 57 | u8 1 | u64 Unix ms | nonce[16] | tag[32]
//	tag = HMAC-SHA-256(secret, "SecureLink/1 gateway header" 00 | every byte before the tag)
//
// The TLV is always last, so that the tag is checked before anything inside is
// parsed. A header is good for one connection, within [Window] of its time: who
// has recorded one cannot connect with it, nor with another address in it. What
// follows the header is not protected here; it is the secure link's.
package proxyproto

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Bounds of a header, in bytes, and of its age.
const (
	// MaxHeader is the longest header that is read: addresses, our TLV, and
	// room for what a proxy between may have added.
	MaxHeader = 536
	// MinSecret is the shortest secret.
	MinSecret = 32
	// Window is how far the clocks of gateway and core may be apart.
	Window = 30 * time.Second
)

const (
	fixed      = 16 // signature, command, family, length
	authType   = 0xe0
	authLength = 1 + 8 + 16 + sha256.Size
	authTLV    = 3 + authLength
	authV1     = 1

	commandLocal = 0x20
	commandProxy = 0x21
	familyNone   = 0x00
	familyTCP4   = 0x11
	familyTCP6   = 0x21
	addressesV4  = 2*4 + 2*2
	addressesV6  = 2*16 + 2*2
)

const (
	signature = "\r\n\r\n\x00\r\nQUIT\n"
	label     = "SecureLink/1 gateway header\x00"
)

var (
	// ErrHeader says that what came is not a header of this protocol.
	ErrHeader = errors.New("proxyproto: not a PROXY protocol v2 header")
	// ErrAuth says that a header is not from a gateway that knows the secret,
	// is too old or too new, or was seen before. It is one error for all.
	ErrAuth = errors.New("proxyproto: gateway not authenticated")
	// ErrSecret says that a secret is too short.
	ErrSecret = fmt.Errorf("proxyproto: a gateway secret has at least %d bytes", MinSecret)
)

// Header is what a gateway says of a connection.
type Header struct {
	// Local marks a connection of the gateway's own: it asks whether the core
	// is there. It has no addresses.
	Local bool
	// Source is the client, Destination where it connected to.
	Source, Destination netip.AddrPort
}

// Sign encodes the header for one connection that is opened now, at most 112 bytes.
func (h Header) Sign(secret []byte, now time.Time) ([]byte, error) {
	if len(secret) < MinSecret {
		return nil, ErrSecret
	}
	b := append(make([]byte, 0, fixed+addressesV6+authTLV), signature...)
	b = h.appendAddresses(b)
	b = append(b, authType)
	b = binary.BigEndian.AppendUint16(b, authLength)
	b = append(b, authV1)
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMilli()))
	var nonce [16]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, fmt.Errorf("proxyproto: %w", err)
	}
	b = append(b, nonce[:]...)
	return append(b, tag(secret, b)...), nil
}

// appendAddresses appends command, family, length and addresses.
func (h Header) appendAddresses(b []byte) []byte {
	if h.Local {
		b = append(b, commandLocal, familyNone)
		return binary.BigEndian.AppendUint16(b, authTLV)
	}
	src, dst := h.Source.Addr().Unmap(), h.Destination.Addr().Unmap()
	b = append(b, commandProxy)
	if src.Is4() && dst.Is4() {
		b = append(b, familyTCP4)
		b = binary.BigEndian.AppendUint16(b, addressesV4+authTLV)
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	} else {
		b = append(b, familyTCP6)
		b = binary.BigEndian.AppendUint16(b, addressesV6+authTLV)
		for _, a := range []netip.Addr{src, dst} {
			var wide [16]byte
			if a.IsValid() {
				wide = a.As16()
			}
			b = append(b, wide[:]...)
		}
	}
	b = binary.BigEndian.AppendUint16(b, h.Source.Port())
	return binary.BigEndian.AppendUint16(b, h.Destination.Port())
}

// tag computes the tag over all that comes before it.
func tag(secret, before []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(label))
	m.Write(before)
	return m.Sum(nil)
}

// Read takes exactly one header from r and not a byte more, so that the
// connection can be used as it is afterwards. It does not look at what the
// header says. ErrHeader, or r's error.
func Read(r io.Reader) ([]byte, error) {
	b := make([]byte, fixed, fixed+addressesV6+authTLV)
	// A stranger is told apart by the first bytes that it sends; it must not
	// have to send sixteen before it is refused.
	for have := 0; have < len(b); {
		n, err := r.Read(b[have:])
		have += n
		if seen := min(have, len(signature)); string(b[:seen]) != signature[:seen] {
			return nil, ErrHeader
		}
		if err != nil && have < len(b) {
			return nil, fmt.Errorf("proxyproto: header: %w", noEOF(err))
		}
	}
	length := int(binary.BigEndian.Uint16(b[14:]))
	if fixed+length > MaxHeader {
		return nil, ErrHeader
	}
	b = append(b, make([]byte, length)...)
	if _, err := io.ReadFull(r, b[fixed:]); err != nil {
		return nil, fmt.Errorf("proxyproto: header: %w", noEOF(err))
	}
	return b, nil
}

// noEOF makes an end inside the header an unexpected one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parse reads a whole header whose tag was found to be good: b is all of it.
func parse(b []byte) (Header, error) {
	body := b[fixed:]
	switch {
	case b[12] == commandLocal:
		// Section 2.2: the receiver must take LOCAL as it is and ignore addresses.
		return Header{Local: true}, nil
	case b[12] != commandProxy:
		return Header{}, ErrHeader
	}
	var h Header
	var rest []byte
	switch b[13] {
	case familyTCP4:
		if len(body) < addressesV4 {
			return Header{}, ErrHeader
		}
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[0:4])), binary.BigEndian.Uint16(body[8:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[4:8])), binary.BigEndian.Uint16(body[10:]))
		rest = body[addressesV4:]
	case familyTCP6:
		if len(body) < addressesV6 {
			return Header{}, ErrHeader
		}
		h.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[0:16])).Unmap(), binary.BigEndian.Uint16(body[32:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[16:32])).Unmap(), binary.BigEndian.Uint16(body[34:]))
		rest = body[addressesV6:]
	default:
		return Header{}, ErrHeader
	}
	return h, walkTLVs(rest)
}

// walkTLVs checks that what follows the addresses is a row of TLVs, as section
// 2.2.1 wants of a receiver; ours is the last of them.
func walkTLVs(b []byte) error {
	for len(b) > 0 {
		if len(b) < 3 {
			return ErrHeader
		}
		n := 3 + int(binary.BigEndian.Uint16(b[1:]))
		if len(b) < n {
			return ErrHeader
		}
		b = b[n:]
	}
	return nil
}
