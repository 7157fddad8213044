package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/securelink-chat/securelink/wire"
)

const (
	keptEntries = 1000 // of a room, as the server delivered them
	refillPage  = 200
	refillBytes = 200 << 10
)

// errNotTaken says that entries cannot be given back.
var errNotTaken = errors.New("client: the server does not take the entries back")

// keepRaw keeps an entry as it came, so that it can be given back.
func (c *chat) keepRaw(b *batch, entry wire.Entry) {
	raw, err := wire.Encode(&entry)
	if err != nil {
		return // it did not come from a server of ours
	}
	b.add(Put{Key: key(keyRaw, c.id[:], number(entry.Seq)), Value: raw})
	if entry.Seq > keptEntries {
		b.add(drop(key(keyRaw, c.id[:], number(entry.Seq-keptEntries))))
	}
}

// giveBack hands the next entries after a place to the server.
func (c *chat) giveBack(ctx context.Context, s *session, after, upTo uint64) error {
	pairs, err := c.e.cfg.Storage.Load(ctx, Range{
		Prefix: key(keyRaw, c.id[:]), After: key(keyRaw, c.id[:], number(after)), Before: key(keyRaw, c.id[:], number(upTo+1)), Limit: refillPage,
	})
	if err != nil {
		return err
	}
	request, size := wire.Refill{Room: c.id}, 0
	for _, p := range pairs {
		entry, err := wire.RawEntry(p.Value).Decode()
		if err != nil {
			return fmt.Errorf("client: damaged entry: %w", err)
		}
		if entry.Seq != after+1+uint64(len(request.Entries)) || size > refillBytes {
			break
		}
		if entry.PayloadBlob != nil {
			if _, err := putBlob(ctx, s, c.id, entry.Payload); err != nil {
				return err
			}
			entry.Payload = nil
		}
		raw, err := wire.Encode(&entry)
		if err != nil {
			return err
		}
		request.Entries, size = append(request.Entries, raw), size+len(raw)
	}
	if len(request.Entries) == 0 {
		return errNotTaken
	}
	err = s.call(ctx, wire.Key{}, request, nil)
	var refused *wire.Error
	switch {
	case err == nil:
		c.mu.Lock()
		c.healing.republish = true
		c.mu.Unlock()
	case errors.As(err, &refused) && refused.Code == wire.Stale:
		return nil // somebody else is giving back too: look again
	case refused != nil && refused.Code.Hint() == wire.HintNever:
		return errNotTaken
	}
	return err
}

// comeBack takes this device's place in the room again: when its account was
// lost with the backup and the members have given back the entry that brought
// it in, or when the room was lost and this device has made it.
func (c *chat) comeBack(ctx context.Context, s *session) (bool, error) {
	err := c.routeMe(ctx, s)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, wire.Refuse(wire.NotFound)) {
		return false, err
	}
	c.mu.Lock()
	request := wire.CreateRoom{Room: c.id, Kind: wire.RoomKind(c.rec.Kind)}
	if peer := c.rec.Peer; request.Kind == wire.RoomDirect {
		request.Peer = &peer
	}
	again := c.rec.Founder && c.healing.away == "" // once is enough: if it is there, others are in it
	c.mu.Unlock()
	if again {
		err := s.call(ctx, wire.Key{}, request, nil)
		var refused *wire.Error
		if !errors.As(err, &refused) {
			return err == nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	const why = "The restored server does not know that this device is in the room. It waits until another member gives that back."
	if c.healing.away != why {
		c.healing.away = why
		c.notifyLocked()
	}
	return false, nil
}

// renew gives strangers what they join by anew, after entries were given back:
// the server may have that of an earlier epoch.
func (c *chat) renew(ctx context.Context, s *session) error {
	c.mu.Lock()
	due := c.healing.republish
	c.healing.republish = false
	c.mu.Unlock()
	if !due {
		return nil
	}
	err := c.publish(ctx, s)
	if errors.Is(err, errOffline) {
		return err
	}
	if err != nil {
		c.e.log(LogInfo, "publish after a restore", "room", c.id.String(), "error", err.Error())
	}
	return nil
}
