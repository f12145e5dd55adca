package stream

import (
	"context"
	"net/netip"
	"testing"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

// A member with good certificates is refused when it connects from where, or as what, it should not. Method: hand-made connections beside those that
// the endpoint makes itself.
func TestEndpoint_RefusedIncoming(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c := w.newNode(1, nil), w.newNode(2, nil), w.newNode(3, nil)
	stranger := w.newNode(4, nil)
	a.run("127.0.0.1:0", "127.0.1.1:0")
	b.run("127.0.0.2:0", "127.0.1.2:0")
	c.run("127.0.0.3:0", "127.0.1.3:0")
	setPeers(t, c, b)
	setPeers(t, b, a, c)
	setPeers(t, a, b)
	a.waitUps(2)
	c.waitUps(2)
	b.waitUps(4)
	ip := netip.MustParseAddr
	swapped := b.spec()
	swapped.Addresses[0], swapped.Addresses[1] = swapped.Addresses[1], swapped.Addresses[0]
	for _, tc := range []struct {
		name    string
		from    *node
		to      Peer
		link    membership.LinkID
		local   netip.Addr
		purpose byte
		want    Refusal
	}{
		{"another member's address", a, b.spec(), 0, ip("127.0.0.3"), purposeMain, RefusedAddress},
		{"another member's address, bulk", a, b.spec(), 0, ip("127.0.0.3"), purposeBulk, RefusedAddress},
		{"link 0 at the address of link 1", a, swapped, 0, ip("127.0.1.1"), purposeMain, RefusedAddress},
		{"higher id dials", c, b.spec(), 0, ip("127.0.0.3"), purposeMain, RefusedDirection},
		{"not in the list, from a member's address", stranger, b.spec(), 0, ip("127.0.0.3"), purposeMain, RefusedNode},
		{"bulk where none is taken", a, b.spec(), 0, ip("127.0.0.1"), purposeBulk, RefusedBusy},
	} {
		s, err := tc.from.connect(context.Background(), tc.to, tc.link, tc.local, tc.purpose)
		if !refusedFor(tc.want, true)(err) {
			t.Errorf("%s: connect() = %v, want %v by the peer", tc.name, err, tc.want)
		}
		if s != nil {
			s.close()
		}
		b.waitReport(refusedFor(tc.want, false))
	}
	// The number of an older dial, which must not replace the present connection.
	a.seq.Store(0)
	if _, err := a.connect(context.Background(), b.spec(), 0, ip("127.0.0.1"), purposeMain); !refusedFor(RefusedStale, true)(err) {
		t.Errorf("connect() with an old number = %v, want %v by the peer", err, RefusedStale)
	}
	if ups, downs := b.counts(); ups != 4 || downs != 0 {
		t.Errorf("%d up, %d down, want 4, 0: nothing of this touches what is connected", ups, downs)
	}
}

// One raft message there and one back.
func BenchmarkEndpoint(b *testing.B) {
	w := newWorld(b)
	back := make(chan struct{}, 1)
	var x, y *node
	filter := func(n **node, on func()) func(*node) {
		return func(self *node) {
			self.cfg.Event = func(ev Event) {
				if _, ok := ev.(Message); ok {
					on()
					return
				}
				(*n).event(ev)
			}
		}
	}
	payload := make([]byte, 200)
	x = w.newNode(1, filter(&x, func() { back <- struct{}{} }))
	y = w.newNode(2, filter(&y, func() { _ = y.Send(1, transport.ClassRaft, payload) }))
	x.run("127.0.0.1:0")
	y.run("127.0.0.2:0")
	if err := y.SetPeers([]Peer{x.spec()}); err != nil {
		b.Fatal(err)
	}
	if err := x.SetPeers([]Peer{y.spec()}); err != nil {
		b.Fatal(err)
	}
	x.waitUps(1)
	b.ReportAllocs()
	for b.Loop() {
		if err := x.Send(2, transport.ClassRaft, payload); err != nil {
			b.Fatal(err)
		}
		<-back
	}
}
