package room

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// errStale is the core's refusal of an append that has not examined the newest
// handshake.
var errStale = errors.New("stale")

// errUnrouted is its refusal of one whom it gives no entries of the room.
var errUnrouted = errors.New("not routed")

// server is a blind core in memory: one room's log and what joiners fetch.
type server struct {
	root     ed25519.PrivateKey
	delegate ed25519.PrivateKey
	now      time.Time
	log      []Entry
	chain    []Hash // chain[i] is the mark after entry i
	mark     uint64
	info     []byte
	tree     []byte
	links    map[[16]byte]LinkInfo
	welcomes map[identity.DeviceID][]inboxed
	routes   map[identity.DeviceID]route
	group    identity.GroupID

	served    []LinkInfo                      // all that joiners could ever fetch; of open rooms under no id
	delivered map[identity.DeviceID][]inboxed // and all Welcomes
}

// route is which entries a device gets: all while until is 0, or up to there.
type route struct{ until uint64 }

type inboxed struct {
	w   Welcome
	seq uint64
}

func newServer() *server {
	_, root, _ := ed25519.GenerateKey(rand.Reader)
	_, delegate, _ := ed25519.GenerateKey(rand.Reader)
	return &server{
		root: root, delegate: delegate, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), links: map[[16]byte]LinkInfo{},
		welcomes: map[identity.DeviceID][]inboxed{}, routes: map[identity.DeviceID]route{}, delivered: map[identity.DeviceID][]inboxed{},
	}
}

func (s *server) rootKey() identity.PublicKey {
	return identity.PublicKey(s.root.Public().(ed25519.PublicKey))
}

func (s *server) head() uint64 { return uint64(len(s.log)) }

// put appends an entry without looking at it.
func (s *server) put(kind EntryKind, payload, body []byte) Entry {
	s.now = s.now.Add(time.Second)
	e := Entry{Seq: s.head() + 1, Time: uint64(s.now.UnixMilli()), Kind: kind, Payload: payload, Body: body}
	before := LogStart(s.group)
	if len(s.chain) > 0 {
		before = s.chain[len(s.chain)-1]
	}
	s.log, s.chain = append(s.log, e), append(s.chain, e.Next(before))
	if kind == EntryHandshake {
		s.mark = e.Seq
	}
	return e
}

func (s *server) routed(d identity.DeviceID) bool {
	at, known := s.routes[d]
	return known && at.until == 0
}

// append is the core's append transaction.
func (s *server) append(from identity.DeviceID, a *Append) error {
	enters := a.Kind == EntryHandshake && len(a.Add) == 1 && a.Add[0].Device == from && len(a.Remove) == 0
	if !s.routed(from) && !enters {
		return errUnrouted
	}
	if a.Examined != s.mark {
		return errStale
	}
	if a.Link != nil {
		if l, ok := s.links[a.Link.ID]; !ok || l.TokenHash != identity.TokenHash(a.Link.Token) {
			return errors.New("no such link")
		}
	}
	e := s.put(a.Kind, a.Payload, a.Body)
	for _, r := range a.Remove {
		s.routes[r.Device] = route{e.Seq}
	}
	s.publish(a)
	for _, w := range a.Welcomes {
		in := inboxed{Welcome{w.Data, a.Tree}, e.Seq}
		s.welcomes[w.Device], s.delivered[w.Device] = append(s.welcomes[w.Device], in), append(s.delivered[w.Device], in)
	}
	for _, r := range a.Add {
		s.routes[r.Device] = route{}
	}
	for _, id := range a.Gone {
		delete(s.links, id)
	}
	return nil
}

func (s *server) publish(a *Append) {
	if a.GroupInfo != nil {
		s.info, s.tree = a.GroupInfo, a.Tree
		s.served = append(s.served, LinkInfo{GroupInfo: a.GroupInfo, Tree: a.Tree})
	}
	for _, l := range a.Links {
		s.links[l.ID] = l
		s.served = append(s.served, l)
	}
}

// notice lets the server's delegate speak.
func (s *server) notice(n *identity.Notice) []byte {
	n.Group = s.group
	n.Delegation = identity.SignDelegation(s.root, identity.PublicKey(s.delegate.Public().(ed25519.PublicKey)))
	identity.SignNotice(s.rootKey(), s.delegate, n)
	return n.Encode()
}

// person is a user with an identity key.
type person struct {
	name string
	key  *identity.Key
}

// device is one device of a person, with a store on disk.
type device struct {
	t        testing.TB
	s        *server
	who      *person
	self     Self
	room     *Room
	disk     map[string][]byte
	keys     []*mls.PrivateKeyPackage
	timeline []Item
	alarms   []Alarm
	verdicts map[uint64]Verdict
	tags     map[uint64][16]byte // epoch -> tag
	resend   []MessageID
	why      map[uint64]string
	said     map[MessageID]string
	live     bool
	entries  int   // how many Welcomes it took
	voided   int   // how often it came back from a branch that was void
	anew     bool  // its state began again without what it has seen
	view     *view // what a lying core shows it in the place of the log
}

// testSuite is fast; the rules do not depend on it.
const testSuite = mls.X25519AES128

func (s *server) person(name string) *person { return &person{name, identity.NewKey()} }

func (s *server) device(t testing.TB, p *person) *device {
	t.Helper()
	root := s.rootKey()
	key := identity.NewDeviceKey()
	var id identity.DeviceID
	rand.Read(id[:])
	profile, err := p.key.SignProfile(root, p.name, 1)
	if err != nil {
		t.Fatal(err)
	}
	self := Self{Root: root, Key: key, Suite: testSuite,
		Credential: identity.Credential{Certificate: p.key.Certify(root, id, key.Public(), identity.ClassNative, 1), Profile: profile}}
	return &device{t: t, s: s, who: p, self: self, disk: map[string][]byte{}, verdicts: map[uint64]Verdict{}, tags: map[uint64][16]byte{}, why: map[uint64]string{}, said: map[MessageID]string{}, live: true}
}

func (d *device) user() identity.UserID { return d.self.User() }

// save writes records to the disk, as one batch.
func (d *device) save(records []Record) {
	for _, r := range records {
		if r.Value == nil {
			delete(d.disk, string(r.Key))
		} else {
			d.disk[string(r.Key)] = slices.Clone(r.Value)
		}
	}
}

func (d *device) records() []Record {
	var out []Record
	for k, v := range d.disk {
		out = append(out, Record{[]byte(k), slices.Clone(v)})
	}
	return out
}

// restart forgets everything but the disk.
func (d *device) restart() {
	d.t.Helper()
	room, err := Load(d.self, d.records())
	if err != nil {
		d.t.Fatalf("%s restarts: %v", d.who.name, err)
	}
	room.fail = d.room.fail
	d.room = room
}

func (d *device) create(spec Spec) {
	d.t.Helper()
	if spec.Mode != ModeDirect && spec.Group == (identity.GroupID{}) {
		rand.Read(spec.Group[:])
	}
	room, a, err := Create(d.self, spec)
	if err != nil {
		d.t.Fatal(err)
	}
	d.room, d.s.group = room, room.Group()
	d.s.publish(a)
	d.s.routes[d.self.Device()] = route{}
	d.save(a.Records)
}

func (d *device) append(a *Append) error { return d.s.append(d.self.Device(), a) }

// keyPackage makes one for others to add this device by.
func (d *device) keyPackage() []byte {
	d.t.Helper()
	kp, err := NewKeyPackage(d.self, false, d.s.now)
	if err != nil {
		d.t.Fatal(err)
	}
	d.keys = append(d.keys, kp)
	return kp.KeyPackage.Bytes()
}

// sync examines everything that is new, and takes Welcomes where they fit.
func (d *device) sync() {
	d.t.Helper()
	for range 200 {
		if !d.step() && !d.unrouted() {
			return
		}
	}
	d.t.Fatalf("%s does not come to rest", d.who.name)
}

// unrouted is what a device does that the core gives nothing more of the room:
// if it follows the room all the same, it takes itself back in. It says whether
// there is more to examine.
func (d *device) unrouted() bool {
	at, known := d.s.routes[d.self.Device()]
	if d.room == nil || !known || at.until == 0 || d.room.State() == StateJoining || d.room.State() == StateRemoved {
		return false
	}
	d.save(d.room.Unrouted().Records)
	if d.room.State() == StateRemoved {
		return false
	}
	d.s.routes[d.self.Device()] = route{}
	return true
}

// step examines up to the end of the log or takes one Welcome; false when
// there was nothing to do.
func (d *device) step() bool {
	d.t.Helper()
	if d.room != nil && d.room.State() != StateRemoved {
		if e, ok := d.next(); ok {
			d.examine(e)
			return true
		}
	}
	inbox := d.s.welcomes[d.self.Device()]
	for i, in := range inbox {
		used, retry := d.welcome(in)
		if retry {
			continue
		}
		d.s.welcomes[d.self.Device()] = slices.Delete(slices.Clone(inbox), i, i+1)
		_ = used
		return true
	}
	return false
}

// next is the entry after those that were examined, as the core shows it.
func (d *device) next() (Entry, bool) {
	log := d.s.log
	if d.view != nil {
		d.view.follow(log)
		log = d.view.entries
	} else if at := d.s.routes[d.self.Device()]; at.until != 0 {
		log = log[:at.until]
	}
	seq, _ := d.room.Position()
	if seq >= uint64(len(log)) {
		return Entry{}, false
	}
	return log[seq], true
}

// usedUp deletes the key package that a Welcome has used.
func (d *device) usedUp(res *Result) {
	d.keys = slices.DeleteFunc(d.keys, func(k *mls.PrivateKeyPackage) bool { return string(k.KeyPackage.Ref()) == string(res.Used) })
}

func (d *device) welcome(in inboxed) (used, retry bool) {
	d.t.Helper()
	if d.room == nil {
		room, res, err := JoinWelcome(d.self, in.w, d.keys)
		if err != nil {
			d.t.Logf("%s refuses a welcome: %v", d.who.name, err)
			return false, false
		}
		d.room = room
		d.save(res.Records)
		d.usedUp(res)
		d.entries++
		return true, false
	}
	res, err := d.room.Rejoin(in.w, d.keys)
	if errors.Is(err, ErrEarly) {
		return false, true
	}
	if err != nil {
		d.t.Logf("%s refuses a welcome: %v", d.who.name, err)
		return false, false
	}
	d.save(res.Records)
	d.usedUp(res)
	d.goBack(res)
	d.entries++
	return true, false
}

// goBack takes up the room at an earlier place.
func (d *device) goBack(res *Result) {
	d.resend = append(d.resend, res.Resend...)
	d.back(res.ResyncAfter)
	if res.Undone != 0 {
		d.back(res.Undone - 1)
		d.voided++
	}
}

// back forgets what was shown after a place that is examined again.
func (d *device) back(after uint64) {
	clear(d.tags)
	d.timeline = slices.DeleteFunc(d.timeline, func(i Item) bool { return i.Seq > after })
	for seq := range d.verdicts {
		if seq > after {
			delete(d.verdicts, seq)
		}
	}
}

func (d *device) examine(e Entry) *Result {
	d.t.Helper()
	res, err := d.room.Examine(e, d.live)
	if err != nil {
		d.t.Fatalf("%s examines %d: %v", d.who.name, e.Seq, err)
	}
	d.save(res.Records)
	d.verdicts[e.Seq], d.why[e.Seq] = res.Verdict, res.Why
	if res.Undone != 0 {
		d.timeline = slices.DeleteFunc(d.timeline, func(i Item) bool { return i.Seq >= res.Undone && i.Seq < e.Seq })
		for seq := res.Undone; seq < e.Seq; seq++ {
			delete(d.verdicts, seq)
		}
	}
	if d.anew { // as an engine does, which keeps what it has shown
		d.timeline = slices.DeleteFunc(d.timeline, func(i Item) bool {
			return i.ID != MessageID{} && slices.ContainsFunc(res.Items, func(n Item) bool { return n.ID == i.ID })
		})
	}
	d.timeline = append(d.timeline, res.Items...)
	d.alarms = append(d.alarms, res.Alarms...)
	d.resend = append(d.resend, res.Resend...)
	if res.Undone != 0 {
		clear(d.tags)
	}
	if d.room.group != nil {
		d.tags[d.room.group.Epoch()] = d.room.EpochTag()
	}
	return res
}

// commit builds and appends; the caller syncs.
func (d *device) commit(intents ...Intent) error {
	d.t.Helper()
	a, err := d.room.Commit(intents, d.s.now)
	if err != nil {
		return err
	}
	d.save(a.Records)
	return d.append(a)
}

func (d *device) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("%s: %v", d.who.name, err)
	}
}

// do commits, and syncs everybody.
func (d *device) do(all []*device, intents ...Intent) {
	d.t.Helper()
	d.must(d.commit(intents...))
	syncAll(all...)
}

func (d *device) send(text string) error {
	d.t.Helper()
	return d.draft(Draft{ID: randomID(), Kind: ItemText, Text: text})
}

func (d *device) draft(draft Draft) error {
	d.t.Helper()
	a, err := d.room.Message(draft)
	if err != nil {
		return err
	}
	d.save(a.Records)
	d.said[draft.ID] = draft.Text
	return d.append(a)
}

// ack does what joiners wait for.
func (d *device) ack() {
	d.t.Helper()
	d.must(d.draft(Draft{ID: randomID(), Kind: ItemAck}))
}

func syncAll(all ...*device) {
	for _, d := range all {
		d.sync()
	}
}

// enter joins by what the server publishes.
func (d *device) enter(link *identity.LinkSecret) error {
	d.t.Helper()
	for range 20 {
		offer := Offer{Group: d.s.group, GroupInfo: d.s.info, Tree: d.s.tree, Link: link}
		if link != nil {
			l, ok := d.s.links[link.ID()]
			if !ok {
				return errors.New("no such link")
			}
			offer.GroupInfo, offer.Tree = l.GroupInfo, l.Tree
		}
		room, records, err := JoinExternal(d.self, offer)
		if err != nil {
			return err
		}
		d.room, d.disk = room, map[string][]byte{}
		d.save(records)
		d.sync()
		a, err := d.room.Enter()
		if errors.Is(err, ErrStale) {
			continue
		}
		if err != nil {
			return err
		}
		d.save(a.Records)
		if err := d.append(a); !errors.Is(err, errStale) {
			return err
		}
	}
	return errStale
}

// texts is what a person reads on this device.
func (d *device) texts() []string {
	var out []string
	for _, i := range d.timeline {
		if i.Kind == ItemText {
			out = append(out, i.Name+": "+i.Text)
		}
	}
	return out
}

func (d *device) lines() []ItemKind {
	var out []ItemKind
	for _, i := range d.timeline {
		if i.Kind >= ItemCreated {
			out = append(out, i.Kind)
		}
	}
	return out
}

func (d *device) codes() []AlarmCode {
	var out []AlarmCode
	for _, a := range d.alarms {
		out = append(out, a.Code)
	}
	return out
}

// agree fails unless all devices are in one epoch with one tag.
func agree(t testing.TB, all ...*device) {
	t.Helper()
	for _, d := range all[1:] {
		if d.room.group.Epoch() != all[0].room.group.Epoch() || d.room.EpochTag() != all[0].room.EpochTag() {
			t.Fatalf("%s is in epoch %d, %s in %d, or in another branch", d.who.name, d.room.group.Epoch(), all[0].who.name, all[0].room.group.Epoch())
		}
	}
}

func wantState(t testing.TB, state State, all ...*device) {
	t.Helper()
	for _, d := range all {
		if d.room.State() != state {
			t.Fatalf("%s is in state %d, want %d: %s", d.who.name, d.room.State(), state, fmt.Sprint(d.room.Blocked()))
		}
	}
}
