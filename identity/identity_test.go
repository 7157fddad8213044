package identity

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"
)

// A small cast with fixed keys, so that every test speaks of the same people.
func seed(b byte) (s [32]byte) {
	for i := range s {
		s[i] = b + byte(i)
	}
	return s
}

var (
	rootKey  = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	root     = PublicKey(rootKey.Public().(ed25519.PublicKey))
	other    = KeyFromSeed(seed(9)).Public() // the root of another server
	alice    = KeyFromSeed(seed(1))
	bob      = KeyFromSeed(seed(2))
	laptop   = DeviceKeyFromSeed(seed(3))
	phone    = DeviceKeyFromSeed(seed(4))
	laptopID = DeviceID{1, 2, 3}
	group    = GroupID{9, 9}
	stay     = JoinID{5}
)

func TestCertificate(t *testing.T) {
	good := alice.Certify(root, laptopID, laptop.Public(), ClassNative, 1700000000)
	if err := good.Verify(root); err != nil {
		t.Fatal(err)
	}
	if good.User(root) != alice.User(root) {
		t.Fatal("the certificate is another user's")
	}
	back, err := DecodeCertificate(good.Encode())
	if err != nil || back != good || len(good.Encode()) != CertificateSize {
		t.Fatalf("round trip: %v", err)
	}
	for name, change := range map[string]func(c *Certificate){
		"another device":   func(c *Certificate) { c.Device[0]++ },
		"another key":      func(c *Certificate) { c.DeviceKey = phone.Public() },
		"another class":    func(c *Certificate) { c.Class = ClassBot },
		"an unknown class": func(c *Certificate) { c.Class = 9 },
		"another time":     func(c *Certificate) { c.Created++ },
		"another identity": func(c *Certificate) { c.Identity = bob.Public() },
		"a bent signature": func(c *Certificate) { c.Signature[3] ^= 1 },
	} {
		bent := good
		change(&bent)
		if !errors.Is(bent.Verify(root), ErrSignature) {
			t.Errorf("%s: accepted", name)
		}
	}
	if !errors.Is(good.Verify(other), ErrSignature) {
		t.Error("a certificate is worth something on another server")
	}
}

func TestCredentialCarriesASignedName(t *testing.T) {
	profile, err := alice.SignProfile(root, "Alice", 3)
	if err != nil {
		t.Fatal(err)
	}
	good := Credential{alice.Certify(root, laptopID, laptop.Public(), ClassNative, 1), profile}
	got, err := ParseCredential(root, good.Encode())
	if err != nil || got != good {
		t.Fatalf("round trip: %v", err)
	}
	stolen := good
	stolen.Profile, _ = bob.SignProfile(root, "Alice", 3)
	if _, err := ParseCredential(root, stolen.Encode()); !errors.Is(err, ErrSignature) {
		t.Errorf("a name signed by another: %v", err)
	}
	renamed := good
	renamed.Profile.Name = "Admin"
	if _, err := ParseCredential(root, renamed.Encode()); !errors.Is(err, ErrSignature) {
		t.Errorf("a changed name: %v", err)
	}
	if _, err := ParseCredential(root, append(good.Encode(), 0)); !errors.Is(err, ErrFormat) {
		t.Errorf("a byte too many: %v", err)
	}
}

func TestLoginIsBoundToItsLink(t *testing.T) {
	exporter, user := seed(40), alice.User(root)
	sig := laptop.SignLogin(root, exporter, laptopID, user)
	if err := VerifyLogin(root, exporter, laptopID, user, laptop.Public(), sig); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"another link":   VerifyLogin(root, seed(41), laptopID, user, laptop.Public(), sig),
		"another server": VerifyLogin(other, exporter, laptopID, user, laptop.Public(), sig),
		"another device": VerifyLogin(root, exporter, DeviceID{}, user, laptop.Public(), sig),
		"another user":   VerifyLogin(root, exporter, laptopID, bob.User(root), laptop.Public(), sig),
		"another key":    VerifyLogin(root, exporter, laptopID, user, phone.Public(), sig),
	} {
		if !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	at := alice.SignRevocation(root, laptopID, 5)
	if err := VerifyRevocation(root, alice.Public(), laptopID, 5, at); err != nil {
		t.Error(err)
	}
	if VerifyRevocation(root, bob.Public(), laptopID, 5, at) == nil || VerifyRevocation(root, alice.Public(), laptopID, 6, at) == nil {
		t.Error("a revocation by another, or of another time, is accepted")
	}
}

func TestEnrolmentCode(t *testing.T) {
	code := EnrolmentCode(root, alice.User(root), laptopID, laptop.Public(), ClassNative)
	typed := code.String()
	if len(typed) != 19 || strings.Count(typed, "-") != 3 {
		t.Fatalf("%q is not four groups of four", typed)
	}
	for _, spelling := range []string{typed, strings.ToLower(typed), strings.ReplaceAll(typed, "-", " "),
		strings.ReplaceAll(typed, "0", "o"), strings.ReplaceAll(typed, "1", "l")} {
		back, err := ParseCode(spelling)
		if err != nil || !back.Equal(code) {
			t.Errorf("%q: %v", spelling, err)
		}
	}
	for _, bad := range []string{"", typed[:18], typed + "0", "U" + typed[1:]} {
		if _, err := ParseCode(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if EnrolmentCode(root, alice.User(root), laptopID, phone.Public(), ClassNative).Equal(code) {
		t.Error("another key has the same code")
	}
}

func TestSafetyNumber(t *testing.T) {
	a, b := Peer{alice.User(root), alice.Public()}, Peer{bob.User(root), bob.Public()}
	number := SafetyNumber(a, b)
	if number != SafetyNumber(b, a) {
		t.Fatal("the two sides see different numbers")
	}
	if len(number.Digits()) != 60 || len(strings.Fields(number.String())) != 12 {
		t.Fatalf("%q is not twelve groups of five", number)
	}
	changed := a
	changed.Identity = phone.Public()
	if SafetyNumber(changed, b) == number {
		t.Fatal("another key gives the same number")
	}
	if err := MatchQR(a, b, SafetyQR(b, a)); err != nil {
		t.Fatal(err)
	}
	if err := MatchQR(a, b, SafetyQR(changed, a)); !errors.Is(err, ErrMismatch) {
		t.Fatalf("the code of another: %v", err)
	}
	if err := MatchQR(a, b, []byte("hello")); !errors.Is(err, ErrFormat) {
		t.Fatalf("no code: %v", err)
	}
}

func TestStatements(t *testing.T) {
	kp := []byte("a key package")
	for _, s := range []*Statement{
		{Kind: StatementLeave, Group: group, User: alice.User(root), Device: laptopID, JoinID: stay},
		{Kind: StatementRevoke, Group: group, User: alice.User(root), Device: laptopID, JoinID: stay},
		{Kind: StatementRejoin, Group: group, User: alice.User(root), Device: laptopID, JoinID: stay, Seq: 4, Reason: ReasonLost, KeyPackage: kp},
		{Kind: StatementNack, Group: group, User: alice.User(root), Device: laptopID, JoinID: stay, Seq: 4, Entry: seed(1), KeyPackage: kp},
	} {
		if s.Kind == StatementRevoke {
			alice.SignStatement(root, s)
		} else {
			laptop.SignStatement(root, s)
		}
		back, err := DecodeStatement(s.Encode())
		if err != nil {
			t.Fatalf("kind %d: %v", s.Kind, err)
		}
		if err := back.Verify(root, laptop.Public(), alice.Public()); err != nil {
			t.Fatalf("kind %d: %v", s.Kind, err)
		}
		if back.Verify(root, phone.Public(), bob.Public()) == nil {
			t.Errorf("kind %d: accepted under other keys", s.Kind)
		}
		for i, change := range []func(s *Statement){
			func(s *Statement) { s.Group[0]++ }, func(s *Statement) { s.JoinID[0]++ }, func(s *Statement) { s.Device[0]++ },
			func(s *Statement) { s.Seq++ }, func(s *Statement) { s.Kind ^= 1 }, func(s *Statement) { s.Signature[0]++ },
		} {
			bent := *back
			change(&bent)
			if !errors.Is(bent.Verify(root, laptop.Public(), alice.Public()), ErrSignature) {
				t.Errorf("kind %d, change %d: accepted", s.Kind, i)
			}
		}
	}
}

func TestARevocationNeedsTheIdentityKey(t *testing.T) {
	s := &Statement{Kind: StatementRevoke, Group: group, User: alice.User(root), Device: laptopID}
	phone.SignStatement(root, s)
	if s.Verify(root, phone.Public(), alice.Public()) == nil {
		t.Error("a device revoked another one of its user")
	}
}

func TestNoticeNeedsTheRootsDelegate(t *testing.T) {
	_, delegate, _ := ed25519.GenerateKey(nil)
	n := &Notice{Kind: NoticeRetired, Group: group, User: alice.User(root), Device: laptopID, JoinID: stay}
	n.Delegation = SignDelegation(rootKey, PublicKey(delegate.Public().(ed25519.PublicKey)))
	SignNotice(root, delegate, n)
	back, err := DecodeNotice(n.Encode())
	if err != nil || back.Verify(root) != nil {
		t.Fatalf("round trip: %v", err)
	}
	bent := *back
	bent.JoinID[0]++
	if !errors.Is(bent.Verify(root), ErrSignature) {
		t.Error("a notice about another stay is accepted")
	}
	forged := *back
	forged.Delegation = Delegation{Delegate: bob.Public()}
	forged.Delegation.Signature = bob.sign(forged.Delegation.signed(root))
	forged.Signature = bob.sign(forged.signed(root))
	if !errors.Is(forged.Verify(root), ErrSignature) {
		t.Error("anybody can be the delegate")
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"Alice": "Alice", "  Ana   Maria ": "Ana Maria", "e\u0301va": "éva", "王小明": "王小明", "Zoë 🙂": "Zoë 🙂", "O'Brien-1": "O'Brien-1",
	} {
		if got, err := CheckName(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "   ", "a\x1b[2Jb", "bob\u202eecila", "a\u200bb", "\u3164", "x\u0300\u0301\u0302", strings.Repeat("x", 41), "a\xff", "\u0301x"} {
		if got, err := CheckName(bad); !errors.Is(err, ErrName) {
			t.Errorf("%q: accepted as %q", bad, got)
		}
	}
	for _, pair := range [][2]string{{"Alice", "АIice"}, {"paypal", "раураl"}, {"Bob", "B0b"}, {"modern", "modem"}, {"Ana", "Aná"}, {"Bob", "bob."}, {"Ａlice", "alice"}} {
		if !Confusable(pair[0], pair[1]) {
			t.Errorf("%q and %q are not marked: %q, %q", pair[0], pair[1], Skeleton(pair[0]), Skeleton(pair[1]))
		}
	}
	for _, pair := range [][2]string{{"Alice", "Bob"}, {"Ana", "Ann"}, {"王", "李"}} {
		if Confusable(pair[0], pair[1]) {
			t.Errorf("%q and %q are taken for each other", pair[0], pair[1])
		}
	}
}

// TestNormalForms is run for the browser too, which has tables of its own.
func TestNormalForms(t *testing.T) {
	for in, want := range map[string][2]string{
		"plain":              {"plain", "plain"},
		"Zoe\u0301":          {"Zo\u00e9", "Zoe\u0301"},
		"\u212b":             {"\u00c5", "A\u030a"},                            // the Angstrom sign is a letter
		"\u1112\u1161\u11ab": {"\ud55c", "\u1112\u1161\u11ab"},                 // Hangul composes by rule
		"q\u0307\u0323":      {"q\u0323\u0307", "q\u0323\u0307"},               // marks have an order
		"\u0958":             {"\u0915\u093c", "\u0915\u093c"},                 // excluded from composition
		"\ufb01\uff21\u2460": {"\ufb01\uff21\u2460", "fiA1"},                   // compatibility
		"\U0001d15e":         {"\U0001d157\U0001d165", "\U0001d157\U0001d165"}, // beyond 16 bits
	} {
		if got := [2]string{nfc(in), nfkd(in)}; got != want {
			t.Errorf("%+q: %+q, want %+q", in, got, want)
		}
	}
	// Composed in Unicode 16; our tables of letters are older, so both spellings
	// are refused whoever normalizes.
	for _, name := range []string{"\U000105c9", "\U000105d2\u0307"} {
		if got, err := CheckName(name); err == nil && got == name && unicode.Version < "16" {
			t.Errorf("%+q may be signed", name)
		}
	}
}

func TestLoginNames(t *testing.T) {
	if got, err := CanonicalLogin("Ali.Ce-1"); err != nil || got != "ali.ce-1" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "a", "1a", "аlice", "a b", strings.Repeat("a", 33), "a\n"} {
		if _, err := CanonicalLogin(bad); !errors.Is(err, ErrLogin) {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestPassword(t *testing.T) {
	salt := PasswordSalt(root, "alice", [16]byte{1})
	if salt == PasswordSalt(root, "bob", [16]byte{1}) || salt == PasswordSalt(other, "alice", [16]byte{1}) {
		t.Fatal("the salt does not depend on name and server")
	}
	auth, err := PasswordAuth("correct horse", salt, DefaultPasswordParams)
	if err != nil {
		t.Fatal(err)
	}
	verifier := PasswordVerifier(auth, [16]byte{2})
	if !CheckPassword(verifier, auth, [16]byte{2}) || CheckPassword(verifier, auth, [16]byte{3}) || CheckPassword(verifier, seed(0), [16]byte{2}) {
		t.Fatal("the verifier accepts what it should not, or the reverse")
	}
	weak := DefaultPasswordParams
	weak.MemoryKiB--
	if _, err := PasswordAuth("x", salt, weak); !errors.Is(err, ErrWeak) {
		t.Error("a server can ask for weaker hashing")
	}
	huge := DefaultPasswordParams
	huge.MemoryKiB = 2 << 20
	if _, err := PasswordAuth("x", salt, huge); !errors.Is(err, ErrWeak) {
		t.Error("a server can ask for 2 GiB")
	}
	if !errors.Is(DefaultPasswordParams.Check(PasswordParams{MemoryKiB: 128 << 10}), ErrWeak) {
		t.Error("a server can ask for less than before")
	}
	if again := FakeSalt(seed(1), "x"); again != FakeSalt(seed(1), "x") || FakeSalt(seed(1), "x") == FakeSalt(seed(1), "y") {
		t.Error("fake salts are not steady, or not distinct")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	secret := NewLinkSecret()
	for _, text := range []string{fmt.Sprint(alice, laptop, secret), fmt.Sprintf("%v %+v", alice, laptop), fmt.Sprintf("%#v", secret)} {
		if strings.ContainsAny(strings.ReplaceAll(text, "[redacted]", ""), "0123456789") {
			t.Errorf("a secret prints: %s", text)
		}
	}
}
