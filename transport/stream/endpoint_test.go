package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
	"github.com/quorate/quorate/transport/keyring"
)

func TestEndpoint_ConnectAndSend(t *testing.T) {
	t.Parallel()
	_, a, b := couple(t, 1)
	up, bup := a.ups[0], b.ups[0]
	if up.Node != 2 || bup.Node != 1 || !up.Dialled || bup.Dialled || up.Version != 1 {
		t.Fatalf("PeerUp = %+v and %+v", up, bup)
	}
	if up.DatagramSecret != bup.DatagramSecret || up.DatagramSecret == [32]byte{} {
		t.Fatal("the two sides exported different secrets")
	}
	want := Hello{MinVersion: 1, MaxVersion: 1, Cluster: a.cfg.Cluster, Node: 2, Name: "n2", RaftID: 22, Incarnation: 14, Seq: 1, Term: 3, Index: 4, purpose: purposeMain}
	if up.Hello != want {
		t.Fatalf("hello = %+v, want %+v", up.Hello, want)
	}
	sizes := []int{0, 1, maxFrame - 1, maxFrame, maxFrame + 1, 100_000, transport.MaxClient}
	for _, class := range []transport.Class{transport.ClassRaft, transport.ClassClient} {
		for i, size := range sizes {
			m := bytes.Repeat([]byte{byte(i + 1)}, size)
			if err := errors.Join(a.Send(2, class, m), b.SendWait(context.Background(), 1, class, m)); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range []*node{a, b} {
			got := n.waitMessages(len(sizes))
			for i, size := range sizes {
				if g := got[i]; g.Class != class || !bytes.Equal(g.Payload, bytes.Repeat([]byte{byte(i + 1)}, size)) {
					t.Fatalf("message %d of %v has %d bytes of %v, want %d", i, class, len(g.Payload), g.Class, size)
				}
			}
			n.mu.Lock()
			n.messages = nil
			n.mu.Unlock()
		}
	}
	if s := a.Stats(); s.Dialled != 1 || s.Failed != 0 {
		t.Errorf("Stats() = %+v", s)
	}
	b.stop()
	a.wait("loss", func() bool { return len(a.downs) > 0 })
	if d := a.downs[0]; d.Node != 2 || !d.Last || d.Seq != 1 || d.Err == nil {
		t.Errorf("PeerDown = %+v", d)
	}
	if err := a.Send(2, transport.ClassRaft, nil); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Send() after the loss = %v, want %v", err, ErrNotConnected)
	}
}

func TestEndpoint_SendRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.newNode(1, nil), w.newNode(2, nil)
	setPeers(t, a, b)
	for _, tc := range []struct {
		name  string
		node  membership.NodeID
		class transport.Class
		size  int
		want  error
	}{
		{"stranger", 9, transport.ClassRaft, 0, ErrNoPeer},
		{"not connected", 2, transport.ClassRaft, 0, ErrNotConnected},
		{"control", 2, transport.ClassControl, 0, ErrClass},
		{"bulk", 2, transport.ClassBulk, 0, ErrClass},
		{"long raft", 2, transport.ClassRaft, transport.MaxRaft + 1, ErrTooLong},
		{"long client", 2, transport.ClassClient, transport.MaxClient + 1, ErrTooLong},
	} {
		if err := a.Send(tc.node, tc.class, make([]byte, tc.size)); !errors.Is(err, tc.want) {
			t.Errorf("%s: Send() = %v, want %v", tc.name, err, tc.want)
		}
		if err := a.SendWait(context.Background(), tc.node, tc.class, make([]byte, tc.size)); !errors.Is(err, tc.want) {
			t.Errorf("%s: SendWait() = %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestEndpoint_Settings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newNode(1, nil)
	for name, change := range map[string]func(*Config){
		"cluster": func(c *Config) { c.Cluster = "x" }, "node": func(c *Config) { c.Node = 0 }, "hello": func(c *Config) { c.Hello = nil },
		"verify": func(c *Config) { c.Verify = nil }, "event": func(c *Config) { c.Event = nil }, "rate": func(c *Config) { c.BulkRate = -1 },
	} {
		cfg := a.cfg
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: New() succeeded", name)
		}
	}
	at := netip.MustParseAddrPort
	for name, list := range map[string][]LocalLink{
		"any address": {{0, at("0.0.0.0:5404")}}, "bad link": {{99, at("127.0.0.1:0")}}, "twice": {{0, at("127.0.0.1:0")}, {0, at("127.0.0.1:0")}},
	} {
		if err := a.SetLinks(list); err == nil {
			t.Errorf("%s: SetLinks() succeeded", name)
		}
	}
	good := Peer{Node: 2, Name: "n2"}
	for name, list := range map[string][]Peer{
		"self": {{Node: 1, Name: "n1"}}, "zero": {{Name: "n"}}, "twice": {good, good}, "name": {{Node: 2}},
		"address": {{Node: 2, Name: "n2", Addresses: [8]netip.AddrPort{at("127.0.0.1:0")}}},
	} {
		if err := a.SetPeers(list); err == nil {
			t.Errorf("%s: SetPeers() succeeded", name)
		}
	}
	if err := a.SetLink(2, 0, 1, false); !errors.Is(err, ErrNoPeer) {
		t.Errorf("SetLink() = %v, want %v", err, ErrNoPeer)
	}
	if err := a.SetLink(2, 99, 1, false); err == nil {
		t.Error("SetLink() of a link that can't be succeeded")
	}
	if err := a.Renew(2); !errors.Is(err, ErrNoPeer) {
		t.Errorf("Renew() = %v, want %v", err, ErrNoPeer)
	}
	// A port in use is named; the other link is open all the same.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	err = a.SetLinks([]LocalLink{{0, l.Addr().(*net.TCPAddr).AddrPort()}, {1, at("127.0.0.1:0")}})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "link 0") {
		t.Errorf("SetLinks() of a port in use = %v, want its address", err)
	}
	if a.Addr(0).IsValid() || !a.Addr(1).IsValid() || a.Addr(99).IsValid() {
		t.Errorf("Addr() = %v, %v", a.Addr(0), a.Addr(1))
	}
	a.run()
	if a.Addr(1).IsValid() {
		t.Error("a link that was taken out still listens")
	}
	if err := a.Run(context.Background()); err == nil {
		t.Error("a second Run() succeeded")
	}
	a.stop()
	if err := a.SetLinks(nil); !errors.Is(err, ErrStopped) {
		t.Errorf("SetLinks() after the end = %v, want %v", err, ErrStopped)
	}
	if err := a.SetPeers(nil); !errors.Is(err, ErrStopped) {
		t.Errorf("SetPeers() after the end = %v, want %v", err, ErrStopped)
	}
}

// Who may not talk is refused, whichever side he is on, and both sides are told why. Method: node 2 dials node 4; each case makes one thing of
// either wrong.
func TestEndpoint_Refusals(t *testing.T) {
	t.Parallel()
	anything := func(error) bool { return true }
	tlsError := func(text string) func(error) bool {
		return func(err error) bool { return err != nil && strings.Contains(err.Error(), text) }
	}
	foreign := func(t *testing.T, id membership.NodeID, own bool) Credentials {
		w := newWorld(t)
		r := random(99)
		cluster := w.ca.Cluster()
		if !own {
			cluster = transport.ClusterIDFromBytes([16]byte{9})
		}
		ca, err := keyring.NewCA(cluster, issued, r)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := certificates(t, ca, id, 98)
		return c
	}
	for _, tc := range []struct {
		name     string
		dialler  func(t *testing.T, w *world, n *node)
		acceptor func(t *testing.T, w *world, n *node)
		// wantDial is what the dialler reports, want what the acceptor reports, or why it saw the connection go.
		wantDial, want, wantDown func(error) bool
	}{
		{name: "dialler of another CA", dialler: func(t *testing.T, _ *world, n *node) { n.creds = foreign(t, 2, true) }, want: is(keyring.ErrChain), wantDial: tlsError("remote error: tls")},
		{name: "acceptor of another CA", acceptor: func(t *testing.T, _ *world, n *node) { n.creds = foreign(t, 4, true) }, wantDial: is(keyring.ErrChain), want: tlsError("remote error: tls")},
		{name: "dialler's certificate of another cluster", dialler: func(t *testing.T, _ *world, n *node) { n.creds = foreign(t, 2, false) }, want: is(keyring.ErrCluster), wantDial: anything},
		{name: "acceptor's certificate of another cluster", acceptor: func(t *testing.T, _ *world, n *node) { n.creds = foreign(t, 4, false) }, wantDial: is(keyring.ErrCluster), want: anything},
		{name: "dialler's key unknown", dialler: func(t *testing.T, w *world, n *node) { n.creds, _ = certificates(t, w.ca, 2, 97) }, want: is(keyring.ErrKey), wantDial: anything},
		{name: "acceptor's key unknown", acceptor: func(t *testing.T, w *world, n *node) { n.creds, _ = certificates(t, w.ca, 4, 97) }, wantDial: is(keyring.ErrKey), want: anything},
		{name: "server certificate as client", dialler: func(_ *testing.T, _ *world, n *node) { n.creds.Client = n.creds.Server }, want: is(keyring.ErrRole), wantDial: anything},
		{name: "client certificate as server", acceptor: func(_ *testing.T, _ *world, n *node) { n.creds.Server = n.creds.Client }, wantDial: is(keyring.ErrRole), want: anything},
		{name: "revoked dialler", dialler: func(t *testing.T, w *world, n *node) { w.revoke(t, n.creds.Client.Certificate[0]) }, want: is(keyring.ErrRevoked), wantDial: anything},
		{name: "revoked acceptor", acceptor: func(t *testing.T, w *world, n *node) { w.revoke(t, n.creds.Server.Certificate[0]) }, wantDial: is(keyring.ErrRevoked), want: anything},
		{name: "another member at the address", acceptor: func(t *testing.T, w *world, n *node) {
			var key transport.KeyHash
			n.creds, key = certificates(t, w.ca, 3, 53)
			w.change(func(tr *keyring.Trust) { tr.Members[3] = key })
		}, wantDial: refusedFor(RefusedNode, false), want: anything},
		{name: "a removed member dials", dialler: func(_ *testing.T, w *world, _ *node) {
			w.change(func(tr *keyring.Trust) { delete(tr.Members, 2) })
		}, want: is(keyring.ErrNotMember), wantDial: anything},
		{name: "version", dialler: func(_ *testing.T, _ *world, n *node) { n.cfg.minVersion, n.cfg.maxVersion = 2, 3 }, want: refusedFor(RefusedVersion, false), wantDial: refusedFor(RefusedVersion, true)},
		{name: "cluster id in the hello", dialler: func(_ *testing.T, _ *world, n *node) {
			n.cfg.Cluster = transport.ClusterIDFromBytes([16]byte{9})
		}, want: refusedFor(RefusedCluster, false), wantDial: refusedFor(RefusedCluster, true)},
		{name: "dialler's name", dialler: func(_ *testing.T, _ *world, n *node) { n.rename("other") }, want: refusedFor(RefusedNode, false), wantDial: refusedFor(RefusedNode, true)},
		{name: "acceptor's name", acceptor: func(_ *testing.T, _ *world, n *node) { n.rename("other") }, wantDial: refusedFor(RefusedNode, false), wantDown: refusedFor(RefusedNode, true)},
		{name: "dialler's number", dialler: func(_ *testing.T, _ *world, n *node) { n.cfg.Node = 1 }, want: refusedFor(RefusedNode, false), wantDial: refusedFor(RefusedNode, true)},
		{name: "acceptor's owner", acceptor: func(_ *testing.T, _ *world, n *node) {
			n.cfg.CheckHello = func(h Hello) error { return fmt.Errorf("raft id %d was retired", h.RaftID) }
		}, want: refusedFor(RefusedByOwner, false), wantDial: func(err error) bool {
			return refusedFor(RefusedByOwner, true)(err) && strings.Contains(err.Error(), "raft id 22 was retired")
		}},
		{name: "dialler's owner", dialler: func(_ *testing.T, _ *world, n *node) {
			n.cfg.CheckHello = func(Hello) error { return errors.New("no") }
		}, wantDial: refusedFor(RefusedByOwner, false), wantDown: refusedFor(RefusedByOwner, true)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			mk := func(id membership.NodeID, change func(*testing.T, *world, *node)) *node {
				return w.newNode(id, func(n *node) {
					if change != nil {
						change(t, w, n)
					}
				})
			}
			a, b := mk(2, tc.dialler), mk(4, tc.acceptor)
			a.run("127.0.0.1:0")
			b.run("127.0.0.2:0")
			setPeers(t, b, a)
			setPeers(t, a, b)
			a.waitReport(tc.wantDial)
			if ups, _ := a.counts(); ups != 0 {
				t.Errorf("the dialler has %d connections", ups)
			}
			if tc.wantDown != nil {
				// A dialler that refuses the answer is seen as a connection that came and went.
				b.wait("end of the connection", func() bool { return len(b.downs) > 0 && tc.wantDown(b.downs[0].Err) })
				return
			}
			b.waitReport(tc.want)
			if ups, _ := b.counts(); ups != 0 {
				t.Errorf("the acceptor has %d connections", ups)
			}
		})
	}
}

func TestEndpoint_ExpiredIsAnAlarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newNode(1, func(n *node) { n.now = issued.Add(400 * 24 * time.Hour) })
	b := w.newNode(2, nil)
	a.run("127.0.0.1:0")
	b.run("127.0.0.2:0")
	setPeers(t, b, a)
	setPeers(t, a, b)
	a.waitUps(1)
	b.waitUps(1)
	if al := strings.Join(a.ups[0].Alarms, ""); !strings.Contains(al, "expired") {
		t.Errorf("alarms = %q, want the expiry", al)
	}
	if len(b.ups[0].Alarms) != 0 {
		t.Errorf("alarms = %q, want none", b.ups[0].Alarms)
	}
}

// A node that is removed or revoked loses the connections that it has.
func TestEndpoint_RemovedAndRevoked(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(*testing.T, *world, *node, *node){
		"removed": func(t *testing.T, _ *world, a, _ *node) { setPeers(t, a) },
		"revoked": func(t *testing.T, w *world, a, b *node) {
			w.revoke(t, b.creds.Server.Certificate[0])
			setPeers(t, a, b)
		},
		"new key": func(t *testing.T, _ *world, a, b *node) {
			p := b.spec()
			p.Key[0]++
			if err := a.SetPeers([]Peer{p}); err != nil {
				t.Fatal(err)
			}
		},
		"new address": func(t *testing.T, _ *world, a, b *node) {
			p := b.spec()
			p.Addresses[0] = netip.MustParseAddrPort("127.0.0.99:1")
			if err := a.SetPeers([]Peer{p}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, a, b := couple(t, 1)
			act(t, w, a, b)
			a.wait("loss", func() bool { return len(a.downs) > 0 })
			b.wait("loss", func() bool { return len(b.downs) > 0 })
			want := map[string]error{"removed": ErrRemoved, "revoked": keyring.ErrRevoked, "new key": ErrRemoved, "new address": ErrRemoved}[name]
			if err := a.downs[0].Err; !errors.Is(err, want) {
				t.Errorf("PeerDown = %v, want %v", err, want)
			}
			var refused *RefusedError
			if told := errors.As(b.downs[0].Err, &refused) && refused.Refusal == RefusedRemoved && refused.ByPeer; told != (name == "removed") {
				t.Errorf("the other side sees %v, told of its removal: %v", b.downs[0].Err, told)
			}
		})
	}
}

// An owner's list with the same content does not touch what is connected.
func TestEndpoint_SetPeersAgain(t *testing.T) {
	t.Parallel()
	_, a, b := couple(t, 2)
	for range 10 {
		setPeers(t, a, b)
		setPeers(t, b, a)
	}
	if err := a.Send(2, transport.ClassRaft, []byte("x")); err != nil {
		t.Fatal(err)
	}
	b.waitMessages(1)
	for _, n := range []*node{a, b} {
		if ups, downs := n.counts(); ups != 2 || downs != 0 {
			t.Errorf("node %d: %d up, %d down, want 2, 0", n.id, ups, downs)
		}
	}
}

func TestEndpoint_Links(t *testing.T) {
	t.Parallel()
	_, a, b := couple(t, 2)
	send := func(want membership.LinkID) {
		t.Helper()
		b.mu.Lock()
		b.messages = nil
		b.mu.Unlock()
		if err := a.Send(2, transport.ClassRaft, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if got := b.waitMessages(1)[0].Link; got != want {
			t.Fatalf("the message took link %d, want %d", got, want)
		}
	}
	set := func(link membership.LinkID, score int, dead bool) {
		t.Helper()
		if err := a.SetLink(2, link, score, dead); err != nil {
			t.Fatal(err)
		}
	}
	send(0)
	set(1, 5, false)
	send(1)
	set(0, 9, true)
	send(1) // dead, whatever its score
	set(0, 9, false)
	send(0)
	set(1, 5, true)
	send(0)
	if _, downs := a.counts(); downs != 0 {
		t.Fatalf("%d connections were lost, want 0: messages were never on a dead link", downs)
	}
	set(0, 9, true) // both dead: the better of the two
	send(0)
	set(1, 5, false)
	send(1)
	a.wait("loss of link 0", func() bool { return len(a.downs) > 0 })
	if d := a.downs[0]; d.Link != 0 || !errors.Is(d.Err, ErrLinkDead) || d.Last {
		t.Errorf("PeerDown = %+v, want link 0 dead, not the last", d)
	}
	// It is dialled again.
	a.waitUps(3)
}

// New connections in place of the old ones lose nothing, and nobody sees a loss. Method: messages run both ways while the connections are renewed
// many times.
func TestEndpoint_RenewLosesNothing(t *testing.T) {
	t.Parallel()
	_, a, b := couple(t, 1)
	const renewals = 5
	stop := make(chan struct{})
	var sent [3]int
	var wg sync.WaitGroup
	for i, from := range []*node{nil, a, b} {
		if from == nil {
			continue
		}
		wg.Go(func() {
			for {
				m := bytes.Repeat([]byte{byte(sent[i])}, 40_000)
				if err := from.SendWait(context.Background(), membership.NodeID(3-i), transport.ClassClient, m); err != nil {
					t.Errorf("SendWait() = %v", err)
					return
				}
				sent[i]++
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range renewals {
		if err := a.Renew(2); err != nil {
			t.Fatal(err)
		}
		a.waitUps(2 + i)
		b.waitUps(2 + i)
	}
	close(stop)
	wg.Wait()
	for i, n := range []*node{nil, b, a} {
		if n == nil {
			continue
		}
		got := n.waitMessages(sent[i])
		if len(got) != sent[i] {
			t.Fatalf("%d messages came of %d", len(got), sent[i])
		}
		count := map[byte]int{}
		for _, m := range got {
			count[m.Payload[0]]++
		}
		for v := range sent[i] {
			count[byte(v)]--
		}
		for v, c := range count {
			if c != 0 {
				t.Fatalf("message %d came %d times too often", v, c)
			}
		}
		if _, downs := n.counts(); downs != 0 {
			t.Fatalf("node %d saw %d losses, want 0: %v", n.id, downs, n.downs[0].Err)
		}
	}
	for i, u := range a.ups {
		if u.DatagramSecret != b.ups[i].DatagramSecret || u.Hello.Seq != uint64(i+1) {
			t.Fatalf("connection %d: secrets or numbers differ", i)
		}
	}
	if err := b.Renew(1); err == nil {
		t.Error("Renew() on the side that does not dial succeeded")
	}
}

// A client that handles nothing stops only other client messages, and bounds what waits for it.
func TestEndpoint_SlowClient(t *testing.T) {
	t.Parallel()
	_, a, b := couple(t, 1)
	slow := make(chan struct{})
	b.mu.Lock()
	b.slow = slow
	b.mu.Unlock()
	big := make([]byte, transport.MaxClient)
	sent := 0
	for {
		err := a.Send(2, transport.ClassClient, big)
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if sent++; sent > 100 {
			t.Fatal("the queue has no bound")
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.SendWait(ctx, 2, transport.ClassClient, big); err == nil {
		sent++ // there was room by now
	} else if !errors.Is(err, context.Canceled) {
		t.Fatalf("SendWait() = %v, want %v", err, context.Canceled)
	}
	// Raft goes through, both ways.
	for range 20 {
		if err := errors.Join(a.Send(2, transport.ClassRaft, []byte("raft")), b.Send(1, transport.ClassRaft, []byte("raft"))); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range append(b.waitMessages(20), a.waitMessages(20)...) {
		if m.Class != transport.ClassRaft {
			t.Fatalf("a message of %v overtook", m.Class)
		}
	}
	close(slow)
	if err := a.SendWait(context.Background(), 2, transport.ClassClient, []byte("last")); err != nil {
		t.Fatal(err)
	}
	got := b.waitMessages(20 + sent + 1)
	if string(got[len(got)-1].Payload) != "last" {
		t.Error("order was lost")
	}
}

func TestEndpoint_UnlistedSource(t *testing.T) {
	t.Parallel()
	_, a, b := couple(t, 1)
	_ = a
	// An attacker on another address gets nothing, not even a TLS alert.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}}
	c, err := d.Dial("tcp", b.Addr(0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if n, err := io.Copy(io.Discard, c); n != 0 {
		t.Errorf("an unlisted source got %d bytes, %v", n, err)
	}
	if s := b.Stats(); s.RefusedSource != 1 {
		t.Errorf("Stats() = %+v, want one refused source", s)
	}
}

// A flood of half-open connections is bounded, and does not keep a member out.
func TestEndpoint_HalfOpenFlood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c := w.newNode(1, nil), w.newNode(2, nil), w.newNode(3, nil)
	a.run("127.0.0.1:0")
	b.run("127.0.0.2:0")
	c.run("127.0.0.3:0")
	// The flood comes from node 1's address.
	peer := a.spec()
	if err := c.SetPeers([]Peer{peer, b.spec()}); err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	defer func() {
		for _, x := range conns {
			_ = x.Close()
		}
	}()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	const flood = 300
	for range flood {
		x, err := d.Dial("tcp", c.Addr(0).String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, x)
	}
	setPeers(t, b, c)
	b.waitUps(1)
	// The listener takes connections in order, so all of the flood was seen by now.
	if s := c.Stats(); s.RefusedBusy != flood-maxSource {
		t.Errorf("Stats() = %+v, want %d refused", s, flood-maxSource)
	}
	c.Endpoint.mu.Lock()
	used := c.slots.peers
	c.Endpoint.mu.Unlock()
	if used > maxSource+1 {
		t.Errorf("%d handshakes are under way, at most %d are allowed from one source", used, maxSource)
	}
}

// An insider with valid keys who breaks the protocol loses his connection, and no more.
func TestEndpoint_InsiderGarbage(t *testing.T) {
	t.Parallel()
	control := func(b ...byte) []byte { return appendFrame(nil, transport.ClassControl, true, b) }
	window := func(n byte) []byte { return control(kindWindow, n, 0, 0, 0) }
	var flood []byte
	for range ClientWindow/(maxFrame+frameCost) + 2 {
		flood = appendFrame(flood, transport.ClassClient, true, make([]byte, maxFrame))
	}
	for name, garbage := range map[string][]byte{
		"class 0": {0, 1, 0, 0}, "class 9": {9, 1, 0, 0}, "flags": {2, 2, 0, 1, 0}, "long frame": {2, 1, 0xff, 0xff}, "empty frame": {2, 0, 0, 0},
		"bulk": {4, 1, 0, 0}, "empty control": control(), "unknown control": control(99), "short ping": control(kindPing, 1), "second hello": control(kindHello, 0, 1, 0, 1),
		"short window": control(kindWindow, 1), "window beyond": window(0xff), "refusal without code": control(kindRefusal),
		"long control":         append(appendFrame(nil, transport.ClassControl, false, make([]byte, transport.MaxControl)), 1, 1, 0, 1, 0),
		"client beyond window": flood,
		"result on main":       control(kindResult),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, a, b := couple(t, 1)
			if name == "client beyond window" {
				slow := make(chan struct{})
				defer close(slow)
				b.mu.Lock()
				b.slow = slow
				b.mu.Unlock()
			}
			a.Endpoint.mu.Lock()
			c := a.Endpoint.peers[2].conns[0]
			a.Endpoint.mu.Unlock()
			// The write may fail half-way, when the other side has closed.
			_, _ = c.tls.Write(garbage)
			b.wait("loss", func() bool { return len(b.downs) > 0 })
			if err := b.downs[0].Err; !errors.Is(err, ErrProtocol) {
				t.Errorf("PeerDown = %v, want %v", err, ErrProtocol)
			}
			// The insider's process may connect again.
			b.waitUps(2)
		})
	}
}

func TestEndpoint_Bulk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type in struct {
		from   membership.NodeID
		header string
		data   []byte
		err    error
	}
	got := make(chan in, 10)
	var answer atomic.Pointer[error]
	hold := make(chan struct{})
	entered := make(chan struct{}, 1)
	mk := func(id membership.NodeID) *node {
		return w.newNode(id, func(n *node) {
			n.cfg.BulkRate = 1 << 30
			n.cfg.Bulk = func(_ context.Context, from membership.NodeID, header []byte, r io.Reader) error {
				if string(header) == "hold" {
					entered <- struct{}{}
					<-hold
				}
				if string(header) == "ignore" {
					return nil
				}
				b, err := io.ReadAll(r)
				got <- in{from, string(header), b, err}
				if e := answer.Load(); e != nil {
					return *e
				}
				return err
			}
		})
	}
	a, b := mk(1), mk(2)
	a.run("127.0.0.1:0")
	b.run("127.0.0.2:0")
	setPeers(t, b, a)
	setPeers(t, a, b)
	a.waitUps(1)
	b.waitUps(1)
	ctx := context.Background()
	for _, size := range []int{0, 1, maxFrame, maxFrame + 1, 3 << 20} {
		data := bytes.Repeat([]byte("snapshot"), size/8+1)[:size]
		// Both directions: the sender dials, whoever has the lower id.
		for _, x := range []struct {
			from *node
			to   membership.NodeID
		}{{a, 2}, {b, 1}} {
			if err := x.from.SendBulk(ctx, x.to, []byte("index 7"), bytes.NewReader(data)); err != nil {
				t.Fatal(err)
			}
			if g := <-got; g.from != x.from.id || g.header != "index 7" || !bytes.Equal(g.data, data) || g.err != nil {
				t.Fatalf("received %d bytes, %v, header %q from %d, want %d", len(g.data), g.err, g.header, g.from, size)
			}
		}
	}
	if err := a.SendBulk(ctx, 2, []byte("ignore"), bytes.NewReader(make([]byte, 100_000))); err != nil {
		t.Errorf("SendBulk() to who ignores the data = %v", err)
	}
	no := errors.New("disk is full\x1b[2J")
	answer.Store(&no)
	if err := a.SendBulk(ctx, 2, nil, strings.NewReader("x")); !refusedFor(RefusedByOwner, true)(err) || !strings.Contains(err.Error(), "disk is full?[2J") {
		t.Errorf("SendBulk() = %v, want the receiver's reason, made safe", err)
	}
	<-got
	answer.Store(nil)
	// The sender's data ends with an error: the receiver must not take it for the whole.
	broken := errors.New("read error")
	if err := a.SendBulk(ctx, 2, nil, io.MultiReader(bytes.NewReader(make([]byte, 100_000)), errReader{broken})); !errors.Is(err, broken) {
		t.Errorf("SendBulk() = %v, want %v", err, broken)
	}
	if g := <-got; g.err == nil {
		t.Error("the receiver took half of the data for the whole")
	}
	// One at a time.
	done := make(chan error)
	go func() { done <- a.SendBulk(ctx, 2, []byte("hold"), strings.NewReader("x")) }()
	<-entered
	if err := a.SendBulk(ctx, 2, nil, strings.NewReader("x")); !refusedFor(RefusedBusy, true)(err) {
		t.Errorf("SendBulk() beside another = %v, want busy", err)
	}
	close(hold)
	if err := <-done; err != nil {
		t.Errorf("SendBulk() = %v", err)
	}
	<-got
	// Cancelled, and refused before anything is dialled.
	cctx, cancel := context.WithCancel(ctx)
	cancel()
	if err := a.SendBulk(cctx, 2, nil, strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("SendBulk() = %v, want %v", err, context.Canceled)
	}
	if err := a.SendBulk(ctx, 9, nil, nil); !errors.Is(err, ErrNoPeer) {
		t.Errorf("SendBulk() = %v, want %v", err, ErrNoPeer)
	}
	if err := a.SendBulk(ctx, 2, make([]byte, transport.MaxBulkHeader+1), nil); !errors.Is(err, ErrTooLong) {
		t.Errorf("SendBulk() = %v, want %v", err, ErrTooLong)
	}
	b.stop()
	a.wait("loss", func() bool { return len(a.downs) > 0 })
	if err := a.SendBulk(ctx, 2, nil, strings.NewReader("x")); !errors.Is(err, ErrNotConnected) {
		t.Errorf("SendBulk() = %v, want %v", err, ErrNotConnected)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
