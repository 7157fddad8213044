package gateway

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestSocketsAtOnce(t *testing.T) {
	b := newAddressBook(Limits{Sockets: 2, PrefixSockets: 3, Total: 6}, time.Now)
	for _, step := range []struct {
		addr string
		want bool
		why  string
	}{
		{"192.0.2.1", true, "first"},
		{"::ffff:192.0.2.1", true, "the same address, written otherwise"},
		{"192.0.2.1", false, "a third of one address"},
		{"192.0.2.2", true, "the neighbour"},
		{"2001:db8::1", true, "IPv6"},
		{"2001:db8::2:1", true, "another host of that /64"},
		{"2001:db8::3", false, "a third of the /64"},
		{"2001:db8:0:1::1", true, "another /64 of the /48"},
		{"2001:db8:0:2::1", false, "the /48 is full"},
		{"203.0.113.1", false, "everything is full"},
	} {
		room, entered := b.room(addr(step.addr)), b.enter(addr(step.addr))
		if room != step.want || entered != step.want {
			t.Errorf("%s (%s): room %v, entered %v, want %v", step.addr, step.why, room, entered, step.want)
		}
	}
	b.leave(addr("192.0.2.1"))
	if !b.enter(addr("192.0.2.1")) {
		t.Error("a place that was left cannot be taken")
	}
}

func TestNewSocketsPerTime(t *testing.T) {
	now := time.Unix(1e9, 0)
	b := newAddressBook(Limits{NewSockets: 10}, func() time.Time { return now })
	a := addr("2001:db8::1")
	for i := range 10 {
		if wait := b.arrive(a); wait != 0 {
			t.Fatalf("socket %d must wait %v", i, wait)
		}
	}
	wait := b.arrive(a)
	if wait != time.Minute {
		t.Errorf("the eleventh waits %v, want a minute", wait)
	}
	if b.arrive(addr("192.0.2.1")) != 0 {
		t.Error("another address waits too")
	}
	now = now.Add(wait)
	if wait := b.arrive(a); wait != 0 {
		t.Errorf("after the wait: %v", wait)
	}
	// A /48 that changes its /64 each time comes to an end as well.
	n := 0
	for ; n < 1000; n++ {
		if b.arrive(addr(fmt.Sprintf("2001:db8:5:%x::1", n))) != 0 {
			break
		}
	}
	if n != 80 {
		t.Errorf("%d sockets from one /48, want 80", n)
	}
}

func TestAddressesAreForgotten(t *testing.T) {
	now := time.Unix(1e9, 0)
	b := newAddressBook(Limits{Sockets: 1, NewSockets: 2}, func() time.Time { return now })
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	b.enter(at(0))
	for i := range maxSources {
		b.arrive(at(i))
	}
	// Full: strangers share one place, and who is known keeps its own.
	shared := 0
	for i := range 10 {
		if b.arrive(at(maxSources+i)) == 0 {
			shared++
		}
	}
	if shared != 2 {
		t.Errorf("%d strangers got in when the book was full, want the two of the shared place", shared)
	}
	if b.arrive(at(5)) != 0 {
		t.Error("a known address was shut out by strangers")
	}
	if b.remembered() != maxSources {
		t.Errorf("%d addresses remembered", b.remembered())
	}
	now = now.Add(newWindow)
	if b.arrive(at(maxSources)) != 0 || b.remembered() != 2 {
		t.Errorf("after the window %d addresses are remembered, want the new one and the one with a socket", b.remembered())
	}
	b.leave(at(0))
	if b.open() != 0 {
		t.Errorf("%d sockets left", b.open())
	}
}

func TestConnectionsAtOnce(t *testing.T) {
	b := newAddressBook(Limits{Connections: 1}, time.Now)
	if !b.connect(addr("192.0.2.1")) || b.connect(addr("192.0.2.1")) || !b.connect(addr("192.0.2.2")) {
		t.Error("want one connection an address")
	}
	b.disconnect(addr("192.0.2.1"))
	if !b.connect(addr("192.0.2.1")) {
		t.Error("the place is not free again")
	}
}
