package simtest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/store/command"
)

// settle runs until the cluster has been at rest for a while.
func (w *world) settle(limit time.Duration, when string) bool {
	deadline := w.now + limit
	cleanup := w.now + cleanupAfter
	var since time.Duration = -1
	why := ""
	for w.now < deadline {
		if !w.run(w.now + 250*time.Millisecond) {
			return false
		}
		if why != "" && w.now >= cleanup {
			// What failed during the faults may be banned from where it should run: that takes an administrator.
			cleanup = w.now + cleanupAfter
			w.operator.cleanup()
		}
		why = w.unrest()
		switch {
		case why != "":
			since = -1
		case since < 0:
			since = w.now
		case w.now-since >= quiet:
			w.tell("settled %s", when)
			return true
		}
	}
	w.tellStatus()
	w.violate("I9", "%v %s the cluster is not at rest: %s", limit, when, why)
	return false
}

// tellStatus writes what the leader's document says into the trace.
func (w *world) tellStatus() {
	m := w.leader()
	if m == nil {
		return
	}
	s := m.proc.n.State()
	for i := range s.Document.Status.Nodes {
		st := &s.Document.Status.Nodes[i]
		w.tell("document: %s in_ccm=%s crmd=%s join=%s expected=%s", st.Name, st.InCCM, st.CRMD, st.Join, st.Expected)
		for _, set := range st.Attributes {
			for _, p := range set.Pairs {
				w.tell("document:   %s=%s", p.Name, p.Value)
			}
		}
		for _, h := range st.History {
			for _, op := range h.Operations {
				w.tell("document:   %s call=%d rc=%d status=%d %s %s", op.ID, op.CallID, op.RC, op.Status, op.TransitionKey, op.ExitReason)
			}
		}
	}
	for _, p := range s.Pending {
		w.tell("document: pending %+v %s on %s", p.ID, p.Key, p.Node)
	}
	for i := range s.Document.Config.Constraints {
		c := &s.Document.Config.Constraints[i]
		w.tell("document: constraint %s %s %s %s", c.ID, c.Resource, c.Node, c.Score)
	}
	for i := range s.Document.Config.Nodes {
		n := &s.Document.Config.Nodes[i]
		w.tell("document: node %s %v", n.Name, n.Attributes)
	}
}

// unrest says why the cluster is not at rest; "" = it is.
func (w *world) unrest() string {
	leader := ""
	var first *process
	runners := 0
	for _, m := range w.machines {
		p := m.proc
		if p == nil {
			return m.name + " does not run"
		}
		if first == nil {
			first = p
		}
		s := p.n.State()
		role := p.n.Role()
		switch {
		case s.ClusterID == "":
			return m.name + " has no document"
		case s.Index != first.n.State().Index:
			return fmt.Sprintf("%s is at index %d, %s at %d", m.name, s.Index, first.m.name, first.n.State().Index)
		case !p.n.Fresh():
			return m.name + " is not caught up"
		case p.n.Alone():
			return m.name + " is alone"
		case role.Leader != first.n.Role().Leader || role.Term != first.n.Role().Term:
			return fmt.Sprintf("%s follows raft id %d in term %d, %s raft id %d in term %d", m.name, role.Leader, role.Term, first.m.name, first.n.Role().Leader, first.n.Role().Term)
		case p.n.Busy() > 0:
			return fmt.Sprintf("%s is busy with %d operations", m.name, p.n.Busy())
		case len(s.Pending) > 0:
			return fmt.Sprintf("%s on %s is pending", s.Pending[0].Key, s.Pending[0].Node)
		}
		if role.Acting {
			if leader != "" {
				return leader + " and " + m.name + " lead"
			}
			leader = m.name
			l := p.n.Leader()
			if l == nil || !l.Idle() {
				return m.name + " is not idle"
			}
		}
		for _, x := range w.machines {
			if mem := s.Member(x.name); mem == nil || !mem.Online || x.proc == nil || mem.Incarnation != uint64(x.proc.inc) {
				return x.name + " is not online in the document of " + m.name
			}
		}
		if got := len(p.n.Members().Voters); got != len(w.machines) {
			return fmt.Sprintf("%d of %d nodes vote", got, len(w.machines))
		}
		if why := w.unseen(p); why != "" {
			return why
		}
	}
	if leader == "" {
		return "nobody leads"
	}
	for _, name := range exclusives {
		if h := w.ledger.holders(name); len(h) != 1 {
			return fmt.Sprintf("%s runs on %v", name, h)
		}
	}
	promotable := 0
	for _, m := range w.machines {
		promotable += m.clones("cp")
		want := 1
		if m.witness {
			want = 0
		}
		runners += want
		if n := m.clones("cd"); n != want {
			return fmt.Sprintf("%d instances of the clone run on %s", n, m.name)
		}
	}
	if want := min(runners, instancesMax); promotable != want {
		return fmt.Sprintf("%d instances of the promotable clone run", promotable)
	}
	if h := w.ledger.holders(promotedRow); len(h) != 1 {
		return fmt.Sprintf("promoted instances are on %v", h)
	}
	if w.operator.planned > 0 {
		return "the operator has plans"
	}
	if len(w.operator.pending) > 0 {
		return "the operator waits for " + w.operator.pending[0].name
	}
	return ""
}

// unseen says what of the whole a node does not see: every node is to be reachable by it on all links, and to hear all others.
func (w *world) unseen(p *process) string {
	peers, matrix := p.n.Peers()
	if len(peers) != len(w.machines)-1 {
		return fmt.Sprintf("%s sees %d peers", p.m.name, len(peers))
	}
	for i := range peers {
		if peers[i].State != "reachable" || !peers[i].Connected {
			return fmt.Sprintf("%s sees %s as %s, connected %v", p.m.name, peers[i].Node, peers[i].State, peers[i].Connected)
		}
		for _, l := range peers[i].Links {
			if l.State != "up" {
				return fmt.Sprintf("%s sees link %s to %s as %s", p.m.name, l.Link, peers[i].Node, l.State)
			}
		}
	}
	for _, row := range matrix {
		if want := links * (len(w.machines) - 1); len(row.Hears) != want {
			return fmt.Sprintf("%s knows that %s hears %v, which are not %d", p.m.name, row.Node, row.Hears, want)
		}
	}
	return ""
}

func (m *machine) clones(prefix string) (n int) {
	for _, name := range sortedServices(m) {
		if s := m.services[name]; s.active && len(name) >= len(prefix) && name[:len(prefix)] == prefix {
			n++
		}
	}
	return n
}

func sortedServices(m *machine) []string { return slices.Sorted(maps.Keys(m.services)) }

// finalState compares the whole states, and what clients were told, when the cluster is at rest.
func (w *world) finalState() {
	var first []byte
	for _, m := range w.machines {
		s := m.proc.n.State()
		data, err := s.Encode()
		if err != nil {
			w.violate("contract", "%s: encode state: %v", m.name, err)
			return
		}
		if first == nil {
			first = data
			w.mixBytes(data)
		} else if !bytes.Equal(first, data) {
			w.violate("I9", "at rest the states of %s and %s differ at index %d", w.machines[0].name, m.name, s.Index)
			return
		}
		w.leftovers(m)
		w.fixedPoint(m)
		for _, c := range w.clients {
			if got := c.valueIn(s); got < c.acked || got > c.value {
				w.violate("I3", "%s has %d of %s; %d was acknowledged and %d written last", m.name, got, c.id, c.acked, c.value)
			}
		}
	}
}

// answerLimit is how long a request may wait for an answer, which may be that what became of it is not known.
const answerLimit = 11 * time.Second

// leftovers checks that nothing is kept that nobody needs (I18), and nothing that is secret (I17).
func (w *world) leftovers(m *machine) {
	for _, id := range m.runOrder {
		switch r := m.runs[id]; {
		case r == nil:
		case r.result != nil:
			w.violate("I18", "at rest the runner of %s still keeps the result of %s: nobody acknowledged it", m.name, id)
		case r.req.Interval == 0:
			w.violate("I18", "at rest %s still runs %s", m.name, id)
		}
	}
	s := m.proc.n.State()
	status, doc := *s, *s.Document
	doc.Config, status.Document, status.Changes, status.Orphans = cib.Configuration{}, &doc, nil, nil // those have the configuration
	if data, err := status.Encode(); err != nil || bytes.Contains(data, []byte(canary)) {
		w.violate("I17", "the status part of the state of %s shows the secret parameter of a fence device (%v)", m.name, err)
	}
	for _, q := range m.proc.waiting {
		if w.now > q.at+answerLimit {
			w.violate("I18", "at rest %s owes an answer for %v", m.name, w.now-q.at)
			return
		}
	}
}

// fixedPoint checks that a decision on the state at rest has nothing to do, on whichever node it is made (I9, I10).
func (w *world) fixedPoint(m *machine) {
	s := m.proc.n.State()
	d, err := w.decide(policy.Input{Document: command.PolicyDocument(s, ""), Now: epoch.Add(w.now), Quorate: true})
	if err != nil {
		w.violate("policy", "%s cannot decide at rest: %v", m.name, err)
		return
	}
	if list := actions(d.Graph); list != "" {
		w.violate("I9", "at rest a decision on the state of %s still wants %s", m.name, list)
	}
}

// decide is the policy of the run.
func (w *world) decide(in policy.Input) (*policy.Decision, error) {
	if w.cfg.Decide != nil {
		return w.cfg.Decide(in)
	}
	return policy.Decide(in)
}
