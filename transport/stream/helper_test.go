package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
	"github.com/quorate/quorate/transport/keyring"
)

var issued = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func random(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// world is a CA and what all nodes believe.
type world struct {
	t  testing.TB
	ca *keyring.CA

	mu    sync.Mutex // guards trust
	trust keyring.Trust
}

func newWorld(t testing.TB) *world {
	t.Helper()
	r := random(1)
	id, err := transport.NewClusterID(r)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := keyring.NewCA(id, issued, r)
	if err != nil {
		t.Fatal(err)
	}
	cas, err := keyring.ParseCAs([][]byte{ca.Certificate()})
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, ca: ca, trust: keyring.Trust{
		Cluster: id, CAs: cas, Members: map[membership.NodeID]transport.KeyHash{}, Revoked: map[string]bool{},
	}}
}

// revoke puts a certificate on the list.
func (w *world) revoke(t testing.TB, der []byte) {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	w.change(func(tr *keyring.Trust) { tr.Revoked[keyring.SerialText(cert)] = true })
}

func (w *world) change(f func(*keyring.Trust)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.trust)
}

// certificates issues the certificates of a node by a CA, and returns the key's hash.
func certificates(t testing.TB, ca *keyring.CA, id membership.NodeID, seed byte) (Credentials, transport.KeyHash) {
	t.Helper()
	r := random(seed)
	key, err := keyring.GenerateKey(r)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := ca.Issue(keyring.Issue{Node: id, Key: &key.PublicKey, Now: issued}, r)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := keyring.HashKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return Credentials{
		Server: tls.Certificate{Certificate: [][]byte{certs.Server, ca.Certificate()}, PrivateKey: key},
		Client: tls.Certificate{Certificate: [][]byte{certs.Client}, PrivateKey: key},
	}, hash
}

// node is an endpoint and what it reported.
type node struct {
	*Endpoint
	w     *world
	id    membership.NodeID
	cfg   Config
	key   transport.KeyHash
	creds Credentials
	now   time.Time
	stop  func()

	mu       sync.Mutex // guards the fields below
	ups      []PeerUp
	downs    []PeerDown
	messages []Message
	reports  []Report
	changed  chan struct{} // closed at each event
	slow     chan struct{} // if not nil, client messages wait for it
	stall    chan struct{} // if not nil, raft messages on link 0 and with them the reader wait for it
}

func nodeName(id membership.NodeID) membership.NodeName {
	return membership.NodeName(fmt.Sprintf("n%d", id))
}

// newNode makes a node that all others of the world trust; change may alter its configuration. It is started by run.
func (w *world) newNode(id membership.NodeID, change func(*node)) *node {
	w.t.Helper()
	n := &node{w: w, id: id, now: issued, changed: make(chan struct{})}
	n.creds, n.key = certificates(w.t, w.ca, id, 50+byte(id))
	w.change(func(tr *keyring.Trust) { tr.Members[id] = n.key })
	n.cfg = Config{
		Cluster: w.ca.Cluster(), Node: id,
		Hello: func() Hello {
			return Hello{Name: nodeName(id), RaftID: membership.RaftID(id) * 11, Incarnation: membership.Incarnation(id) * 7, Term: 3, Index: 4}
		},
		Credentials: func() Credentials { return n.creds },
		Verify: func(chain [][]byte, role transport.Role) (transport.Identity, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.trust.Verify(chain, role, n.now)
		},
		Event: n.event,
	}
	if change != nil {
		change(n)
	}
	ep, err := New(n.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	n.Endpoint = ep
	return n
}

// rename makes the node say another name.
func (n *node) rename(name membership.NodeName) {
	hello := n.cfg.Hello
	n.cfg.Hello = func() Hello { h := hello(); h.Name = name; return h }
}

func (n *node) event(ev Event) {
	if m, ok := ev.(Message); ok {
		n.mu.Lock()
		gate := n.slow
		if m.Class == transport.ClassRaft {
			gate = nil
			if m.Link == 0 {
				gate = n.stall
			}
		}
		n.mu.Unlock()
		if gate != nil {
			<-gate
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch ev := ev.(type) {
	case PeerUp:
		n.ups = append(n.ups, ev)
	case PeerDown:
		n.downs = append(n.downs, ev)
	case Message:
		n.messages = append(n.messages, ev)
	case Report:
		n.reports = append(n.reports, ev)
	}
	close(n.changed)
	n.changed = make(chan struct{})
}

// run opens links at the addresses, which must be of 127/8 or of the test's network, and starts the endpoint.
func (n *node) run(at ...string) {
	n.w.t.Helper()
	var links []LocalLink
	for i, a := range at {
		links = append(links, LocalLink{Link: membership.LinkID(i), Address: netip.MustParseAddrPort(a)})
	}
	if err := n.SetLinks(links); err != nil {
		n.w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := n.Run(ctx); err != nil {
			n.w.t.Errorf("Run() = %v", err)
		}
	}()
	for started := false; !started; runtime.Gosched() {
		n.Endpoint.mu.Lock()
		started = n.ctx != nil
		n.Endpoint.mu.Unlock()
	}
	var once sync.Once
	n.stop = func() { once.Do(func() { cancel(); <-done }) }
	n.w.t.Cleanup(n.stop)
}

// spec is how others know the node.
func (n *node) spec() Peer {
	p := Peer{Node: n.id, Name: nodeName(n.id), Key: n.key}
	for i := range p.Addresses {
		p.Addresses[i] = n.Addr(membership.LinkID(i))
	}
	return p
}

func setPeers(t testing.TB, n *node, others ...*node) {
	t.Helper()
	var list []Peer
	for _, o := range others {
		list = append(list, o.spec())
	}
	if err := n.SetPeers(list); err != nil {
		t.Fatal(err)
	}
}

// wait waits until cond holds. It looks again at each event; a hang is ended by the test's deadline.
func (n *node) wait(what string, cond func() bool) {
	n.w.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		n.mu.Lock()
		ok, changed := cond(), n.changed
		n.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			n.mu.Lock()
			defer n.mu.Unlock()
			n.w.t.Fatalf("node %d: no %s; ups %d, downs %v, messages %d, reports %v", n.id, what, len(n.ups), n.downs, len(n.messages), n.reports)
		}
	}
}

func (n *node) waitUps(count int) {
	n.w.t.Helper()
	n.wait(fmt.Sprintf("%d connections", count), func() bool { return len(n.ups) >= count })
}

func (n *node) waitMessages(count int) []Message {
	n.w.t.Helper()
	n.wait(fmt.Sprintf("%d messages", count), func() bool { return len(n.messages) >= count })
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.messages
}

// waitReport waits for a report whose error satisfies match, and returns it.
func (n *node) waitReport(match func(error) bool) Report {
	n.w.t.Helper()
	var found Report
	n.wait("report of this kind", func() bool {
		for _, r := range n.reports {
			if match(r.Err) {
				found = r
				return true
			}
		}
		return false
	})
	return found
}

func refusedFor(why Refusal, byPeer bool) func(error) bool {
	return func(err error) bool {
		var r *RefusedError
		return errors.As(err, &r) && r.Refusal == why && r.ByPeer == byPeer
	}
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func (n *node) counts() (ups, downs int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.ups), len(n.downs)
}

// couple makes two connected nodes on links many links.
func couple(t *testing.T, links int) (w *world, a, b *node) {
	t.Helper()
	w = newWorld(t)
	a, b = w.newNode(1, nil), w.newNode(2, nil)
	var at, bt []string
	for i := range links {
		at = append(at, fmt.Sprintf("127.0.%d.1:0", i+1))
		bt = append(bt, fmt.Sprintf("127.0.%d.2:0", i+1))
	}
	a.run(at...)
	b.run(bt...)
	setPeers(t, b, a)
	setPeers(t, a, b)
	a.waitUps(links)
	b.waitUps(links)
	return w, a, b
}

// memNet is a network in memory, for tests with synthetic time. Connections are pipes without buffers.
type memNet struct {
	mu        sync.Mutex // guards the fields below
	listeners map[string]*memListener
	dials     []time.Time
	down      map[string]bool // addresses that do not answer
	port      uint16
}

func newMemNet() *memNet {
	return &memNet{listeners: map[string]*memListener{}, down: map[string]bool{}}
}

type memAddr string

func (memAddr) Network() string  { return "mem" }
func (a memAddr) String() string { return string(a) }

type memListener struct {
	net    *memNet
	at     memAddr
	accept chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *memListener) Addr() net.Addr { return l.at }
func (l *memListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.net.mu.Lock()
		delete(l.net.listeners, string(l.at))
		l.net.mu.Unlock()
	})
	return nil
}

type memConn struct {
	net.Conn
	local, remote memAddr
}

func (c *memConn) LocalAddr() net.Addr  { return c.local }
func (c *memConn) RemoteAddr() net.Addr { return c.remote }

func (m *memNet) listen(at netip.AddrPort) (net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listeners[at.String()] != nil {
		return nil, errors.New("address is in use")
	}
	l := &memListener{net: m, at: memAddr(at.String()), accept: make(chan net.Conn), closed: make(chan struct{})}
	m.listeners[at.String()] = l
	return l, nil
}

func (m *memNet) dial(ctx context.Context, local netip.Addr, remote netip.AddrPort) (net.Conn, error) {
	m.mu.Lock()
	m.dials = append(m.dials, time.Now())
	l := m.listeners[remote.String()]
	if m.down[remote.String()] {
		l = nil
	}
	m.port++
	from := memAddr(netip.AddrPortFrom(local, 40000+m.port).String())
	m.mu.Unlock()
	if l == nil {
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	select {
	case l.accept <- &memConn{far, l.at, from}:
		return &memConn{near, from, l.at}, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *memNet) use(n *node) { n.cfg.Dial, n.cfg.Listen = m.dial, m.listen }
