package seal

import (
	"encoding/binary"
	"errors"
	"io"
)

// ChunkSize is how much of a file one box holds. Every chunk but the last has
// exactly this much; the last one has less or as much, and is empty only in an
// empty file.
const ChunkSize = 64 << 10

// chunkBox is the length of a full chunk's box.
const chunkBox = IVSize + ChunkSize + 16 + TagSize

// errClosed is what a [Writer] says after Close.
var errClosed = errors.New("seal: write after close")

// chunkAAD is file[16] | u64 index | u8 last.
func chunkAAD(file [16]byte, index uint64, last bool) (aad [25]byte) {
	copy(aad[:], file[:])
	binary.BigEndian.PutUint64(aad[16:], index)
	if last {
		aad[24] = 1
	}
	return aad
}

// SealChunk appends to dst the box of one chunk of a file: at most [ChunkSize]
// bytes, and exactly that many unless it is the last. It panics otherwise.
func (k *Key) SealChunk(dst, plaintext []byte, file [16]byte, index uint64, last bool) []byte {
	if !chunkLen(len(plaintext), index, last) {
		panic("seal: chunk of a wrong length")
	}
	aad := chunkAAD(file, index, last)
	return k.Seal(dst, plaintext, aad[:])
}

// OpenChunk appends to dst the plaintext of one chunk of a file; [ErrOpen] if it
// is not exactly that chunk of that file.
func (k *Key) OpenChunk(dst, box []byte, file [16]byte, index uint64, last bool) ([]byte, error) {
	if len(box) > chunkBox {
		return dst, ErrOpen
	}
	aad := chunkAAD(file, index, last)
	out, err := k.Open(dst, box, aad[:])
	if err != nil || !chunkLen(len(out)-len(dst), index, last) {
		return dst, ErrOpen
	}
	return out, nil
}

// chunkLen says whether a chunk may hold n bytes. A file has one form only: an
// empty last chunk after full ones would be a second.
func chunkLen(n int, index uint64, last bool) bool {
	if !last {
		return n == ChunkSize
	}
	return n <= ChunkSize && (n > 0 || index == 0)
}

// Writer seals a stream in chunks. It holds one chunk and one box.
type Writer struct {
	w     io.Writer
	key   *Key
	file  [16]byte
	index uint64
	plain []byte
	box   []byte
	err   error
}

// NewWriter makes a Writer of the file's chunks to w. An id must be used once
// under a key. The stream is complete only after Close, which does not close w.
func NewWriter(w io.Writer, k *Key, file [16]byte) *Writer {
	return &Writer{w: w, key: k, file: file, plain: make([]byte, 0, ChunkSize), box: make([]byte, 0, chunkBox)}
}

// Write takes all of p, or says why w did not. A full chunk waits until more
// comes, because it may be the last.
func (w *Writer) Write(p []byte) (int, error) {
	done := 0
	for w.err == nil && len(p) > 0 {
		if len(w.plain) == ChunkSize {
			w.flush(false)
			continue
		}
		n := min(len(p), ChunkSize-len(w.plain))
		w.plain = append(w.plain, p[:n]...)
		p, done = p[n:], done+n
	}
	return done, w.err
}

// Close writes the last chunk. It forgets the plaintext.
func (w *Writer) Close() error {
	if w.err == nil {
		w.flush(true)
	}
	clear(w.plain[:cap(w.plain)])
	if w.err != nil {
		return w.err
	}
	w.err = errClosed
	return nil
}

func (w *Writer) flush(last bool) {
	w.box = w.key.SealChunk(w.box[:0], w.plain, w.file, w.index, last)
	w.plain = w.plain[:0]
	w.index++
	_, w.err = w.w.Write(w.box)
}

// Reader opens what a [Writer] wrote, in the memory of one chunk.
type Reader struct {
	r     io.Reader
	key   *Key
	file  [16]byte
	index uint64
	boxes []byte // one box and the first byte of the next
	held  int    // bytes of boxes that are filled
	plain []byte // opened and not yet read, within boxes
	err   error
}

// NewReader makes a Reader of the file's chunks in r.
func NewReader(r io.Reader, k *Key, file [16]byte) *Reader {
	return &Reader{r: r, key: k, file: file, boxes: make([]byte, chunkBox+1)}
}

// Read hands out only what has been verified. It returns io.EOF after the
// chunk that is marked as the last and nothing after it; [ErrOpen] if anything
// was changed, cut off, put in another order or added; and r's own error.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.plain) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.next()
	}
	n := copy(p, r.plain)
	clear(r.plain[:n])
	r.plain = r.plain[n:]
	return n, nil
}

// next opens the next chunk. Whether it is the last shows in whether a byte
// follows it.
func (r *Reader) next() {
	n, err := io.ReadFull(r.r, r.boxes[r.held:])
	r.held += n
	last := err == io.EOF || err == io.ErrUnexpectedEOF
	if err != nil && !last {
		r.err = err
		return
	}
	box := r.boxes[:min(r.held, chunkBox)]
	following := r.boxes[chunkBox]
	aad := chunkAAD(r.file, r.index, last)
	plain, err := r.key.OpenInPlace(box, aad[:])
	if err != nil || !chunkLen(len(plain), r.index, last) {
		r.err = ErrOpen
		return
	}
	r.plain = plain
	r.index++
	if last {
		r.err = io.EOF
		return
	}
	r.boxes[0], r.held = following, 1 // where the IV was: the plaintext begins after it
}
