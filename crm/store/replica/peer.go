package replica

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/membership"
)

// StalePeerError says that a peer shows less than it had shown before, so its disk was wiped or restored from an older copy.
type StalePeerError struct {
	Peer             membership.RaftID
	Term, Last       uint64 // what it shows
	SeenTerm, SeenAt uint64 // what it had shown
	Floor            uint64 // the committed part of what it had shown
}

// Error names both and says what to do.
func (e *StalePeerError) Error() string {
	return fmt.Sprintf("raft id %d shows term %d and last index %d, but had stored index %d in term %d and committed entries up to %d: its disk was wiped or restored; it must join again under a new raft id",
		e.Peer, e.Term, e.Last, e.SeenAt, e.SeenTerm, e.Floor)
}

// LostLogError says that the leader relies on entries which this replica had confirmed and does not have: its own disk was wiped or
// restored. It must not vote again under this raft id.
type LostLogError struct {
	Leader          membership.RaftID
	Confirmed, Last uint64
}

// Error names both indexes and says what to do.
func (e *LostLogError) Error() string {
	return fmt.Sprintf("leader %d relies on entry %d, which this node confirmed, but its log ends at %d: the disk was wiped or restored; the node must join again under a new raft id",
		e.Leader, e.Confirmed, e.Last)
}

// Hello is what a replica shows of its stable storage when it connects: for ObservePeer of the other side.
type Hello struct {
	ID   membership.RaftID
	Term uint64
	Last uint64
}

// Hello gives what is durable now.
func (r *Replica) Hello() Hello {
	return Hello{ID: r.cfg.ID, Term: r.durable.term, Last: r.durable.last}
}

// ObservePeer compares what a peer shows when it connects with the most that it has shown to this node. It returns a
// *StalePeerError if the peer has lost something; then the peer's messages are refused by Step, and none are given out for it,
// until it shows enough or its raft id is no longer used. Terms and indexes are those of stable storage. The owner tells the
// peer of the refusal, and a node that is told so marks its own storage as retired.
//
// A mark of term T and index I says that the peer had stored the log of the leader of T up to I, and T itself. Within T it
// can only have more; a shorter log is possible once it has stored a higher term. So the rule is: lower term, or equal
// term and lower index. What was committed stays in every term: so also a last index below the mark's floor is refused, whatever the
// term that the peer may have learned from others meanwhile.
func (r *Replica) ObservePeer(id membership.RaftID, term, last uint64) error {
	seen := r.marks[id]
	if term < seen.Term || term == seen.Term && last < seen.Index || last < seen.Floor {
		err := &StalePeerError{Peer: id, Term: term, Last: last, SeenTerm: seen.Term, SeenAt: seen.Index, Floor: seen.Floor}
		r.refused[id] = err
		return err
	}
	delete(r.refused, id)
	// The index is not noted. The end of the log may be of an earlier leader than that of the term, who takes it back
	// without a new term; only what the peer confirms is the log of its term.
	r.mark(id, term, 0, 0)
	return nil
}

// ObserveApplied takes the applied index that a peer shows in its heartbeats. A replica applies only what is on its own disk, so
// this tells every member, and not the leader alone, what the peer must have when it connects again.
func (r *Replica) ObserveApplied(id membership.RaftID, applied uint64) {
	if r.refused[id] == nil {
		r.mark(id, 0, 0, applied)
	}
}

// observeMessage takes what a message proves about its sender's stable storage. Only answers to votes and appends do:
// they are sent after a save. All others may go before it, and a sender that crashed in between has lost nothing that counts.
func (r *Replica) observeMessage(m *raftpb.Message) {
	switch m.GetType() {
	case raftpb.MsgAppResp:
		var index, floor uint64
		if !m.GetReject() {
			index = m.GetIndex()
			if r.role.State == Leader && m.GetTerm() == r.role.Term {
				floor = min(index, r.applied) // its log is this leader's up to index
			}
		}
		r.mark(membership.RaftID(m.GetFrom()), m.GetTerm(), index, floor)
	case raftpb.MsgVoteResp:
		r.mark(membership.RaftID(m.GetFrom()), m.GetTerm(), 0, 0)
	}
}

func (r *Replica) mark(id membership.RaftID, term, index, floor uint64) {
	seen, known := r.marks[id]
	if id == r.cfg.ID || id == 0 || !known && len(r.marks) >= 2*maxMarks {
		return // members are at most 64 and are known long before
	}
	next := seen
	next.ID = id
	if term > seen.Term {
		next.Term, next.Index = term, index
	} else if term == seen.Term {
		next.Index = max(seen.Index, index)
	}
	next.Floor = max(seen.Floor, floor)
	if next != seen {
		r.marks[id], r.marked = next, true
	}
}

// markList gives the marks for saving, sorted; those of former members give way when there are too many.
func (r *Replica) markList() []PeerMark {
	list := slices.SortedFunc(maps.Values(r.marks), func(a, b PeerMark) int { return cmp.Compare(a.ID, b.ID) })
	if len(list) <= maxMarks {
		return list
	}
	in := members(r.conf)
	list = slices.DeleteFunc(list, func(m PeerMark) bool { return !slices.Contains(in, uint64(m.ID)) })
	keep := make(map[membership.RaftID]PeerMark, len(list))
	for _, m := range list {
		keep[m.ID] = m
	}
	r.marks = keep
	return list
}
