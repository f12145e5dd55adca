package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/transition"
)

// bench is a Leader with a log that commits at once, and a policy that the test scripts.
type bench struct {
	t       *testing.T
	l       *Leader
	s       *command.State
	graph   *transition.Graph // what the policy will answer
	decide  func(policy.Input) (*policy.Decision, error)
	decided int
	asked   *Question // not answered yet
	number  uint64
	now     time.Duration
	wall    time.Time
	sent    []*command.Entry
}

func newBench(t *testing.T, names ...string) *bench {
	b := &bench{t: t, s: command.New(), graph: &transition.Graph{}, wall: time.Unix(1000, 0)}
	first := command.MemberAdd{Name: names[0], Key: []byte{1}, Links: []cib.NodeLink{{Link: "lan", Address: "10.0.0.1"}}, Feature: command.FeatureLevel}
	b.apply(&command.Entry{Kind: command.KindBootstrap, Bootstrap: &command.Bootstrap{ClusterID: "c", CA: []byte{1}, First: first}})
	for i, n := range names[1:] {
		b.apply(&command.Entry{Kind: command.KindMemberAdd, MemberAdd: &command.MemberAdd{Name: n, Key: []byte{byte(i + 2)},
			Links: first.Links, Feature: command.FeatureLevel}})
	}
	b.decide = func(in policy.Input) (*policy.Decision, error) {
		b.decided++
		return &policy.Decision{Graph: b.graph, Cluster: model.New(in.Document, in.Now)}, nil
	}
	b.l = NewLeader(LeaderConfig{Node: names[0]}, 1, 0)
	var view []NodeView
	for _, n := range names {
		view = append(view, NodeView{Name: n, Reachable: true, Incarnation: 1, Boot: "b"})
	}
	b.l.SetView(view)
	b.l.Applied(b.s, nil)
	return b
}

// apply commits an entry and tells the leader.
func (b *bench) apply(e *command.Entry) command.Outcome {
	b.t.Helper()
	data, err := e.Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	var out command.Outcome
	b.s, out = command.Apply(b.s, b.s.Index+1, 1, data)
	if b.l != nil {
		b.l.Applied(b.s, []command.Outcome{out})
	}
	return out
}

// ask lets the leader work, and takes its question if it has one.
func (b *bench) ask() {
	b.l.Tick(b.now, b.wall, b.asked == nil)
	if q := b.l.Question(); q != nil {
		b.number++
		q.Number, b.asked = b.number, q
	}
}

// answer answers the question.
func (b *bench) answer() {
	q := b.asked
	b.asked = nil
	b.l.Decided(q.Answer(b.decide), b.now)
}

// settle lets the leader work until it proposes nothing more; all that it proposes is committed.
func (b *bench) settle() (actions []string) {
	b.t.Helper()
	for range 50 {
		b.ask()
		entries := b.l.Take()
		if len(entries) == 0 && b.asked == nil {
			return actions
		}
		for _, e := range entries {
			b.sent = append(b.sent, e)
			if out := b.apply(e); out.Err != nil {
				b.t.Fatalf("entry of kind %d refused: %v", e.Kind, out.Err)
			}
			if e.Dispatch != nil {
				for _, a := range e.Dispatch.Actions {
					actions = append(actions, a.Key+" "+a.Node)
				}
			}
		}
		if b.asked != nil {
			b.answer()
		}
	}
	b.t.Fatal("the leader does not settle")
	return nil
}

// finish commits a result for the pending action with the key.
func (b *bench) finish(key string, rc int) {
	b.t.Helper()
	for _, p := range b.s.Pending {
		if p.Key == key {
			b.apply(&command.Entry{Kind: command.KindResults, Results: []command.Result{{ID: p.ID, Node: p.Node, Incarnation: p.Incarnation, RC: rc, CallID: 1}}})
			return
		}
	}
	b.t.Fatalf("%s is not pending: %v", key, b.s.Pending)
}

func action(number int, node string, op transition.Operation) transition.Action {
	return transition.Action{Number: number, Operation: &op, Place: &transition.Place{Node: node}}
}

// op is a synapse "key node", with the places of its inputs.
func op(number int, spec string, inputs ...int) transition.Synapse {
	key, node, _ := strings.Cut(spec, " ")
	parts := strings.Split(key, "_")
	s := transition.Synapse{Action: action(number, node, transition.Operation{Task: parts[len(parts)-2], Key: key,
		Resource: &transition.ResourceRef{Element: "primitive", ID: parts[0], Class: "ocf", Provider: "p", Type: "t"}})}
	for _, i := range inputs {
		s.Inputs = append(s.Inputs, transition.Input{Synapse: i})
	}
	return s
}

func graph(list ...transition.Synapse) *transition.Graph { return &transition.Graph{Synapses: list} }

func (b *bench) expect(what string, got []string, want ...string) {
	b.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Fatalf("%s: dispatched %v, want %v", what, got, want)
	}
}

func (b *bench) change() {
	b.t.Helper()
	b.apply(&command.Entry{Kind: command.KindAttributes, Attributes: []command.Attribute{{Node: "n1", Name: "x", Value: fmt.Sprint(b.s.Index)}}})
}

// order configures two resources and an order of them.
func (b *bench) order(first, then string) {
	b.t.Helper()
	var changes []cib.Change
	for _, id := range []string{first, then} {
		if !slices.ContainsFunc(b.s.Document.Config.Resources, func(r *cib.Resource) bool { return r.ID == id }) {
			changes = append(changes, cib.Change{Kind: cib.KindResource, ID: id,
				Object: &cib.Object{Resource: &cib.Resource{ID: id, Kind: cib.Primitive, Class: "ocf", Provider: "t", Type: "t"}}})
		}
	}
	id := first + "-" + then
	changes = append(changes, cib.Change{Kind: cib.KindConstraint, ID: id,
		Object: &cib.Object{Constraint: &cib.Constraint{ID: id, Kind: cib.Order, First: first, Then: then}}})
	if out := b.apply(&command.Entry{Kind: command.KindConfig, Config: &command.Config{Force: true, Changes: changes}}); out.Err != nil {
		b.t.Fatal(out.Err)
	}
}

func TestLeader_WalksTheTransition(t *testing.T) {
	b := newBench(t, "n1", "n2")
	b.graph = graph(op(1, "a_start_0 n1"), op(2, "b_start_0 n2", 0), op(3, "c_start_0 n2"))
	b.expect("first", b.settle(), "a_start_0 n1", "c_start_0 n2")
	decided := b.decided
	b.finish("a_start_0", 0)
	b.expect("after a", b.settle(), "b_start_0 n2")
	if b.decided != decided {
		t.Error("a result that was expected led to a new decision")
	}
	b.graph = graph()
	b.finish("b_start_0", 0)
	b.finish("c_start_0", 0)
	b.settle()
	if !b.l.Idle() || b.decided == decided {
		t.Errorf("at the end: idle %v, decided %d times more; want a last decision with nothing to do", b.l.Idle(), b.decided-decided)
	}
}

func TestLeader_DoesNotDrain(t *testing.T) {
	b := newBench(t, "n1", "n2")
	b.graph = graph(op(1, "slow_start_0 n1"), op(2, "after_start_0 n1", 0))
	b.expect("slow start", b.settle(), "slow_start_0 n1")
	// b fails while slow starts: it is recovered at once, and the slow start is neither repeated nor lost.
	b.graph = graph(op(1, "b_stop_0 n2"), op(2, "b_start_0 n2", 0), op(3, "slow_start_0 n1"), op(4, "after_start_0 n1", 2))
	b.change()
	b.expect("recovery of b", b.settle(), "b_stop_0 n2")
	b.finish("b_stop_0", 0)
	b.expect("start of b", b.settle(), "b_start_0 n2")
	b.finish("slow_start_0", 0)
	b.expect("what waited for slow", b.settle(), "after_start_0 n1")
}

// A result that was expected comes in one entry with what a node did by itself: the latter asks for a new decision.
func TestLeader_UnaskedResultAmongOthers(t *testing.T) {
	b := newBench(t, "n1", "n2")
	b.graph = graph(op(1, "a_start_0 n1"), op(2, "b_promote_0 n1", 0))
	b.settle()
	decided := b.decided
	b.graph = graph()
	p := b.s.Pending[0]
	b.apply(&command.Entry{Kind: command.KindResults, Results: []command.Result{
		{ID: p.ID, Node: p.Node, Incarnation: p.Incarnation, CallID: 1},
		{Node: p.Node, Incarnation: p.Incarnation, CallID: 2, Local: &command.Pending{Node: p.Node, Task: "stop", Resource: "b", Class: "ocf", Type: "t"}},
	}})
	b.expect("after both", b.settle())
	if b.decided == decided {
		t.Error("what a node stopped by itself led to no new decision")
	}
}

// A stop is under way when the decision changes, and the new one counts on what stops: what it starts waits for the end of the
// stop, and for the decision that follows from that.
func TestLeader_StopThatIsNotWanted(t *testing.T) {
	b := newBench(t, "n1", "n2")
	b.order("ip", "fs")
	b.order("fs", "web")
	b.graph = graph(op(1, "ip_stop_0 n1"))
	b.expect("stop", b.settle(), "ip_stop_0 n1")
	b.graph = graph(op(1, "web_start_0 n1"), op(2, "b_stop_0 n2"), op(3, "b_start_0 n1", 1))
	b.change()
	b.expect("while it stops", b.settle(), "b_stop_0 n2")
	b.finish("b_stop_0", 0)
	b.expect("what is not related", b.settle(), "b_start_0 n1")
	b.graph = graph(op(1, "ip_start_0 n1"), op(2, "web_start_0 n1", 0))
	b.finish("ip_stop_0", 0)
	b.expect("when it has stopped", b.settle(), "ip_start_0 n1")
}

// A start is under way when the decision changes to a restart: it is not the start that comes after the stop.
func TestLeader_StartThatBecomesARestart(t *testing.T) {
	b := newBench(t, "n1")
	b.graph = graph(op(1, "ip_start_0 n1"))
	b.expect("start", b.settle(), "ip_start_0 n1")
	b.graph = graph(op(1, "ip_stop_0 n1"), op(2, "ip_start_0 n1", 0), op(3, "web_start_0 n1", 1))
	b.change()
	b.expect("restart", b.settle(), "ip_stop_0 n1")
	b.finish("ip_start_0", 0)
	b.expect("when it has started", b.settle())
	b.finish("ip_stop_0", 0)
	b.expect("when it has stopped", b.settle(), "ip_start_0 n1")
}

func TestLeader_UnexpectedResultDecidesAgain(t *testing.T) {
	b := newBench(t, "n1")
	b.graph = graph(op(1, "a_start_0 n1"), op(2, "b_start_0 n1", 0))
	b.settle()
	decided := b.decided
	b.graph = graph(op(1, "a_stop_0 n1"))
	b.finish("a_start_0", 1)
	b.expect("after the failure", b.settle(), "a_stop_0 n1")
	if b.decided != decided+1 {
		t.Errorf("decided %d times more, want once", b.decided-decided)
	}
}

func TestLeader_NewLeaderTakesOver(t *testing.T) {
	b := newBench(t, "n1", "n2")
	b.graph = graph(op(1, "a_start_0 n2"), op(2, "b_start_0 n1", 0))
	b.expect("old leader", b.settle(), "a_start_0 n2")
	// Another leader finds the start pending: it does not repeat it, and goes on when it has ended.
	old := b.l
	b.l = NewLeader(old.cfg, 1, 0)
	b.l.SetView(old.view)
	b.l.Applied(b.s, nil)
	b.expect("new leader", b.settle())
	b.finish("a_start_0", 0)
	b.expect("after a", b.settle(), "b_start_0 n1")
}

func TestLeader_ReportsNodes(t *testing.T) {
	b := newBench(t, "n1", "n2")
	b.settle()
	if m := b.s.Member("n2"); !m.Online || m.Incarnation != 1 {
		t.Fatalf("n2 = %+v, want online", m)
	}
	b.l.SetView([]NodeView{{Name: "n1", Reachable: true, Incarnation: 1, Boot: "b"}, {Name: "n2", Lost: true, Incarnation: 1}})
	b.settle()
	if b.s.Member("n2").Online {
		t.Fatal("n2 is still online")
	}
	// An unanswered node is not handed anything.
	b.graph = graph(op(1, "a_start_0 n2"))
	b.change()
	b.expect("for a lost node", b.settle())
}

func TestLeader_WaitsForMembersNeverSeen(t *testing.T) {
	b := newBench(t, "n1", "n2")
	b.l.SetView([]NodeView{{Name: "n1", Reachable: true, Incarnation: 1, Boot: "b"}, {Name: "n2"}})
	// A member without any record of its state, as an imported document may have.
	doc := *b.s.Document
	doc.Status.Nodes = nil
	state := *b.s
	state.Document = &doc
	b.s = &state
	b.l.Applied(b.s, nil)
	b.graph = graph(op(1, "a_start_0 n1"))
	b.expect("before the grace is over", b.settle())
	if b.decided != 0 {
		t.Fatal("decided although a member was never seen")
	}
	b.now = startupGrace
	b.expect("after it", b.settle(), "a_start_0 n1")
}

func TestLeader_LetsNodesLeave(t *testing.T) {
	b := newBench(t, "n1", "n2")
	b.settle()
	b.l.SetView([]NodeView{{Name: "n1", Reachable: true, Incarnation: 1, Boot: "b"}, {Name: "n2", Reachable: true, Leaving: true, Incarnation: 1, Boot: "b"}})
	b.settle()
	stop := op(1, "a_stop_0 n2")
	down := transition.Synapse{Action: action(2, "n2", transition.Operation{Kind: transition.ClusterOp, Task: "do_shutdown", Key: "do_shutdown-n2"}),
		Inputs: []transition.Input{{Synapse: 0}}}
	b.graph = graph(stop, down)
	b.change()
	b.expect("stop first", b.settle(), "a_stop_0 n2")
	if b.s.Member("n2").Incarnation == 0 {
		t.Fatal("the node was let go before its resource had stopped")
	}
	b.finish("a_stop_0", 0)
	b.graph = graph()
	b.settle()
	if m := b.s.Member("n2"); m.Incarnation != 0 || m.Online {
		t.Fatalf("n2 = %+v, want let go", m)
	}
}

func TestLeader_SurvivesThePolicy(t *testing.T) {
	b := newBench(t, "n1")
	b.decide = func(policy.Input) (*policy.Decision, error) { panic("bug") }
	b.settle()
	if !strings.Contains(b.l.Failure(), "bug") {
		t.Errorf("Failure() = %q, want the reason", b.l.Failure())
	}
	recs := b.l.Records()
	if len(recs) == 0 || recs[0].Document == nil {
		t.Error("the input of the failed decision was not kept")
	}
}

func TestMember_TakesItsActionsOnce(t *testing.T) {
	b := newBench(t, "n1", "n2")
	b.graph = graph(op(1, "a_start_0 n1"), op(2, "b_start_0 n2"))
	b.settle()
	m := NewMember(MemberConfig{Node: "n2", Incarnation: 1}, 0)
	m.Applied(b.s, false)
	if got := m.Do(); len(got) != 0 {
		t.Fatalf("Do() = %v before the node is caught up, want nothing", got)
	}
	m.Applied(b.s, true)
	got := m.Do()
	if len(got) != 1 || got[0].Key != "b_start_0" {
		t.Fatalf("Do() = %v, want b_start_0", got)
	}
	m.Applied(b.s, true)
	if got := m.Do(); len(got) != 0 {
		t.Fatalf("Do() again = %v, want nothing", got)
	}
	m.Finished(got[0].ID, command.Result{})
	list := m.Results()
	if len(list) != 1 || m.Results() != nil {
		t.Fatalf("Results() = %v, want one, once", list)
	}
	m.Resend()
	if len(m.Results()) != 1 {
		t.Fatal("a result that may be lost is not sent again")
	}
	b.apply(&command.Entry{Kind: command.KindResults, Results: list})
	m.Applied(b.s, true)
	if m.Outbox() != 0 {
		t.Error("an applied result is still kept")
	}
	old := NewMember(MemberConfig{Node: "n1", Incarnation: 9}, 0)
	old.Applied(b.s, true)
	if got := old.Do(); len(got) != 0 {
		t.Errorf("Do() = %v for another process of the node, want nothing", got)
	}
}
