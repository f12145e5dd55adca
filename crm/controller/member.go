package controller

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/transition"
)

// MemberConfig is what a Member needs to know of its node.
type MemberConfig struct {
	Node        string
	Incarnation uint64
	// QuorumTimeout is how long the node goes on without having heard a leader before it looks after itself.
	QuorumTimeout time.Duration
}

// Member does on its node what the log hands to it.
type Member struct {
	cfg   MemberConfig
	state *command.State

	taken  map[command.ActionID]bool // pending actions given to the executor
	outbox []command.Result          // results not yet seen applied, oldest first
	sent   bool                      // the outbox is on its way
	calls  int64

	lastLeader time.Duration // when a leader was heard last (monotonic)
	alone      bool          // without quorum for the quorum timeout: looking after itself
	soloNext   time.Duration // next decision of a node alone
	soloNumber int
	soloRuns   map[command.ActionID]command.Pending
	fences     map[command.ActionID]command.Pending // that this node decided on by itself, without a result
	quiet      bool                                 // alone, and nothing ran or was left to stop when it last looked
	asked      *Question                            // of the node alone, without an answer; nil = none
	question   *Question                            // the same, until it is taken

	do     []command.Pending
	newest command.ActionID
}

// NewMember makes the member part of a node at now (monotonic).
func NewMember(cfg MemberConfig, now time.Duration) *Member {
	return &Member{cfg: cfg, taken: map[command.ActionID]bool{}, soloRuns: map[command.ActionID]command.Pending{}, fences: map[command.ActionID]command.Pending{}, lastLeader: now}
}

// LeaderHeard tells that a leader with quorum was heard at now.
func (m *Member) LeaderHeard(now time.Duration) {
	m.lastLeader = now
	m.alone = false
}

// SetQuorumTimeout changes how long the node goes on without having heard a leader.
func (m *Member) SetQuorumTimeout(d time.Duration) { m.cfg.QuorumTimeout = d }

// Alone reports whether the node is without quorum and looks after itself.
func (m *Member) Alone() bool { return m.alone }

// Applied tells that entries were applied. fresh says that the node is caught up with a leader that it hears;
// actions handed to a node that is not are looked at again once it is.
func (m *Member) Applied(s *command.State, fresh bool) {
	m.state = s
	if s == nil {
		return
	}
	m.outbox = slices.DeleteFunc(m.outbox, func(r command.Result) bool { return m.settled(&r) })
	if !fresh {
		return
	}
	for id := range m.taken {
		if !slices.ContainsFunc(s.Pending, func(p command.Pending) bool { return p.ID == id }) {
			delete(m.taken, id)
		}
	}
	var own uint64
	if mem := s.Member(m.cfg.Node); mem != nil {
		own = mem.Own
	}
	for i := range s.Pending {
		p := &s.Pending[i]
		if p.Node != m.cfg.Node || p.Incarnation != m.cfg.Incarnation || m.taken[p.ID] {
			continue
		}
		if p.ID.Term < m.newest.Term {
			continue // decided by a leader that was deposed since
		}
		m.newest = p.ID
		m.taken[p.ID] = true
		if (m.ownStops() || p.Index < own) && p.Task != "stonith" {
			// Decided without knowing what this node has stopped by itself; with that known it is decided again.
			m.Finished(p.ID, command.Result{Status: command.StatusCancelled})
			continue
		}
		m.do = append(m.do, *p)
	}
}

// settled reports whether a result needs no further sending: the state shows it, or can never take it.
func (m *Member) settled(r *command.Result) bool {
	if mem := m.state.Member(m.cfg.Node); mem == nil {
		return true
	}
	if r.Recurring != nil {
		return m.recorded(r.Recurring.Resource, r.CallID)
	}
	if r.Local != nil && r.Local.Task == "stonith" {
		return m.state.HasFencing(m.cfg.Node, r.ID)
	}
	if r.Local != nil {
		return m.recorded(r.Local.Resource, r.CallID)
	}
	if r.Status == command.StatusDone && r.RC == 0 && m.state.AwaitsFencing(r.ID) {
		return false // to be recorded as late
	}
	asked := func(p command.Pending) bool { return p.ID == r.ID }
	return !slices.ContainsFunc(m.state.Pending, asked) && !slices.ContainsFunc(m.state.Orphans, asked)
}

// Holds reports whether the result of an action waits in the outbox.
func (m *Member) Holds(id command.ActionID) bool {
	return slices.ContainsFunc(m.outbox, func(r command.Result) bool { return r.Recurring == nil && r.ID == id })
}

func (m *Member) recorded(resource string, call int64) bool {
	for i := range m.state.Document.Status.Nodes {
		st := &m.state.Document.Status.Nodes[i]
		if st.Name != m.cfg.Node {
			continue
		}
		for j := range st.History {
			if st.History[j].ID != resource {
				continue
			}
			for k := range st.History[j].Operations {
				if st.History[j].Operations[k].CallID >= call {
					return true
				}
			}
		}
	}
	return false
}

// newestCall is the highest number in the history of this node. It may be that of an earlier process, if the cluster
// has not let this one join yet; the results of a node alone must count as newer.
func (m *Member) newestCall() (call int64) {
	for i := range m.state.Document.Status.Nodes {
		st := &m.state.Document.Status.Nodes[i]
		if st.Name != m.cfg.Node {
			continue
		}
		for j := range st.History {
			for k := range st.History[j].Operations {
				call = max(call, st.History[j].Operations[k].CallID)
			}
		}
	}
	return call
}

// Finished tells that an operation that Do gave out has a result. LastChange, times and codes are filled in;
// Member adds the rest.
func (m *Member) Finished(id command.ActionID, r command.Result) {
	m.calls++
	r.ID, r.Node, r.Incarnation, r.CallID = id, m.cfg.Node, m.cfg.Incarnation, m.calls
	if p, solo := m.soloRuns[id]; solo {
		delete(m.soloRuns, id)
		r.Local = &p
	}
	if p, own := m.fences[id]; own {
		delete(m.fences, id)
		r.Local = &p
		// Of those that failed the last one is enough: there may be many until somebody can be told.
		m.outbox = slices.DeleteFunc(m.outbox, func(q command.Result) bool {
			return q.Local != nil && q.Local.Task == "stonith" && q.Local.Target == p.Target && q.RC != 0
		})
	}
	m.outbox = append(m.outbox, r)
	m.sent = false
}

// Fence asks for a decision on the fencing of the other one of two voters, on which the log cannot decide for want of a
// majority: what the policy would do if it had one. The answer goes to Fenced. The error says why there can be none.
func (m *Member) Fence(target string, wall time.Time) (*Question, error) {
	if m.state == nil || m.state.Member(target) == nil {
		return nil, fmt.Errorf("%s is no member", target)
	}
	s := m.withOutbox()
	e := command.Entry{Kind: command.KindNodes, Time: wall.UnixMilli(),
		Nodes: &command.Nodes{Facts: []command.NodeFact{{Name: target, Change: command.NodeLost, Incarnation: s.Member(target).Incarnation}}}}
	data, err := e.Encode()
	if err != nil {
		return nil, err
	}
	s, out := command.Apply(s, s.Index, s.Term, data)
	if out.Err != nil {
		return nil, out.Err
	}
	return &Question{State: s, Node: m.cfg.Node, Now: wall}, nil
}

// Fenced turns the answer to the question q of Fence into the fencing to carry out, with the policy's action, reason and
// delay. The result given to Finished is reported like those of stops without quorum. The error says why there is none.
func (m *Member) Fenced(target string, q *Question, a *Answer, wall time.Time) (command.Pending, error) {
	var none command.Pending
	if a.Err != nil {
		return none, a.Err
	}
	d := a.Decision
	if !d.Cluster.Options.FencingEnabled {
		return none, errors.New("fencing is switched off (stonith-enabled=false)")
	}
	p := command.Pending{Task: "stonith", FenceOp: d.Cluster.Options.FencingAction}
	for i := range d.Graph.Synapses {
		if x := &d.Graph.Synapses[i].Action; x.Fencing() && x.Node == target {
			p = pendingOf(x)
			p.FenceOp = fenceOp(x)
			break
		}
	}
	return m.ownFencing(p, target, q.State.Member(target).Incarnation, wall), nil
}

// ConfirmDown records, as Fence and Finished would, that a node is off by the word of an administrator.
func (m *Member) ConfirmDown(target, actor string, wall time.Time) {
	p := command.Pending{Task: "stonith", FenceOp: "off", Actor: actor}
	if mem := m.state.Member(target); mem != nil {
		p = m.ownFencing(p, target, mem.Incarnation, wall)
		m.Finished(p.ID, command.Result{LastChange: wall.Unix(), ExitReason: "confirmed by an administrator"})
	}
}

func (m *Member) ownFencing(p command.Pending, target string, incarnation uint64, wall time.Time) command.Pending {
	m.soloNumber++
	p.ID = command.ActionID{Transition: m.cfg.Incarnation, Action: m.soloNumber}
	p.Node, p.Incarnation, p.Since = m.cfg.Node, m.cfg.Incarnation, wall.Unix()
	p.Target, p.TargetIncarnation = target, incarnation
	if p.Reason == "" && p.Actor == "" {
		p.Reason = "one of two voters is gone, the other goes on when it is off"
	}
	m.fences[p.ID] = p
	return p
}

// Untold reports whether a fencing that this node decided on by itself is not recorded yet. Nothing should be decided
// before it is.
func (m *Member) Untold() bool {
	return slices.ContainsFunc(m.outbox, func(r command.Result) bool { return r.Local != nil && r.Local.Task == "stonith" })
}

// ownStops reports whether this node has stopped something by itself, or does so, and the log does not have it yet.
func (m *Member) ownStops() bool {
	return len(m.soloRuns) > 0 || slices.ContainsFunc(m.outbox, func(r command.Result) bool { return r.Local != nil && r.Local.Task != "stonith" })
}

// Changed tells that a recurring monitor came to a new result.
func (m *Member) Changed(key command.RecurringKey, r command.Result) {
	m.calls++
	r.Node, r.Incarnation, r.CallID, r.Recurring = m.cfg.Node, m.cfg.Incarnation, m.calls, &key
	m.outbox = append(m.outbox, r)
	m.sent = false
}

// Quiet reports whether the node is alone and runs nothing any more that it should stop. A stop that failed is for the
// others to settle: they must not be told that the node has left in order.
func (m *Member) Quiet() bool { return m.alone && m.quiet && len(m.soloRuns) == 0 }

// maxResults bounds the results of one log entry.
const maxResults = 256

// Results returns the results to propose now, nil when there are none or they are on their way.
func (m *Member) Results() []command.Result {
	if m.sent || len(m.outbox) == 0 {
		return nil
	}
	m.sent = true
	return slices.Clone(m.outbox[:min(len(m.outbox), maxResults)])
}

// Resend tells that results on their way may be lost (no leader, a new leader, a time-out).
func (m *Member) Resend() { m.sent = false }

// Outbox is the number of results not yet seen applied.
func (m *Member) Outbox() int { return len(m.outbox) }

// Do returns the operations to start now, in order, and forgets them.
func (m *Member) Do() []command.Pending {
	out := m.do
	m.do = nil
	return out
}

// soloInterval is how often a node alone looks again.
const soloInterval = time.Second

// Tick lets a node without quorum look after itself (design.md, rule 7): it asks the policy with quorum false
// about the newest document that it has and does the stops and demotes on itself. free says that a question can be
// answered now.
func (m *Member) Tick(now time.Duration, wall time.Time, free bool) {
	if m.state == nil || m.state.ClusterID == "" || m.cfg.QuorumTimeout <= 0 {
		return
	}
	if now < m.lastLeader+m.cfg.QuorumTimeout {
		return
	}
	if !m.alone {
		m.alone = true
		m.soloNext = now
	}
	if !free || m.asked != nil || now < m.soloNext || len(m.soloRuns) > 0 {
		return
	}
	m.soloNext, m.quiet = now+soloInterval, false
	m.calls = max(m.calls, m.newestCall())
	m.asked = &Question{State: m.onlyOwn(m.withOutbox()), Now: wall}
	m.question = m.asked
}

// Question returns the question that was asked since the last call; nil = none.
func (m *Member) Question() *Question {
	q := m.question
	m.question = nil
	return q
}

// Deadline is the monotonic time at which Tick matters.
func (m *Member) Deadline() time.Duration {
	if m.cfg.QuorumTimeout <= 0 {
		return 1<<63 - 1
	}
	if m.alone {
		if m.asked != nil || len(m.soloRuns) > 0 {
			return 1<<63 - 1 // their answers and results come first
		}
		return m.soloNext
	}
	return m.lastLeader + m.cfg.QuorumTimeout
}

// Decided takes the answer to the question of a node alone. Results that came since do not matter: to stop what runs here
// is safe whatever they say, and the node looks again. When a leader is heard again, it decides.
func (m *Member) Decided(a *Answer, wall time.Time) {
	if m.asked == nil || a.Number != m.asked.Number {
		return
	}
	m.asked = nil
	if m.alone && a.Err == nil {
		m.stopOwn(a, wall)
	}
}

func (m *Member) stopOwn(a *Answer, wall time.Time) {
	before := m.soloNumber
	fire := func(a *transition.Action, _ int) transition.Outcome {
		switch {
		case a.Kind == transition.PseudoEvent:
			return transition.Done
		case a.Kind == transition.ResourceOp && a.Node == m.cfg.Node && a.Router == "" &&
			(a.Task == "stop" || a.Task == "demote" || a.Task == "monitor" && number(a, "CRM_meta_interval") == 0):
			// A probe is no change: after a restart of the process it tells what is there to be stopped.
			m.soloNumber++
			id := command.ActionID{Transition: 0, Action: m.soloNumber}
			run := pendingOf(a)
			run.ID, run.Node, run.Incarnation, run.Since = id, m.cfg.Node, m.cfg.Incarnation, wall.Unix()
			m.soloRuns[id] = run
			m.do = append(m.do, run)
			return transition.InFlight
		case a.Kind == transition.ResourceOp && a.Node == m.cfg.Node && a.Task == "cancel":
			return transition.Done // a stop ends the monitors as well
		case a.Fencing() || a.Kind == transition.ResourceOp && a.Node != m.cfg.Node &&
			(a.Task == "stop" || a.Task == "demote" || a.Task == "monitor" && number(a, "CRM_meta_interval") == 0):
			return transition.Done // nobody here can wait for other nodes: what runs here must end in time
		}
		return transition.Deferred
	}
	for a.progress.Pass(fire) > 0 {
	}
	m.quiet = m.soloNumber == before && !runs(a.Decision.Cluster, m.cfg.Node)
}

// runs reports whether something may be active on the node that the cluster looks after. Where a stop failed, there is
// no more to do and still something runs.
func runs(c *model.Cluster, node string) bool {
	return slices.ContainsFunc(c.All, func(r *model.Resource) bool {
		return r.Kind == cib.Primitive && !r.FenceDevice && (r.Managed || r.Blocked || r.Failed) &&
			slices.ContainsFunc(r.Active, func(n *model.Node) bool { return n.Name == node })
	})
}

// onlyOwn is the state without what other nodes run and without fencing, if all has to stop without quorum. Nobody can wait
// for the stop that an order puts before one here when it is on a node that is lost, and cannot be fenced. Nor can this node
// be fenced for a stop that failed; with fencing the policy would leave the rest to that.
func (m *Member) onlyOwn(s *command.State) *command.State {
	if cib.EffectiveProperty(s.Document, "no-quorum-policy") != "stop" {
		return s
	}
	n := *s
	n.Pending = slices.DeleteFunc(slices.Clone(s.Pending), func(p command.Pending) bool { return p.Node != m.cfg.Node })
	ed := cib.NewEditor(s.Document)
	for i := range s.Document.Status.Nodes {
		if st := &s.Document.Status.Nodes[i]; st.Name != m.cfg.Node {
			at := ed.Node(st.Name, st.ID)
			ed.Forget(at)
			st := ed.State(at)
			st.InCCM, st.CRMD, st.Join, st.Expected = "0", "0", "down", "down"
		}
	}
	doc := *ed.Document()
	doc.Config.Properties = withoutFencing(doc.Config.Properties)
	n.Document = &doc
	return &n
}

// withoutFencing is a copy of the cluster's properties in which fencing is switched off.
func withoutFencing(sets []cib.AttributeSet) []cib.AttributeSet {
	names := append([]string{"fencing-enabled"}, cib.PropertyOption("fencing-enabled").Old...)
	out := []cib.AttributeSet{{ID: "alone", Pairs: []cib.NVPair{{ID: "alone-fencing", Name: names[0], Value: "false"}}}}
	for _, s := range sets {
		s.Pairs = slices.DeleteFunc(slices.Clone(s.Pairs), func(p cib.NVPair) bool { return slices.Contains(names, p.Name) })
		out = append(out, s)
	}
	return out
}

// withOutbox is the newest state with this node's own unreported results in it, so that a node alone does
// not stop what it has stopped.
//
// An action that was handed to this node and never begun is left out, too: it does not begin while the node is
// alone, and as one under way it would make a resource look active however often it is stopped.
func (m *Member) withOutbox() *command.State {
	state := m.state
	idle := func(p command.Pending) bool {
		if p.Node != m.cfg.Node || m.taken[p.ID] {
			return false
		}
		// What an earlier process was handed may have begun: it counts until it was stopped here.
		return p.Incarnation == m.cfg.Incarnation || slices.ContainsFunc(m.outbox, func(r command.Result) bool {
			return r.Local != nil && r.Local.Resource == p.Resource && r.Status == command.StatusDone && r.RC == r.Local.ExpectedRC
		})
	}
	if slices.ContainsFunc(state.Pending, idle) {
		s := *state
		s.Pending = slices.DeleteFunc(slices.Clone(s.Pending), idle)
		state = &s
	}
	if mem := state.Member(m.cfg.Node); mem != nil && mem.Incarnation != m.cfg.Incarnation {
		// The cluster does not know this process yet. For itself its results count all the same. Nor does the process
		// know what an earlier one was given last: the log may hold starts of which it cannot tell that they were
		// committed. So the history of this node counts for nothing, and everything is probed.
		s, doc := *state, *state.Document
		s.Members = slices.Clone(s.Members)
		s.Member(m.cfg.Node).Incarnation = m.cfg.Incarnation
		doc.Status.Nodes = slices.Clone(doc.Status.Nodes)
		for i := range doc.Status.Nodes {
			if doc.Status.Nodes[i].Name == m.cfg.Node {
				doc.Status.Nodes[i].History = nil
			}
		}
		s.Document = &doc
		state = &s
	}
	if len(m.outbox) == 0 {
		return state
	}
	e := command.Entry{Kind: command.KindResults, Results: m.outbox}
	data, err := e.Encode()
	if err != nil {
		return state
	}
	s, out := command.Apply(state, state.Index, state.Term, data)
	if out.Err != nil {
		return state
	}
	return s
}
