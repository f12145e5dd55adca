// Package node is one whole node of a cluster as a state machine: membership, raft replica, replicated state,
// controller, executor and fencing, wired together. The daemon (crm/daemon) drives it with real sockets,
// disks and processes, the simulation (crm/simtest) with simulated ones; neither decides anything itself.
//
// A Node has no goroutine, clock, random source or I/O. Inputs are methods that take the time; Ready gives
// what is to be done as one Output value:
//
//   - Save goes to stable storage in one transaction, then Saved is called; only one is out at a time.
//   - Messages, Heartbeats and Snapshots may be sent at once: what depends on a Save is held back until Saved.
//   - Start and Cancel go to the runner; each start comes back in RunFinished. The runner keeps the result until
//     Ack names it, so that it is not lost when this process dies before the cluster has it.
//   - Replies answer proposals and reads that came by Propose and Read.
//   - Snapshot asks for the encoding of a state, to be given back by SnapshotTaken.
//   - Question asks for a decision, to be given back by Decided; only one is out at a time. It is worked out beside the
//     node's goroutine, because it may take long and everything else goes on meanwhile.
//
// A Node belongs to one goroutine.
package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/executor"
	"github.com/quorate/quorate/crm/attribute"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/controller"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/crm/transition"
	"github.com/quorate/quorate/membership"
)

// Config of a Node.
type Config struct {
	Name        string
	NodeID      membership.NodeID
	RaftID      membership.RaftID
	Incarnation membership.Incarnation
	Boot        string // of the machine, so that a restart of the daemon is told from one of the machine

	Replica replica.Config // ID, Incarnation and Storage are filled in here; zero fields get the defaults
	Storage replica.Storage
	// State is the newest stored snapshot; nil for a node that joins.
	State *command.State

	Timing Timing
	// IgnoreStreams says that StreamUp and StreamDown are not called (a simulation without streams).
	IgnoreStreams bool
	// Known are the members that a joining node was told of; they count until it has the document. KnownLinks
	// are the names of the cluster's links in the order of their numbers.
	Known      []Known
	KnownLinks []string
	// MaxParallel bounds the agents that run at a time; 0 = the executor's default.
	MaxParallel int
}

// Timing are the times of a node that come from the cluster's settings.
type Timing struct {
	Heartbeat time.Duration
	Dead      time.Duration
	// QuorumTimeout is how long a node goes on without a leader before it looks after itself.
	QuorumTimeout time.Duration
}

// Output is what is to be done.
type Output struct {
	Err error // the node must end: storage failed, its identity is no longer valid, or it was fenced (ErrFenced)

	Save       *replica.Save
	Messages   []*raftpb.Message
	Snapshots  []replica.SnapshotMessage
	Snapshot   *TakeSnapshot
	Question   *controller.Question
	Heartbeats []Heartbeat

	Start  []agents.Request
	Cancel []string
	Ack    []string // runs whose results are recorded, or of no use to anybody: the runner may forget them

	ByHand    []agents.Result // of RunByHand
	Replies   []Reply
	Decisions []controller.DecisionRecord
	Notes     []Note

	// StateChanged: entries were applied since the last Ready. MembersChanged: members, their addresses or
	// timings may be others.
	StateChanged, MembersChanged bool
	// Left: this node has left in order and may end.
	Left bool
}

// TakeSnapshot asks for the encoding of the state as of Index.
type TakeSnapshot struct {
	Index uint64
	State *command.State
}

// Note is something to be logged.
type Note struct {
	Level  Level
	Text   string
	Fields []any // pairs of name and value
}

// Level of a Note.
type Level uint8

// Levels of notes.
const (
	Debug Level = iota
	Info
	Warn
)

// Node is one node. Make it with New.
type Node struct {
	cfg   Config
	con   consensus
	mem   members
	votes votes

	leader *controller.Leader // nil while this node does not lead
	damped attribute.Timers   // while this node leads
	member *controller.Member
	exec   *executor.Core
	fences fencer

	now  membership.Instant
	wall time.Time

	runs     map[executor.Key]command.ActionID // actions given to the executor
	solo     uint64
	devices  map[string]bool             // fence devices that are active on this node
	local    []localResult               // results that need no agent
	taken    []string                    // runs that finished since the last Ready
	unacked  map[string]command.ActionID // runs whose results the cluster has not recorded yet
	late     []lateResult                // results of an earlier process, until the cluster has let this one join
	leaving  bool
	gone     bool
	started  bool
	conf     bool // a change of the raft members is under way
	resendAt membership.Instant
	question uint64         // number of the one that is out; 0 = none
	asked    uint64         // questions so far
	dropped  []command.Kind // proposals that were dropped, for retryAt
	retryAt  membership.Instant
	out      Output
}

type localResult struct {
	id     command.ActionID
	result command.Result
}

// lateResult is the result of a run that an earlier process of this node asked for.
type lateResult struct {
	run    string
	id     command.ActionID
	result command.Result
}

// resendAfter is how long results may be on their way before they are proposed again. Raft forwards proposals
// without an answer, so one may be lost with a leader.
const resendAfter = 500 * time.Millisecond

// New makes a node at now. Its first Ready may give out entries that were applied before the restart.
func New(cfg Config, now membership.Instant, wall time.Time) (*Node, error) {
	if cfg.State == nil {
		cfg.State = command.New()
	}
	cfg.Replica.ID, cfg.Replica.Incarnation, cfg.Replica.Storage = cfg.RaftID, cfg.Incarnation, cfg.Storage
	rep, err := replica.New(cfg.Replica)
	if err != nil {
		return nil, err
	}
	exec, err := executor.New(executor.Config{Incarnation: cfg.Incarnation, MaxParallel: cfg.MaxParallel})
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, now: now, wall: wall, exec: exec,
		con: consensus{name: cfg.Name, incarnation: cfg.Incarnation, rep: rep, state: cfg.State, own: map[replica.RequestID]ownRequest{}},
		member: controller.NewMember(controller.MemberConfig{Node: cfg.Name, Incarnation: uint64(cfg.Incarnation),
			QuorumTimeout: cfg.Timing.QuorumTimeout}, time.Duration(now)),
		runs: map[executor.Key]command.ActionID{}, devices: map[string]bool{}, unacked: map[string]command.ActionID{},
	}
	if err := n.mem.init(n); err != nil {
		return nil, err
	}
	n.votes.init(n)
	n.fences.init(n)
	return n, nil
}

// State is the newest replicated state. It is not changed any more.
func (n *Node) State() *command.State { return n.con.state }

// Role is what this node is in raft.
func (n *Node) Role() replica.Role { return n.con.role }

// Fresh reports whether the state is caught up with the leader that is heard now.
func (n *Node) Fresh() bool { return n.con.fresh }

// Hello is what this node shows when it connects.
func (n *Node) Hello() replica.Hello { return n.con.rep.Hello() }

// Members is the raft configuration.
func (n *Node) Members() replica.ConfState { return n.con.rep.Members() }

// Leader reports the controller's state while this node leads; nil otherwise.
func (n *Node) Leader() *controller.Leader { return n.leader }

// Alone reports whether the node is without quorum and looks after itself.
func (n *Node) Alone() bool { return n.member.Alone() }

// Busy is the number of operations handed to this node that have no recorded result.
func (n *Node) Busy() int { return len(n.runs) + n.member.Outbox() }

func (n *Node) note(level Level, text string, fields ...any) {
	n.out.Notes = append(n.out.Notes, Note{level, text, fields})
}

func (n *Node) at(now membership.Instant, wall time.Time) {
	n.now, n.wall = now, wall
}

// Tick says that time has passed.
func (n *Node) Tick(now membership.Instant, wall time.Time) {
	n.at(now, wall)
	n.con.rep.Tick(now)
	n.exec.Tick(now)
	n.mem.tick()
	n.fences.tick()
	n.work()
}

// NextTick is the earliest time at which Tick matters if nothing else comes before.
func (n *Node) NextTick() membership.Instant {
	next := membership.Instant(1<<63 - 1)
	if t, ok := n.con.rep.NextTick(); ok {
		next = min(next, t)
	}
	if t, ok := n.exec.Deadline(); ok {
		next = min(next, t)
	}
	next = min(next, n.mem.nextTick(), n.fences.nextTick(), n.votes.nextTick())
	if n.free() || !n.member.Alone() { // else it waits for the answer
		next = min(next, membership.Instant(n.member.Deadline()))
	}
	if n.resendAt != 0 {
		next = min(next, n.resendAt)
	}
	if n.retryAt != 0 {
		next = min(next, n.retryAt)
	}
	if t, ok := n.con.nextAsk(); ok {
		next = min(next, t)
	}
	if n.leader != nil && n.votes.majority() && !n.votes.untold() { // else its time does not come; see work
		if at := n.leader.Deadline(); !at.IsZero() {
			next = min(next, n.now.Add(max(0, at.Sub(n.wall))))
		}
		if at := n.leader.WaitsUntil(); at != 0 {
			next = min(next, membership.Instant(at))
		}
		if at, ok := n.damped.Deadline(); ok {
			next = min(next, membership.Instant(at))
		}
	}
	return next
}

// Raft gives a raft message that came from a peer.
func (n *Node) Raft(now membership.Instant, wall time.Time, m *raftpb.Message) error {
	n.at(now, wall)
	return n.con.rep.Step(now, m)
}

// RaftSnapshot is Raft for a message that carries a snapshot, with the state in it: to decode a large one takes longer than
// the dead time of the fast profile, so it is better done before, beside the node's goroutine. A nil state is decoded here.
func (n *Node) RaftSnapshot(now membership.Instant, wall time.Time, m *raftpb.Message, s *command.State) error {
	n.con.decoded = decoded{m.GetSnapshot(), s}
	return n.Raft(now, wall, m)
}

// Observe compares what a peer shows when it connects with what it had shown before; see replica.ObservePeer.
func (n *Node) Observe(h replica.Hello) error {
	return n.con.rep.ObservePeer(h.ID, h.Term, h.Last)
}

// Unreachable says that messages to a peer were lost.
func (n *Node) Unreachable(now membership.Instant, id membership.RaftID) {
	n.con.rep.Unreachable(now, id)
}

// SnapshotSent says that a snapshot has arrived, or that sending it failed.
func (n *Node) SnapshotSent(now membership.Instant, id membership.RaftID, ok bool) {
	n.con.rep.SnapshotSent(now, id, ok)
}

// SnapshotTaken gives the encoded state that Output.Snapshot asked for; nil when it could not be encoded.
func (n *Node) SnapshotTaken(now membership.Instant, index uint64, data []byte) {
	n.con.rep.SnapshotTaken(now, index, data)
}

// Decided gives the answer to Output.Question.
func (n *Node) Decided(now membership.Instant, wall time.Time, a *controller.Answer) {
	n.at(now, wall)
	if a.Number != n.question {
		return
	}
	n.question = 0
	// Whose question it was may not be there any more.
	n.member.Decided(a, wall)
	n.votes.decided(a)
	if n.leader != nil {
		n.leader.Decided(a, time.Duration(now))
		n.out.Decisions = append(n.out.Decisions, n.leader.Records()...)
	}
	n.work()
}

// free reports whether a question can be asked now.
func (n *Node) free() bool { return n.question == 0 }

// ask gives a question out; nil = there is none.
func (n *Node) ask(q *controller.Question) {
	if q == nil {
		return
	}
	n.asked++
	q.Number, n.question = n.asked, n.asked
	n.out.Question = q
}

// Saved says that Output.Save is on stable storage.
func (n *Node) Saved(now membership.Instant, wall time.Time) error {
	n.at(now, wall)
	err := n.con.rep.Saved(now)
	n.votes.saved()
	return err
}

// Propose hands in an entry from a client; the answer comes in Output.Replies.
func (n *Node) Propose(now membership.Instant, wall time.Time, e *command.Entry) (replica.RequestID, error) {
	n.at(now, wall)
	e.Time = wallMS(wall)
	return n.con.propose(now, e)
}

// Read asks for a point from which this node's state is not older than the leader's was; the answer comes
// in Output.Replies.
func (n *Node) Read(now membership.Instant, wall time.Time) (replica.RequestID, error) {
	n.at(now, wall)
	id := n.con.id()
	return id, n.con.rep.Read(now, id)
}

// Leave begins to leave in order: services move away, then Output.Left is set.
func (n *Node) Leave(now membership.Instant, wall time.Time) {
	n.at(now, wall)
	n.leaving = true
	n.mem.leave()
	n.work()
}

// Adopt tells of agent runs that go on from before a restart of this process.
func (n *Node) Adopt(now membership.Instant, runs []executor.Running) {
	// A fencing that an earlier process began is none of the executor's runs, and keeps no device busy.
	n.exec.Adopt(now, slices.DeleteFunc(slices.Clone(runs), func(r executor.Running) bool { return isFenceRun(r.ID) }))
}

// RunFinished gives the result of a run.
func (n *Node) RunFinished(now membership.Instant, wall time.Time, r agents.Result) {
	n.at(now, wall)
	if n.fences.finished(r) {
		n.work()
		return
	}
	n.taken = append(n.taken, r.ID)
	n.exec.RunFinished(now, r)
	n.work()
}

// Ready gives what is to be done since the last call.
func (n *Node) Ready() Output {
	for n.con.rep.HasReady() {
		if !n.replicate() {
			break
		}
	}
	n.work()
	// Work may have proposed entries: what raft makes of them goes out in the same Output.
	for n.con.rep.HasReady() {
		if !n.replicate() {
			break
		}
		n.work()
	}
	n.executorOutput()
	n.mem.output()
	out := n.out
	n.out = Output{}
	return out
}

// HasReady reports whether Ready has something to give.
func (n *Node) HasReady() bool {
	return n.con.rep.HasReady() || n.exec.HasReady() || n.out.Err != nil || len(n.out.Start)+len(n.out.Cancel)+len(n.out.Replies)+
		len(n.out.Decisions)+len(n.out.ByHand)+len(n.out.Notes)+len(n.out.Heartbeats)+len(n.out.Ack)+len(n.taken) > 0 || n.out.Save != nil || n.out.Question != nil || n.out.Left ||
		n.mem.hasOutput()
}

// replicate takes one round of raft's output. It returns false when a round brought nothing new.
func (n *Node) replicate() bool {
	out := n.con.rep.Ready()
	if out.Err != nil {
		n.out.Err = out.Err
		return false
	}
	n.out.Messages = append(n.out.Messages, out.Messages...)
	n.out.Snapshots = append(n.out.Snapshots, out.Snapshots...)
	progress := len(out.Messages)+len(out.Snapshots)+len(out.Committed)+len(out.Reads)+len(out.Dropped) > 0
	if out.Save != nil {
		n.out.Save = out.Save
		progress = true
	}
	if out.Restore != nil {
		if err := n.con.restore(out.Restore); err != nil {
			n.out.Err = err
			return false
		}
		n.note(Info, "state taken over from the leader", "index", n.con.state.Index)
		n.applied(applied{conf: true})
	}
	if len(out.Committed) > 0 {
		n.applied(n.con.apply(out.Committed))
	}
	if out.TakeSnapshot > 0 {
		n.out.Snapshot = &TakeSnapshot{Index: out.TakeSnapshot, State: n.con.state}
	}
	if out.Role != nil {
		n.role(out.Role)
		progress = true
	}
	n.out.Replies = append(n.out.Replies, n.con.read(out.Reads)...)
	if n.con.fresh && !n.votes.seenAll || n.votes.unsettled != n.con.rep.Reconfigures() {
		n.votes.update()
	}
	kinds, lost := n.con.dropped(out.Dropped)
	n.out.Replies = append(n.out.Replies, lost...)
	for _, k := range kinds {
		n.lost(k)
	}
	for _, line := range out.Notes {
		n.note(Debug, line)
	}
	return progress
}

// retryAfter is the time after which a proposal that was dropped is made again. While leadership is handed over
// raft drops every one at once, so that without a pause the node would do nothing else.
const retryAfter = 10 * time.Millisecond

// lost notes that a proposal was dropped, for retry.
func (n *Node) lost(k command.Kind) {
	n.dropped = append(n.dropped, k)
	if n.retryAt == 0 {
		n.retryAt = n.now.Add(retryAfter)
	}
}

// retry tells the cores that made the dropped proposals, so that they make them again.
func (n *Node) retry() {
	if n.retryAt == 0 || n.now < n.retryAt {
		return
	}
	for _, k := range n.dropped {
		switch {
		case k == command.KindResults:
			n.member.Resend()
		case k == command.KindAttributes:
			n.damped.Retry()
		case n.leader != nil:
			n.leader.DropProposal(k)
		}
	}
	n.dropped, n.retryAt = nil, 0
}

// applied hands what was applied to the cores.
func (n *Node) applied(a applied) {
	n.out.StateChanged = true
	n.out.Replies = append(n.out.Replies, a.replies...)
	if a.conf {
		n.conf = false
	}
	for i := range a.outcomes {
		o := &a.outcomes[i]
		if o.Err != nil {
			n.note(Warn, "entry refused", "kind", int(o.Kind), "error", o.Err)
		}
		n.out.MembersChanged = n.out.MembersChanged || o.MembersChanged
		for i := range o.Failed {
			if f := &o.Failed[i]; n.leader != nil || f.Node == n.cfg.Name {
				n.note(Warn, "operation failed", "resource", f.Resource, "operation", f.Task, "interval", time.Duration(f.IntervalMS)*time.Millisecond,
					"on", f.Node, "rc", f.RC, "status", agents.Status(f.Status).String(), "reason", f.Reason)
			}
		}
	}
	if a.conf {
		n.out.MembersChanged = true
	}
	if a.conf {
		n.votes.reconfigured()
	}
	if n.out.MembersChanged {
		n.mem.configure()
	}
	if n.leader != nil {
		n.leader.Applied(n.con.state, a.outcomes)
		n.damped.Applied(n.con.state, time.Duration(n.now))
	}
	n.fences.applied()
	if n.leaving && n.started {
		if m := n.con.state.Member(n.cfg.Name); (m == nil || m.Incarnation == 0) && n.votes.mayGo() {
			n.goodbye()
		}
	}
	m := n.con.state.Member(n.cfg.Name)
	switch {
	case m == nil:
	case m.Incarnation == uint64(n.cfg.Incarnation):
		n.started = true
		n.handIn()
		n.fences.forget()
	case m.Fenced == uint64(n.cfg.Incarnation) && n.out.Err == nil:
		n.out.Err = ErrFenced
	}
}

// ErrFenced says that the cluster holds this node for fenced although it runs. Its process must end; a new one is
// admitted, and what runs here is probed.
var ErrFenced = errors.New("this node was fenced, or vouched for as down, and is still there: the fence device did not do what it said")

// goodbye ends the node: it runs nothing any more.
func (n *Node) goodbye() {
	if n.out.Left || n.gone {
		return
	}
	n.gone = true
	n.mem.core.Goodbye(n.now)
	n.mem.events()
	n.out.Left = true
}

// role takes over a change of this node's role in raft.
func (n *Node) role(r *replica.Role) {
	was := n.con.role
	n.con.refresh(n.now, r)
	n.mem.local() // heartbeats tell it at once
	n.mem.events()
	if r.Leader != was.Leader || r.Term != was.Term {
		n.member.Resend()
		n.note(Info, "leader", "term", r.Term, "leader", n.nameOf(r.Leader), "acting", r.Acting)
	}
	switch {
	case r.Acting && (n.leader == nil || r.Term != was.Term):
		n.leader = controller.NewLeader(controller.LeaderConfig{Node: n.cfg.Name, Fencer: n.fences.choose},
			r.Term, time.Duration(n.now))
		n.leader.Applied(n.con.state, nil)
		n.damped = attribute.Timers{}
		n.damped.Applied(n.con.state, time.Duration(n.now))
		n.dropped = slices.DeleteFunc(n.dropped, func(k command.Kind) bool { return k != command.KindResults }) // were the old one's
		n.conf = false
	case !r.Acting:
		n.leader = nil
	}
}

func (n *Node) nameOf(id membership.RaftID) string {
	if m := n.con.state.MemberByRaftID(uint64(id)); m != nil {
		return m.Name
	}
	if id == 0 {
		return ""
	}
	return fmt.Sprintf("raft id %d", id)
}

// work lets the cores do what is due now.
func (n *Node) work() {
	n.con.refresh(n.now, nil)
	n.retry()
	heard := n.leaderHeard()
	if heard {
		n.member.LeaderHeard(time.Duration(n.now))
	}
	// Raft may know a leader over its streams that membership does not hear: the others are about to fence this
	// node then, so it begins nothing for them.
	n.member.Applied(n.con.state, n.con.fresh && heard)
	n.acknowledge()
	alone := n.member.Alone()
	n.member.Tick(time.Duration(n.now), n.wall, n.free())
	n.ask(n.member.Question())
	if n.member.Alone() && !alone {
		n.note(Warn, "no leader with quorum is heard: this node does what no-quorum-policy says with what runs here",
			"no-quorum-policy", cib.EffectiveProperty(n.con.state.Document, "no-quorum-policy"))
	}
	for _, p := range n.member.Do() {
		if n.member.Alone() {
			n.note(Info, "done without quorum", "resource", p.Resource, "operation", p.Task)
		}
		n.do(p)
	}
	n.mem.leaderCheck()
	n.votes.act()
	// A leader that cannot hear a majority calls nobody lost: it is the one that is cut off, or starved, and
	// is deposed if that lasts.
	if n.leader != nil && n.votes.majority() && !n.votes.untold() {
		n.leader.SetView(n.mem.view())
		n.leader.Tick(time.Duration(n.now), n.wall, n.free())
		n.ask(n.leader.Question())
		for _, e := range n.leader.Take() {
			if !n.con.proposeOwn(n.now, e) {
				n.leader.DropProposal(e.Kind)
			}
		}
		n.writeDamped()
		n.raftMembers()
	}
	n.sendResults()
	if n.leaving && (n.member.Quiet() || n.con.state.ClusterID == "") {
		n.goodbye() // without quorum nobody can let it go; without a document it was never given anything to run
	}
	if n.leaving && n.con.fresh {
		// It was asked to stop before the cluster counted it in, and so it was given nothing to run.
		if m := n.con.state.Member(n.cfg.Name); (m == nil || m.Incarnation == 0) && n.votes.mayGo() {
			n.goodbye()
		}
	}
}

// writeDamped proposes, as the leader, that attributes whose dampening has ended are written.
func (n *Node) writeDamped() {
	writes := n.damped.Tick(time.Duration(n.now))
	if len(writes) == 0 {
		return
	}
	e := &command.Entry{Kind: command.KindAttributes, Actor: "cluster", Time: wallMS(n.wall), Attributes: writes}
	if !n.con.proposeOwn(n.now, e) {
		n.lost(command.KindAttributes)
	}
}

// leaderHeard reports whether a leader with quorum is heard now.
func (n *Node) leaderHeard() bool {
	switch {
	case n.con.role.State == replica.Leader:
		return n.con.role.Acting && n.votes.majority()
	case n.con.role.Leader == 0:
		return false
	}
	return n.mem.leads(n.con.role.Leader)
}

// sendResults proposes results that are waiting, again when they may have been lost.
func (n *Node) sendResults() {
	for _, l := range n.local {
		n.member.Finished(l.id, l.result)
	}
	n.local = nil
	if n.resendAt != 0 && n.now >= n.resendAt {
		n.member.Resend()
		n.resendAt = 0
	}
	if n.con.role.Leader == 0 {
		return
	}
	list := n.member.Results()
	if list == nil {
		return
	}
	e := &command.Entry{Kind: command.KindResults, Actor: "cluster", Time: wallMS(n.wall), Results: list}
	if !n.con.proposeOwn(n.now, e) {
		n.member.Resend()
	}
	n.resendAt = n.now.Add(resendAfter)
}

// raftMembers proposes the next change of the raft members.
func (n *Node) raftMembers() {
	if n.conf {
		return
	}
	change, reason := n.votes.change()
	if change.ID == 0 {
		return
	}
	if err := n.con.rep.ProposeConfChange(n.now, n.con.id(), []replica.Change{change}, nil); err != nil {
		return
	}
	n.conf = true
	n.note(Info, "raft members change", "change", change.String(), "reason", reason)
}

// do hands an operation to the executor, the fencing core, or answers it at once.
func (n *Node) do(p command.Pending) {
	if p.Task == "stonith" {
		n.fences.do(p)
		return
	}
	key := executor.Key{Term: p.ID.Term, Transition: p.ID.Transition, Action: uint64(p.ID.Action)}
	if p.ID.Term == 0 {
		// Decided by this node itself while alone: numbered as of the newest term seen, after everything.
		n.solo++
		key = executor.Key{Term: n.con.state.Term, Transition: 1 << 62, Action: n.solo}
	}
	n.runs[key] = p.ID
	index := max(p.Index, n.con.state.Index)
	if p.Task == "cancel" {
		op := p.Attributes["CRM_meta_operation"]
		if op == "" {
			op = "monitor"
		}
		n.exec.Cancel(n.now, executor.CancelStart{Key: key, Index: index, Incarnation: n.cfg.Incarnation, Resource: p.Resource,
			Operation: agents.Operation(op), Interval: time.Duration(p.IntervalMS) * time.Millisecond})
		return
	}
	if p.Class == agents.ClassFence && n.fenceDevice(key, &p) {
		return
	}
	n.exec.Do(n.now, n.start(key, index, &p))
}

// start builds the executor's form of a pending operation.
func (n *Node) start(key executor.Key, index uint64, p *command.Pending) executor.Start {
	params, meta, feature := agents.SplitAttributes(p.Attributes)
	s := executor.Start{
		Key: key, Index: index, Incarnation: n.cfg.Incarnation,
		Request: agents.Request{
			Resource: p.Resource, Agent: agents.Ref{Class: p.Class, Provider: p.Provider, Type: p.Type},
			Operation: agents.Operation(p.Task), Interval: time.Duration(p.IntervalMS) * time.Millisecond,
			Timeout: time.Duration(p.TimeoutMS) * time.Millisecond,
			Params:  params, Meta: meta, FeatureSet: feature, Node: n.cfg.Name,
		},
		Digest: paramsDigest(params),
	}
	if ms, ok := meta["start_delay"]; ok {
		var v int64
		if _, err := fmt.Sscanf(ms, "%d", &v); err == nil && v > 0 {
			s.Delay = time.Duration(v) * time.Millisecond
		}
	}
	return s
}

func paramsDigest(params map[string]string) string {
	attrs := make([]transition.Attr, 0, len(params))
	for name, value := range params {
		attrs = append(attrs, transition.Attr{Name: name, Value: value})
	}
	slices.SortFunc(attrs, func(a, b transition.Attr) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return transition.Digest(attrs)
}

// fenceDevice handles operations of fence devices, which are no services: to start one is to check that it
// answers, and to stop one needs no agent. It returns true when the operation is answered.
func (n *Node) fenceDevice(key executor.Key, p *command.Pending) bool {
	answer := func(rc int) bool {
		delete(n.runs, key)
		n.local = append(n.local, localResult{p.ID, command.Result{RC: rc, LastChange: n.wall.Unix()}})
		return true
	}
	switch {
	case p.Task == "stop":
		delete(n.devices, p.Resource)
		return answer(int(agents.RCOK))
	case p.Task == "monitor" && p.IntervalMS == 0:
		if n.devices[p.Resource] {
			return answer(int(agents.RCOK))
		}
		return answer(int(agents.RCNotRunning))
	case p.Task == "start":
		n.devices[p.Resource] = true
	}
	return false
}

// executorOutput passes on what the executor wants.
func (n *Node) executorOutput() {
	o := n.exec.Ready()
	n.out.Cancel = append(n.out.Cancel, o.Cancel...)
	n.out.Start = append(n.out.Start, o.Start...)
	n.out.ByHand = append(n.out.ByHand, o.ByHand...)
	for _, r := range o.Refused {
		id, ok := n.runs[r.Key]
		delete(n.runs, r.Key)
		n.note(Warn, "operation refused", "reason", r.Reason)
		if ok {
			n.member.Finished(id, command.Result{RC: int(agents.RCGeneric), Status: int(agents.StatusError), ExitReason: r.Reason, LastChange: n.wall.Unix()})
		}
	}
	for i := range o.Results {
		n.result(&o.Results[i])
	}
	for _, run := range n.taken {
		if _, keep := n.unacked[run]; !keep && !slices.ContainsFunc(n.late, func(l lateResult) bool { return l.run == run }) {
			n.out.Ack = append(n.out.Ack, run)
		}
	}
	n.taken = nil
	if len(o.Results)+len(o.Refused) > 0 {
		n.sendResults()
		for n.con.rep.HasReady() {
			if !n.replicate() {
				break
			}
		}
	}
}

func (n *Node) result(r *executor.Result) {
	res := command.Result{
		RC: int(r.Result.RC), Status: int(r.Result.Status), ExitReason: r.Result.Reason,
		LastChange: r.Result.Finished.Unix(), ExecMS: r.Result.ExecTime.Milliseconds(), QueueMS: r.Result.QueueTime.Milliseconds(),
	}
	if r.Result.Finished.IsZero() {
		res.LastChange = n.wall.Unix()
	}
	if !r.First {
		n.member.Changed(command.RecurringKey{Resource: r.Resource, Task: string(r.Operation), IntervalMS: r.Interval.Milliseconds()}, res)
		return
	}
	id, ok := n.runs[r.Key]
	if !ok {
		id = command.ActionID{Term: r.Key.Term, Transition: r.Key.Transition, Action: int(r.Key.Action)}
		n.late = append(n.late, lateResult{r.Result.ID, id, res})
		n.handIn()
		return
	}
	delete(n.runs, r.Key)
	n.member.Finished(id, res)
	n.unacked[r.Result.ID] = id
}

// handIn reports results of an earlier process, once the cluster has let this one join: from then on it is certain
// which of them the cluster does not have. A node that acted alone meanwhile knows better what is true of it.
func (n *Node) handIn() {
	if !n.started {
		return
	}
	for _, l := range n.late {
		wanted := slices.ContainsFunc(n.con.state.Orphans, func(p command.Pending) bool { return p.ID == l.id && p.Node == n.cfg.Name })
		if !wanted || n.solo > 0 {
			n.out.Ack = append(n.out.Ack, l.run)
			continue
		}
		n.member.Finished(l.id, l.result)
		n.unacked[l.run] = l.id
	}
	n.late = nil
}

// acknowledge lets the runner forget the results that the cluster has.
func (n *Node) acknowledge() {
	for _, run := range slices.Sorted(maps.Keys(n.unacked)) {
		if !n.member.Holds(n.unacked[run]) {
			delete(n.unacked, run)
			n.out.Ack = append(n.out.Ack, run)
		}
	}
}
