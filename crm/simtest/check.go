package simtest

import (
	"bytes"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/controller"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/transition"
	"github.com/quorate/quorate/membership"
)

// Limits of the invariants about time.
const (
	// startLimit is how long after the loss of quorum an action that was handed out before it may still begin.
	// It is the time after which a node without a leader begins to stop its resources.
	startLimit = 5 * time.Second
	// stopLimit is how long after the loss of quorum a node may still run something: the detection of the dead,
	// at most twice the dead time, the quorum timeout, and the stops one after the other. While agents are slow it is more by
	// slowStops.
	stopLimit = 15 * time.Second
	slowStops = 3 * maxSlow
)

// checker holds what the invariants compare.
type checker struct {
	w      *world
	acting map[uint64]string       // by term
	votes  map[[2]uint64]uint64    // by raft id and term: for whom
	states map[uint64]stateSummary // by index
	whole  map[uint64]uint64       // hash of the encoded state, by index
	// decided is on which index a transition was decided, by its term and number.
	decided map[[2]uint64]uint64
	core    core
	calm    bool // no fault has happened yet, so that no fencing may
	fences  int  // seen so far
}

// stateSummary is what two states of one index must share. The whole is compared when the cluster is at rest.
type stateSummary struct {
	term, revision, status, transition uint64
	pending, members, fencing          int
	facts                              uint64 // of the members: who is there, as which process, and who was fenced
}

func summary(s *command.State) stateSummary {
	return stateSummary{s.Term, s.Revision, s.StatusRevision, s.Transition, len(s.Pending), len(s.Members), len(s.Fencing), facts(s)}
}

// facts is a hash of what a decision may not be behind in.
func facts(s *command.State) uint64 {
	h := uint64(fnvOffset)
	for i := range s.Members {
		m := &s.Members[i]
		for _, v := range [...]uint64{uint64(m.NodeID), m.Incarnation, m.Fenced} {
			h = (h ^ v) * fnvPrime
		}
		if m.Online {
			h = (h ^ 1) * fnvPrime
		}
	}
	return h
}

// process looks at a process after an event.
func (c *checker) process(p *process) {
	w := c.w
	s := p.n.State()
	if s.Index != p.index {
		if s.Index < p.index {
			w.violate("I5", "%s: the state goes back from index %d to %d", p.m.name, p.index, s.Index)
		}
		c.handedOut(p, s)
		p.index = s.Index
		c.compare(p, s)
		sum := summary(s)
		if old, known := c.states[s.Index]; known && old != sum {
			w.violate("I5", "%s: index %d is %+v, elsewhere it was %+v", p.m.name, s.Index, sum, old)
		} else if !known {
			c.states[s.Index] = sum
		}
	}
	fresh := p.n.Fresh()
	if fresh {
		if s.Index < p.m.shown && !p.fresh {
			w.violate("I5", "%s is caught up at index %d, but had shown %d", p.m.name, s.Index, p.m.shown)
		}
		p.m.shown = max(p.m.shown, s.Index)
	}
	p.fresh = fresh
	if mem := s.Member(p.m.name); fresh && mem != nil && mem.Incarnation == uint64(p.inc) {
		p.joined = true
	}
	role := p.n.Role()
	if role.Acting {
		if other, known := c.acting[role.Term]; known && other != p.m.name {
			w.violate("I6", "%s and %s both lead term %d", other, p.m.name, role.Term)
		} else if !known {
			c.acting[role.Term] = p.m.name
			w.hit("leader")
		}
	}
	if alone := p.n.Alone(); alone && p.alone == 0 {
		p.alone = w.now
		w.hit("node alone")
	} else if !alone {
		p.alone = 0
	}
	if n := len(w.power.log); n > c.fences {
		c.fences = n
		if c.calm {
			w.violate("I20", "%s was fenced by %s before any fault", w.power.log[n-1].target, w.power.log[n-1].by)
		}
	}
}

// handedOut looks at the actions that came with a new state: they are those of the leader of the term of their entry.
func (c *checker) handedOut(p *process, s *command.State) {
	for i := len(s.Pending) - 1; i >= 0; i-- {
		q := &s.Pending[i]
		if q.Index <= p.index {
			return // in order of dispatch
		}
		if c.acting[q.ID.Term] == "" {
			c.w.violate("I6", "%s was handed %s of term %d, in which nobody led", q.Node, q.Key, q.ID.Term)
		}
		if q.Index == s.Index && q.ID.Term != s.Term {
			c.w.violate("I6", "%s was handed %s of term %d by entry %d of term %d", q.Node, q.Key, q.ID.Term, s.Index, s.Term)
		}
	}
}

// wholeEvery is at how many indexes one whole state is compared with those of the others.
const wholeEvery = 32

// compare holds a state against those that others had at its index, byte by byte (I5).
func (c *checker) compare(p *process, s *command.State) {
	if s.Index%wholeEvery != 0 || s.ClusterID == "" {
		return
	}
	data, err := s.Encode()
	if err != nil {
		c.w.violate("contract", "%s: encode state %d: %v", p.m.name, s.Index, err)
		return
	}
	h := fnv.New64a()
	h.Write(data)
	if old, known := c.whole[s.Index]; known && old != h.Sum64() {
		c.w.violate("I5", "%s: the state of index %d differs from that of another node", p.m.name, s.Index)
	}
	c.whole[s.Index] = h.Sum64()
}

// promise looks at a message that vouches for what is durable.
func (c *checker) promise(p *process, m *raftpb.Message) {
	switch m.GetType() {
	case raftpb.MsgVoteResp:
		if m.GetReject() {
			return
		}
		k := [2]uint64{uint64(p.m.raft), m.GetTerm()}
		if to, voted := c.votes[k]; voted && to != m.GetTo() {
			c.w.violate("I6", "%s votes for raft id %d in term %d, and has voted for %d", p.m.name, m.GetTo(), m.GetTerm(), to)
		}
		c.votes[k] = m.GetTo()
		if term, vote, _ := p.m.disk.Image().Hard(); term < m.GetTerm() || term == m.GetTerm() && vote != m.GetTo() {
			c.w.violate("I15", "%s votes for raft id %d in term %d, but its disk has term %d with a vote for %d", p.m.name, m.GetTo(), m.GetTerm(), term, vote)
		}
	case raftpb.MsgAppResp:
		if m.GetReject() {
			return
		}
		if last, _ := p.m.disk.Image().Last(); last < m.GetIndex() {
			c.w.violate("I15", "%s confirms entry %d, but its disk ends at %d", p.m.name, m.GetIndex(), last)
		}
	}
}

// started looks at a request that a node gives to its runner.
func (c *checker) started(p *process, req agents.Request) {
	w := c.w
	if req.Node != p.m.name {
		w.violate("I6", "%s starts %s for node %s", p.m.name, req.ID, req.Node)
	}
	if req.Agent.Class == agents.ClassFence && (req.Operation == agents.OpOff || req.Operation == agents.OpReboot) {
		switch {
		case !p.n.Alone():
		case len(w.machines) != 2:
			w.violate("I7", "%s fences %s while it is alone", p.m.name, req.Params["plug"])
		case !p.joined:
			w.violate("I7", "%s fences %s, but has not been together with it since it started", p.m.name, req.Params["plug"])
		}
	}
	run := splitID(req.ID)
	if run == nil {
		return
	}
	if p.seen.keys[*run] {
		w.violate("I13", "%s runs action %v twice", p.m.name, *run)
	}
	p.seen.keys[*run] = true
	if run.own() {
		if req.Operation != agents.OpStop && req.Operation != agents.OpDemote && (req.Operation != agents.OpMonitor || req.Interval != 0) {
			w.violate("I7", "%s decides %s of %s on its own", p.m.name, req.Operation, req.Resource)
		}
		w.hit("own stop")
		return
	}
	if req.Operation == agents.OpStart || req.Operation == agents.OpPromote {
		if p.n.Alone() {
			w.violate("I7", "%s begins %s of %s while it is alone", p.m.name, req.Operation, req.Resource)
		}
	}
	// Dispatches of a deposed leader are refused when they are applied; what is still among the actions handed out
	// is known to the present leader, and valid whatever its term.
	for i := range p.n.State().Pending {
		if q := &p.n.State().Pending[i]; q.ID == command.ActionID(*run) {
			if q.Node != p.m.name || q.Incarnation != uint64(p.inc) {
				w.violate("I6", "%s runs %s, which is for %s, incarnation %x", p.m.name, req.ID, q.Node, q.Incarnation)
			}
			if newest := p.seen.newest[req.Resource]; q.Index < newest {
				w.violate("I6", "%s runs %s of index %d after one of index %d", p.m.name, req.ID, q.Index, newest)
			}
			p.seen.newest[req.Resource] = q.Index
			c.placed(p, q, &req)
			return
		}
	}
	w.violate("I6", "%s runs %s, which is not among the actions handed out", p.m.name, req.ID)
}

// runID is the action that a run carries out.
type runID command.ActionID

// splitID takes the id of a run apart; nil = it is none of an action.
func splitID(id string) *runID {
	parts := strings.Split(id, ".")
	if parts[0] != "a" || len(parts) != 6 {
		return nil
	}
	var r runID
	r.Term, _ = strconv.ParseUint(parts[1], 10, 64)
	r.Transition, _ = strconv.ParseUint(parts[2], 10, 64)
	r.Action, _ = strconv.Atoi(parts[3])
	return &r
}

// own reports whether a node without quorum has decided on the action by itself.
func (r *runID) own() bool { return r.Transition >= 1<<62 }

// startAccepted looks at the start of a service.
func (c *checker) startAccepted(p *process, req agents.Request) {
	c.w.topology()
	if since := p.m.cutOff(); since > startLimit {
		c.w.violate("I7", "%s runs the %s of %s, but has had no contact with a majority for %v", p.m.name, req.Operation, req.Resource, since)
	}
}

// decision looks at a decision of a leader.
func (c *checker) decision(p *process, d controller.DecisionRecord) {
	if d.Err != "" {
		c.w.violate("policy", "%s cannot decide on index %d: %s", p.m.name, d.Index, d.Err)
	}
	if c.acting[d.Term] != p.m.name {
		c.w.violate("I6", "%s decides in term %d, which %q leads", p.m.name, d.Term, c.acting[d.Term])
	}
	if d.Overtaken {
		c.w.hit("decision overtaken")
		return
	}
	c.w.hit("decision")
	asked, ok := c.states[d.Index]
	taken, known := c.states[d.Taken]
	if ok && known && asked.facts != taken.facts {
		c.w.violate("I6", "%s carries out a decision on index %d at %d, when the members are not what they were", p.m.name, d.Index, d.Taken)
	}
	if d.Taken > d.Index {
		c.w.hit("decision on an older state")
	}
	c.decided[[2]uint64{d.Term, d.Transition}] = d.Index
	c.again(p, d)
	if c.w.cfg.Verbose && d.Decision != nil {
		c.w.tell("%s decides transition %d on index %d: %s", p.m.name, d.Transition, d.Index, actions(d.Decision.Graph))
		for _, a := range d.Decision.Cluster.Actions {
			if a.Reason != "" {
				c.w.tell("  %s: %s", a.Key, a.Reason)
			}
		}
	}
}

// againEvery is how many decisions one is made again.
const againEvery = 8

// again decides once more, on a copy of the state that went through its encoding as a snapshot does: the graph must be the
// same to the byte (I10).
func (c *checker) again(p *process, d controller.DecisionRecord) {
	s := p.n.State()
	if d.Decision == nil || d.Transition%againEvery != 0 || s.Index != d.Index {
		return
	}
	data, err := s.Encode()
	if err != nil {
		c.w.violate("contract", "%s: encode state %d: %v", p.m.name, s.Index, err)
		return
	}
	read, err := command.DecodeState(data)
	if err != nil {
		c.w.violate("contract", "%s: decode state %d: %v", p.m.name, s.Index, err)
		return
	}
	second, err := c.w.decide(policy.Input{Document: command.PolicyDocument(read, p.m.name), Now: d.Now, Quorate: d.Quorate})
	if err != nil {
		c.w.violate("policy", "%s cannot decide on index %d again: %v", p.m.name, d.Index, err)
		return
	}
	a, b := *d.Decision.Graph, *second.Graph
	a.TransitionID, b.TransitionID = 0, 0
	if !bytes.Equal(a.XML(), b.XML()) {
		c.w.violate("I10", "%s decided %s on index %d, and on a copy of that state %s", p.m.name, actions(&a), d.Index, actions(&b))
	}
	c.w.hit("decided again")
}

// actions lists the actions of a transition that do something.
func actions(g *transition.Graph) string {
	var b strings.Builder
	for i := range g.Synapses {
		if a := &g.Synapses[i].Action; a.Kind != transition.PseudoEvent {
			b.WriteString(a.Key + "@" + a.Node + " ")
		}
	}
	return b.String()
}

// voters are those of the newest configuration that any process knows.
func (w *world) voters() []membership.RaftID {
	var voters []membership.RaftID
	var newest uint64
	for _, m := range w.machines {
		if m.proc != nil && m.proc.index >= newest {
			if v := m.proc.n.Members().Voters; len(v) > 0 {
				newest, voters = m.proc.index, v
			}
		}
	}
	return voters
}

// topology notes who has contact with a majority, whenever the network or the processes changed.
func (w *world) topology() {
	voters := w.voters()
	if len(voters) == 0 {
		return
	}
	here := func(m *machine) bool { return m != nil && m.proc != nil }
	leads := map[string]bool{}
	for _, m := range w.machines {
		if !here(m) {
			continue
		}
		n := 0
		for _, v := range voters {
			if o := w.machineByRaft(v); here(o) && (o == m || w.net.connected(m.id, o.id)) {
				n++
			}
		}
		leads[m.name] = 2*n > len(voters)
	}
	for _, m := range w.machines {
		quorate := false
		for _, o := range w.machines {
			quorate = quorate || here(m) && leads[o.name] && (o == m || w.net.connected(m.id, o.id))
		}
		if quorate {
			m.lostAt = 0
		} else if m.lostAt == 0 {
			m.lostAt = max(w.now, 1)
		}
	}
}

// cutOff is how long the machine has had no contact with a majority; 0 = it has.
func (m *machine) cutOff() time.Duration {
	if m.lostAt == 0 {
		return 0
	}
	return m.w.now - m.lostAt
}

// stopsAfter lists the services that the definition has stop before each service.
var stopsAfter = map[string][]string{"db1": {"db2"}, "db3": {"ip", "web"}, "ip": {"web"}}

// stuck reports whether a stop of the service, or one that must come before it, has failed: only fencing ends that.
func (m *machine) stuck(name string) bool {
	failed := func(name string) bool { return m.services[name] != nil && m.services[name].stopFailed }
	return failed(name) || slices.ContainsFunc(stopsAfter[name], failed)
}

// stops checks that nothing runs on a node that has been without quorum for long.
func (c *checker) stops() {
	c.w.topology()
	limit := stopLimit
	if c.w.slowest > 0 || c.w.slowUntil > 0 && c.w.now < c.w.slowUntil+slowStops {
		limit += slowStops
	}
	for _, m := range c.w.machines {
		p := m.proc
		if p == nil || c.w.now < p.pausedUntil+limit || c.w.now < p.began+limit || m.cutOff() < limit {
			continue
		}
		for _, name := range sortedServices(m) {
			if s := m.services[name]; s.active && !m.stuck(name) {
				c.w.violate("I8", "%s still runs %s %v after it lost contact with the majority", m.name, name, m.cutOff())
			}
		}
	}
}
