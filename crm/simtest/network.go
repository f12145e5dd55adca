package simtest

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/crm/node"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
)

// links is how many links a pair of nodes has.
const links = 2

// Times of the streams, as crm/daemon and transport/stream have them in kind.
const (
	streamSetup  = 20 * time.Millisecond  // TCP and TLS handshakes
	streamRetry  = 500 * time.Millisecond // between two tries
	streamSilent = 3 * time.Second        // after which a connection without an answer is given up
)

// What a good network takes for a packet.
const (
	usualDelay  = 300 * time.Microsecond
	usualJitter = 700 * time.Microsecond
)

// network carries datagrams and streams between machines. Faults are kept by direction and link.
type network struct {
	w     *world
	paths map[pathKey]*path
	pairs map[pairKey]*pair
	// Of the whole network.
	delay, jitter   time.Duration
	loss, dup, late int // percent of datagrams; late ones take up to lateBy more
	lateBy          time.Duration
}

type pathKey struct {
	from, to membership.NodeID
	link     membership.LinkID
}

// path is one direction of one link of a pair.
type path struct {
	cut  int // number of faults that cut it
	mute int // number of faults that drop its datagrams alone
	loss int // percent, on top of the network's
}

type pairKey struct {
	low, high membership.NodeID
	link      membership.LinkID
}

// pair is the stream between two nodes on a link. It exists between two processes.
type pair struct {
	a, b *process // of the lower and of the higher node id; nil = no stream
	busy bool     // a connection attempt or a time-out is planned
	// sent is when the newest message of a side arrives: a stream keeps its order.
	sent map[membership.NodeID]time.Duration
}

func (n *network) path(from, to membership.NodeID, l membership.LinkID) *path {
	k := pathKey{from, to, l}
	p := n.paths[k]
	if p == nil {
		p = &path{}
		n.paths[k] = p
	}
	return p
}

func (n *network) pair(a, b membership.NodeID, l membership.LinkID) *pair {
	k := pairKey{min(a, b), max(a, b), l}
	p := n.pairs[k]
	if p == nil {
		p = &pair{sent: map[membership.NodeID]time.Duration{}}
		n.pairs[k] = p
	}
	return p
}

// open reports whether packets pass from one node to another on a link.
func (n *network) open(from, to membership.NodeID, l membership.LinkID) bool {
	return n.path(from, to, l).cut == 0
}

// twoWay reports whether packets pass in both directions.
func (n *network) twoWay(a, b membership.NodeID, l membership.LinkID) bool {
	return n.open(a, b, l) && n.open(b, a, l)
}

// connected reports whether any link works in both directions.
func (n *network) connected(a, b membership.NodeID) bool {
	for l := range membership.LinkID(links) {
		if n.twoWay(a, b, l) {
			return true
		}
	}
	return false
}

// block adds (1) or takes away (-1) a cut of one direction; streams see it.
func (n *network) block(from, to membership.NodeID, l membership.LinkID, by int) {
	n.path(from, to, l).cut += by
	n.watch(from, to, l)
}

// datagram sends a heartbeat.
func (n *network) datagram(from *process, h node.Heartbeat) {
	w := n.w
	p := n.path(from.m.id, h.To, h.Link)
	to := w.machine(h.To)
	if to == nil || p.cut > 0 || p.mute > 0 || w.chance(n.loss+p.loss) {
		return
	}
	copies := 1
	if w.chance(n.dup) {
		copies = 2
	}
	for range copies {
		d := n.delay
		if n.jitter > 0 {
			d += w.between(0, n.jitter)
		}
		if w.chance(n.late) {
			d += w.between(0, n.lateBy)
		}
		src, link, payload := from.m.id, h.Link, h.Payload
		w.after(d, func() {
			if pr := to.proc; pr != nil && n.open(src, to.id, link) {
				pr.input(func() {
					// Who is no member yet is not answered: the daemon's hub has no keys for it.
					_ = pr.n.HeartbeatReceived(pr.now(), pr.wall(), src, link, payload)
				})
			}
		})
	}
}

// raft sends a message on a stream; false when there is none.
func (n *network) raft(from *process, m *raftpb.Message) bool {
	w := n.w
	to := w.machineByRaft(membership.RaftID(m.GetTo()))
	if to == nil {
		return false
	}
	for l := range membership.LinkID(links) {
		p := n.pair(from.m.id, to.id, l)
		if p.a == nil {
			continue
		}
		peer := p.a
		if peer == from {
			peer = p.b
		}
		if from != p.a && from != p.b {
			continue
		}
		// A stream keeps its order, so a late packet holds up those behind it.
		at := w.now + n.delay + w.between(0, n.jitter+time.Microsecond)
		if w.chance(n.loss + n.path(from.m.id, to.id, l).loss) {
			at += w.between(5*time.Millisecond, 200*time.Millisecond) // sent again
		}
		at = max(at, p.sent[from.m.id])
		p.sent[from.m.id] = at
		src, m := from.m.id, clone(m)
		w.at(at, func() {
			if peer.dead || p.a == nil || !n.open(src, peer.m.id, l) {
				return // lost with the connection, which is given up in time
			}
			peer.input(func() { peer.raft(m) })
		})
		return true
	}
	return false
}

// snapshot sends a snapshot on a connection of its own.
func (n *network) snapshot(from *process, s replica.SnapshotMessage) {
	w := n.w
	to := w.machineByRaft(s.To)
	snap, err := from.log.ReadSnapshot()
	if err != nil {
		w.violate("contract", "%s: read snapshot: %v", from.m.name, err)
		return
	}
	m := clone(s.With(snap))
	took := w.between(5*time.Millisecond, 50*time.Millisecond)
	w.after(took, func() {
		ok := to != nil && to.proc != nil && n.connected(from.m.id, to.id)
		if ok {
			pr := to.proc
			w.tell("%s snapshot of %d for %s", from.m.name, snap.GetMetadata().GetIndex(), to.name)
			w.hit("snapshot sent")
			pr.input(func() { pr.raft(m) })
		}
		if !from.dead {
			from.input(func() { from.n.SnapshotSent(from.now(), s.To, ok) })
		}
	})
}

// started makes the streams of a new process.
func (n *network) started(p *process) {
	for _, m := range n.w.machines {
		if m != p.m {
			for l := range membership.LinkID(links) {
				n.watch(p.m.id, m.id, l)
			}
		}
	}
}

// ended closes the streams of a process that is gone. killed says that its machine runs on and resets the
// connections; otherwise the peers learn of it by silence.
func (n *network) ended(p *process, killed bool) {
	for _, m := range n.w.machines {
		if m == p.m {
			continue
		}
		for l := range membership.LinkID(links) {
			s := n.pair(p.m.id, m.id, l)
			if s.a != p && s.b != p {
				continue
			}
			peer := s.a
			if peer == p {
				peer = s.b
			}
			reset := killed && n.open(p.m.id, m.id, l)
			d := n.delay
			if !reset {
				d = streamSilent
			}
			s.a, s.b = nil, nil
			n.lose(peer, p.m, l, d, reset)
			n.watch(p.m.id, m.id, l)
		}
	}
}

// lose tells a process after a while that its stream to a machine is gone.
func (n *network) lose(p *process, peer *machine, l membership.LinkID, d time.Duration, reset bool) {
	n.w.after(d, func() {
		if p.dead || n.pair(p.m.id, peer.id, l).a != nil {
			return
		}
		p.input(func() {
			p.n.StreamDown(p.now(), peer.id, l, reset)
			for other := range membership.LinkID(links) {
				if n.pair(p.m.id, peer.id, other).a != nil {
					return
				}
			}
			if peer.raft != 0 {
				p.n.Unreachable(p.now(), peer.raft)
			}
		})
	})
}

// watch plans what becomes of the stream between two nodes on a link: one that does not work any more is given
// up, one that could work is made.
func (n *network) watch(x, y membership.NodeID, l membership.LinkID) {
	w := n.w
	p := n.pair(x, y, l)
	if p.busy {
		return
	}
	a, b := w.machine(min(x, y)), w.machine(max(x, y))
	if a == nil || b == nil {
		return
	}
	works := n.twoWay(a.id, b.id, l)
	switch {
	case p.a != nil && !works:
		p.busy = true
		pa, pb := p.a, p.b
		w.after(streamSilent, func() {
			p.busy = false
			if p.a == pa && p.b == pb && !n.twoWay(a.id, b.id, l) {
				p.a, p.b = nil, nil
				n.lose(pa, b, l, 0, false)
				n.lose(pb, a, l, w.between(0, streamRetry), false)
			}
			n.watch(x, y, l)
		})
	case p.a == nil && works && a.proc != nil && b.proc != nil:
		p.busy = true
		w.after(streamSetup+w.between(0, streamRetry/10), func() {
			p.busy = false
			pa, pb := a.proc, b.proc
			if p.a != nil || pa == nil || pb == nil || !n.twoWay(a.id, b.id, l) {
				n.watch(x, y, l)
				return
			}
			if !pa.knows(b) || !pb.knows(a) {
				// Not configured as a peer yet: its connection is refused, and it tries again.
				p.busy = true
				w.after(streamRetry, func() { p.busy = false; n.watch(x, y, l) })
				return
			}
			p.a, p.b = pa, pb
			ha, hb := pa.hello, pb.hello
			pa.input(func() { pa.streamUp(b, l, hb) })
			pb.input(func() { pb.streamUp(a, l, ha) })
		})
	}
}
