package link

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Versions: the high byte is the protocol's, the low byte the form of the hello.
const (
	versionFull    uint16 = 0x0101
	versionResumed uint16 = 0x0102
)

// suiteRSAXWing is the one suite so far: RSA-2048-OAEP-SHA-256 with X-Wing
// (HPKE KEM 0x647a), HKDF-SHA-256, Ed25519, and records of AES-256-CBC with
// HMAC-SHA-256.
const suiteRSAXWing uint16 = 0x0001

// Lengths of the hellos and their parts.
const (
	clientHelloSize = 2048
	modulusSize     = 256
	xwingKeySize    = 1216
	xwingCTSize     = 1120
	rsaCTSize       = 256
	sigSize         = 64
	finSize         = 32

	serverHelloSize  = 2 + 2 + 32 + 32 + CertSize + rsaCTSize + xwingCTSize + sigSize
	resumedHelloSize = serverHelloSize - rsaCTSize
)

// clientHello is CH:
//
//	u16 version | u8 n | n * u16 suite | random[32] | pin[32] | rsa_modulus[256] | xwing_pk[1216] | zeros to 2048
//
// or, when resuming, CH':
//
//	u16 version | u16 suite | random[32] | ticket_id[32] | pin[32] | xwing_pk[1216] | zeros to 2048
type clientHello struct {
	resumed bool
	suites  []uint16
	random  [32]byte
	ticket  [32]byte // only when resuming
	pin     [32]byte
	modulus [modulusSize]byte // only when not
	xwing   []byte            // xwingKeySize
}

func (h *clientHello) encode() []byte {
	b := make([]byte, 0, clientHelloSize)
	if h.resumed {
		b = binary.BigEndian.AppendUint16(b, versionResumed)
		b = binary.BigEndian.AppendUint16(b, h.suites[0])
		b = append(b, h.random[:]...)
		b = append(b, h.ticket[:]...)
		b = append(b, h.pin[:]...)
	} else {
		b = binary.BigEndian.AppendUint16(b, versionFull)
		b = append(b, byte(len(h.suites)))
		for _, s := range h.suites {
			b = binary.BigEndian.AppendUint16(b, s)
		}
		b = append(b, h.random[:]...)
		b = append(b, h.pin[:]...)
		b = append(b, h.modulus[:]...)
	}
	b = append(b, h.xwing...)
	return b[:clientHelloSize]
}

// parseClientHello reads either form and checks all that can be checked without
// arithmetic worth the name; ok says whether it is one. The result points into b.
func parseClientHello(b []byte) (h clientHello, ok bool) {
	if len(b) != clientHelloSize {
		return h, false
	}
	p := parts{rest: b}
	switch binary.BigEndian.Uint16(p.take(2)) {
	case versionFull:
		n := int(p.take(1)[0])
		suites := p.take(2 * n)
		if n == 0 || p.short {
			return h, false
		}
		for i := range n {
			h.suites = append(h.suites, binary.BigEndian.Uint16(suites[2*i:]))
		}
		p.copy(h.random[:])
		p.copy(h.pin[:])
		p.copy(h.modulus[:])
	case versionResumed:
		h.resumed = true
		h.suites = []uint16{binary.BigEndian.Uint16(p.take(2))}
		p.copy(h.random[:])
		p.copy(h.ticket[:])
		p.copy(h.pin[:])
	default:
		return h, false
	}
	h.xwing = p.take(xwingKeySize)
	if p.short || !zeros(p.rest) || !slices.Contains(h.suites, suiteRSAXWing) {
		return h, false
	}
	return h, h.resumed || goodModulus(&h.modulus)
}

// serverHello is SH, followed in its frame by SFin:
//
//	u16 version | u16 suite | random[32] | root_pk[32] | cert[112] | rsa_ct[256] | xwing_ct[1120] | sig[64]
//
// without rsa_ct when resuming.
type serverHello struct {
	resumed bool
	suite   uint16
	random  [32]byte
	root    [32]byte
	cert    [CertSize]byte
	rsa     []byte // rsaCTSize; nil when resuming
	xwing   []byte // xwingCTSize
	sig     []byte // sigSize
	fin     []byte // finSize
}

// encodeUnsigned is SH without sig, with room for sig and SFin.
func (h *serverHello) encodeUnsigned() []byte {
	b := make([]byte, 0, serverHelloSize+finSize)
	version := versionFull
	if h.resumed {
		version = versionResumed
	}
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, h.suite)
	b = append(b, h.random[:]...)
	b = append(b, h.root[:]...)
	b = append(b, h.cert[:]...)
	b = append(b, h.rsa...)
	return append(b, h.xwing...)
}

// parseServerHello reads the frame that answers a full or a resuming hello:
// SH | SFin. unsigned is the part that th covers. The result points into b.
func parseServerHello(b []byte, resumed bool) (h serverHello, unsigned []byte, ok bool) {
	want, version := serverHelloSize, versionFull
	if resumed {
		want, version = resumedHelloSize, versionResumed
	}
	if len(b) != want+finSize || binary.BigEndian.Uint16(b) != version {
		return h, nil, false
	}
	p := parts{rest: b[2:]}
	h.resumed = resumed
	h.suite = binary.BigEndian.Uint16(p.take(2))
	p.copy(h.random[:])
	p.copy(h.root[:])
	p.copy(h.cert[:])
	if !resumed {
		h.rsa = p.take(rsaCTSize)
	}
	h.xwing = p.take(xwingCTSize)
	h.sig = p.take(sigSize)
	h.fin = p.take(finSize)
	return h, b[:want-sigSize], !p.short && h.suite == suiteRSAXWing
}

// parts cuts a byte string in pieces. Once it is too short it stays so, and
// take returns zeros.
type parts struct {
	rest  []byte
	short bool
}

func (p *parts) take(n int) []byte {
	if len(p.rest) < n {
		p.short, p.rest = true, nil
		return make([]byte, n)
	}
	head := p.rest[:n:n]
	p.rest = p.rest[n:]
	return head
}

func (p *parts) copy(to []byte) { copy(to, p.take(len(to))) }

// zeros says whether b is all zeros.
func zeros(b []byte) bool {
	var all byte
	for _, x := range b {
		all |= x
	}
	return all == 0
}

// smallPrimes are the odd primes whose product fits 64 bits.
var smallPrimes = [...]uint64{3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53}

// goodModulus says whether m can be an RSA-2048 modulus by what is cheap to see:
// it has 2048 bits, is odd and has no prime factor up to 53. It cannot say that
// m is a product of two primes: a client that sends another number weakens one
// of two legs of its own link and nothing else.
func goodModulus(m *[modulusSize]byte) bool {
	if m[0]&0x80 == 0 || m[modulusSize-1]&1 == 0 {
		return false
	}
	product := uint64(1)
	for _, p := range smallPrimes {
		product *= p
	}
	var rem uint64
	for i := 0; i < modulusSize; i += 8 {
		_, rem = bits.Div64(rem, binary.BigEndian.Uint64(m[i:]), product)
	}
	for _, p := range smallPrimes {
		if rem%p == 0 {
			return false
		}
	}
	return true
}
