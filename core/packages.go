package core

import (
	"context"
	"crypto/sha256"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/wire"
)

func (c *conn) countPackages(ctx context.Context, device wire.DeviceID) (wire.KeyPackageCount, error) {
	n, err := c.s.store.CountOneTime(ctx, device)
	if err != nil {
		return wire.KeyPackageCount{}, err
	}
	last, ok, err := c.s.store.LastResort(ctx, device)
	if err != nil {
		return wire.KeyPackageCount{}, err
	}
	return wire.KeyPackageCount{OneTime: uint(n), LastResort: ok && !last.Used}, nil
}

func (c *conn) doCountKeyPackages(ctx context.Context, _ *wire.CountKeyPackages) (any, error) {
	return c.countPackages(ctx, c.device)
}

func (c *conn) doUploadKeyPackages(ctx context.Context, r *wire.UploadKeyPackages) (any, []Change, error) {
	defer c.s.keyed.lock(c.device)()
	count, err := c.countPackages(ctx, c.device)
	if err != nil {
		return nil, nil, err
	}
	if int(count.OneTime)+len(r.OneTime) > c.s.limits.Get(wire.KeyPackagesPerDevice) {
		return nil, nil, wire.RefuseLimit(wire.KeyPackagesPerDevice, 0)
	}
	var changes []Change
	for _, data := range r.OneTime {
		if len(data) == 0 || len(data) > c.s.limits.Get(wire.KeyPackageBytes) {
			return nil, nil, wire.RefuseSize(wire.KeyPackageBytes)
		}
		changes = append(changes, PutPackage{PackageRecord{Device: c.device, Hash: sha256.Sum256(data), Data: data}})
	}
	if len(r.LastResort) > c.s.limits.Get(wire.KeyPackageBytes) {
		return nil, nil, wire.RefuseSize(wire.KeyPackageBytes)
	}
	if len(r.LastResort) > 0 {
		changes = append(changes, PutLastResort{LastResortRecord{Device: c.device, Data: r.LastResort}})
		count.LastResort = true
	}
	count.OneTime += uint(len(r.OneTime))
	return count, changes, nil
}

// uploadKeyPackages tells the rooms of the user when a device can be added to
// them for the first time.
func uploadKeyPackages(ctx context.Context, c *conn, it *wire.Item) (any, error) {
	_, able, err := c.s.store.LastResort(ctx, c.device)
	if err != nil {
		return nil, err
	}
	resp, err := keyed((*conn).doUploadKeyPackages).run(ctx, c, it)
	if err == nil && !able {
		c.announceDevice(ctx)
	}
	return resp, err
}

// announceDevice tells the members of the rooms where another device of the
// user is that this one could be added. It is a hint: who misses it is told
// when he asks for the members.
func (c *conn) announceDevice(ctx context.Context) {
	inside, err := c.routedRooms(ctx)
	if err == nil {
		inside, err = c.outsideRooms(ctx, inside)
	}
	if err != nil {
		c.log.Error("rooms of a user", "err", err)
		return
	}
	for _, id := range inside {
		raw, err := wire.AppendEvent(nil, wire.OutsideEvent{Room: id, Route: wire.Route{User: c.user, Device: c.device}})
		if err != nil {
			c.log.Error("event does not encode", "err", err)
			return
		}
		c.s.bus.Publish(roomTopic(id), Message{Data: raw})
	}
}

// claimKeyPackages holds the locks of the devices until the claim is durable,
// so that no package is handed out twice.
func claimKeyPackages(ctx context.Context, c *conn, it *wire.Item) (any, error) {
	body := new(wire.ClaimKeyPackages)
	if err := it.DecodeBody(body); err != nil {
		return nil, wire.Refuse(wire.Malformed)
	}
	unlock := c.s.keyed.lock(claimKey(body.User))
	var low []lowPackages
	h := keyed(func(c *conn, ctx context.Context, r *wire.ClaimKeyPackages) (resp any, changes []Change, err error) {
		resp, changes, low, err = c.claim(ctx, r)
		return resp, changes, err
	})
	resp, err := h.run(ctx, c, it)
	unlock()
	if err == nil {
		for _, l := range low {
			c.s.tell(l.device, l.event)
		}
	}
	return resp, err
}

// claimKey names the lock on a user's key packages.
type claimKey wire.UserID

// lowPackages is a device that is to be asked for more.
type lowPackages struct {
	device wire.DeviceID
	event  wire.KeyPackagesLow
}

func (c *conn) claim(ctx context.Context, r *wire.ClaimKeyPackages) (any, []Change, []lowPackages, error) {
	if len(r.Devices) > c.s.limits.Get(wire.DevicesPerUser) {
		return nil, nil, nil, wire.RefuseSize(wire.DevicesPerUser)
	}
	// Also an unknown user costs a claim: asking is what is budgeted.
	if err := c.state.spendClaim(r.User, r.User == c.user, c.s.limits); err != nil {
		return nil, nil, nil, err
	}
	devices, err := c.s.store.Devices(ctx, r.User)
	if err != nil {
		return nil, nil, nil, err
	}
	wanted := map[wire.DeviceID]bool{}
	for _, id := range r.Devices {
		wanted[id] = true
	}
	out := wire.ClaimKeyPackagesOK{}
	var changes []Change
	var low []lowPackages
	for _, d := range devices {
		if d.State != wire.DeviceEnrolled || len(wanted) > 0 && !wanted[d.ID] {
			continue
		}
		pkg, change, left, err := c.claimOne(ctx, d.ID)
		if err != nil {
			return nil, nil, nil, err
		}
		if left != nil {
			low = append(low, lowPackages{d.ID, *left})
		}
		if pkg != nil {
			out.Packages = append(out.Packages, *pkg)
			changes = append(changes, change)
		}
	}
	if len(out.Packages) == 0 {
		return nil, nil, nil, wire.Refuse(wire.NotFound)
	}
	return out, changes, low, nil
}

// claimOne takes a device's oldest one-time package, or its last resort.
func (c *conn) claimOne(ctx context.Context, device wire.DeviceID) (*wire.KeyPackage, Change, *wire.KeyPackagesLow, error) {
	some, err := c.s.store.OneTimePackages(ctx, device, 1)
	if err != nil {
		return nil, nil, nil, err
	}
	last, ok, err := c.s.store.LastResort(ctx, device)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(some) == 0 {
		if !ok {
			return nil, nil, &wire.KeyPackagesLow{}, nil
		}
		last.Used = true
		return &wire.KeyPackage{Device: device, Data: last.Data, LastResort: true}, PutLastResort{last}, &wire.KeyPackagesLow{}, nil
	}
	n, err := c.s.store.CountOneTime(ctx, device)
	if err != nil {
		return nil, nil, nil, err
	}
	var left *wire.KeyPackagesLow
	if n-1 < c.s.limits.Get(wire.KeyPackagesLowMark) {
		left = &wire.KeyPackagesLow{OneTime: uint(n - 1), LastResort: ok && !last.Used}
	}
	return &wire.KeyPackage{Device: device, Data: some[0].Data}, DropPackage{some[0]}, left, nil
}

func (c *conn) doFindUser(ctx context.Context, r *wire.FindUser) (any, error) {
	if err := c.state.spend(&c.state.lookups, c.s.limits, wire.LookupsPerHour, perHour); err != nil {
		return nil, err
	}
	login, err := identity.CanonicalLogin(r.Login)
	if err != nil {
		return nil, wire.Refuse(wire.NotFound)
	}
	user, ok, err := c.s.store.UserByLogin(ctx, login)
	if err != nil {
		return nil, err
	}
	return c.userAnswer(ctx, user, ok)
}

func (c *conn) doGetUser(ctx context.Context, r *wire.GetUser) (any, error) {
	if err := c.state.spend(&c.state.lookups, c.s.limits, wire.LookupsPerHour, perHour); err != nil {
		return nil, err
	}
	user, ok, err := c.s.store.User(ctx, r.User)
	if err != nil {
		return nil, err
	}
	return c.userAnswer(ctx, user, ok)
}

func (c *conn) userAnswer(ctx context.Context, user UserRecord, ok bool) (any, error) {
	if !ok {
		return nil, wire.Refuse(wire.NotFound)
	}
	devices, err := c.s.store.Devices(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	out := wire.User{User: user.ID, Login: user.Login, Profile: user.Profile}
	for _, d := range devices {
		if d.State == wire.DeviceEnrolled {
			out.Certificates = append(out.Certificates, d.Certificate)
		}
	}
	return out, nil
}
