package node

import (
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/membership/quorum"
)

// votes joins package quorum to the node: whether there is quorum, who should vote, and how one of two voters goes on
// alone. The argument why that is safe is in docs/architecture.md, "Two nodes".
type votes struct {
	n *Node
	// decision is kept up to date by update: it is asked for at every input.
	decision quorum.Decision
	conf     replica.ConfState // as of the last update

	// seenAll: under the present configuration this process was caught up with the leader while all voters were
	// there. Until then its log may lack what a former survivor has committed.
	seenAll bool
	fenced  map[membership.RaftID]proof
	order   *order
	retryAt membership.Instant // for the next order after one that failed
	taking  bool               // the replica is becoming the only voter
}

// proof says that a voter was switched off.
type proof struct {
	running membership.Incarnation // of the process that was heard last before
	at      membership.Instant
}

// order is a fencing of the other voter that this node decided on by itself.
type order struct {
	target  membership.RaftID
	at      membership.Instant // when it is to begin
	pending *command.Pending   // set once it has begun
}

const (
	// followerDelay is how much later the one of two voters that did not lead fences the other, where nothing else
	// decides the race: so that a cut between two healthy nodes does not end both.
	followerDelay = 2 * time.Second
	// orderAgain is the pause after a fencing that failed.
	orderAgain = 5 * time.Second
)

func (v *votes) init(n *Node) {
	v.n, v.fenced = n, map[membership.RaftID]proof{}
	v.update()
}

// update works the decision out again. It is called whenever a voter, or what is known of one, has changed.
func (v *votes) update() {
	v.conf = v.n.con.rep.Members()
	conf := &v.conf
	in := quorum.Input{Self: v.n.cfg.RaftID}
	all := true
	for _, id := range conf.Voters {
		here := id == in.Self || v.n.mem.hears(id)
		if here {
			in.Present = append(in.Present, id)
		}
		all = all && here
		if _, ok := v.fenced[id]; ok {
			in.Fenced = append(in.Fenced, id)
		}
	}
	v.seenAll = v.seenAll || all && v.n.con.fresh && slices.Contains(conf.Voters, in.Self)
	in.SeenAll = v.seenAll
	was := v.decision.Reason
	v.decision = quorum.Decide(quorum.Config{Voters: conf.Voters}, in)
	if len(conf.Outgoing) > 0 && v.decision.Quorate {
		in.Fenced = nil
		for _, id := range conf.Outgoing {
			if v.n.mem.hears(id) {
				in.Present = append(in.Present, id)
			}
		}
		if d := quorum.Decide(quorum.Config{Voters: conf.Outgoing}, in); !d.Quorate {
			v.decision = d
		}
	}
	if v.decision.Reason != was && len(conf.Voters) > 1 {
		v.n.note(Info, "quorum", "reason", v.decision.Reason.String(), "votes", v.decision.Votes, "of", v.decision.Voters)
	}
}

// majority reports whether this node and the voters that are there are more than half of the voters.
func (v *votes) majority() bool { return v.decision.Reason == quorum.Majority }

// reconfigured tells that the voters are others. What was seen under the former configuration proves nothing for the
// present one: entries may have been committed by voters that are gone.
func (v *votes) reconfigured() {
	v.seenAll = false
	v.n.con.stale()
	v.update()
}

// unheard drops what is known of a voter that is there again, or as another process.
func (v *votes) unheard() {
	if len(v.fenced) == 0 {
		return
	}
	view := v.n.mem.core.View()
	for i := range view.Members {
		p := &view.Members[i]
		id := v.n.mem.raftID(p.Node)
		f, ok := v.fenced[id]
		// It was there when its power went off, and is noticed as lost only now; but not for longer than that takes.
		if ok && (p.Incarnation != f.running || here(p.State) && v.n.now > f.at.Add(3*v.n.mem.timing.Dead)) {
			delete(v.fenced, id)
		}
	}
}

// caughtUpEntries is how many entries a learner may lack to become a voter.
const caughtUpEntries = 100

// change works out the next change of the raft members that the state asks for: new members become learners, removed
// ones leave, and package quorum says who votes. ID 0 = none.
func (v *votes) change() (c replica.Change, reason string) {
	conf := &v.conf
	if len(conf.Outgoing) > 0 {
		return c, ""
	}
	s := v.n.con.state
	for i := range s.Members {
		if mem := &s.Members[i]; !mem.Removed && !v.knows(membership.RaftID(mem.RaftID)) {
			return replica.Change{Kind: replica.AddLearner, ID: membership.RaftID(mem.RaftID)}, "is a member"
		}
	}
	next, ok := quorum.Next(v.candidates(), conf.Voters, v.n.cfg.RaftID)
	switch {
	case ok && next.Add != 0:
		return replica.Change{Kind: replica.AddVoter, ID: next.Add}, next.Reason
	case ok && s.MemberByRaftID(uint64(next.Remove)) != nil:
		return replica.Change{Kind: replica.AddLearner, ID: next.Remove}, next.Reason
	case ok:
		return replica.Change{Kind: replica.Remove, ID: next.Remove}, next.Reason
	}
	for _, id := range conf.Learners {
		if s.MemberByRaftID(uint64(id)) == nil {
			return replica.Change{Kind: replica.Remove, ID: id}, "is no member any more"
		}
	}
	return c, ""
}

// knows reports whether raft gives its log to the member.
func (v *votes) knows(id membership.RaftID) bool {
	return slices.Contains(v.conf.Voters, id) || slices.Contains(v.conf.Learners, id) || slices.Contains(v.conf.Outgoing, id)
}

// candidates are the members as package quorum wants to know them.
func (v *votes) candidates() []quorum.Candidate {
	s := v.n.con.state
	view := v.n.mem.core.View()
	var list []quorum.Candidate
	for i := range s.Members {
		mem := &s.Members[i]
		if mem.Removed {
			continue
		}
		c := quorum.Candidate{ID: membership.RaftID(mem.RaftID)}
		if cfg := configured(s, mem.Name); cfg != nil {
			c.Witness, c.Barred = cfg.Witness, strings.EqualFold(cfg.Voter, "no")
		}
		if mem.Name == v.n.cfg.Name {
			c.Present, c.CaughtUp, c.Steady = true, true, v.n.now.Sub(v.n.mem.began)
		} else if p, ok := view.Member(membership.NodeID(mem.NodeID)); ok {
			// One that leaves, or has left, gives up its vote: those that stay are then the whole.
			c.Barred = c.Barred || p.Leaving || p.State == membership.Left
			c.Present = here(p.State)
			c.CaughtUp = mem.Online && p.Applied+caughtUpEntries >= v.n.con.rep.Applied()
			c.Steady, c.Losses = v.n.now.Sub(p.Since), p.Losses
		}
		list = append(list, c)
	}
	return list
}

// configured finds the settings of a node; nil = none.
func configured(s *command.State, name string) *cib.Node {
	for i := range s.Document.Config.Nodes {
		if s.Document.Config.Nodes[i].Name == name {
			return &s.Document.Config.Nodes[i]
		}
	}
	return nil
}
