package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"github.com/securelink-chat/securelink/internal/pack"
)

// Class says what kind of program a device is, because they deserve different trust.
type Class uint8

// The classes of devices. A hosted-web device runs code that the server sends
// it at every visit; a local-web device is a page served by the user's own binary.
const (
	ClassNative    Class = 1
	ClassLocalWeb  Class = 2
	ClassHostedWeb Class = 3
	ClassBot       Class = 4
)

func (c Class) String() string {
	switch c {
	case ClassNative:
		return "native"
	case ClassLocalWeb:
		return "local-web"
	case ClassHostedWeb:
		return "hosted-web"
	case ClassBot:
		return "bot"
	}
	return "unknown"
}

// Valid says whether the class is one that this version knows.
func (c Class) Valid() bool { return c >= ClassNative && c <= ClassBot }

// CertificateSize is the size of an encoded certificate in bytes.
const CertificateSize = 32 + 16 + 32 + 1 + 8 + 64

// Certificate is an identity key's word that a device key is the user's. It
// has no end: a device ends by revocation.
type Certificate struct {
	Identity  PublicKey
	Device    DeviceID
	DeviceKey PublicKey
	Class     Class
	Created   uint64 // Unix seconds, by the clock of the device that signed
	Signature Signature
}

func (c Certificate) signed(root PublicKey) []byte {
	w := labelled("SecureLink/1 device")
	w.Fixed(root[:])
	w.Fixed(c.Identity[:])
	w.Fixed(c.Device[:])
	w.Fixed(c.DeviceKey[:])
	w.U8(uint8(c.Class))
	w.U64(c.Created)
	return w.B
}

// Certify signs that the device key is a device of this user.
func (k *Key) Certify(root PublicKey, device DeviceID, deviceKey PublicKey, class Class, created uint64) Certificate {
	c := Certificate{Identity: k.Public(), Device: device, DeviceKey: deviceKey, Class: class, Created: created}
	c.Signature = k.sign(c.signed(root))
	return c
}

// Verify checks class and signature; ErrSignature is its one error.
func (c Certificate) Verify(root PublicKey) error {
	if !c.Class.Valid() {
		return ErrSignature
	}
	return verify(c.Identity, c.signed(root), c.Signature)
}

// User is the user whose device this is.
func (c Certificate) User(root PublicKey) UserID { return UserOf(root, c.Identity) }

// Encode gives the certificate in CertificateSize bytes.
func (c Certificate) Encode() []byte {
	var w pack.Writer
	c.write(&w)
	return w.B
}

func (c Certificate) write(w *pack.Writer) {
	w.Fixed(c.Identity[:])
	w.Fixed(c.Device[:])
	w.Fixed(c.DeviceKey[:])
	w.U8(uint8(c.Class))
	w.U64(c.Created)
	w.Fixed(c.Signature[:])
}

func readCertificate(r *pack.Reader) (c Certificate) {
	r.Fixed(c.Identity[:])
	r.Fixed(c.Device[:])
	r.Fixed(c.DeviceKey[:])
	c.Class = Class(r.U8())
	c.Created = r.U64()
	r.Fixed(c.Signature[:])
	return c
}

// DecodeCertificate reads a certificate without verifying it.
func DecodeCertificate(b []byte) (Certificate, error) {
	r := pack.Read(b)
	c := readCertificate(r)
	if r.Done() != nil {
		return Certificate{}, ErrFormat
	}
	return c, nil
}

// Credential is what the MLS basic credential of a leaf carries: whose device
// it is, and the name that its owner signed.
type Credential struct {
	Certificate Certificate
	Profile     Profile
}

// Encode gives certificate | profile.
func (c Credential) Encode() []byte {
	var w pack.Writer
	c.Certificate.write(&w)
	c.Profile.write(&w)
	return w.B
}

// DecodeCredential reads a credential without verifying it.
func DecodeCredential(b []byte) (Credential, error) {
	r := pack.Read(b)
	c := Credential{Certificate: readCertificate(r), Profile: readProfile(r)}
	if r.Done() != nil {
		return Credential{}, ErrFormat
	}
	return c, nil
}

// ParseCredential reads a credential and verifies both signatures in it.
func ParseCredential(root PublicKey, b []byte) (Credential, error) {
	c, err := DecodeCredential(b)
	if err != nil {
		return Credential{}, err
	}
	if err := c.Verify(root); err != nil {
		return Credential{}, err
	}
	return c, nil
}

// Verify checks certificate and profile.
func (c Credential) Verify(root PublicKey) error {
	if err := c.Certificate.Verify(root); err != nil {
		return err
	}
	return c.Profile.Verify(root, c.Certificate.Identity)
}

// User is the user whose credential this is.
func (c Credential) User(root PublicKey) UserID { return c.Certificate.User(root) }

func loginMessage(root PublicKey, exporter [32]byte, device DeviceID, user UserID) []byte {
	w := labelled("SecureLink/1 login")
	w.Fixed(root[:])
	w.Fixed(exporter[:])
	w.Fixed(device[:])
	w.Fixed(user[:])
	return w.B
}

// SignLogin proves this device over one secure link, named by its exporter, so
// that the proof is worth nothing on another link or another server.
func (d *DeviceKey) SignLogin(root PublicKey, exporter [32]byte, device DeviceID, user UserID) Signature {
	return d.sign(loginMessage(root, exporter, device, user))
}

// VerifyLogin checks the proof of SignLogin.
func VerifyLogin(root PublicKey, exporter [32]byte, device DeviceID, user UserID, key PublicKey, signature Signature) error {
	return verify(key, loginMessage(root, exporter, device, user), signature)
}

func revocationMessage(root PublicKey, device DeviceID, at uint64) []byte {
	w := labelled("SecureLink/1 revocation")
	w.Fixed(root[:])
	w.Fixed(device[:])
	w.U64(at)
	return w.B
}

// SignRevocation tells the core that a device of this user has ended at a Unix
// time. Rooms need a statement of their own each.
func (k *Key) SignRevocation(root PublicKey, device DeviceID, at uint64) Signature {
	return k.sign(revocationMessage(root, device, at))
}

// VerifyRevocation checks the signature of SignRevocation.
func VerifyRevocation(root, identity PublicKey, device DeviceID, at uint64, signature Signature) error {
	return verify(identity, revocationMessage(root, device, at), signature)
}

// Code is what a new device shows and an old one types to let it in: 80 bits
// of a hash of its keys. A server that wants another device approved in its
// place must find a second preimage of 80 bits for a key that it may use.
type Code [10]byte

// codeAlphabet is Crockford's base 32, which has no I, L, O or U.
const codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// EnrolmentCode computes the code of a device that waits for approval.
func EnrolmentCode(root PublicKey, user UserID, device DeviceID, deviceKey PublicKey, class Class) Code {
	w := labelled("SecureLink/1 enrolment")
	w.Fixed(root[:])
	w.Fixed(user[:])
	w.Fixed(device[:])
	w.Fixed(deviceKey[:])
	w.U8(uint8(class))
	sum := sha256.Sum256(w.B)
	return Code(sum[:10])
}

// String gives 16 characters in four groups: "7Q4M-0XBD-KT2P-9HVE".
func (c Code) String() string {
	var out strings.Builder
	var bits, width uint
	for i, at := 0, 0; at < 16; at++ {
		if width < 5 {
			bits, width, i = bits<<8|uint(c[i]), width+8, i+1
		}
		if at > 0 && at%4 == 0 {
			out.WriteByte('-')
		}
		width -= 5
		out.WriteByte(codeAlphabet[bits>>width&31])
	}
	return out.String()
}

// ParseCode reads a code as people type it: any case, with or without dashes
// and spaces, O for 0, I and L for 1.
func ParseCode(s string) (Code, error) {
	var c Code
	var bits, width uint
	at, chars := 0, 0
	for _, char := range strings.ToUpper(s) {
		switch char {
		case '-', ' ':
			continue
		case 'O':
			char = '0'
		case 'I', 'L':
			char = '1'
		}
		value := strings.IndexRune(codeAlphabet, char)
		if value < 0 || chars == 16 {
			return Code{}, ErrFormat
		}
		chars++
		bits, width = bits<<5|uint(value), width+5
		if width >= 8 {
			width -= 8
			c[at], at = byte(bits>>width), at+1
		}
	}
	if chars != 16 {
		return Code{}, ErrFormat
	}
	return c, nil
}

// Equal compares in constant time.
func (c Code) Equal(other Code) bool { return subtle.ConstantTimeCompare(c[:], other[:]) == 1 }

// Signal is a passing word of a device to a room, as it is signed.
type Signal struct {
	Group  GroupID
	Epoch  uint64
	Device DeviceID
	At     uint64
	Kind   uint8
	Data   []byte
}

func (s Signal) signed(root PublicKey) []byte {
	w := labelled("SecureLink/1 signal word")
	w.Fixed(root[:])
	w.Fixed(s.Group[:])
	w.U64(s.Epoch)
	w.Fixed(s.Device[:])
	w.U64(s.At)
	w.U8(s.Kind)
	w.Bytes(s.Data)
	return w.B
}

// SignSignal signs a passing word.
func (d *DeviceKey) SignSignal(root PublicKey, s Signal) Signature { return d.sign(s.signed(root)) }

// VerifySignal checks the signature of SignSignal.
func VerifySignal(root, key PublicKey, s Signal, signature Signature) error {
	return verify(key, s.signed(root), signature)
}
