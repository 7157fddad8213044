package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/securelink-chat/securelink/mls"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

const (
	packageBatch = 20                  // one-time packages that are uploaded at once
	packageKeep  = 90 * 24 * time.Hour // an old last resort may still be used for so long
)

// packageRecord is the private half of a key package that others may use.
type packageRecord struct {
	_          struct{} `cbor:",toarray"`
	Private    []byte
	LastResort bool
	Made       int64 // unix seconds
}

// packages loads all private halves.
func (e *Engine) packages(ctx context.Context) ([]*mls.PrivateKeyPackage, error) {
	pairs, err := e.cfg.Storage.Load(ctx, Range{Prefix: []byte(keyPackage)})
	if err != nil {
		return nil, err
	}
	var all []*mls.PrivateKeyPackage
	for _, p := range pairs {
		var kept packageRecord
		if err := wire.Decode(p.Value, &kept); err != nil {
			return nil, fmt.Errorf("client: damaged key package: %w", err)
		}
		private, err := mls.ParsePrivateKeyPackage(kept.Private)
		if err != nil {
			return nil, fmt.Errorf("client: damaged key package: %w", err)
		}
		all = append(all, private)
	}
	return all, nil
}

// keepPackage makes the change that keeps a private half.
func keepPackage(p *mls.PrivateKeyPackage, lastResort bool) Put {
	return put(key(keyPackage, p.KeyPackage.Ref()), packageRecord{Private: p.Marshal(), LastResort: lastResort, Made: time.Now().Unix()})
}

// usedPackage forgets a one-time package that has let this device in.
func (e *Engine) usedPackage(b *batch, ref []byte) {
	var kept packageRecord
	at := key(keyPackage, ref)
	if found, err := b.get(e.ctx, at, &kept); err == nil && found && !kept.LastResort {
		b.add(drop(at))
	}
}

// stockPackages brings the server's stock of this device's key packages up to
// what it asks for. Private halves are kept before anybody can use them.
func (e *Engine) stockPackages(ctx context.Context, s *session, have uint, lastResort bool) error {
	limits := wire.LimitsFrom(s.hello.Limits)
	missing := 0
	if have < uint(limits.Get(wire.KeyPackagesLowMark)) {
		missing = min(packageBatch, limits.Get(wire.KeyPackagesPerDevice)-int(have))
	}
	if missing <= 0 && lastResort {
		return nil
	}
	self, err := e.self()
	if err != nil {
		return err
	}
	var upload wire.UploadKeyPackages
	var batch []Put
	for range max(missing, 0) {
		p, err := room.NewKeyPackage(self, false, time.Now())
		if err != nil {
			return err
		}
		batch = append(batch, keepPackage(p, false))
		upload.OneTime = append(upload.OneTime, p.KeyPackage.Bytes())
	}
	if !lastResort {
		p, err := room.NewKeyPackage(self, true, time.Now())
		if err != nil {
			return err
		}
		batch = append(batch, keepPackage(p, true))
		upload.LastResort = p.KeyPackage.Bytes()
	}
	if err := e.save(ctx, batch...); err != nil {
		return err
	}
	var once wire.Key
	rand.Read(once[:])
	return s.call(ctx, once, upload, nil)
}

// expirePackages forgets private halves that nobody can use any more.
func (e *Engine) expirePackages(ctx context.Context) error {
	pairs, err := e.cfg.Storage.Load(ctx, Range{Prefix: []byte(keyPackage)})
	if err != nil {
		return err
	}
	var batch []Put
	for _, p := range pairs {
		var kept packageRecord
		if err := wire.Decode(p.Value, &kept); err == nil && time.Since(time.Unix(kept.Made, 0)) > packageKeep {
			batch = append(batch, drop(p.Key))
		}
	}
	return e.save(ctx, batch...)
}
