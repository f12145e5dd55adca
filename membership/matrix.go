package membership

import (
	"math/bits"
	"slices"
)

// Heard is one peer in a row of the matrix, with the links on which it is heard.
type Heard struct {
	Node  NodeID
	Links LinkSet
}

// Row is what one node says about its connections.
type Row struct {
	Node NodeID
	// Heard are the peers from which heartbeats come, ascending by number.
	Heard []Heard
	// NoStream are the peers that are heard, but with which no stream could be made for a whole dead time,
	// ascending. Consensus does not work with them.
	NoStream []NodeID
}

// HearsOn returns the links on which the node of the row hears the peer.
func (r *Row) HearsOn(peer NodeID) LinkSet {
	i, ok := slices.BinarySearchFunc(r.Heard, peer, func(h Heard, id NodeID) int { return int(h.Node) - int(id) })
	if !ok {
		return 0
	}
	return r.Heard[i].Links
}

// Matrix says who hears whom on which link: one row for each node of which one is known and not too old,
// ascending by number.
type Matrix []Row

// Row returns the row of a node, or nil when none is known.
func (m Matrix) Row(id NodeID) *Row {
	i, ok := slices.BinarySearchFunc(m, id, func(r Row, id NodeID) int { return int(r.Node) - int(id) })
	if !ok {
		return nil
	}
	return &m[i]
}

// Connected reports whether two nodes can work with each other: on one link at least, each hears the
// other, and neither lacks a stream. One direction on each of two links is not enough, since a stream
// needs both on one.
func (m Matrix) Connected(a, b NodeID) bool {
	if a == b {
		return true
	}
	return connected(m.Row(a), m.Row(b))
}

func connected(a, b *Row) bool {
	if a == nil || b == nil {
		return false
	}
	return a.HearsOn(b.Node)&b.HearsOn(a.Node) != 0 && !slices.Contains(a.NoStream, b.Node) && !slices.Contains(b.NoStream, a.Node)
}

// maxSteps bounds the search of Best. A cluster with a few broken links needs as many steps as it has
// nodes; only matrices that no fault makes come near the bound.
const maxSteps = 50_000

// Best returns the nodes that should go on together: a set in which each is connected with each, and in
// which at least needed voters are. Among several, the one with most nodes is taken; then the one that
// contains the leader (0 = none); then the one with most voters; then the one with the lowest numbers. It
// returns nil when there is none.
//
// The result depends on the arguments alone, so all nodes with the same matrix find the same set. For
// matrices of more than about 40 nodes without any order the search is cut off; the set is then good, but
// maybe not the largest.
func (m Matrix) Best(members []Member, needed int, leader NodeID) []NodeID {
	ms := slices.Clone(members)
	slices.SortFunc(ms, func(a, b Member) int { return int(a.ID) - int(b.ID) })
	if len(ms) > MaxMembers {
		ms = ms[:MaxMembers]
	}
	s := search{adj: make([]uint64, len(ms)), needed: needed}
	rows := make([]*Row, len(ms))
	for i := range ms {
		rows[i] = m.Row(ms[i].ID)
		if ms[i].ID == leader {
			s.leader = 1 << i
		}
		if ms[i].Voter {
			s.voters |= 1 << i
		}
		for j := range i {
			if connected(rows[i], rows[j]) {
				s.adj[i] |= 1 << j
				s.adj[j] |= 1 << i
			}
		}
	}
	var all uint64
	for i := range ms {
		all |= 1 << i
	}
	s.expand(0, all, 0)
	if !s.found {
		return nil
	}
	var ids []NodeID
	for i := range ms {
		if s.best&(1<<i) != 0 {
			ids = append(ids, ms[i].ID)
		}
	}
	return ids
}

// search looks for maximal cliques (Bron and Kerbosch, with pivot) and keeps the best. Nodes are bits.
type search struct {
	adj    []uint64
	voters uint64
	leader uint64
	needed int
	steps  int
	best   uint64
	found  bool
}

// expand tries all extensions of the clique by nodes of open; nodes of done were tried.
func (s *search) expand(clique, open, done uint64) {
	s.steps++
	if s.steps > maxSteps && s.found {
		return
	}
	if open == 0 && done == 0 {
		s.offer(clique)
		return
	}
	// Nothing in this branch can be larger than all of it, nor have more votes.
	if size := bits.OnesCount64(clique | open); s.found && size < bits.OnesCount64(s.best) {
		return
	}
	if bits.OnesCount64((clique|open)&s.voters) < s.needed || s.steps > 2*maxSteps {
		return
	}
	// The pivot is the node with most neighbours among open: its neighbours need not be tried here.
	pivot, most := -1, -1
	for x := open | done; x != 0; x &= x - 1 {
		i := bits.TrailingZeros64(x)
		if n := bits.OnesCount64(open & s.adj[i]); n > most {
			pivot, most = i, n
		}
	}
	for x := open &^ s.adj[pivot]; x != 0; x &= x - 1 {
		i := bits.TrailingZeros64(x)
		s.expand(clique|1<<i, open&s.adj[i], done&s.adj[i])
		open &^= 1 << i
		done |= 1 << i
	}
}

func (s *search) offer(c uint64) {
	if bits.OnesCount64(c&s.voters) < s.needed {
		return
	}
	if s.found && !s.better(c) {
		return
	}
	s.best, s.found = c, true
}

func (s *search) better(c uint64) bool {
	if a, b := bits.OnesCount64(c), bits.OnesCount64(s.best); a != b {
		return a > b
	}
	if a, b := c&s.leader != 0, s.best&s.leader != 0; a != b {
		return a
	}
	if a, b := bits.OnesCount64(c&s.voters), bits.OnesCount64(s.best&s.voters); a != b {
		return a > b
	}
	// The set that has the lowest number in which they differ.
	diff := c ^ s.best
	return diff != 0 && c&(diff&-diff) != 0
}
