package client

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/securelink-chat/securelink/wire"
)

const maxBlob = 8 << 20 // of a tree or a commit that a server may send

// inline is the size up to which bytes lie in a request itself.
func (s *session) inline() int {
	limits := wire.LimitsFrom(s.hello.Limits)
	return limits.Get(wire.InlineBytes)
}

// part makes what carries bytes in a request: themselves, or the name of a
// blob that was stored first. Nothing at all is nil.
func part(ctx context.Context, s *session, room wire.RoomID, data []byte) (*wire.Part, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if len(data) <= s.inline() {
		return &wire.Part{Data: data}, nil
	}
	hash, err := putBlob(ctx, s, room, data)
	return &wire.Part{Blob: &hash}, err
}

// whole returns the bytes that a part stands for.
func whole(ctx context.Context, s *session, room wire.RoomID, p *wire.Part, link *wire.Link) ([]byte, error) {
	switch {
	case p == nil:
		return nil, nil
	case p.Blob != nil:
		return getBlob(ctx, s, room, *p.Blob, link)
	}
	return p.Data, nil
}

// putBlob stores bytes chunk by chunk under their hash.
func putBlob(ctx context.Context, s *session, room wire.RoomID, data []byte) (wire.Hash, error) {
	hash := wire.Hash(sha256.Sum256(data))
	limits := wire.LimitsFrom(s.hello.Limits)
	size := limits.Get(wire.ChunkBytes)
	for index := 0; index*size < len(data); index++ {
		chunk := data[index*size : min((index+1)*size, len(data))]
		var answer wire.PutBlobOK
		err := s.call(ctx, wire.Key{}, wire.PutBlob{Room: room, Hash: hash, Size: uint64(len(data)), Index: uint(index), Data: chunk}, &answer)
		if err != nil {
			return hash, err
		}
		if answer.Complete {
			break
		}
	}
	return hash, nil
}

// getBlob fetches the bytes of that hash, and nothing else.
func getBlob(ctx context.Context, s *session, room wire.RoomID, hash wire.Hash, link *wire.Link) ([]byte, error) {
	var data []byte
	for index := uint(0); ; index++ {
		var chunk wire.GetBlobOK
		if err := s.call(ctx, wire.Key{}, wire.GetBlob{Room: room, Hash: hash, Index: index, Link: link}, &chunk); err != nil {
			return nil, err
		}
		if chunk.Size > maxBlob || len(chunk.Data) == 0 || len(data)+len(chunk.Data) > int(chunk.Size) {
			return nil, errProtocol
		}
		data = append(data, chunk.Data...)
		if len(data) == int(chunk.Size) {
			break
		}
	}
	if sha256.Sum256(data) != hash {
		return nil, fmt.Errorf("%w: a blob of another hash", errProtocol)
	}
	return data, nil
}
