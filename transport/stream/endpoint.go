package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

// Endpoint holds a node's connections to its peers.
type Endpoint struct {
	cfg Config
	seq atomic.Uint64 // of the last connection dialled

	stats stats

	mu        sync.Mutex // guards the fields below; never held across I/O or events
	ctx       context.Context
	stopped   bool
	peers     map[membership.NodeID]*peer
	listeners [membership.MaxLinks]*listener
	slots     slots

	reports reports

	wg sync.WaitGroup // of all goroutines
}

// peer is what is known of a peer. Its fields are guarded by Endpoint.mu, except where they say otherwise.
type peer struct {
	node   membership.NodeID
	spec   Peer
	out    outbox
	conns  [membership.MaxLinks]*conn
	scores [membership.MaxLinks]int
	dead   [membership.MaxLinks]bool
	dials  [membership.MaxLinks]*dialer
	bulk   map[*session]bool // bulk connections, both ways
	bulkIn int
	gone   bool

	// events orders the changes of conns with their events. It is taken before Endpoint.mu, and held while an event is given.
	events sync.Mutex
}

type listener struct {
	net.Listener
	link membership.LinkID
	want netip.AddrPort
	ip   netip.Addr // to dial from
}

// stats counts what happened; see Stats.
type stats struct {
	accepted, dialled, refusedSource, refusedBusy, failed, joins, raftDropped atomic.Uint64
}

// Stats counts what happened since the start.
type Stats struct {
	// Accepted and Dialled count connections that came about.
	Accepted, Dialled uint64
	// RefusedSource counts connections from addresses that are no peer's, RefusedBusy those beyond the limits; neither got a byte.
	RefusedSource, RefusedBusy uint64
	// Failed counts dials and handshakes that failed or were refused.
	Failed uint64
	// Joins counts join requests that were granted.
	Joins uint64
	// RaftDropped counts raft messages for which there was no room.
	RaftDropped uint64
}

// New returns an endpoint without peers and links. It opens nothing.
func New(cfg Config) (*Endpoint, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Endpoint{cfg: cfg, peers: map[membership.NodeID]*peer{}, slots: slots{source: map[netip.Addr]int{}}}, nil
}

// Stats returns the counters.
func (e *Endpoint) Stats() Stats {
	s := &e.stats
	return Stats{s.accepted.Load(), s.dialled.Load(), s.refusedSource.Load(), s.refusedBusy.Load(), s.failed.Load(), s.joins.Load(), s.raftDropped.Load()}
}

// Run dials and accepts until ctx ends; then it closes all connections and listeners and returns nil when all
// goroutines have returned. It may be called once.
func (e *Endpoint) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.mu.Lock()
	if e.ctx != nil || e.stopped {
		e.mu.Unlock()
		return errors.New("stream endpoint: Run may be called only once")
	}
	e.ctx = ctx
	for _, l := range e.listeners {
		if l != nil {
			e.startListener(l)
		}
	}
	for _, p := range e.peers {
		e.startDials(p)
	}
	e.mu.Unlock()

	<-ctx.Done()
	e.mu.Lock()
	e.stopped = true
	for _, l := range e.listeners {
		if l != nil {
			_ = l.Close()
		}
	}
	for _, p := range e.peers {
		e.dropPeer(p, ErrStopped)
	}
	e.mu.Unlock()
	e.wg.Wait()
	return nil
}

// spawn starts a goroutine that Run waits for. The caller holds mu.
func (e *Endpoint) spawn(f func(ctx context.Context)) bool {
	if e.ctx == nil || e.stopped {
		return false
	}
	ctx := e.ctx
	e.wg.Go(func() { f(ctx) })
	return true
}

// SetLinks replaces the list of addresses at which this node listens. Listeners that stay are not touched. It fails with all addresses that
// could not be opened; the others are open then.
func (e *Endpoint) SetLinks(list []LocalLink) error {
	var want [membership.MaxLinks]netip.AddrPort
	for _, l := range list {
		if int(l.Link) >= membership.MaxLinks {
			return fmt.Errorf("set links: link %d, must be 0 to %d", l.Link, membership.MaxLinks-1)
		}
		if a := l.Address.Addr(); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("set links: link %d: %v is not an address of this node", l.Link, l.Address)
		}
		if want[l.Link] != (netip.AddrPort{}) {
			return fmt.Errorf("set links: link %d is there twice", l.Link)
		}
		want[l.Link] = l.Address
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return ErrStopped
	}
	var errs []error
	for i, w := range want {
		old := e.listeners[i]
		if old != nil && old.want == w || old == nil && w == (netip.AddrPort{}) {
			continue
		}
		if old != nil {
			_ = old.Close()
			e.listeners[i] = nil
		}
		if w == (netip.AddrPort{}) {
			continue
		}
		nl, err := e.cfg.Listen(w)
		if err != nil {
			errs = append(errs, fmt.Errorf("listen on link %d: %w", i, err))
			continue
		}
		l := &listener{Listener: nl, link: membership.LinkID(i), want: w, ip: w.Addr()}
		e.listeners[i] = l
		if e.ctx != nil {
			e.startListener(l)
		}
	}
	for _, p := range e.peers {
		e.startDials(p)
	}
	return errors.Join(errs...)
}

// Addr returns the address at which a link listens; the zero value if it does not.
func (e *Endpoint) Addr(link membership.LinkID) netip.AddrPort {
	e.mu.Lock()
	defer e.mu.Unlock()
	if int(link) >= membership.MaxLinks || e.listeners[link] == nil {
		return netip.AddrPort{}
	}
	a, err := netip.ParseAddrPort(e.listeners[link].Addr().String())
	if err != nil {
		return e.listeners[link].want
	}
	return a
}

// SetPeers replaces the list of peers. Connections to peers that are gone, or whose key or address changed, are closed at once; what comes from a peer
// that is gone is not looked at any more, but it is told (RefusedRemoved), for which it has a second. All others are checked
// again with Config.Verify, so that a revocation ends them, too. A list with an error changes nothing.
func (e *Endpoint) SetPeers(list []Peer) error {
	seen := map[membership.NodeID]bool{}
	for _, in := range list {
		switch {
		case in.Node == 0 || in.Node == e.cfg.Node:
			return fmt.Errorf("set peers: node %d can't be a peer", in.Node)
		case seen[in.Node]:
			return fmt.Errorf("set peers: node %d is there twice", in.Node)
		}
		if err := in.Name.Validate(); err != nil {
			return fmt.Errorf("set peers: node %d: %w", in.Node, err)
		}
		for l, a := range in.Addresses {
			if a != (netip.AddrPort{}) && (!a.Addr().IsValid() || a.Addr().IsUnspecified() || a.Addr().IsMulticast() || a.Port() == 0) {
				return fmt.Errorf("set peers: node %d, link %d: %v is not the address and port of a host", in.Node, l, a)
			}
		}
		seen[in.Node] = true
	}
	e.mu.Lock()
	if e.stopped {
		e.mu.Unlock()
		return ErrStopped
	}
	for id, p := range e.peers {
		if !seen[id] {
			delete(e.peers, id)
			for _, c := range p.conns {
				if c != nil {
					c.dismiss(refuse(RefusedRemoved, "node %d was removed from the cluster", id))
				}
			}
			e.dropPeer(p, ErrRemoved)
		}
	}
	var check []*conn
	for _, in := range list {
		p := e.peers[in.Node]
		if p == nil {
			p = &peer{node: in.Node, bulk: map[*session]bool{}}
			e.peers[in.Node] = p
		}
		before := p.spec
		p.spec = in
		for l, c := range p.conns {
			if c == nil {
				continue
			}
			if c.id.Key != in.Key || before.Name != in.Name || before.Addresses[l] != in.Addresses[l] {
				c.fail(ErrRemoved)
			} else {
				check = append(check, c)
			}
		}
		for s := range p.bulk {
			if s.id.Key != in.Key {
				s.close()
			}
		}
		e.startDials(p)
	}
	e.mu.Unlock()
	for _, c := range check {
		if id, err := e.cfg.Verify(c.chain, c.role); err != nil {
			c.fail(err)
		} else if id.Node != c.p.node {
			c.fail(refuse(RefusedNode, "the certificate is node %d's now", id.Node))
		}
	}
	return nil
}

// dropPeer ends all that a peer has. The caller holds mu.
func (e *Endpoint) dropPeer(p *peer, why error) {
	p.gone = true
	for l, d := range p.dials {
		if d != nil {
			d.cancel()
			p.dials[l] = nil
		}
	}
	for _, c := range p.conns {
		if c != nil && !c.dismissed() {
			c.fail(why)
		}
	}
	for s := range p.bulk {
		s.close()
	}
}

// SetLink tells how good a link to a peer is: messages take the connection with the highest score, of those equal the one with the lowest link. A dead
// link is used only if there is nothing else; if messages are on it and another link is connected, its connection is closed so that they go there.
func (e *Endpoint) SetLink(node membership.NodeID, link membership.LinkID, score int, dead bool) error {
	if int(link) >= membership.MaxLinks {
		return fmt.Errorf("set link: link %d, must be 0 to %d", link, membership.MaxLinks-1)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.peers[node]
	if p == nil {
		return fmt.Errorf("set link: %w: node %d", ErrNoPeer, node)
	}
	p.scores[link], p.dead[link] = score, dead
	p.choose()
	return nil
}

// choose sets the active connection. The caller holds Endpoint.mu.
func (p *peer) choose() {
	var best *conn
	for l, c := range p.conns {
		if c == nil {
			continue
		}
		if best == nil || p.dead[best.link] && !p.dead[l] || p.dead[best.link] == p.dead[l] && p.scores[l] > p.scores[best.link] {
			best = c
		}
	}
	p.out.mu.Lock()
	before := p.out.active
	p.out.mu.Unlock()
	if before != nil && before != best && best != nil && p.conns[before.link] == before && p.dead[before.link] && !p.dead[best.link] {
		before.fail(ErrLinkDead)
		before.giveBack()
	}
	p.out.setActive(best)
}

// Send hands a message of class raft or client over to be sent. It never waits: without room the error is ErrFull and the message is dropped.
// The payload must not be changed afterwards. Success does not mean that the message arrives.
func (e *Endpoint) Send(node membership.NodeID, class transport.Class, payload []byte) error {
	_, err := e.push(node, class, payload)
	if err != nil {
		if class == transport.ClassRaft && errors.Is(err, ErrFull) {
			e.stats.raftDropped.Add(1)
		}
		return fmt.Errorf("send to node %d: %w", node, err)
	}
	return nil
}

// SendWait is Send, but waits for room until ctx ends or the connection is lost.
func (e *Endpoint) SendWait(ctx context.Context, node membership.NodeID, class transport.Class, payload []byte) error {
	for {
		room, err := e.push(node, class, payload)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrFull) {
			return fmt.Errorf("send to node %d: %w", node, err)
		}
		select {
		case <-room:
		case <-ctx.Done():
			return fmt.Errorf("send to node %d: %w", node, ctx.Err())
		}
	}
}

func (e *Endpoint) push(node membership.NodeID, class transport.Class, payload []byte) (<-chan struct{}, error) {
	if class != transport.ClassRaft && class != transport.ClassClient {
		return nil, fmt.Errorf("%w: %v", ErrClass, class)
	}
	if limit := maxMessage(class); len(payload) > limit {
		return nil, fmt.Errorf("%w: %d bytes of %v, at most %d are allowed", ErrTooLong, len(payload), class, limit)
	}
	e.mu.Lock()
	p := e.peers[node]
	e.mu.Unlock()
	if p == nil {
		return nil, ErrNoPeer
	}
	return p.out.push(class, payload)
}

// register puts a connection into the books, in place of the one before on its link.
func (e *Endpoint) register(c *conn) error {
	c.p.events.Lock()
	defer c.p.events.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.stopped:
		return ErrStopped
	case c.p.gone || c.id.Key != c.p.spec.Key:
		return ErrRemoved
	}
	if o := c.p.conns[c.link]; o != nil {
		if o.hello.Incarnation == c.hello.Incarnation && c.seq <= o.seq {
			return refuse(RefusedStale, "connection %d came after connection %d", c.seq, o.seq)
		}
		c.replaced = o.announced || o.replaced
		o.drain()
	}
	c.p.conns[c.link] = c
	c.p.choose()
	return nil
}

// announce gives PeerUp for a registered connection.
func (e *Endpoint) announce(c *conn) {
	c.p.events.Lock()
	defer c.p.events.Unlock()
	c.announced = true
	if c.dialled {
		e.stats.dialled.Add(1)
	} else {
		e.stats.accepted.Add(1)
	}
	e.cfg.Event(PeerUp{
		Node: c.p.node, Link: c.link, Hello: c.hello, Version: c.version,
		DatagramSecret: c.secret, Dialled: c.dialled, Alarms: c.id.Alarms,
	})
}

// finish takes a connection that failed out of the books, and reports it unless a newer one has its place.
func (e *Endpoint) finish(c *conn) {
	c.p.events.Lock()
	defer c.p.events.Unlock()
	defer close(c.ended)
	c.giveBack()
	e.mu.Lock()
	current := c.p.conns[c.link] == c
	last := false
	if current {
		c.p.conns[c.link] = nil
		c.p.choose()
		last = true
		for _, o := range c.p.conns {
			last = last && o == nil
		}
	}
	e.mu.Unlock()
	if current && (c.announced || c.replaced) {
		e.cfg.Event(PeerDown{Node: c.p.node, Link: c.link, Seq: c.seq, Err: c.reason(), Last: last})
	}
}

// displace makes sure that a peer which shows up as a new process is not still there as another one. An authenticated session
// displaces another only if that does not answer.
func (e *Endpoint) displace(c *conn) error {
	e.mu.Lock()
	var others []*conn
	for _, o := range c.p.conns {
		if o != nil && o.hello.Incarnation != c.hello.Incarnation {
			others = append(others, o)
		}
	}
	e.mu.Unlock()
	for _, o := range others {
		if o.alive(livenessTimeout) {
			return refuse(RefusedDuplicate, "another process with the identity of node %d is connected from %v and alive", c.p.node, o.raw.RemoteAddr())
		}
	}
	for _, o := range others {
		o.fail(ErrDisplaced)
		select {
		case <-o.ended:
		case <-c.closed:
		case <-time.After(livenessTimeout):
		}
	}
	return nil
}

// Limits of reports.
const (
	reportBurst = 16
	reportEvery = time.Second
)

// reports limits how many reports are given.
type reports struct {
	mu         sync.Mutex // guards the fields below
	used       int
	since      time.Time
	suppressed int
}

func (e *Endpoint) report(r Report) {
	e.stats.failed.Add(1)
	now := time.Now()
	q := &e.reports
	q.mu.Lock()
	if n := int(now.Sub(q.since) / reportEvery); n > 0 {
		q.used = max(0, q.used-n)
		q.since = now
	}
	if q.used >= reportBurst {
		q.suppressed++
		q.mu.Unlock()
		return
	}
	q.used++
	r.Suppressed, q.suppressed = q.suppressed, 0
	q.mu.Unlock()
	e.cfg.Event(r)
}
