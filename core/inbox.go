package core

import (
	"context"
	"crypto/sha256"

	"github.com/securelink-chat/securelink/wire"
)

func (c *conn) doListWelcomes(ctx context.Context, req *wire.ListWelcomes) (any, error) {
	const page = 100
	list, err := c.s.store.Welcomes(ctx, c.device, req.After, page+1, c.s.limits.Get(wire.SyncBytes))
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return wire.ListWelcomesOK{}, nil
	}
	list = list[:min(page, len(list))]
	rest, err := c.s.store.Welcomes(ctx, c.device, list[len(list)-1].ID, 1, 1)
	return wire.ListWelcomesOK{Welcomes: list, More: len(rest) > 0}, err
}

func (c *conn) doAckWelcomes(_ context.Context, req *wire.AckWelcomes) (any, error) {
	var changes []Change
	for _, id := range req.IDs {
		changes = append(changes, DropWelcome{Device: c.device, ID: id})
	}
	if len(changes) == 0 {
		return wire.Empty{}, nil
	}
	return wire.Empty{}, c.s.writer.commit(changes...)
}

// mayOffer holds what strangers would join a room by against its bounds, and
// takes a handshake from the device's budget. No tree is nil.
func (c *conn) mayOffer(ctx context.Context, room wire.RoomID, info []byte, tree *wire.Part) error {
	if len(info) > c.s.limits.Get(wire.InlineBytes) {
		return wire.RefuseSize(wire.InlineBytes)
	}
	if err := c.checkPart(tree); err != nil {
		return err
	}
	if err := c.state.spendHandshake(room, c.s.limits); err != nil {
		return err
	}
	return c.s.complete(ctx, room, blobOf(tree))
}

// doPutGroupInfo stores what strangers join by, for the newest epoch only.
func (c *conn) doPutGroupInfo(ctx context.Context, req *wire.PutGroupInfo) (any, error) {
	if len(req.GroupInfo) == 0 {
		return nil, wire.Refuse(wire.Malformed)
	}
	if err := c.mayOffer(ctx, req.Room, req.GroupInfo, req.Tree); err != nil {
		return nil, err
	}
	var link wire.LinkID
	if req.Link != nil {
		rec, ok, err := c.s.store.Link(ctx, *req.Link)
		if err != nil {
			return nil, err
		}
		if !ok || rec.Room != req.Room {
			return nil, wire.Refuse(wire.NotFound)
		}
		link = *req.Link
	}
	r, err := c.lockRouted(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	head, kind := r.head, r.rec.Kind
	r.mu.Unlock()
	if req.Link == nil && kind != wire.RoomOpen {
		return nil, wire.Refuse(wire.NotFound)
	}
	if req.Seq != head.Handshake {
		return nil, &wire.Error{Code: wire.Stale, Refusal: wire.Refusal{Seq: head.Handshake}}
	}
	return wire.Empty{}, c.s.writer.commit(PutGroupInfo{infoRecord(req.Room, link, req.Seq, req.GroupInfo, req.Tree)})
}

func (c *conn) doGetGroupInfo(ctx context.Context, req *wire.GetGroupInfo) (any, error) {
	r, err := c.lockVisible(ctx, req.Room, nil)
	if err != nil {
		return nil, err
	}
	head := r.shown
	r.mu.Unlock()
	info, ok, err := c.s.store.GroupInfo(ctx, req.Room, wire.LinkID{})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, wire.Refuse(wire.NotFound)
	}
	return wire.GroupInfo{Seq: info.Seq, Handshake: max(head.Handshake, info.Seq), GroupInfo: info.GroupInfo, Tree: partOf(info)}, nil
}

func partOf(info GroupInfoRecord) *wire.Part {
	if info.Tree == nil && info.TreeBlob == nil {
		return nil
	}
	return &wire.Part{Data: info.Tree, Blob: info.TreeBlob}
}

// complete refuses a blob that is not there in full. nil is no blob.
func (s *Server) complete(ctx context.Context, room wire.RoomID, hash *wire.Hash) error {
	if hash == nil {
		return nil
	}
	blob, ok, err := s.store.Blob(ctx, room, *hash)
	if err != nil {
		return err
	}
	if !ok || !blob.Complete {
		return wire.Refuse(wire.NotFound)
	}
	return nil
}

// putWhole stores bytes that came in one piece as a blob.
func (s *Server) putWhole(room wire.RoomID, hash wire.Hash, device wire.DeviceID, data []byte) []Change {
	until := s.now() + uint64(s.limits.Time(wire.BlobTime).Milliseconds())
	changes := []Change{PutBlob{BlobRecord{Room: room, Hash: hash, Size: uint64(len(data)), Device: device, Complete: true, Until: until}}}
	chunk := s.limits.Get(wire.ChunkBytes)
	for i := 0; i*chunk < len(data); i++ {
		changes = append(changes, PutChunk{Room: room, Hash: hash, Index: i, Data: data[i*chunk : min((i+1)*chunk, len(data))]})
	}
	return changes
}

// doPutBlob stores one chunk. A blob is nobody's until its hash is right, so
// anyone may put one into any room; only what an entry, a welcome or a
// GroupInfo names is kept.
func (c *conn) doPutBlob(ctx context.Context, req *wire.PutBlob) (any, error) {
	l := c.s.limits
	chunk := uint64(l.Get(wire.ChunkBytes))
	if err := c.checkChunk(req, chunk); err != nil {
		return nil, err
	}
	rate := float64(l.Get(wire.BlobRate))
	if err := c.state.spendRate(&c.state.blobs, wire.BlobRate, 10*rate, rate); err != nil {
		return nil, err
	}
	defer c.s.keyed.lock(blobLock{req.Room, req.Hash})()
	blob, ok, err := c.s.store.Blob(ctx, req.Room, req.Hash)
	if err != nil {
		return nil, err
	}
	var changes []Change
	switch {
	case ok && blob.Complete:
		return wire.PutBlobOK{Complete: true}, nil
	case ok && blob.Size != req.Size:
		return nil, wire.Refuse(wire.Conflict)
	case !ok:
		sum, err := c.s.store.UnfinishedBytes(ctx, c.device)
		if err != nil {
			return nil, err
		}
		if sum+int64(req.Size) > int64(l.Get(wire.BlobBytesPerDevice)) {
			return nil, wire.RefuseLimit(wire.BlobBytesPerDevice, l.Time(wire.BlobTime))
		}
		blob = BlobRecord{Room: req.Room, Hash: req.Hash, Size: req.Size, Device: c.device,
			Until: c.s.now() + uint64(l.Time(wire.BlobTime).Milliseconds())}
		changes = append(changes, PutBlob{blob})
	}
	have, err := c.s.store.Chunks(ctx, req.Room, req.Hash)
	if err != nil {
		return nil, err
	}
	missing := missingChunks(have, int(req.Index), int((req.Size+chunk-1)/chunk))
	changes = append(changes, PutChunk{Room: req.Room, Hash: req.Hash, Index: int(req.Index), Data: req.Data})
	if len(missing) == 0 {
		right, err := c.hashBlob(ctx, req, have)
		if err != nil {
			return nil, err
		}
		if !right {
			if err := c.s.writer.commit(DropBlob{Room: req.Room, Hash: req.Hash}); err != nil {
				return nil, err
			}
			return nil, wire.Refuse(wire.Conflict)
		}
		blob.Complete = true
		changes = append(changes, PutBlob{blob})
	}
	if err := c.s.writer.commit(changes...); err != nil {
		return nil, err
	}
	return wire.PutBlobOK{Complete: blob.Complete, Missing: missing[:min(64, len(missing))]}, nil
}

type blobLock struct {
	room wire.RoomID
	hash wire.Hash
}

func (c *conn) checkChunk(req *wire.PutBlob, chunk uint64) error {
	if req.Size > uint64(c.s.limits.Get(wire.BlobBytes)) {
		return wire.RefuseSize(wire.BlobBytes)
	}
	if req.Size == 0 || uint64(req.Index) >= (req.Size+chunk-1)/chunk {
		return wire.Refuse(wire.Malformed)
	}
	if want := min(chunk, req.Size-uint64(req.Index)*chunk); uint64(len(req.Data)) != want {
		return wire.RefuseSize(wire.ChunkBytes)
	}
	return nil
}

// missingChunks lists what is still to come once index is there.
func missingChunks(have []int, index, count int) []uint {
	got := make([]bool, count)
	got[index] = true
	for _, i := range have {
		if i < count {
			got[i] = true
		}
	}
	var out []uint
	for i, ok := range got {
		if !ok {
			out = append(out, uint(i))
		}
	}
	return out
}

// hashBlob hashes the chunks that are stored, with the one in the request in
// its place.
func (c *conn) hashBlob(ctx context.Context, req *wire.PutBlob, have []int) (bool, error) {
	sum := sha256.New()
	for i := range len(have) + 1 {
		if i == int(req.Index) {
			sum.Write(req.Data)
			continue
		}
		data, ok, err := c.s.store.Chunk(ctx, req.Room, req.Hash, i)
		if err != nil {
			return false, err
		}
		if ok {
			sum.Write(data)
		}
	}
	return wire.Hash(sum.Sum(nil)) == req.Hash, nil
}

func (c *conn) doGetBlob(ctx context.Context, req *wire.GetBlob) (any, error) {
	rate := float64(c.s.limits.Get(wire.BlobRate))
	if err := c.state.spendRate(&c.state.blobs, wire.BlobRate, 10*rate, rate); err != nil {
		return nil, err
	}
	if _, err := c.mayRead(ctx, req.Room, req.Link); err != nil {
		return nil, err
	}
	blob, ok, err := c.s.store.Blob(ctx, req.Room, req.Hash)
	if err != nil {
		return nil, err
	}
	if !ok || !blob.Complete {
		return nil, wire.Refuse(wire.NotFound)
	}
	data, ok, err := c.s.store.Chunk(ctx, req.Room, req.Hash, int(req.Index))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, wire.Refuse(wire.NotFound)
	}
	return wire.GetBlobOK{Size: blob.Size, Data: data}, nil
}

func (c *conn) doSignal(ctx context.Context, req *wire.Signal) (any, error) {
	if len(req.Data) > c.s.limits.Get(wire.SignalBytes) {
		return nil, wire.RefuseSize(wire.SignalBytes)
	}
	st := c.state
	if err := st.spendBurst(&st.signals, c.s.limits, wire.SignalBurst, wire.SignalRate, 1); err != nil {
		return nil, err
	}
	r, err := c.lockRouted(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	r.mu.Unlock()
	raw, err := wire.AppendEvent(nil, wire.SignalEvent{Room: req.Room, Device: c.device, Data: req.Data})
	if err != nil {
		return nil, err
	}
	c.s.bus.Publish(roomTopic(req.Room), Message{Data: raw})
	return wire.Empty{}, nil
}

func (c *conn) doPresence(ctx context.Context, req *wire.Presence) (any, error) {
	r, err := c.lockRouted(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	if len(r.members) > c.s.limits.Get(wire.PresenceDevices) {
		return nil, wire.RefuseSize(wire.PresenceDevices)
	}
	out := wire.PresenceOK{}
	seen := map[wire.DeviceID]bool{}
	for _, w := range r.watch {
		if m, routed := r.members[w.c.device]; routed && !seen[w.c.device] {
			seen[w.c.device] = true
			out.Online = append(out.Online, wire.Route{User: m.User, Device: m.Device})
		}
	}
	return out, nil
}
