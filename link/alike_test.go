package link

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"testing"
	"time"
)

// wrongRecords are records of one length that a receiver refuses for different
// reasons. Those after the first two are by someone who has the key.
func wrongRecords(t testing.TB, h *half) map[string][]byte {
	t.Helper()
	good := crafted(h, plaintext(typeData, 10, 256))
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	tail := plaintext(typeData, 10, 256)
	tail[255] = 1
	return map[string][]byte{
		"first byte of the tag": flip(len(good) - 32),
		"last byte of the tag":  flip(len(good) - 1),
		"padding of the box":    badPadding(t, h, plaintext(typeData, 10, 256)),
		"type":                  crafted(h, plaintext(9, 10, 256)),
		"length":                crafted(h, plaintext(typeData, 1<<31, 256)),
		"zeros":                 crafted(h, tail),
	}
}

// badPadding seals plain by hand, with padding that is none under a right tag.
func badPadding(t testing.TB, h *half, plain []byte) []byte {
	t.Helper()
	keys, err := hkdf.Key(sha256.New, h.k[:], nil, labelRecord, 64)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(keys[:32])
	if err != nil {
		t.Fatal(err)
	}
	iv := make([]byte, 16)
	body := append(bytes.Clone(plain), bytes.Repeat([]byte{17}, 16)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(body, body)
	aad := h.aad()
	mac := hmac.New(sha256.New, keys[32:])
	mac.Write([]byte(labelRecord + "\x00"))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(aad))))
	mac.Write(aad[:])
	mac.Write(iv)
	mac.Write(body)
	return mac.Sum(append(iv, body...))
}

// Whatever is wrong, what comes out is the same and nothing has moved on.
func TestWrongRecordsLookAlike(t *testing.T) {
	out, in, _ := ends(clientToServer)
	if _, _, ok := in.open(crafted(&out, plaintext(typeData, 10, 256)), time.Now()); !ok {
		t.Fatal("the control is refused")
	}
	out.seq++
	was := in
	for name, frame := range wrongRecords(t, &out) {
		typ, payload, ok := in.open(bytes.Clone(frame), time.Now())
		if ok || typ != 0 || payload != nil || in != was {
			t.Errorf("%s: %v, type %d, %d bytes", name, ok, typ, len(payload))
		}
	}
}

// BenchmarkWrongRecords compares the times of refusing by Welch's t, each kind
// against a wrong first byte of the tag; the metric is the largest. Above 4.5
// kinds could be told apart by that many samples.
func BenchmarkWrongRecords(b *testing.B) {
	out, in, _ := ends(clientToServer)
	r := random(b)
	var names []string
	var frames [][]byte
	for name, frame := range wrongRecords(b, &out) {
		names, frames = append(names, name), append(frames, frame)
	}
	stats := make([]welch, len(names))
	now := time.Now()
	buf := make([]byte, len(frames[0]))
	for b.Loop() {
		kind := r.IntN(len(frames))
		copy(buf, frames[kind])
		start := time.Now()
		in.open(buf, now)
		if took := time.Since(start); took < 10*time.Microsecond { // else it was interrupted
			stats[kind].add(float64(took))
		}
	}
	base := 0
	for i, name := range names {
		if name == "first byte of the tag" {
			base = i
		}
	}
	worst := 0.0
	for i := range stats {
		t := math.Abs(stats[i].against(stats[base]))
		b.Logf("%-22s mean %.1f ns, t %.1f", names[i], stats[i].mean, t)
		worst = max(worst, t)
	}
	b.ReportMetric(worst, "largest-t")
}

// welch gathers a mean and a variance.
type welch struct{ n, mean, m2 float64 }

func (w *welch) add(x float64) {
	w.n++
	d := x - w.mean
	w.mean += d / w.n
	w.m2 += d * (x - w.mean)
}

func (w welch) against(o welch) float64 {
	if w.n < 2 || o.n < 2 || w == o {
		return 0
	}
	return (w.mean - o.mean) / math.Sqrt(w.m2/(w.n-1)/w.n+o.m2/(o.n-1)/o.n)
}
