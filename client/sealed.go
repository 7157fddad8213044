package client

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/securelink-chat/securelink/mls"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// chainRecord is the log's hash chain before an entry and with it.
type chainRecord struct {
	_              struct{} `cbor:",toarray"`
	Previous, Hash room.Hash
}

// keepChain notes where a message stands in the chain. The caller holds mu.
func (c *chat) keepChain(b *batch, entry wire.Entry, previous room.Hash) {
	if entry.Kind != wire.EntryMessage {
		return
	}
	_, now := c.state.Position()
	b.add(put(key(keyChain, c.id[:], number(entry.Seq)), chainRecord{Previous: previous, Hash: now}))
}

// sealed asks the server for a message once more and shows it as it came: what
// it holds, not what this device remembers of it.
func (c *chat) sealed(ctx context.Context, message string) (*Sealed, error) {
	gone := &Problem{Code: ProblemGone, Text: "The server does not hold this message for this device.", Hint: "It may be older than this device's place in the room."}
	raw, err := hex.DecodeString(message)
	if err != nil || len(raw) != len(room.MessageID{}) {
		return nil, gone
	}
	c.mu.Lock()
	item, cursor, found, err := c.byID(ctx, c.newBatch(), room.MessageID(raw))
	seq, held := c.entryAt(cursor)
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if !found || !held {
		return nil, gone
	}
	s, err := c.e.online(ctx)
	if err != nil {
		return nil, err
	}
	var page wire.SyncOK
	if err := s.call(ctx, wire.Key{}, wire.Sync{Room: c.id, After: seq - 1, Limit: 1}, &page); err != nil {
		return nil, err
	}
	entries, err := c.decode(ctx, s, page.Entries)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 || entries[0].Seq != seq {
		return nil, gone
	}
	entry := entries[0]
	sealed := &Sealed{
		Room: c.id.String(), ID: message, Seq: seq, Time: int64(entry.Time), Kind: "message", Suite: suiteWords,
		Sender: item.User.String(), Device: entry.Device.String(), Payload: entry.Payload, Body: entry.Body,
		Text: item.Text, PlainSize: len(item.Text),
	}
	if header, err := mls.Peek(entry.Payload); err == nil {
		sealed.Epoch = header.Epoch
	}
	var chain chainRecord
	if found, err := get(ctx, c.e.cfg.Storage, key(keyChain, c.id[:], number(seq)), &chain); err != nil {
		return nil, err
	} else if found {
		sealed.Previous, sealed.Hash = fmt.Sprintf("%x", chain.Previous), fmt.Sprintf("%x", chain.Hash)
	}
	return sealed, nil
}
