package node

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
)

// consensus is the replicated part of a node: raft, and the state that committed entries make.
type consensus struct {
	name        string
	incarnation membership.Incarnation
	rep         *replica.Replica
	state       *command.State
	counter     uint64
	decoded     decoded

	own     map[replica.RequestID]ownRequest // proposals of this node by the cores, to tell them when one is lost
	asked   membership.Instant               // when the barrier was asked for
	barrier replica.RequestID                // read that proves that this node is caught up with its leader
	fresh   bool
	role    replica.Role

	lastLeader membership.RaftID // the one that was known last
}

// decoded is the state in a snapshot that is on its way.
type decoded struct {
	snapshot *raftpb.Snapshot
	state    *command.State
}

// of reports whether it is the state of that snapshot: those of one index and term are equal.
func (d *decoded) of(s *raftpb.Snapshot) bool {
	m, o := d.snapshot.GetMetadata(), s.GetMetadata()
	return d.state != nil && m.GetIndex() == o.GetIndex() && m.GetTerm() == o.GetTerm() && len(d.snapshot.GetData()) == len(s.GetData())
}

// ownRequest is a proposal that a core of this node made.
type ownRequest struct {
	kind command.Kind
}

func (c *consensus) id() replica.RequestID {
	c.counter++
	return replica.RequestID{Hi: uint64(c.incarnation), Lo: c.counter}
}

// propose hands an entry to raft under a new request id.
func (c *consensus) propose(now membership.Instant, e *command.Entry) (replica.RequestID, error) {
	id := c.id()
	e.Request, e.Origin = id.Lo, c.name
	data, err := e.Encode()
	if err != nil {
		return id, err
	}
	return id, c.rep.Propose(now, id, data)
}

// proposeOwn is propose for a core of this node, which is told when the proposal is lost.
func (c *consensus) proposeOwn(now membership.Instant, e *command.Entry) bool {
	id, err := c.propose(now, e)
	if err != nil {
		return false
	}
	c.own[id] = ownRequest{kind: e.Kind}
	return true
}

// applied is what one batch of committed entries came to.
type applied struct {
	outcomes []command.Outcome
	replies  []Reply
	conf     bool // the raft members changed
}

// Reply answers a proposal or a read that came from outside.
type Reply struct {
	Request replica.RequestID
	Read    bool
	Index   uint64
	Outcome command.Outcome
	Err     error // it was not taken, or what became of it is not known
}

// ErrLost says that a request was dropped; a proposal may still be applied later.
var ErrLost = errors.New("the request was dropped")

// apply applies committed entries in order.
func (c *consensus) apply(entries []replica.Entry) (a applied) {
	for i := range entries {
		e := &entries[i]
		var data []byte
		if e.Kind == replica.KindData {
			data = e.Data
		}
		a.conf = a.conf || e.Kind == replica.KindConf
		next, out := command.Apply(c.state, e.Index, e.Term, data)
		c.state = next
		if e.Kind == replica.KindInvalid {
			out.Err = fmt.Errorf("entry %d: %s", e.Index, e.Reason)
		}
		if e.Kind == replica.KindData {
			a.outcomes = append(a.outcomes, out)
		}
		if !e.Own {
			continue
		}
		if _, own := c.own[e.Request]; own {
			delete(c.own, e.Request)
			continue
		}
		a.replies = append(a.replies, Reply{Request: e.Request, Index: e.Index, Outcome: out})
	}
	return a
}

// restore takes over the leader's snapshot.
func (c *consensus) restore(s *raftpb.Snapshot) (err error) {
	st := c.decoded.state
	if !c.decoded.of(s) {
		if st, err = command.DecodeState(s.GetData()); err != nil {
			return fmt.Errorf("snapshot of the leader at index %d: %w", s.GetMetadata().GetIndex(), err)
		}
	}
	c.decoded = decoded{}
	// Entries that change nothing in the state may lie between its last change and the snapshot's index.
	n := *st
	n.Index, n.Term = s.GetMetadata().GetIndex(), s.GetMetadata().GetTerm()
	c.state = &n
	return nil
}

// refresh asks whether this node is caught up whenever the leader has changed.
func (c *consensus) refresh(now membership.Instant, r *replica.Role) {
	if r != nil {
		if r.Leader != c.role.Leader || r.Term != c.role.Term {
			c.stale()
		}
		c.role = *r
		if r.Leader != 0 {
			c.lastLeader = r.Leader
		}
	}
	if c.role.Leader == 0 {
		c.fresh = false
		return
	}
	if !c.fresh && (c.barrier == (replica.RequestID{}) || now >= c.asked.Add(askBarrier)) {
		id := c.id()
		if c.rep.Read(now, id) == nil {
			c.barrier, c.asked = id, now
		}
	}
}

// stale forgets that this node is caught up: what that was worth has changed.
func (c *consensus) stale() {
	c.fresh, c.barrier = false, replica.RequestID{}
}

// askBarrier is how long an answer may take before the question is asked again: it may have been lost with a
// connection that was not there yet.
const askBarrier = 200 * time.Millisecond

// nextAsk is when the barrier is to be asked for again; false when it is not waited for.
func (c *consensus) nextAsk() (membership.Instant, bool) {
	if c.fresh || c.role.Leader == 0 {
		return 0, false
	}
	return c.asked.Add(askBarrier), true
}

// read settles the answered reads; it returns those that came from outside.
func (c *consensus) read(ids []replica.RequestID) (out []Reply) {
	for _, id := range ids {
		if id == c.barrier {
			c.fresh = true
			c.barrier = replica.RequestID{}
			continue
		}
		out = append(out, Reply{Request: id, Read: true, Index: c.state.Index})
	}
	return out
}

// dropped settles lost requests: cores of this node are told by kind, others get a reply.
func (c *consensus) dropped(list []replica.Drop) (kinds []command.Kind, out []Reply) {
	for _, d := range list {
		if d.Request == c.barrier {
			c.barrier = replica.RequestID{}
			continue
		}
		if own, ok := c.own[d.Request]; ok {
			delete(c.own, d.Request)
			kinds = append(kinds, own.kind)
			continue
		}
		out = append(out, Reply{Request: d.Request, Read: d.Read, Err: fmt.Errorf("%w: %w", ErrLost, d.Reason)})
	}
	return kinds, out
}

// wallMS is the wall clock in milliseconds since 1970.
func wallMS(t time.Time) int64 { return t.UnixMilli() }
