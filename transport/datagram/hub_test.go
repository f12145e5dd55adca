package datagram

import (
	"bytes"
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

type received struct {
	from membership.NodeID
	link membership.LinkID
	text string
}

// station is a hub with sockets on loopback and what came in.
type station struct {
	*Hub
	sockets []*Socket
	in      chan received
}

func newStation(t testing.TB, id membership.NodeID, at ...string) *station {
	t.Helper()
	s := &station{in: make(chan received, 1024)}
	var err error
	s.Hub, err = NewHub(HubConfig{
		Local: id,
		Now:   func() membership.Instant { return 0 },
		Receive: func(from membership.NodeID, link membership.LinkID, payload []byte) {
			select {
			case s.in <- received{from, link, string(payload)}:
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i, a := range at {
		sock, err := s.Listen(membership.LinkID(i), netip.MustParseAddrPort(a))
		if err != nil {
			cancel()
			if strings.Contains(a, "[") {
				t.Skipf("no IPv6 on this machine: %v", err)
			}
			t.Fatal(err)
		}
		s.sockets = append(s.sockets, sock)
		wg.Go(func() {
			if err := sock.Run(ctx); err != nil {
				t.Errorf("Run() = %v", err)
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return s
}

func (s *station) peer(id membership.NodeID) Peer {
	p := Peer{Node: id}
	for i, sock := range s.sockets {
		p.Addresses[i] = sock.Addr()
	}
	return p
}

func connect(t testing.TB, a, b *station, ida, idb membership.NodeID) {
	t.Helper()
	err := errors.Join(a.SetPeers([]Peer{b.peer(idb)}), b.SetPeers([]Peer{a.peer(ida)}),
		a.Install(idb, Chain{Secret: [32]byte{1}, Seq: 1}), b.Install(ida, Chain{Secret: [32]byte{1}, Seq: 1}))
	if err != nil {
		t.Fatal(err)
	}
}

func TestHub_SendAndReceive(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			a, b := newStation(t, 1, host+":0", host+":0"), newStation(t, 2, host+":0", host+":0")
			connect(t, a, b, 1, 2)
			for i := range 50 {
				link := membership.LinkID(i % 2)
				text := fmt.Sprint("datagram ", i)
				if err := a.Send(2, link, []byte(text)); err != nil {
					t.Fatal(err)
				}
				if got, want := <-b.in, (received{1, link, text}); got != want {
					t.Fatalf("received %v, want %v", got, want)
				}
				if err := b.Send(1, link, []byte(text)); err != nil {
					t.Fatal(err)
				}
				if got, want := <-a.in, (received{2, link, text}); got != want {
					t.Fatalf("received %v, want %v", got, want)
				}
			}
			if c := a.Counters(2); c[Accepted] != 50 {
				t.Errorf("Counters() = %v, want 50 accepted", c)
			}
			if err := a.Send(2, 0, make([]byte, transport.MaxDatagram)); err != nil {
				t.Fatal(err)
			}
			if got := <-b.in; len(got.text) != transport.MaxDatagram {
				t.Fatalf("received %d bytes, want %d", len(got.text), transport.MaxDatagram)
			}
			if a.sockets[1].Link() != 1 {
				t.Error("Link() is wrong")
			}
		})
	}
}

// What an attacker sends is counted and dropped; a good datagram that comes after it is received. Method: the kernel keeps the order of
// packets on loopback, so the good one says that all before it were handled.
func TestSocket_Attack(t *testing.T) {
	t.Parallel()
	a, b := newStation(t, 1, "127.0.0.1:0"), newStation(t, 2, "127.0.0.1:0")
	connect(t, a, b, 1, 2)
	attacker, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(b.sockets[0].Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = attacker.Close() }()
	// From an address that is no peer's: not even its version is looked at.
	good, err := func() ([]byte, error) {
		p := a.routes.Load().to[2]
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.session.Seal(nil, 0, []byte("sniffed"), 0)
	}()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [][]byte{good, {}, make([]byte, 65507)} {
		if _, err := attacker.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	// From the peer's address, as a spoofer would.
	to, err := newTarget(b.sockets[0].Addr())
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	for _, p := range [][]byte{forged, good[:20], make([]byte, 1300), make([]byte, 9000), {}} {
		if err := a.sockets[0].send(p, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Send(2, 0, []byte("good")); err != nil {
		t.Fatal(err)
	}
	if got, want := <-b.in, (received{1, 0, "good"}); got != want {
		t.Fatalf("received %v, want %v", got, want)
	}
	c := b.sockets[0].Counters()
	// The packet that was received is counted after the receiver was called.
	c[Accepted] = 0
	if want := (Counters{DropSource: 3, DropForged: 1, DropShort: 2, DropLong: 2}); c != want {
		t.Errorf("Counters() = %v, want %v", c, want)
	}
}

func TestHub_SetPeers(t *testing.T) {
	t.Parallel()
	a, b := newStation(t, 1, "127.0.0.1:0"), newStation(t, 2, "127.0.0.1:0")
	connect(t, a, b, 1, 2)
	if err := a.Send(3, 0, nil); !errors.Is(err, ErrNoPeer) {
		t.Errorf("Send() to a stranger = %v, want %v", err, ErrNoPeer)
	}
	if err := a.Send(2, 1, nil); !errors.Is(err, ErrNoAddress) {
		t.Errorf("Send() on a link without address = %v, want %v", err, ErrNoAddress)
	}
	if err := a.Send(2, 200, nil); !errors.Is(err, ErrLink) {
		t.Errorf("Send() on a link that can't be = %v, want %v", err, ErrLink)
	}
	if err := a.Send(2, 0, make([]byte, 1201)); !errors.Is(err, ErrTooLong) {
		t.Errorf("Send() of too much = %v, want %v", err, ErrTooLong)
	}
	// A bad list changes nothing.
	addr := b.sockets[0].Addr()
	mk := func(ids ...membership.NodeID) (list []Peer) {
		for _, id := range ids {
			list = append(list, Peer{Node: id, Addresses: [membership.MaxLinks]netip.AddrPort{addr}})
		}
		return list
	}
	for name, list := range map[string][]Peer{
		"self": mk(1), "twice": mk(2, 2), "node 0": mk(0), "same address": mk(2, 3),
		"no address": {{Node: 2, Addresses: [membership.MaxLinks]netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:1")}}},
		"no port":    {{Node: 2, Addresses: [membership.MaxLinks]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}}},
		"bad zone":   {{Node: 2, Addresses: [membership.MaxLinks]netip.AddrPort{netip.MustParseAddrPort("[fe80::1%nosuchlink]:1")}}},
	} {
		if err := a.SetPeers(list); err == nil {
			t.Errorf("%s: SetPeers() succeeded", name)
		}
	}
	if err := a.Send(2, 0, []byte("still")); err != nil {
		t.Fatal(err)
	}
	<-b.in
	// The same list again keeps the keys; a list without the node drops them.
	if err := a.SetPeers(mk(2)); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(2, 0, []byte("keys kept")); err != nil {
		t.Fatal(err)
	}
	<-b.in
	if err := a.SetPeers(nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Install(2, Chain{Seq: 3}); !errors.Is(err, ErrNoPeer) {
		t.Errorf("Install() for a removed peer = %v, want %v", err, ErrNoPeer)
	}
	if c := a.Counters(2); c != (Counters{}) {
		t.Errorf("Counters() of a removed peer = %v", c)
	}
	if err := a.SetPeers(mk(2)); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(2, 0, nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("Send() to a peer that was removed meanwhile = %v, want %v", err, ErrNoKey)
	}
	a.Rotate()
}

func TestHub_Refusals(t *testing.T) {
	t.Parallel()
	now := func() membership.Instant { return 0 }
	receive := func(membership.NodeID, membership.LinkID, []byte) {}
	for _, cfg := range []HubConfig{{}, {Local: 1, Now: now}, {Local: 1, Receive: receive}, {Now: now, Receive: receive}} {
		if _, err := NewHub(cfg); err == nil {
			t.Error("NewHub() of an incomplete configuration succeeded")
		}
	}
	a := newStation(t, 1, "127.0.0.1:0")
	for _, at := range []string{"0.0.0.0:0", "[::]:0", "224.0.0.1:0"} {
		if _, err := a.Listen(1, netip.MustParseAddrPort(at)); err == nil {
			t.Errorf("Listen(%s) succeeded", at)
		}
	}
	if _, err := a.Listen(1, a.sockets[0].Addr()); err == nil {
		t.Error("Listen() on a port in use succeeded")
	}
	if _, err := a.Listen(0, netip.MustParseAddrPort("127.0.0.1:0")); err == nil {
		t.Error("Listen() for a link that has a socket succeeded")
	}
	if _, err := a.Listen(99, netip.MustParseAddrPort("127.0.0.1:0")); !errors.Is(err, ErrLink) {
		t.Errorf("Listen() on a link that can't be = %v, want %v", err, ErrLink)
	}
	// A cipher that accepts everything ends the start.
	h, err := NewHub(HubConfig{Local: 1, Now: now, Receive: receive, Session: Config{aead: func(k []byte) (cipher.AEAD, error) {
		g, err := newGCM(k)
		return lax{g}, err
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Listen(0, netip.MustParseAddrPort("127.0.0.1:0")); !errors.Is(err, ErrSelfTest) {
		t.Errorf("Listen() with a broken cipher = %v, want %v", err, ErrSelfTest)
	}
}

func TestSocket_Close(t *testing.T) {
	t.Parallel()
	a, b := newStation(t, 1, "127.0.0.1:0"), newStation(t, 2, "127.0.0.1:0")
	connect(t, a, b, 1, 2)
	if err := a.sockets[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(2, 0, nil); !errors.Is(err, ErrNoAddress) {
		t.Errorf("Send() after Close() = %v, want %v", err, ErrNoAddress)
	}
	// The link can be opened again, at another address.
	s, err := a.Listen(0, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Send(2, 0, nil); err != nil {
		t.Errorf("Send() after Listen() = %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run() with a context that has ended = %v, want nil", err)
	}
}

func TestHub_NoAllocation(t *testing.T) {
	a, b := newStation(t, 1, "127.0.0.1:0"), newStation(t, 2, "127.0.0.1:0")
	connect(t, a, b, 1, 2)
	payload := make([]byte, 200)
	if n := testing.AllocsPerRun(200, func() {
		if err := a.Send(2, 0, payload); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		// The receiver of the test makes one string for each datagram.
		t.Errorf("Send() allocates %v times, want 0", n)
	}
}

func BenchmarkHub(b *testing.B) {
	x, y := newStation(b, 1, "127.0.0.1:0"), newStation(b, 2, "127.0.0.1:0")
	done := make(chan struct{}, 1)
	y.cfg.Receive = func(membership.NodeID, membership.LinkID, []byte) { done <- struct{}{} }
	connect(b, x, y, 1, 2)
	payload := make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		if err := x.Send(2, 0, payload); err != nil {
			b.Fatal(err)
		}
		<-done
	}
}
