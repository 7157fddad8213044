package room

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestKindsOfMessages(t *testing.T) {
	_, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	alice.must(alice.send("helo"))
	syncAll(all...)
	said := bob.timeline[len(bob.timeline)-1]
	drafts := []Draft{
		{ID: randomID(), Kind: ItemReply, Text: "who?", Target: said.ID, TargetHash: said.Hash},
		{ID: randomID(), Kind: ItemReaction, Text: "👍", Target: said.ID, TargetHash: said.Hash},
		{ID: randomID(), Kind: ItemEdit, Text: "mine now", Target: said.ID, TargetHash: said.Hash},
		{ID: randomID(), Kind: ItemDelete, Target: said.ID, TargetHash: said.Hash},
	}
	for _, d := range drafts {
		bob.must(bob.draft(d))
	}
	alice.sync()
	alice.must(alice.draft(Draft{ID: randomID(), Kind: ItemEdit, Text: "hello", Target: said.ID, TargetHash: said.Hash}))
	alice.must(alice.draft(Draft{ID: randomID(), Kind: ItemDelete, Target: said.ID, TargetHash: Hash{1}}))
	syncAll(all...)
	got := carol.timeline[len(carol.timeline)-6:]
	for i, want := range []bool{true, true, false, false, true, false} {
		if MayChange(got[i], said.User, said.Hash) != want {
			t.Errorf("change %d (kind %d by %s): want %v", i, got[i].Kind, got[i].Name, want)
		}
	}
	// Alice is the owner and may take away what others said
	bob.must(bob.send("rude"))
	syncAll(all...)
	rude := carol.timeline[len(carol.timeline)-1]
	alice.must(alice.draft(Draft{ID: randomID(), Kind: ItemDelete, Target: rude.ID, TargetHash: rude.Hash}))
	syncAll(all...)
	if last := carol.timeline[len(carol.timeline)-1]; !MayChange(last, rude.User, rude.Hash) {
		t.Error("an admin cannot delete")
	}
	// author and others have one name for a message
	at := slices.IndexFunc(alice.timeline, func(i Item) bool { return i.ID == said.ID })
	if alice.timeline[at].Hash != said.Hash {
		t.Error("author and reader disagree about the hash of a message")
	}
}

func TestDraftsThatCannotBe(t *testing.T) {
	_, alice, _, _ := inviteRoom(t)
	for name, d := range map[string]Draft{
		"no id":               {Kind: ItemText, Text: "x"},
		"no kind":             {ID: randomID(), Text: "x"},
		"a line of the room":  {ID: randomID(), Kind: ItemRemoved},
		"a reply to nothing":  {ID: randomID(), Kind: ItemReply, Text: "x"},
		"a text with target":  {ID: randomID(), Kind: ItemText, Text: "x", Target: randomID()},
		"too long":            {ID: randomID(), Kind: ItemText, Text: strings.Repeat("x", MaxText+1)},
		"no text":             {ID: randomID(), Kind: ItemText, Text: "\xff"},
		"a delete with words": {ID: randomID(), Kind: ItemDelete, Text: "x", Target: randomID()},
		"a long reaction":     {ID: randomID(), Kind: ItemReaction, Text: strings.Repeat("x", 65), Target: randomID()},
	} {
		if _, err := alice.room.Message(d); !errors.Is(err, ErrUsage) && !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSizesSayLittle: kinds cannot be told apart by size, and texts fall into
// few classes.
func TestSizesSayLittle(t *testing.T) {
	_, alice, _, _ := inviteRoom(t)
	sizes := map[[2]int]bool{}
	measure := func(d Draft) [2]int {
		d.ID = randomID()
		a, err := alice.room.Message(d)
		alice.must(err)
		return [2]int{len(a.Payload), len(a.Body)}
	}
	for n := 1; n <= 4000; n += 13 {
		sizes[measure(Draft{Kind: ItemText, Text: strings.Repeat("x", n)})] = true
	}
	if len(sizes) > 12 {
		t.Errorf("%d sizes", len(sizes))
	}
	id := randomID()
	want := measure(Draft{Kind: ItemText, Text: "ok"})
	for _, d := range []Draft{{Kind: ItemReaction, Text: "👍", Target: id}, {Kind: ItemDelete, Target: id}, {Kind: ItemEdit, Text: "no", Target: id}, {Kind: ItemReply, Text: "why", Target: id}, {Kind: ItemAck}} {
		if got := measure(d); got != want {
			t.Errorf("kind %d has size %v, a text %v", d.Kind, got, want)
		}
	}
}

// tamper lets the server change the newest entry before anybody sees it.
func tamper(s *server, change func(e *Entry)) {
	last := len(s.log) - 1
	change(&s.log[last])
	before := LogStart(s.group)
	if last > 0 {
		before = s.chain[last-1]
	}
	s.chain[last] = s.log[last].Next(before)
}

func TestTheServerTampersWithMessages(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	bob.must(bob.send("one"))
	bob.must(bob.send("two"))
	syncAll(all...)
	one, two := s.log[len(s.log)-2], s.log[len(s.log)-1]

	s.put(EntryMessage, one.Payload, one.Body) // again
	syncAll(all...)
	if got := carol.codes(); !slices.Equal(got, []AlarmCode{AlarmReplay}) {
		t.Errorf("a replay: %v", got)
	}
	if got := bob.codes(); !slices.Equal(got, []AlarmCode{AlarmReplay}) {
		t.Errorf("a replay to its author: %v", got)
	}
	bob.must(bob.send("three"))
	tamper(s, func(e *Entry) { e.Body = two.Body }) // another body
	alice.sync()
	carol.sync()
	if last := carol.timeline[len(carol.timeline)-1]; last.Kind != ItemUnreadable {
		t.Errorf("a swapped body shows as kind %d: %q", last.Kind, last.Text)
	}
	alice.must(alice.send("control"))
	alice.sync()
	carol.sync()
	if got := carol.texts(); !slices.Equal(got, []string{"Bob: one", "Bob: two", "Alice: control"}) {
		t.Errorf("Carol reads %q", got)
	}
	alice.must(alice.send("gone"))
	tamper(s, func(e *Entry) { hash := sum(e.Body); e.Body, e.BodyGone = nil, &hash })
	carol.sync()
	if last := carol.timeline[len(carol.timeline)-1]; last.Kind != ItemWithheld {
		t.Errorf("a withheld body shows as kind %d", last.Kind)
	}
}

func TestTheServerDropsAMessage(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	syncAll(alice, bob, carol)
	alice.must(alice.send("lost"))
	// the core confirms, and then has never seen it
	alice.sync()
	s.log, s.chain = s.log[:len(s.log)-1], s.chain[:len(s.chain)-1]
	if got := alice.room.CheckHead(s.head(), s.chain[len(s.chain)-1]); len(got) != 1 || got[0].Code != AlarmRollback {
		t.Errorf("a log that became shorter: %v", got)
	}
	bob.must(bob.send("first"))
	if got := alice.room.CheckHead(s.head(), s.chain[len(s.chain)-1]); len(got) != 1 || got[0].Code != AlarmFork {
		t.Errorf("another history: %v", got)
	}
	a, err := alice.room.Message(Draft{ID: randomID(), Kind: ItemText, Text: "next"})
	alice.must(err)
	s.put(EntryMessage, a.Payload, a.Body)
	carol.sync()
	if got := carol.codes(); !slices.Contains(got, AlarmGap) {
		t.Errorf("a message is missing: %v", got)
	}
	if got := carol.codes(); !slices.Contains(got, AlarmFork) {
		t.Errorf("Alice has seen another history: %v", got)
	}
	if !slices.Equal(carol.texts(), []string{"Bob: first", "Alice: next"}) {
		t.Errorf("Carol reads %q", carol.texts())
	}
}

func TestTheServerHoldsAMessageBack(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	a, err := bob.room.Message(Draft{ID: randomID(), Kind: ItemText, Text: "late"})
	bob.must(err)
	bob.save(a.Records)
	alice.must(alice.commit(Intent{Kind: IntentTitle, Text: "news"}))
	alice.sync()
	old := a
	s.put(EntryMessage, old.Payload, old.Body) // a core that takes it, against the rule
	syncAll(alice, bob, carol)
	if got := carol.codes(); !slices.Equal(got, []AlarmCode{AlarmReplay}) {
		t.Errorf("a late message: %v", got)
	}
	if len(carol.texts()) != 0 {
		t.Error("it is shown")
	}
	bob.must(bob.send("on time"))
	syncAll(alice, bob, carol)
	if !slices.Equal(carol.texts(), []string{"Bob: on time"}) || slices.Contains(carol.codes(), AlarmGap) {
		t.Errorf("Carol reads %q, %v", carol.texts(), carol.codes())
	}
}

// TestTheServerMovesAMessage: Bob answers Alice, and the server shows Carol the
// answer before what it answers.
func TestTheServerMovesAMessage(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	alice.must(alice.send("question"))
	syncAll(alice, bob)
	bob.must(bob.send("answer"))
	last := len(s.log) - 1
	question, answer := s.log[last-1], s.log[last]
	question.Seq, answer.Seq = answer.Seq, question.Seq
	carol.examine(answer)
	if got := carol.codes(); !slices.Equal(got, []AlarmCode{AlarmReorder}) || carol.verdicts[answer.Seq] != VerdictRefused {
		t.Errorf("Carol says %v, %v", carol.verdicts[answer.Seq], got)
	}
	syncAll(alice, bob)
	if len(alice.alarms) != 0 || len(alice.texts()) != 2 {
		t.Errorf("positive control: Alice reads %q, %v", alice.texts(), alice.codes())
	}
}

func TestTwoHistories(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	// the server shows Carol another message in the place of Alice's
	alice.must(alice.send("yes"))
	syncAll(alice, bob)
	saved, chain := s.log[len(s.log)-1], s.chain[len(s.chain)-1]
	s.log[len(s.log)-1].Body = []byte("another body")
	tamper(s, func(*Entry) {})
	carol.sync()
	s.log[len(s.log)-1], s.chain[len(s.chain)-1] = saved, chain
	bob.must(bob.send("agreed"))
	syncAll(alice, bob, carol)
	if !slices.Contains(carol.codes(), AlarmFork) {
		t.Errorf("Carol: %v", carol.codes())
	}
	if len(alice.alarms) != 0 {
		t.Errorf("positive control: Alice sees what Bob sees, %v", alice.codes())
	}
}

func TestOutOfOrderIsNotExamined(t *testing.T) {
	s, alice, bob, _ := inviteRoom(t)
	bob.must(bob.send("one"))
	bob.must(bob.send("two"))
	if _, err := alice.room.Examine(s.log[len(s.log)-1], true); !errors.Is(err, ErrGap) {
		t.Errorf("a gap: %v", err)
	}
	alice.sync()
	if _, err := alice.room.Examine(s.log[len(s.log)-1], true); !errors.Is(err, ErrOld) {
		t.Errorf("again: %v", err)
	}
}

func TestGhostDevice(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	eve := s.device(t, s.person("Eve"))
	routes := []Route{{bob.user(), bob.self.Device()}, {eve.user(), eve.self.Device()}}
	if got := alice.room.CheckRouting(routes); len(got) != 1 || got[0].Code != AlarmGhostDevice || got[0].Device != eve.self.Device() {
		t.Errorf("routing: %v", got)
	}
	// a device that claims to be Bob's, certified by Eve
	ghost := s.device(t, eve.who)
	forged := ghost.self.Credential
	forged.Certificate.Identity = bob.who.key.Public()
	ghost.self.Credential = forged
	carol.force2(t, ghost)
	alice.sync()
	bob.sync()
	if got := alice.codes(); !slices.Equal(got, []AlarmCode{AlarmGhostDevice}) {
		t.Errorf("Alice: %v", got)
	}
	if len(bob.room.Info().Members) != 3 {
		t.Error("the ghost is in the room")
	}
}

func TestStarved(t *testing.T) {
	_, alice, _, _ := inviteRoom(t)
	now := alice.s.now
	for range starvedCount - 1 {
		if alarms, _ := alice.room.Lost(now); len(alarms) != 0 {
			t.Fatal("too early")
		}
	}
	if alarms, _ := alice.room.Lost(now); len(alarms) != 1 || alarms[0].Code != AlarmStarved {
		t.Errorf("after ten losses: %v", alarms)
	}
	alice.must(alice.send("through"))
	alice.sync()
	alice.room.Lost(now)
	if alarms, _ := alice.room.Lost(now.Add(10 * time.Minute)); len(alarms) != 1 {
		t.Error("nothing after ten minutes")
	}
}

func TestARoomHealsByNewLeaves(t *testing.T) {
	_, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	due := func(d *device) bool {
		return slices.ContainsFunc(d.room.Todo(d.s.now), func(x Todo) bool { return x.Kind == TodoRefresh })
	}
	if !due(bob) {
		t.Error("no new leaf after joining")
	}
	bob.do(all, Intent{Kind: IntentRefresh})
	if due(bob) {
		t.Error("at once again")
	}
	thief := bob.room.group.Clone()
	bob.s.now = bob.s.now.Add(8 * 24 * time.Hour)
	if !due(bob) {
		t.Error("nothing after a week")
	}
	bob.do(all, Intent{Kind: IntentRefresh})
	alice.must(alice.send("secret"))
	if _, err := thief.Decrypt(alice.s.log[len(alice.s.log)-1].Payload); err == nil {
		t.Error("who stole Bob's state reads on after his new leaf")
	}
}
