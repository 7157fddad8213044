package seal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

var fileA, fileB = [16]byte{1}, [16]byte{2}

// sealFile is the stream of a file of n random bytes.
func sealFile(t *testing.T, key *Key, file [16]byte, n int) (content, sealed []byte) {
	t.Helper()
	content = make([]byte, n)
	rand.Read(content)
	var out bytes.Buffer
	w := NewWriter(&out, key, file)
	// In pieces that are not the chunks'.
	for piece := range slices.Chunk(content, 10_007) {
		if n, err := w.Write(piece); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("wrote after Close")
	}
	return content, out.Bytes()
}

var fileSizes = []int{0, 1, ChunkSize - 1, ChunkSize, ChunkSize + 1, 2 * ChunkSize, 3*ChunkSize + 17}

func TestFiles(t *testing.T) {
	key := newKey(t)
	for _, n := range fileSizes {
		content, sealed := sealFile(t, key, fileA, n)
		for name, r := range map[string]io.Reader{
			"whole":  bytes.NewReader(sealed),
			"halves": iotest.HalfReader(bytes.NewReader(sealed)),
			"early":  iotest.DataErrReader(bytes.NewReader(sealed)),
		} {
			got, err := io.ReadAll(NewReader(r, key, fileA))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %s: %d came back, %v", n, name, len(got), err)
			}
		}
		// The chunks are those that SealChunk makes.
		var byHand []byte
		for i, box := range slices.Collect(slices.Chunk(sealed, chunkBox)) {
			var err error
			if byHand, err = key.OpenChunk(byHand, box, fileA, uint64(i), (i+1)*chunkBox >= len(sealed)); err != nil {
				t.Fatalf("%d bytes, chunk %d: %v", n, i, err)
			}
		}
		if !bytes.Equal(byHand, content) {
			t.Errorf("%d bytes: chunks by hand differ", n)
		}
	}
}

func TestFilesRefused(t *testing.T) {
	key := newKey(t)
	content, sealed := sealFile(t, key, fileA, 3*ChunkSize+17)
	_, other := sealFile(t, key, fileB, 3*ChunkSize+17)
	chunk := func(b []byte, i int) []byte { return b[i*chunkBox : min((i+1)*chunkBox, len(b))] }
	c := func(chunks ...[]byte) []byte { return slices.Concat(chunks...) }
	s0, s1, s2, s3 := chunk(sealed, 0), chunk(sealed, 1), chunk(sealed, 2), chunk(sealed, 3)
	flipped := bytes.Clone(sealed)
	flipped[2*chunkBox+100] ^= 1
	for name, tampered := range map[string][]byte{
		"nothing":            {},
		"cut at a border":    c(s0, s1, s2),
		"cut to one":         c(s0),
		"cut in a chunk":     sealed[:len(sealed)-1],
		"cut after a byte":   sealed[:chunkBox+1],
		"extended":           c(sealed, []byte{0}),
		"extended by chunk":  c(sealed, s3),
		"swapped":            c(s1, s0, s2, s3),
		"repeated":           c(s0, s0, s1, s2, s3),
		"left out":           c(s0, s2, s3),
		"of another file":    c(s0, chunk(other, 1), s2, s3),
		"last of another":    c(s0, s1, s2, chunk(other, 3)),
		"last only":          s3,
		"flipped":            flipped,
		"whole of another":   other,
		"forged last mark":   c(s0, key.SealChunk(nil, content[:10], fileA, 1, true), s2),
		"empty chunk at end": c(s0, key.Seal(nil, nil, aadOf(fileA, 1, true))),
		"short chunk inside": c(key.Seal(nil, content[:10], aadOf(fileA, 0, false)), s1, s2, s3),
	} {
		got, err := io.ReadAll(NewReader(bytes.NewReader(tampered), key, fileA))
		if err != ErrOpen {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.HasPrefix(content, got) {
			t.Errorf("%s: read %d bytes that are not the file's", name, len(got))
		}
	}
	broken := errors.New("broken disk")
	if _, err := io.ReadAll(NewReader(io.MultiReader(bytes.NewReader(s0), iotest.ErrReader(broken)), key, fileA)); err != broken {
		t.Errorf("the reader's own error came as %v", err)
	}
	if got, err := io.ReadAll(NewReader(bytes.NewReader(c(s0, s1, s2, s3)), key, fileA)); err != nil || !bytes.Equal(got, content) {
		t.Error("the control does not open", err)
	}
}

func aadOf(file [16]byte, index uint64, last bool) []byte {
	aad := chunkAAD(file, index, last)
	return aad[:]
}

func TestChunkLengths(t *testing.T) {
	key := newKey(t)
	for name, c := range map[string]struct {
		n     int
		index uint64
		last  bool
	}{
		"short":      {ChunkSize - 1, 0, false},
		"long":       {ChunkSize + 1, 0, true},
		"empty tail": {0, 1, true},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: sealed", name)
				}
			}()
			key.SealChunk(nil, make([]byte, c.n), fileA, c.index, c.last)
		}()
	}
}

// A stream takes the memory of a chunk, however long it is.
func TestStreamMemory(t *testing.T) {
	key := newKey(t)
	stream := func(chunks int) float64 {
		content := make([]byte, ChunkSize)
		return testing.AllocsPerRun(1, func() {
			pr, pw := io.Pipe()
			go func() {
				w := NewWriter(pw, key, fileA)
				for range chunks {
					w.Write(content)
				}
				pw.CloseWithError(w.Close())
			}()
			if n, err := io.Copy(io.Discard, NewReader(pr, key, fileA)); err != nil || n != int64(chunks*ChunkSize) {
				t.Error(n, err)
			}
		})
	}
	few, many := stream(4), stream(64)
	if many > few+30 { // the runtime's own allocations vary
		t.Errorf("%v allocations for 4 chunks, %v for 64", few, many)
	}
}

func FuzzReader(f *testing.F) {
	key := NewKey([32]byte{1}, testLabel)
	f.Add(key.SealChunk(nil, nil, fileA, 0, true))
	f.Add(key.SealChunk(nil, []byte("hello"), fileA, 0, true))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		got, err := io.ReadAll(NewReader(bytes.NewReader(sealed), key, fileA))
		if err == nil && len(sealed) > chunkBox && len(got) <= ChunkSize {
			t.Errorf("%d bytes opened to %d", len(sealed), len(got))
		}
	})
}
