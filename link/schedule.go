package link

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// Labels. Each is followed by a zero byte where bytes follow it.
const (
	labelTH        = "SecureLink/1 th"
	labelTHResumed = "SecureLink/1 th resumed"
	labelHandshake = "SecureLink/1 core handshake"
	labelOnline    = "SecureLink/1 online key"
	labelRSA       = "SecureLink/1 rsa"
	labelXWing     = "SecureLink/1 xwing"
	labelHybrid    = "SecureLink/1 hybrid"
	labelResumed   = "SecureLink/1 resumed"
	labelKeys      = "SecureLink/1 " // and the key's name
	labelRekey     = "SecureLink/1 rekey"
	labelTicket    = "SecureLink/1 ticket"
	labelRecord    = "SecureLink/1 record"
	exportXWing    = "k2"
	finishedServer = "server"
	finishedClient = "client"
	secretSize     = 32
)

// secrets are what both sides have when both hellos are known.
type secrets struct {
	c2s, s2c         [32]byte // record keys
	c2sFin, s2cFin   [32]byte
	exporter, resume [32]byte
}

func (s *secrets) wipe() { *s = secrets{} }

// transcript is th: a hash over both hellos as they were sent, the server's
// without its signature.
func transcript(resumed bool, ch, unsigned []byte) [32]byte {
	label := labelTH
	if resumed {
		label = labelTHResumed
	}
	h := sha256.New()
	h.Write([]byte(label + "\x00"))
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(ch))))
	h.Write(ch)
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(unsigned))))
	h.Write(unsigned)
	return [32]byte(h.Sum(nil))
}

// signed is what the online key signs.
func signed(th [32]byte) []byte {
	return append([]byte(labelHandshake+"\x00"), th[:]...)
}

// schedule derives the link's secrets. first is k1, or psk when resuming.
func schedule(resumed bool, th [32]byte, first, k2 []byte) (secrets, error) {
	label := labelHybrid
	if resumed {
		label = labelResumed
	}
	ikm := append([]byte(label), 0)
	ikm = binary.BigEndian.AppendUint16(ikm, secretSize)
	ikm = append(ikm, first...)
	ikm = binary.BigEndian.AppendUint16(ikm, secretSize)
	ikm = append(ikm, k2...)
	defer clear(ikm)
	prk, err := hkdf.Extract(sha256.New, ikm, th[:])
	if err != nil {
		return secrets{}, err
	}
	defer clear(prk)
	var s secrets
	for _, key := range []struct {
		name string
		to   *[32]byte
	}{
		{"c2s", &s.c2s}, {"s2c", &s.s2c}, {"c2s.fin", &s.c2sFin}, {"s2c.fin", &s.s2cFin},
		{"exporter", &s.exporter}, {"resume", &s.resume},
	} {
		if *key.to, err = expand(prk, labelKeys+key.name); err != nil {
			return secrets{}, err
		}
	}
	return s, nil
}

// expand is HKDF-Expand to 32 bytes.
func expand(key []byte, info string) ([32]byte, error) {
	out, err := hkdf.Expand(sha256.New, key, info, 32)
	if err != nil {
		return [32]byte{}, err
	}
	defer clear(out)
	return [32]byte(out), nil
}

// mustExpand is expand of a key of 32 bytes, which cannot fail.
func mustExpand(key [32]byte, info string) [32]byte {
	out, err := expand(key[:], info)
	if err != nil {
		panic("link: " + err.Error())
	}
	return out
}

// ticketPSK is the secret of the ticket with this nonce.
func ticketPSK(resume [32]byte, nonce []byte) [32]byte {
	return mustExpand(resume, labelTicket+"\x00"+string(nonce))
}

// finished is the HMAC that proves that its sender has key.
func finished(key [32]byte, who string, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte(who))
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// bound is label 00 | SHA-256(ch): what ties a leg to its hello.
func bound(label string, ch []byte) []byte {
	sum := sha256.Sum256(ch)
	return append([]byte(label+"\x00"), sum[:]...)
}

// errXWing is internal: outside, every failure is the same.
var errXWing = errors.New("x-wing")

// encapsulate makes k2 for the client's X-Wing key.
func encapsulate(publicKey, ch []byte) (ct, k2 []byte, err error) {
	pk, err := hpke.MLKEM768X25519().NewPublicKey(publicKey)
	if err != nil {
		return nil, nil, errXWing
	}
	ct, sender, err := hpke.NewSender(pk, hpke.HKDFSHA256(), hpke.ExportOnly(), bound(labelXWing, ch))
	if err != nil {
		return nil, nil, errXWing
	}
	k2, err = sender.Export(exportXWing, secretSize)
	return ct, k2, err
}

// decapsulate is the client's side of encapsulate.
func decapsulate(private hpke.PrivateKey, ct, ch []byte) (k2 []byte, err error) {
	recipient, err := hpke.NewRecipient(ct, private, hpke.HKDFSHA256(), hpke.ExportOnly(), bound(labelXWing, ch))
	if err != nil {
		return nil, errXWing
	}
	return recipient.Export(exportXWing, secretSize)
}
