package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	mrand "math/rand/v2"
	"strings"
	"sync"
	"testing"
)

const testLabel = "SecureLink/1 test"

func newKey(t testing.TB) *Key {
	t.Helper()
	var k [32]byte
	rand.Read(k[:])
	return NewKey(k, testLabel)
}

// random is a source whose seed a failing test prints.
func random(t testing.TB) *mrand.Rand {
	t.Helper()
	seed := mrand.Uint64()
	t.Logf("seed %d", seed)
	return mrand.New(mrand.NewPCG(seed, 0))
}

// formula builds a box as the package comment says, with none of its code.
func formula(k [32]byte, label string, iv, plaintext, aad []byte) []byte {
	prk := hmac.New(sha256.New, make([]byte, 32))
	prk.Write(k[:])
	keys, err := hkdf.Expand(sha256.New, prk.Sum(nil), label, 64)
	if err != nil {
		panic(err)
	}
	pad := 16 - len(plaintext)%16
	body := append(bytes.Clone(plaintext), bytes.Repeat([]byte{byte(pad)}, pad)...)
	block, err := aes.NewCipher(keys[:32])
	if err != nil {
		panic(err)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(body, body)
	mac := hmac.New(sha256.New, keys[32:])
	mac.Write([]byte(label + "\x00"))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(aad))))
	mac.Write(aad)
	mac.Write(iv)
	mac.Write(body)
	return mac.Sum(append(bytes.Clone(iv), body...))
}

func TestFormula(t *testing.T) {
	r := random(t)
	for n := range 300 {
		var k [32]byte
		rand.Read(k[:])
		key := NewKey(k, testLabel)
		plaintext, aad := make([]byte, n), make([]byte, r.IntN(400))
		rand.Read(plaintext)
		rand.Read(aad)
		cut := r.IntN(len(aad) + 1)
		box := key.Seal([]byte("before"), plaintext, aad[:cut], aad[cut:])
		if !bytes.HasPrefix(box, []byte("before")) {
			t.Fatal("Seal does not append")
		}
		box = box[len("before"):]
		if want := formula(k, testLabel, box[:IVSize], plaintext, aad); !bytes.Equal(box, want) {
			t.Fatalf("%d bytes of plaintext, %d of aad: box is not by the formula", n, len(aad))
		}
		if len(box) != SealedLen(n) || len(box)-n > Overhead {
			t.Fatalf("%d bytes became %d", n, len(box))
		}
		got, err := key.Open([]byte("x"), box, aad)
		if err != nil || !bytes.Equal(got, append([]byte("x"), plaintext...)) {
			t.Fatalf("%d bytes do not open: %v", n, err)
		}
	}
}

func TestInPlace(t *testing.T) {
	key := newKey(t)
	buf := make([]byte, 3, 2000)
	copy(buf, "hdr")
	plain := buf[3+IVSize : 3+IVSize+900]
	for i := range plain {
		plain[i] = byte(i)
	}
	want := bytes.Clone(plain)
	box := key.Seal(buf, plain)
	if &box[0] != &buf[0] || string(box[:3]) != "hdr" {
		t.Fatal("the box is elsewhere")
	}
	got, err := key.OpenInPlace(box[3:])
	if err != nil || !bytes.Equal(got, want) {
		t.Fatal("what was sealed in place does not open", err)
	}
	if &got[0] != &box[3+IVSize] {
		t.Error("the plaintext is elsewhere")
	}
}

// Any change of anything is refused, and leaves no plaintext behind.
func TestRefused(t *testing.T) {
	var k [32]byte
	rand.Read(k[:])
	key := NewKey(k, testLabel)
	secret := []byte(strings.Repeat("attack at dawn. ", 4))
	aad := []byte("aad")
	box := key.Seal(nil, secret, aad)
	refused := func(what string, key *Key, box []byte, aad ...[]byte) {
		t.Helper()
		room := make([]byte, 0, len(secret)+64)
		out, err := key.Open(room, box, aad...)
		if err != ErrOpen || len(out) != 0 {
			t.Errorf("%s: %v, %d bytes", what, err, len(out))
		}
		if bytes.Contains(room[:cap(room)], []byte("attack")) {
			t.Errorf("%s: plaintext left in memory", what)
		}
		if _, err := key.OpenInPlace(bytes.Clone(box), aad...); err != ErrOpen {
			t.Errorf("%s in place: %v", what, err)
		}
	}
	for i := range box {
		for bit := range 8 {
			bad := bytes.Clone(box)
			bad[i] ^= 1 << bit
			refused(fmt.Sprintf("bit %d of byte %d", bit, i), key, bad, aad)
		}
		refused(fmt.Sprintf("cut to %d", i), key, box[:i], aad)
		refused(fmt.Sprintf("cut %d in front", i+1), key, box[i+1:], aad)
	}
	refused("extended", key, append(bytes.Clone(box), make([]byte, 16)...), aad)
	refused("extended by one", key, append(bytes.Clone(box), 0), aad)
	refused("no aad", key, box)
	refused("other aad", key, box, []byte("aae"))
	refused("longer aad", key, box, aad, []byte{0})
	refused("other label", NewKey(k, testLabel+"2"), box, aad)
	refused("label and aad moved", NewKey(k, testLabel+"x"), box, aad[1:])
	refused("other key", newKey(t), box, aad)
	if got, err := key.Open(nil, box, aad[:1], aad[1:]); err != nil || !bytes.Equal(got, secret) {
		t.Error("the control does not open", err)
	}
}

// Padding that is wrong under a right tag, which only a holder of the key can
// make, is refused with the same error.
func TestPadding(t *testing.T) {
	var k [32]byte
	rand.Read(k[:])
	key := NewKey(k, testLabel)
	keys, err := hkdf.Key(sha256.New, k[:], nil, testLabel, 64)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(keys[:32])
	if err != nil {
		t.Fatal(err)
	}
	boxOf := func(last []byte) []byte {
		iv := make([]byte, 16)
		body := append(make([]byte, 16), last...)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(body, body)
		mac := hmac.New(sha256.New, keys[32:])
		mac.Write([]byte(testLabel + "\x00"))
		mac.Write(make([]byte, 8))
		mac.Write(iv)
		mac.Write(body)
		return mac.Sum(append(iv, body...))
	}
	for n := range 256 {
		last := bytes.Repeat([]byte{byte(n)}, 16)
		got, err := key.Open(nil, boxOf(last))
		if right := n >= 1 && n <= 16; right != (err == nil) || right && len(got) != 32-n {
			t.Errorf("padding %d: %v", n, err)
		}
		for i := range 15 {
			last[i] ^= 1
			_, err := key.Open(nil, boxOf(last))
			if right := n >= 1 && n < 16-i; right != (err == nil) {
				t.Errorf("padding %d with another byte at %d: %v", n, i, err)
			}
			last[i] ^= 1
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	key := newKey(t)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				text := fmt.Appendf(nil, "%d of %d", i, g)
				got, err := key.Open(nil, key.Seal(nil, text))
				if err != nil || !bytes.Equal(got, text) {
					t.Errorf("%q became %q, %v", text, got, err)
				}
			}
		})
	}
	all.Wait()
}

// A box commits to its key: of a thousand keys, one opens it.
func TestCommits(t *testing.T) {
	key := newKey(t)
	box := key.Seal(nil, []byte("x"))
	for range 1000 {
		if _, err := newKey(t).Open(nil, box); err == nil {
			t.Fatal("another key opened the box")
		}
	}
	if _, err := key.Open(nil, box); err != nil {
		t.Fatal(err)
	}
}

func TestDistinctIVs(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 10_000
	}
	key := newKey(t)
	seen := make(map[[IVSize]byte]struct{}, n)
	var box []byte
	for range n {
		box = key.Seal(box[:0], nil)
		seen[[IVSize]byte(box)] = struct{}{}
	}
	if len(seen) != n {
		t.Errorf("%d IVs in %d boxes", len(seen), n)
	}
}

func TestNoAllocations(t *testing.T) {
	key := newKey(t)
	plain := make([]byte, 800)
	box := make([]byte, 0, SealedLen(len(plain)))
	out := make([]byte, 0, SealedLen(len(plain)))
	allocs := testing.AllocsPerRun(100, func() {
		var aad [13]byte
		box = key.Seal(box[:0], plain, aad[:], aad[:2])
		var err error
		if out, err = key.Open(out[:0], box, aad[:], aad[:2]); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations to seal and open", allocs)
	}
}

func TestKeyShowsNothing(t *testing.T) {
	key := NewKey([32]byte{0: 'S', 1: 'E', 2: 'C'}, testLabel)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, key); got != "[redacted]" {
			t.Errorf("%s shows %q", verb, got)
		}
	}
	for _, label := range []string{"", "a\x00b", "é"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("label %q was taken", label)
				}
			}()
			NewKey([32]byte{}, label)
		}()
	}
}

func FuzzOpen(f *testing.F) {
	key := NewKey([32]byte{1}, testLabel)
	f.Add(key.Seal(nil, nil), []byte{})
	f.Add(key.Seal(nil, []byte("hello"), []byte("aad")), []byte("aad"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, box, aad []byte) {
		out, err := key.Open(nil, box, aad)
		if err == nil && !bytes.Equal(formula([32]byte{1}, testLabel, box[:IVSize], out, aad), box) {
			t.Error("a box opened that sealing does not make")
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	for _, n := range []int{32, 272, 800, 4096, 65536} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			key := newKey(b)
			plain, box := make([]byte, n), make([]byte, 0, SealedLen(n))
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				var aad [13]byte
				box = key.Seal(box[:0], plain, aad[:])
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{272, 800, 65536} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			key := newKey(b)
			box, out := key.Seal(nil, make([]byte, n)), make([]byte, 0, SealedLen(n))
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := key.Open(out, box); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParts is what sealing cannot be faster than: the standard library's
// CBC and HMAC over the same bytes, with keys that are ready.
func BenchmarkParts(b *testing.B) {
	for _, n := range []int{32, 272, 800, 4096, 65536} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			block, err := aes.NewCipher(make([]byte, 32))
			if err != nil {
				b.Fatal(err)
			}
			iv, sum := make([]byte, 16), make([]byte, 0, 32)
			cbc := cipher.NewCBCEncrypter(block, iv).(settable)
			mac := hmac.New(sha256.New, make([]byte, 32))
			body := make([]byte, n/16*16+16)
			head := make([]byte, len(testLabel)+1+8+13+16)
			b.SetBytes(int64(n))
			for b.Loop() {
				cbc.SetIV(iv)
				cbc.CryptBlocks(body, body)
				mac.Reset()
				mac.Write(head)
				mac.Write(body)
				sum = mac.Sum(sum[:0])
			}
		})
	}
}

func BenchmarkNewKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewKey([32]byte{1}, testLabel)
	}
}
