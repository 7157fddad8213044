package identity

import (
	"bytes"
	"testing"
)

// FuzzDecoders feeds bytes from outside to every decoder: whatever decodes must
// encode to the same bytes again, so that there is one form of everything.
func FuzzDecoders(f *testing.F) {
	profile, _ := alice.SignProfile(root, "Alice", 3)
	credential := Credential{alice.Certify(root, laptopID, laptop.Public(), ClassNative, 1), profile}
	nack := &Statement{Kind: StatementNack, Group: group, Device: laptopID, KeyPackage: []byte("kp")}
	f.Add(credential.Encode())
	f.Add(credential.Certificate.Encode())
	f.Add(profile.Encode())
	f.Add(nack.Encode())
	f.Add((&Notice{Kind: NoticeOwner}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := DecodeCertificate(b); err == nil && !bytes.Equal(c.Encode(), b) {
			t.Error("certificate")
		}
		if c, err := DecodeCredential(b); err == nil && !bytes.Equal(c.Encode(), b) {
			t.Error("credential")
		}
		if p, err := DecodeProfile(b); err == nil && !bytes.Equal(p.Encode(), b) {
			t.Error("profile")
		}
		if s, err := DecodeStatement(b); err == nil && !bytes.Equal(s.Encode(), b) {
			t.Error("statement")
		}
		if n, err := DecodeNotice(b); err == nil && !bytes.Equal(n.Encode(), b) {
			t.Error("notice")
		}
		if name, err := CheckName(string(b)); err == nil {
			if again, err := CheckName(name); err != nil || again != name {
				t.Errorf("checking a name is not idempotent: %q", name)
			}
		}
	})
}
