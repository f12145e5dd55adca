package node

import (
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/controller"
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

	// seenAll: under the configuration of conf this process was caught up with the leader while all voters were
	// there. Until then its log may lack what a former survivor has committed.
	seenAll bool
	// unsettled: a change of the voters is in the log and not applied. The others may have applied it and gone on without
	// this node, so that seenAll is worth nothing until the outcome is known.
	unsettled bool
	fenced    map[membership.RaftID]proof
	order     *order
	retryAt   membership.Instant // for the next order after one that failed
	trouble   string             // why the last order came to nothing
	taking    bool               // the replica is becoming the only voter
	goBy      membership.Instant // when this node leaves without having given up its vote
}

// proof says that a voter was switched off.
type proof struct {
	running membership.Incarnation // of the process that was heard last before
	at      membership.Instant
}

// order is a fencing of the other voter that this node decided on by itself.
type order struct {
	target  membership.RaftID
	running membership.Incarnation // of the target, as heard last
	at      membership.Instant     // when it is to begin
	asked   *controller.Question   // what the policy says to it; nil = not asked yet
	pending *command.Pending       // set once it has begun
}

const (
	// followerDelay is how much later the one of two voters that did not lead fences the other, where nothing else
	// decides the race: so that a cut between two healthy nodes does not end both.
	followerDelay = 2 * time.Second
	// orderAgain is the pause after a fencing that failed.
	orderAgain = 5 * time.Second
	// leaveWait is how long a node that leaves waits for the others to do without its vote.
	leaveWait = 10 * time.Second
)

func (v *votes) init(n *Node) {
	v.n, v.fenced = n, map[membership.RaftID]proof{}
	v.update()
}

// update works the decision out again. It is called whenever a voter, or what is known of one, has changed.
func (v *votes) update() {
	now := v.n.con.rep.Members()
	if !slices.Equal(now.Voters, v.conf.Voters) || !slices.Equal(now.Outgoing, v.conf.Outgoing) {
		v.forget()
	}
	v.conf, v.unsettled = now, v.n.con.rep.Reconfigures()
	conf := &v.conf
	in := quorum.Input{Self: v.n.cfg.RaftID}
	all := true
	for _, id := range conf.Voters {
		here := id == in.Self || v.n.mem.hears(id)
		if here {
			in.Present = append(in.Present, id)
		}
		all = all && here
		if _, ok := v.fenced[id]; ok || !here && v.n.mem.left(id) {
			in.Fenced = append(in.Fenced, id)
		}
	}
	v.seenAll = v.seenAll || all && !v.unsettled && v.n.con.fresh && slices.Contains(conf.Voters, in.Self)
	in.SeenAll = v.missesNothing()
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

// missesNothing reports whether all that was ever committed is in this node's log, as long as nothing more can be committed
// without it.
func (v *votes) missesNothing() bool { return v.seenAll && !v.unsettled }

// reconfigured tells that the voters are others, or were in between.
func (v *votes) reconfigured() {
	v.forget()
	v.update()
}

// forget takes back what was seen under the configuration of conf. It proves nothing for another one: entries may
// have been committed by voters that are gone. Only who was the whole itself misses none.
func (v *votes) forget() {
	v.seenAll = len(v.conf.Voters) == 1 && v.conf.Voters[0] == v.n.cfg.RaftID && len(v.conf.Outgoing) == 0
	v.n.con.stale()
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
	few := v.few(&view)
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
			c.Barred = c.Barred || leaves(&p) && (few || !slices.Contains(v.conf.Voters, c.ID))
			c.Present = here(p.State)
			c.CaughtUp = mem.Online && p.State == membership.Reachable && p.Applied+caughtUpEntries >= v.n.con.rep.Applied()
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

// leaves reports whether a member leaves in order, or has left.
func leaves(p *membership.NodeView) bool { return p.Leaving || p.State == membership.Left }

// few reports whether the voters that stay are no majority: then those that leave in order, or have left, give up their
// votes, so that those that stay are the whole. Otherwise they keep them for when they are back.
func (v *votes) few(view *membership.View) bool {
	stay := 0
	for _, id := range v.conf.Voters {
		p, ok := view.Member(v.n.mem.nodeID(id))
		if id == v.n.cfg.RaftID && !v.n.leaving || ok && here(p.State) && !leaves(&p) {
			stay++
		}
	}
	return stay < quorum.Needed(len(v.conf.Voters))
}

// mayGo reports whether this node, which leaves in order, can go without taking the quorum with it.
func (v *votes) mayGo() bool {
	if !v.n.con.fresh || !slices.Contains(v.conf.Voters, v.n.cfg.RaftID) || len(v.conf.Voters) == 1 {
		return true
	}
	view := v.n.mem.core.View()
	if !v.few(&view) {
		return true
	}
	if v.goBy == 0 {
		v.goBy = v.n.now.Add(leaveWait)
	}
	// Whoever stays has to take the vote; without anybody there is nothing to wait for.
	return v.n.now >= v.goBy || !slices.ContainsFunc(view.Members, func(p membership.NodeView) bool { return here(p.State) && !leaves(&p) })
}

// act lets one of two voters settle the loss of the other.
func (v *votes) act() {
	switch {
	case v.n.leaving:
	case v.decision.Reason == quorum.Survivor && len(v.conf.Voters) == 2: // of four, two would have to agree on it
		v.takeOver()
	case v.decision.Reason == quorum.Split && len(v.decision.MayFence) == 1:
		v.fence(v.decision.MayFence[0])
	}
	if v.order != nil && !v.wants(v.order.target) {
		v.order = nil // if it has begun, it ends, and is told as what it was
	}
}

// wants reports whether this node is still to fence the voter by itself.
func (v *votes) wants(id membership.RaftID) bool {
	return v.decision.Reason == quorum.Split && slices.Contains(v.decision.MayFence, id) && !v.n.leaving
}

// ordered reports whether a fencing is one that this node decided on by itself and still wants.
func (v *votes) ordered(id command.ActionID) bool {
	return v.order != nil && v.order.pending != nil && v.order.pending.ID == id && v.wants(v.order.target)
}

// fence begins the fencing of the other voter when it is due.
func (v *votes) fence(id membership.RaftID) {
	n := v.n
	if v.order == nil {
		if n.now < v.retryAt || !n.started {
			return
		}
		if v.order = v.due(id); v.order == nil {
			return
		}
	}
	if v.order.asked != nil || n.now < v.order.at || !n.free() {
		return
	}
	q, err := n.member.Fence(n.nameOf(id), n.wall)
	if err != nil {
		v.failed(err.Error())
		return
	}
	v.order.asked = q
	n.ask(q)
}

// decided begins the fencing of the other voter as the policy wants it, if it is still wanted.
func (v *votes) decided(a *controller.Answer) {
	o := v.order
	if o == nil || o.asked == nil || o.asked.Number != a.Number || o.pending != nil || !v.wants(o.target) {
		return
	}
	p, err := v.n.member.Fenced(v.n.nameOf(o.target), o.asked, a, v.n.wall)
	if err != nil {
		v.failed(err.Error())
		return
	}
	o.pending = &p
	v.n.fences.do(p)
}

// due gives the order to fence the other voter: at once when it is dead, and after a while when it lives, but cannot be
// worked with. The leader goes first.
func (v *votes) due(id membership.RaftID) *order {
	n := v.n
	view := n.mem.core.View()
	p, ok := view.Member(n.mem.nodeID(id))
	if !ok {
		return nil
	}
	o := &order{target: id, running: p.Incarnation, at: n.now}
	switch p.State {
	case membership.Lost:
	case membership.Cut:
		o.at = max(o.at, p.Since.Add(membership.Patience))
	default:
		return nil
	}
	if n.con.lastLeader != n.cfg.RaftID {
		o.at = o.at.Add(followerDelay)
	}
	return o
}

// fencingEnded tells that a fencing that this node carried out since began has ended.
func (v *votes) fencingEnded(p *command.Pending, ok bool, detail string, began membership.Instant) {
	own := v.order != nil && v.order.pending != nil && v.order.pending.ID == p.ID
	if mem := v.n.con.state.Member(p.Target); ok && p.FenceOp != "on" && mem != nil {
		view := v.n.mem.core.View()
		target, _ := view.Member(membership.NodeID(mem.NodeID))
		// Of a machine that was switched on again meanwhile it proves nothing any more.
		if back := here(target.State) && target.Since > began || own && target.Incarnation != v.order.running; !back {
			v.fenced[membership.RaftID(mem.RaftID)] = proof{running: target.Incarnation, at: v.n.now}
		}
	}
	switch {
	case own && !ok:
		v.failed(detail)
	case own:
		v.order, v.trouble = nil, ""
	}
	v.update()
}

func (v *votes) failed(why string) {
	v.order, v.trouble, v.retryAt = nil, why, v.n.now.Add(orderAgain)
	v.n.note(Warn, "the other voter is not fenced", "error", why, "again in", orderAgain)
}

// takeOver makes this node the only voter.
func (v *votes) takeOver() {
	if v.taking {
		return
	}
	if err := v.n.con.rep.Survive(v.n.now); err != nil {
		v.n.note(Debug, "take over", "error", err)
		return // asked again at the next input
	}
	v.taking = true
	v.n.note(Warn, "this node goes on as the only voter", "former voters", len(v.conf.Voters))
}

// saved looks whether the replica has become the only voter.
func (v *votes) saved() {
	if v.taking && !v.n.con.rep.Surviving() {
		v.taking = false
		v.reconfigured()
		v.n.mem.configure()
	}
}

// untold reports whether the log does not have yet what this node knows of the other voter: a decision would fence it again.
func (v *votes) untold() bool {
	if !v.n.member.Untold() {
		return false
	}
	mem := v.n.con.state.Member(v.n.cfg.Name)
	return mem != nil && mem.Incarnation == uint64(v.n.cfg.Incarnation) // else it has to join before it can tell
}

// nextTick is when act has something to do by itself.
func (v *votes) nextTick() membership.Instant {
	switch {
	case v.n.leaving && v.goBy != 0:
		return max(v.goBy, v.n.now)
	case v.decision.Reason != quorum.Split || len(v.decision.MayFence) == 0 || v.n.leaving:
	case v.order == nil && v.retryAt > v.n.now:
		return v.retryAt
	case v.order == nil: // it waits for what membership finds out
	case v.order.asked == nil && v.n.free():
		return v.order.at
	}
	return 1<<63 - 1
}
