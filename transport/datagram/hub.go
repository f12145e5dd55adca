package datagram

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/membership"
)

// Errors of Hub.
var (
	// ErrNoPeer: the node is not one of the peers.
	ErrNoPeer = errors.New("no such peer")
	// ErrNoAddress: the peer has no address on the link, or there is no socket for the link.
	ErrNoAddress = errors.New("no address on this link")
)

// Peer is a member to talk to.
type Peer struct {
	Node membership.NodeID
	// Addresses has its address and port for each link; the zero value where it has none. Only packets from exactly these are looked at.
	Addresses [membership.MaxLinks]netip.AddrPort
}

// HubConfig describes a Hub.
type HubConfig struct {
	Local membership.NodeID
	// Now returns the instant on the process's monotonic clock.
	Now func() membership.Instant
	// Receive is called for each accepted datagram, by the goroutine of the socket it came through. The payload is valid only during
	// the call, which must not block.
	Receive func(from membership.NodeID, link membership.LinkID, payload []byte)
	// Session has settings for the sessions; its node ids are ignored.
	Session Config
}

// Hub holds the sessions of a node with all its peers, and its sockets.
type Hub struct {
	cfg    HubConfig
	routes atomic.Pointer[routes]

	mu    sync.Mutex // guards peers and changes of routes; never held across I/O
	peers map[membership.NodeID]*peerState

	sockets [membership.MaxLinks]atomic.Pointer[Socket]
}

// routes is what the receiving goroutines look up. It is never changed, only replaced.
type routes struct {
	from map[route]*peerState
	to   map[membership.NodeID]*peerState
}

type route struct {
	link membership.LinkID
	addr netip.AddrPort
}

type peerState struct {
	node      membership.NodeID
	addresses [membership.MaxLinks]atomic.Pointer[target]

	mu      sync.Mutex // guards session and buffer; never held across I/O that can block
	session *Session
	buffer  [MaxPacket]byte
}

// NewHub returns a hub without peers.
func NewHub(cfg HubConfig) (*Hub, error) {
	if cfg.Now == nil || cfg.Receive == nil {
		return nil, errors.New("datagram hub: Now and Receive must be set")
	}
	if cfg.Local == 0 {
		return nil, errors.New("datagram hub: node id 0 is no node")
	}
	h := &Hub{cfg: cfg, peers: map[membership.NodeID]*peerState{}}
	h.routes.Store(&routes{})
	return h, nil
}

// SetPeers replaces the list of peers. Peers that stay keep their keys; those that go lose them at once.
func (h *Hub) SetPeers(list []Peer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := &routes{from: map[route]*peerState{}, to: map[membership.NodeID]*peerState{}}
	type change struct {
		p       *peerState
		targets [membership.MaxLinks]*target
	}
	var changes []change
	for _, in := range list {
		if next.to[in.Node] != nil {
			return fmt.Errorf("set peers: node %d is there twice", in.Node)
		}
		p := h.peers[in.Node]
		if p == nil {
			cfg := h.cfg.Session
			cfg.Local, cfg.Peer = h.cfg.Local, in.Node
			s, err := NewSession(cfg)
			if err != nil {
				return fmt.Errorf("set peers: %w", err)
			}
			p = &peerState{node: in.Node, session: s}
		}
		c := change{p: p}
		for l, a := range in.Addresses {
			if a == (netip.AddrPort{}) {
				continue
			}
			t, err := newTarget(a)
			if err != nil {
				return fmt.Errorf("set peers: node %d, link %d: %w", in.Node, l, err)
			}
			r := route{membership.LinkID(l), t.addr}
			if o := next.from[r]; o != nil {
				return fmt.Errorf("set peers: nodes %d and %d have the same address %v on link %d", o.node, in.Node, a, l)
			}
			next.from[r] = p
			c.targets[l] = t
		}
		next.to[in.Node] = p
		changes = append(changes, c)
	}
	for _, c := range changes {
		for l, t := range c.targets {
			c.p.addresses[l].Store(t)
		}
	}
	for id, p := range h.peers {
		if next.to[id] == nil {
			p.mu.Lock()
			p.session.Clear()
			p.mu.Unlock()
		}
	}
	h.peers = next.to
	h.routes.Store(next)
	return nil
}

// Install gives the secret of a new TLS session with a peer.
func (h *Hub) Install(node membership.NodeID, c Chain) error {
	p := h.routes.Load().to[node]
	if p == nil {
		return fmt.Errorf("%w: node %d", ErrNoPeer, node)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session.Install(c, h.cfg.Now())
}

// Rotate makes all sessions use new keys soon. It gives no new entropy; new streams do.
func (h *Hub) Rotate() {
	for _, p := range h.routes.Load().to {
		p.mu.Lock()
		p.session.Rotate()
		p.mu.Unlock()
	}
}

// Send seals a payload and sends it to a peer over a link. It never blocks: where the system has no room, the datagram is lost, with
// an error.
func (h *Hub) Send(node membership.NodeID, link membership.LinkID, payload []byte) error {
	if int(link) >= membership.MaxLinks {
		return fmt.Errorf("%w: %d", ErrLink, link)
	}
	p := h.routes.Load().to[node]
	if p == nil {
		return fmt.Errorf("%w: node %d", ErrNoPeer, node)
	}
	t, sock := p.addresses[link].Load(), h.sockets[link].Load()
	if t == nil || sock == nil {
		return fmt.Errorf("%w: node %d, link %d", ErrNoAddress, node, link)
	}
	now := h.cfg.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	packet, err := p.session.Seal(p.buffer[:0], link, payload, now)
	if err != nil {
		return fmt.Errorf("send to node %d, link %d: %w", node, link, err)
	}
	if err := sock.send(packet, t); err != nil {
		return fmt.Errorf("send to node %d, link %d: %w", node, link, err)
	}
	if packet, ok := p.session.Confirm(p.buffer[:0], link, now); ok {
		// It is repeated with each datagram until it has come through.
		_ = sock.send(packet, t)
	}
	return nil
}

// receive handles a packet from an address on a link. It overwrites the packet.
func (h *Hub) receive(link membership.LinkID, from netip.AddrPort, packet []byte) Reason {
	p := h.routes.Load().from[route{link, from}]
	if p == nil {
		return DropSource
	}
	p.mu.Lock()
	payload, r := p.session.Open(packet, link, h.cfg.Now())
	p.mu.Unlock()
	if r == Accepted {
		h.cfg.Receive(p.node, link, payload)
	}
	return r
}

// Counters returns how many packets a peer's session opened and dropped, by reason. It is zero for an unknown peer.
func (h *Hub) Counters(node membership.NodeID) Counters {
	p := h.routes.Load().to[node]
	if p == nil {
		return Counters{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session.Counters()
}
