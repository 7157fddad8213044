package seal

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/cryptotest"
)

var update = flag.Bool("update", false, "write the vectors again")

const vectorsFile = "../doc/vectors/seal.json"

// sealVectors is doc/vectors/seal.json.
type sealVectors struct {
	Boxes   []boxVector   `json:"boxes"`
	Refused []boxVector   `json:"refused"`
	Chunks  []chunkVector `json:"chunks"`
}

type boxVector struct {
	Why       string `json:"why,omitempty"` // it is refused
	Key       string `json:"key"`
	Label     string `json:"label"`
	AAD       string `json:"aad"`
	Plaintext string `json:"plaintext,omitempty"`
	Box       string `json:"box"`
}

type chunkVector struct {
	Key       string `json:"key"`
	Label     string `json:"label"`
	File      string `json:"file"`
	Index     uint64 `json:"index"`
	Last      bool   `json:"last"`
	Plaintext string `json:"plaintext"` // hex, or "count N"
	IV        string `json:"iv"`
	SHA256    string `json:"sha256"` // of the box
}

// counted is the plaintext that a chunk vector means.
func counted(t *testing.T, s string) []byte {
	t.Helper()
	number, isCount := strings.CutPrefix(s, "count ")
	if !isCount {
		return unhex(t, s)
	}
	var n int
	if _, err := fmt.Sscan(number, &n); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMakeVectors makes the vectors from a fixed seed, if it is told to.
func TestMakeVectors(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	cryptotest.SetGlobalRandom(t, 2)
	var k [32]byte
	rand.Read(k[:])
	key, label := NewKey(k, testLabel), testLabel
	var v sealVectors
	vector := func(plaintext, aad []byte) boxVector {
		return boxVector{
			Key: hex.EncodeToString(k[:]), Label: label, AAD: hex.EncodeToString(aad),
			Plaintext: hex.EncodeToString(plaintext), Box: hex.EncodeToString(key.Seal(nil, plaintext, aad)),
		}
	}
	for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 255, 800} {
		v.Boxes = append(v.Boxes, vector(counted(t, fmt.Sprint("count ", n)), counted(t, fmt.Sprint("count ", n/3))))
	}
	refuse := func(why string, mutate func(*boxVector, []byte) []byte) {
		b := vector([]byte("refused"), []byte("aad"))
		b.Why, b.Plaintext = why, ""
		b.Box = hex.EncodeToString(mutate(&b, unhex(t, b.Box)))
		v.Refused = append(v.Refused, b)
	}
	flip := func(at int) func(*boxVector, []byte) []byte {
		return func(_ *boxVector, box []byte) []byte { box[(at+len(box))%len(box)] ^= 1; return box }
	}
	refuse("iv", flip(0))
	refuse("ciphertext", flip(IVSize))
	refuse("tag", flip(-1))
	refuse("cut", func(_ *boxVector, box []byte) []byte { return box[:len(box)-1] })
	refuse("cut to the tag", func(_ *boxVector, box []byte) []byte { return box[:48] })
	refuse("longer", func(_ *boxVector, box []byte) []byte { return append(box, make([]byte, 16)...) })
	refuse("nothing", func(*boxVector, []byte) []byte { return nil })
	refuse("aad", func(b *boxVector, box []byte) []byte { b.AAD += "00"; return box })
	refuse("label", func(b *boxVector, box []byte) []byte { b.Label += "2"; return box })
	refuse("key", func(b *boxVector, box []byte) []byte { b.Key = "00" + b.Key[2:]; return box })
	file := [16]byte{15: 9}
	for _, c := range []chunkVector{
		{Index: 0, Last: true, Plaintext: ""}, {Index: 0, Last: true, Plaintext: "count 5"},
		{Index: 0, Last: false, Plaintext: fmt.Sprint("count ", ChunkSize)},
		{Index: 1, Last: true, Plaintext: fmt.Sprint("count ", ChunkSize)},
		{Index: 1 << 40, Last: true, Plaintext: "count 17"},
	} {
		c.Key, c.Label, c.File = hex.EncodeToString(k[:]), label, hex.EncodeToString(file[:])
		box := key.SealChunk(nil, counted(t, c.Plaintext), file, c.Index, c.Last)
		sum := sha256.Sum256(box)
		c.IV, c.SHA256 = hex.EncodeToString(box[:IVSize]), hex.EncodeToString(sum[:])
		v.Chunks = append(v.Chunks, c)
	}
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorsFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestVectors(t *testing.T) {
	b, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v sealVectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Boxes) == 0 || len(v.Refused) == 0 || len(v.Chunks) == 0 {
		t.Fatal("vectors are missing")
	}
	open := func(b boxVector) ([]byte, error) {
		return NewKey([32]byte(unhex(t, b.Key)), b.Label).Open(nil, unhex(t, b.Box), unhex(t, b.AAD))
	}
	for i, b := range v.Boxes {
		if got, err := open(b); err != nil || !bytes.Equal(got, unhex(t, b.Plaintext)) {
			t.Errorf("box %d: %x, %v", i, got, err)
		}
	}
	for _, b := range v.Refused {
		if _, err := open(b); err != ErrOpen {
			t.Errorf("%s: %v", b.Why, err)
		}
	}
	for i, c := range v.Chunks {
		aad := chunkAAD([16]byte(unhex(t, c.File)), c.Index, c.Last)
		k, plaintext := [32]byte(unhex(t, c.Key)), counted(t, c.Plaintext)
		box := formula(k, c.Label, unhex(t, c.IV), plaintext, aad[:])
		if sum := sha256.Sum256(box); hex.EncodeToString(sum[:]) != c.SHA256 {
			t.Errorf("chunk %d: another box", i)
		}
		got, err := NewKey(k, c.Label).OpenChunk(nil, box, [16]byte(unhex(t, c.File)), c.Index, c.Last)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("chunk %d: %v", i, err)
		}
	}
}
