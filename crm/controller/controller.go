// Package controller turns document changes into actions. Leader runs while its node leads: it tells the
// document what the membership layer sees, asks the policy what to do, walks the transition and hands out
// actions by log entries. Member runs on every node: it starts what the log hands to its node, and without
// quorum stops what the policy wants stopped.
//
// Both are state machines without goroutine, clock or I/O; time comes as an argument, and what is to be done
// comes out as values. Neither keeps anything that must survive a restart: all of that is in the replicated
// state.
package controller

import (
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/transition"
)

// NodeView is what the membership layer of this node sees of a member.
type NodeView struct {
	Name        string
	Reachable   bool   // heard, on any link, by a process that is not leaving
	Lost        bool   // called dead; not merely never seen
	Left        bool   // said goodbye in order
	Leaving     bool   // asked to stop
	Incarnation uint64 // of the process heard; 0 = unknown
	Boot        string
}

// LeaderConfig is what a Leader needs to know of its node.
type LeaderConfig struct {
	Node string
	// Fencer says which of the members that are online, the target perhaps among them, should do op ("off",
	// "reboot", "on") to target; "" = nobody can.
	Fencer func(s *command.State, target, op string, online []string) string
}

// Leader has the duties of the leading node. It is made anew for each term.
//
// It does not decide itself: it asks (Question), and goes on with other duties until the answer comes (Decided). Not more
// than one question is under way, and while it is, nothing more of the former decision begins. What was applied meanwhile
// overtakes the answer or not, by these rules:
//
//   - A change of what actions rely on overtakes it: a member that joined, was lost or left, or tells what it stopped by
//     itself; a node that was fenced or vouched for as down; a fencing that ended or was given up; a ticket. The answer counts for nothing and the
//     question is asked again. An answer of another term counts for nothing either.
//   - A change of the configuration overtakes it, but not twice in a row: a burst of changes must not keep the cluster
//     from deciding at all.
//   - Anything else counts as if it had happened right after the decision. Results end the actions that the decision found
//     under way, so that a failure ends all that was to follow; what it lets begin at once begins, and then the next
//     question is asked.
type Leader struct {
	cfg  LeaderConfig
	term uint64

	started time.Duration // monotonic
	state   *command.State
	view    []NodeView

	decided     uint64        // StatusRevision of the state that was decided on
	dirty       bool          // something unexpected happened since
	configured  bool          // the configuration was changed since; see configPause
	burst       bool          // so soon that the change has to wait
	pause       time.Duration // after the last decision, for changes of the configuration
	decidedAt   time.Duration
	graph       *transition.Graph
	progress    *transition.Progress
	transition  uint64
	inFlight    map[command.ActionID]int // pending actions by their number in the present graph
	tails       []*tail
	recheckAt   time.Time
	nodesAsked  bool     // a proposal of node facts is under way
	dispatching bool     // a dispatch is under way
	left        []string // nodes whose shutdown the transition has reached
	out         []*command.Entry
	records     []DecisionRecord
	reasons     map[int]string // of the present decision's actions, by number
	relations   relations      // of resources, found when they matter to the present decision
	failure     string         // why the policy could not decide; "" = it could
	fencing     fencingRetries

	asked     *Question     // without an answer; nil = none
	question  *Question     // the same, until it is taken
	askedAt   time.Duration // monotonic
	took      time.Duration // of the last question, to its answer
	since     sinceAsked
	overtaken bool          // the last answer was
	fresh     bool          // the last answer was not, and has not been walked yet
	now       time.Duration // of the last Tick
}

// sinceAsked is what was applied since the question was asked.
type sinceAsked struct {
	finished []command.Finished
	facts    bool // something that actions rely on has changed
	config   bool
}

// tail is an overtaken transition of which only notifications of the highest priority still run.
type tail struct {
	graph      *transition.Graph
	progress   *transition.Progress
	transition uint64
	inFlight   map[command.ActionID]int
}

// DecisionRecord tells of a decision that was made, for the log and for crm explain.
type DecisionRecord struct {
	Term       uint64
	Transition uint64 // of a decision that failed: the number that it would have had
	Index      uint64 // state decided on
	Now        time.Time
	Quorate    bool
	Document   *cib.Document
	Decision   *policy.Decision // nil when the policy failed
	Actions    int
	Err        string
	Changes    []string // what the decision changes, in words
	Taken      uint64   // index of the state when the answer came
	// Overtaken: the decision was not carried out, since what it relied on had changed when it came.
	Overtaken bool
}

// startupGrace is how long a new cluster waits for members never seen before it decides without them (and,
// with startup-fencing, fences them): the property dc-deadtime, 20 s by default as in Pacemaker.
const startupGrace = 20 * time.Second

// configPause is the least time between two decisions of which the second is only for a change of the configuration:
// a burst of changes costs a decision now and then, not one for each. While the burst goes on and its decisions find
// nothing to do, the pause doubles up to maxConfigPause. Where a decision takes longer than that, it is so
// long. What happens to nodes and resources never waits.
const (
	configPause    = 10 * time.Millisecond
	maxConfigPause = 80 * time.Millisecond
)

// longDecision is the time after which Failure says that a decision is still under way. The longest that was measured,
// for 200 nodes with 5,000 resources, took two seconds.
const longDecision = 10 * time.Second

// NewLeader begins the duties of term at now (monotonic).
func NewLeader(cfg LeaderConfig, term uint64, now time.Duration) *Leader {
	return &Leader{cfg: cfg, term: term, started: now, dirty: true, pause: configPause, inFlight: map[command.ActionID]int{}}
}

// SetView tells what the membership layer sees now.
func (l *Leader) SetView(view []NodeView) { l.view = view }

// Applied tells that entries were applied: the new state and their outcomes in order.
func (l *Leader) Applied(s *command.State, outcomes []command.Outcome) {
	l.state = s
	for i := range outcomes {
		o := &outcomes[i]
		switch {
		case o.Kind == command.KindNodes && o.Origin == l.cfg.Node:
			l.nodesAsked = false
		case o.Kind == command.KindDispatch && o.Origin == l.cfg.Node:
			l.dispatching = false
			if o.Err != nil {
				l.dirty = true
			}
		}
		if o.Err != nil {
			continue
		}
		l.note(o)
		if o.Kind == command.KindResults {
			l.finished(o)
			continue
		}
		switch {
		case o.Kind == command.KindDispatch:
		case o.DecisionNeeded || o.MembersChanged:
			l.dirty = true
		case o.ConfigChanged:
			l.burst = l.burst || l.now < l.nextConfig()
			l.configured = true
			l.fencing.forget()
		}
	}
}

// note keeps what an answer that is still to come has to be compared with.
func (l *Leader) note(o *command.Outcome) {
	facts := false
	switch o.Kind {
	case command.KindNodes, command.KindMemberAdd, command.KindMemberRemove, command.KindConfirmDown, command.KindTickets:
		facts = true
	case command.KindResults:
		facts = o.MembersChanged || o.Own || slices.ContainsFunc(o.Finished, func(f command.Finished) bool { return f.Task == "stonith" })
	}
	if facts {
		l.fresh = false
	}
	if l.asked == nil {
		return
	}
	l.since.facts = l.since.facts || facts
	l.since.config = l.since.config || o.ConfigChanged
	l.since.finished = append(l.since.finished, o.Finished...)
}

// finished settles results in the transition that they belong to. What was expected lets the transition go
// on; anything else asks for a new decision.
func (l *Leader) finished(o *command.Outcome) {
	l.dirty = l.dirty || o.Unasked || len(o.Finished) == 0 && o.DecisionNeeded
	for i := range o.Finished {
		p := &o.Finished[i]
		ok := p.Expected
		if p.Task == "stonith" {
			l.fencing.ended(p.Target, ok)
		}
		if number, mine := l.inFlight[p.ID]; mine {
			delete(l.inFlight, p.ID)
			l.progress.Confirm(number, ok)
		} else {
			for _, t := range l.tails {
				if number, mine := t.inFlight[p.ID]; mine {
					delete(t.inFlight, p.ID)
					t.progress.Confirm(number, ok)
				}
			}
			// The present decision did not count on it.
			l.dirty = true
		}
		if !ok {
			l.dirty = true
		}
	}
}

// DropProposal tells that a proposal could not be made (no leader, queue full), so that it is made again.
func (l *Leader) DropProposal(kind command.Kind) {
	switch kind {
	case command.KindNodes:
		l.nodesAsked = false
	case command.KindDispatch:
		l.dispatching = false
		l.dirty = true
	}
}

// Tick does what is due: proposes facts, asks for a decision, hands out actions. now is monotonic, wall the clock; free
// says that a question can be answered now.
func (l *Leader) Tick(now time.Duration, wall time.Time, free bool) {
	if l.state == nil || l.state.ClusterID == "" {
		return
	}
	l.now = now
	l.fencing.tick(now, l.state)
	if l.asked != nil && now >= l.askedAt+longDecision {
		l.failure = fmt.Sprintf("the decision on index %d takes more than %v", l.asked.State.Index, longDecision)
	}
	if !l.recheckAt.IsZero() && !wall.Before(l.recheckAt) {
		l.recheckAt = time.Time{}
		l.dirty = true
	}
	if l.configured && now >= l.nextConfig() {
		l.dirty, l.configured = true, false
	}
	l.reportNodes(wall)
	if l.nodesAsked || l.dispatching || !l.mayDecide(now) {
		return
	}
	if l.fresh {
		if l.walk(wall); l.dispatching || l.nodesAsked {
			return
		}
	}
	// A transition that has run out is checked: the policy must have nothing more to do.
	if !l.dirty && !l.configured && l.asked == nil && l.progress != nil && l.progress.InFlight() == 0 && l.state.StatusRevision > l.decided && !moves(l.progress) {
		l.dirty = true
	}
	if l.dirty && l.asked == nil && free {
		l.ask(now, wall)
	}
	l.walk(wall)
}

// nextConfig is when a change of the configuration alone is reason enough for a decision.
func (l *Leader) nextConfig() time.Duration { return l.decidedAt + max(l.pause, l.took) }

// moves reports whether a transition can start something.
func moves(p *transition.Progress) bool {
	can := false
	p.Pass(func(*transition.Action, int) transition.Outcome {
		can = true
		return transition.Deferred
	})
	return can
}

// Idle reports whether nothing is under way and the last decision had nothing to do.
func (l *Leader) Idle() bool {
	return l.progress != nil && !l.dirty && !l.configured && l.asked == nil && !l.fresh && !l.dispatching && !l.nodesAsked && len(l.inFlight) == 0 &&
		len(l.state.Pending) == 0 && l.progress.Left() == 0 && l.state.StatusRevision <= l.decided
}

// Deadline is the wall time at which Tick matters although nothing happens; zero = never.
func (l *Leader) Deadline() time.Time { return l.recheckAt }

// WaitsUntil is the monotonic time, after that of the last Tick, until which the first decision waits for members never
// seen, the next one for more changes of the configuration, or a fencing that failed for its next attempt; 0 = none.
func (l *Leader) WaitsUntil() time.Duration {
	if l.configured {
		return l.nextConfig()
	}
	if at := l.fencing.next(); at != 0 {
		return at
	}
	if at := l.started + startupGrace; at > l.now && l.state != nil && l.progress == nil && l.unseen() {
		return at
	}
	return 0
}

// Take returns the entries to propose, in order, and forgets them.
func (l *Leader) Take() []*command.Entry {
	out := l.out
	l.out = nil
	return out
}

// Records returns the decisions made since the last call.
func (l *Leader) Records() []DecisionRecord {
	out := l.records
	l.records = nil
	return out
}

// unseen reports whether a member has never been online nor declared down.
func (l *Leader) unseen() bool {
	for _, m := range l.state.Members {
		if m.Removed || m.Online {
			continue
		}
		known := false
		for i := range l.state.Document.Status.Nodes {
			st := &l.state.Document.Status.Nodes[i]
			known = known || st.Name == m.Name && st.InCCM != ""
		}
		if !known {
			return true
		}
	}
	return false
}

func (l *Leader) mayDecide(now time.Duration) bool {
	m := l.state.Member(l.cfg.Node)
	if m == nil || !m.Online {
		return false // the document does not know yet that this node is there
	}
	return l.progress != nil || now >= l.started+startupGrace || !l.unseen()
}

// reportNodes proposes the difference between what membership sees and what the document says.
func (l *Leader) reportNodes(wall time.Time) {
	if l.nodesAsked {
		return
	}
	var facts []command.NodeFact
	for i := range l.view {
		v := &l.view[i]
		m := l.state.Member(v.Name)
		if m == nil {
			continue
		}
		switch {
		case v.Left && m.Incarnation != 0 && (v.Incarnation == 0 || v.Incarnation == m.Incarnation):
			facts = append(facts, command.NodeFact{Name: v.Name, Change: command.NodeLeft, Incarnation: m.Incarnation})
		case v.Left:
		case v.Reachable && v.Leaving && m.Incarnation == 0:
			// It has left and is about to end.
		case v.Incarnation != 0 && v.Incarnation == m.Fenced:
			// What is heard are its last words.
		case v.Reachable && v.Incarnation != 0 && (!m.Online || m.Incarnation != v.Incarnation):
			facts = append(facts, command.NodeFact{Name: v.Name, Change: command.NodeJoined, Incarnation: v.Incarnation, Boot: v.Boot})
		case v.Reachable && v.Leaving && !l.isLeaving(v.Name):
			facts = append(facts, command.NodeFact{Name: v.Name, Change: command.NodeLeaving})
		case v.Lost && m.Online:
			facts = append(facts, command.NodeFact{Name: v.Name, Change: command.NodeLost, Incarnation: m.Incarnation})
		}
	}
	if len(facts) == 0 {
		return
	}
	l.nodesAsked = true
	l.propose(&command.Entry{Kind: command.KindNodes, Nodes: &command.Nodes{Facts: facts}}, wall)
}

func (l *Leader) isLeaving(name string) bool {
	for i := range l.state.Document.Status.Nodes {
		st := &l.state.Document.Status.Nodes[i]
		if st.Name != name {
			continue
		}
		for _, set := range st.Attributes {
			for _, p := range set.Pairs {
				if p.Name == "shutdown" && p.Value != "0" {
					return true
				}
			}
		}
	}
	return false
}

func (l *Leader) propose(e *command.Entry, wall time.Time) {
	e.Origin, e.Actor, e.Time = l.cfg.Node, "cluster", wall.UnixMilli()
	l.out = append(l.out, e)
}

// ask makes the question what to do.
func (l *Leader) ask(now time.Duration, wall time.Time) {
	l.dirty, l.configured = false, false
	l.asked = &Question{State: l.state, Node: l.cfg.Node, Now: wall}
	l.question, l.askedAt, l.since = l.asked, now, sinceAsked{}
}

// Question returns the question that was asked since the last call; nil = none.
func (l *Leader) Question() *Question {
	q := l.question
	l.question = nil
	return q
}

// Decided takes the answer to the question.
func (l *Leader) Decided(a *Answer, now time.Duration) {
	q := l.asked
	if q == nil || a.Number != q.Number {
		return
	}
	since := l.since
	l.asked, l.since = nil, sinceAsked{}
	l.decidedAt, l.took = now, now-l.askedAt
	rec := DecisionRecord{Term: l.term, Transition: max(l.transition, l.state.Transition) + 1, Index: q.State.Index, Now: q.Now, Quorate: true,
		Document: a.Document, Decision: a.Decision, Changes: a.Changes, Taken: l.state.Index}
	if a.Decision != nil {
		rec.Actions = len(a.Decision.Graph.Synapses)
	}
	switch {
	case a.Err != nil:
		rec.Err = a.Err.Error()
	case since.facts, since.config && !l.overtaken && rec.Actions > 0: // with nothing to do, the next one has time
		rec.Overtaken = true
	}
	l.overtaken = rec.Overtaken
	l.failure = rec.Err
	if (l.burst || since.config) && rec.Actions == 0 && rec.Err == "" {
		l.pause = min(2*l.pause, maxConfigPause)
	} else {
		l.pause = configPause
	}
	l.burst = false
	l.records = append(l.records, rec)
	switch {
	case rec.Overtaken:
		l.dirty = true
	case a.Err != nil:
		l.decided = q.State.StatusRevision
	default:
		l.decided = q.State.StatusRevision
		l.replace(q, a, rec.Transition, since.finished)
	}
}

// replace makes the answer the present transition. What runs already and is still wanted stays valid; notifications of
// the highest priority of the old one still go out.
func (l *Leader) replace(q *Question, a *Answer, number uint64, finished []command.Finished) {
	if l.progress != nil && l.progress.Left() > 0 {
		l.progress.Abort()
		l.tails = append(l.tails, &tail{l.graph, l.progress, l.transition, l.inFlight})
	}
	l.transition = number
	l.graph, l.progress, l.reasons = a.Decision.Graph, a.progress, a.reasons
	l.inFlight, l.fresh, l.relations = map[command.ActionID]int{}, true, relations{}
	l.recheckAt = time.Time{}
	if at := a.Decision.Graph.RecheckBy; at != 0 {
		l.recheckAt = time.Unix(at, 0)
	}
	l.adopt(q.State.Pending)
	l.adopt(slices.DeleteFunc(slices.Clone(l.state.Pending), func(p command.Pending) bool { // what tails have begun since
		return slices.ContainsFunc(q.State.Pending, func(o command.Pending) bool { return o.ID == p.ID })
	}))
	// A change that came with the last result must not lose the notifications that follow it.
	l.tails = slices.DeleteFunc(l.tails, func(t *tail) bool { return len(t.inFlight) == 0 && !moves(t.progress) })
	for i := range finished {
		f := &finished[i]
		action, mine := l.inFlight[f.ID]
		delete(l.inFlight, f.ID)
		if mine {
			l.progress.Confirm(action, f.Expected)
		}
		l.dirty = l.dirty || !mine || !f.Expected
		if !mine && (f.Task == "stop" || f.Task == "demote") {
			l.fresh = false // what begins at once might rely on what has ended; see undone
		}
	}
}

// adopt finds the pending actions that the present graph wants, too.
func (l *Leader) adopt(pending []command.Pending) {
	places := map[string][]int{} // of pending, by what an action must share with one to be the same
	for i := range pending {
		p := &pending[i]
		k := p.Task + " " + p.Resource
		places[k] = append(places[k], i)
	}
	found := map[int]command.ActionID{}
	for _, number := range l.progress.Adopt(func(a *transition.Action) bool {
		k := a.Task + " "
		if a.Resource != nil && !a.Fencing() {
			k += a.Resource.ID
		}
		for _, i := range places[k] {
			if sameAction(a, &pending[i]) {
				found[a.Number] = pending[i].ID
				return true
			}
		}
		return false
	}) {
		l.inFlight[found[number]] = number
	}
}

// Failure says why the policy could not decide, or that it takes long; "" = it decided.
func (l *Leader) Failure() string { return l.failure }

// sameAction reports whether the pending action is what the graph's action asks for.
func sameAction(a *transition.Action, p *command.Pending) bool {
	if a.Fencing() {
		want := pendingOf(a)
		want.Target, want.FenceOp = a.Node, fenceOp(a)
		return want.Same(p)
	}
	if a.Task != p.Task || a.Node != p.Node && a.Node != p.RunsOn || a.Resource == nil || a.Resource.ID != p.Resource {
		return false
	}
	want := pendingOf(a)
	want.Node, want.RunsOn = p.Node, p.RunsOn
	return want.Same(p)
}

// walk starts every action of the present transition that may start now.
func (l *Leader) walk(wall time.Time) {
	if l.progress == nil || l.dispatching {
		return
	}
	var d command.Dispatch
	for _, t := range l.tails {
		l.pass(&d, t.progress, t.transition, t.inFlight)
	}
	if l.fresh || !l.dirty && !l.configured && l.asked == nil {
		l.fresh = false
		l.pass(&d, l.progress, l.transition, l.inFlight)
	}
	l.releaseLeft(wall)
	if len(d.Actions)+len(d.Internal) == 0 {
		return
	}
	d.Term, d.Transition, d.BaseIndex = l.term, l.transition, l.state.Index
	for i := range d.Actions {
		d.Actions[i].ID.Transition = l.transition
	}
	l.dispatching = true
	l.propose(&command.Entry{Kind: command.KindDispatch, Dispatch: &d}, wall)
}

// releaseLeft records that nodes which were asked to stop run nothing any more, so that they may go.
func (l *Leader) releaseLeft(wall time.Time) {
	var facts []command.NodeFact
	for _, name := range l.left {
		if m := l.state.Member(name); m != nil && m.Incarnation != 0 {
			facts = append(facts, command.NodeFact{Name: name, Change: command.NodeLeft, Incarnation: m.Incarnation})
		}
	}
	l.left = nil
	if len(facts) == 0 || l.nodesAsked {
		return
	}
	l.nodesAsked = true
	l.propose(&command.Entry{Kind: command.KindNodes, Nodes: &command.Nodes{Facts: facts}}, wall)
}

// maxBatch bounds the actions of one log entry; more go into the next one.
const maxBatch = 512

func (l *Leader) pass(d *command.Dispatch, p *transition.Progress, number uint64, inFlight map[command.ActionID]int) {
	last := false // all that can begin has begun
	undone := l.undone()
	fire := func(a *transition.Action, _ int) transition.Outcome {
		if a.Kind == transition.PseudoEvent {
			return transition.Done
		}
		if len(d.Actions) >= maxBatch || len(l.state.Pending)+len(d.Actions) >= command.MaxPending {
			return transition.Deferred
		}
		if a.Kind == transition.ClusterOp && !a.Fencing() {
			switch a.Task {
			case "clear_failcount", "lrm_delete":
				d.Internal = append(d.Internal, command.InternalAction{Task: a.Task, Resource: a.Resource.ID, Node: a.Node})
			}
			if a.Task == "do_shutdown" {
				// What runs on a node is known once its probes have answered, and the order of the graph has only
				// the stops of what is known. So a node may go when nothing else is to be done on it.
				if !last || l.occupied(a.Node, d) {
					return transition.Deferred
				}
				l.left = append(l.left, a.Node)
			}
			return transition.Done
		}
		if a.Task == "delete" {
			d.Internal = append(d.Internal, command.InternalAction{Task: a.Task, Resource: a.Resource.ID, Node: a.Node})
			return transition.Done
		}
		if undone != nil && buildsUp(a) && (a.Router != "" || undone[l.family(a.Resource.ID)]) {
			return transition.Deferred
		}
		pending, ok := l.pending(a)
		switch {
		case !ok && number != l.transition:
			return transition.Failed // an overtaken transition waits for nobody to come back
		case !ok:
			return transition.Deferred
		}
		pending.ID = command.ActionID{Term: l.term, Transition: l.transition, Action: a.Number}
		if number != l.transition {
			// Of an overtaken transition: numbered above everything that the present graph can hold.
			pending.ID.Action = overtakenBase + int(number%1000)*100000 + a.Number
		}
		for i := range l.state.Pending {
			q := &l.state.Pending[i]
			if q.Same(&pending) {
				return transition.Deferred // the same still runs for an overtaken decision
			}
		}
		d.Actions = append(d.Actions, pending)
		inFlight[pending.ID] = a.Number
		return transition.InFlight
	}
	for p.Pass(fire) > 0 {
	}
	last = true
	for p.Pass(fire) > 0 {
	}
}

// undone are the families of resources of which one is being stopped or demoted though the present decision does not want it; nil =
// none. The decision was made as if that resource went on, since it still ran, and the end of the stop leads to a new one;
// until then nothing related may rely on it. What is not related goes on: a slow stop must not delay its recovery.
func (l *Leader) undone() map[string]bool {
	var families map[string]bool
	for i := range l.state.Pending {
		p := &l.state.Pending[i]
		if _, wanted := l.inFlight[p.ID]; wanted || p.Task != "stop" && p.Task != "demote" {
			continue
		}
		if families == nil {
			families = map[string]bool{}
		}
		families[l.family(p.Resource)] = true
	}
	return families
}

// family is the name for all that is related to a resource; see relations.
func (l *Leader) family(resource string) string {
	if l.relations.joined == nil {
		l.relations = relate(&l.state.Document.Config)
	}
	return l.relations.family(resource)
}

// buildsUp reports whether an action may rely on what runs elsewhere: all but stops, demotions and probes do.
func buildsUp(a *transition.Action) bool {
	switch a.Task {
	case "start", "promote", "migrate_to", "migrate_from":
		return true
	case "monitor":
		return number(a, "CRM_meta_interval") > 0
	}
	return false
}

// occupied reports whether an operation is under way on the node or in d for it.
func (l *Leader) occupied(node string, d *command.Dispatch) bool {
	on := func(p command.Pending) bool { return p.Node == node || p.RunsOn == node }
	return slices.ContainsFunc(l.state.Pending, on) || slices.ContainsFunc(d.Actions, on)
}

const overtakenBase = 1 << 30

// pending builds the pending action for a; ok is false when nobody can carry it out now.
func (l *Leader) pending(a *transition.Action) (p command.Pending, ok bool) {
	p = pendingOf(a)
	if a.Fencing() {
		p.Target, p.FenceOp = a.Node, fenceOp(a)
		if l.fencing.waits(p.Target) {
			return p, false
		}
		p.Node = l.fencer(p.Target, p.FenceOp)
	} else if a.Router != "" {
		p.Node, p.RunsOn = a.Router, a.Node
	}
	p.Reason = l.reasons[a.Number]
	m := l.state.Member(p.Node)
	if m == nil || !m.Online {
		return p, false
	}
	p.Incarnation = m.Incarnation
	return p, true
}

// pendingOf is the operation that a asks for, without who decided and who carries it out.
func pendingOf(a *transition.Action) command.Pending {
	p := command.Pending{Task: a.Task, Key: a.Key, Node: a.Node}
	p.Attributes = make(map[string]string, len(a.Attributes)+len(a.Parameters)+2)
	for x := range a.All() {
		p.Attributes[x.Name] = x.Value
	}
	for _, x := range a.Parameters {
		p.Attributes[x.Name] = x.Value
	}
	p.IntervalMS = number(a, "CRM_meta_interval")
	p.TimeoutMS = number(a, "CRM_meta_timeout")
	p.ExpectedRC = int(number(a, "CRM_meta_op_target_rc"))
	if r := a.Resource; r != nil {
		p.Resource, p.Class, p.Provider, p.Type = r.ID, r.Class, r.Provider, r.Type
	}
	return p
}

func number(a *transition.Action, name string) int64 {
	text, ok := a.Attr(name)
	if !ok {
		return 0
	}
	var v int64
	for _, c := range []byte(text) {
		if c < '0' || c > '9' || v > 1<<53 {
			return 0
		}
		v = v*10 + int64(c-'0')
	}
	return v
}
