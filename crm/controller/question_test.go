package controller

import (
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// configure changes the configuration.
func (b *bench) configure(value string) {
	b.t.Helper()
	b.apply(&command.Entry{Kind: command.KindConfig, Config: &command.Config{Force: true, Changes: []cib.Change{{Kind: cib.KindProperties, ID: "o",
		Object: &cib.Object{Set: &cib.AttributeSet{ID: "o", Pairs: []cib.NVPair{{Name: "batch-limit", Value: value}}}}}}}})
}

// propose commits what the leader proposes, and returns the actions of it.
func (b *bench) propose() (actions []string) {
	b.t.Helper()
	for _, e := range b.l.Take() {
		if out := b.apply(e); out.Err != nil {
			b.t.Fatalf("entry of kind %d refused: %v", e.Kind, out.Err)
		}
		if e.Dispatch != nil {
			for _, a := range e.Dispatch.Actions {
				actions = append(actions, a.Key+" "+a.Node)
			}
		}
	}
	return actions
}

// asking is a bench whose leader has just asked a question, for the reason that a private attribute has changed.
func asking(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, "n1", "n2", "n3")
	b.l.cfg.Fencer = func(*command.State, string, string, []string) string { return "n1" }
	b.settle()
	b.now += time.Second
	b.change()
	b.graph = graph(op(1, "a_start_0 n1"), op(2, "b_start_0 n2"))
	b.ask()
	if b.asked == nil {
		t.Fatal("the leader asked no question")
	}
	return b
}

// What actions rely on has changed while the decision took its time: nothing of it begins, and the question is
// asked again about the newest state.
func TestLeader_AnswerOvertakenByFacts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(b *bench)
	}{
		{"node lost", func(b *bench) {
			b.apply(&command.Entry{Kind: command.KindNodes, Nodes: &command.Nodes{Facts: []command.NodeFact{{Name: "n3", Change: command.NodeLost, Incarnation: 1}}}})
			b.l.SetView([]NodeView{{Name: "n1", Reachable: true, Incarnation: 1, Boot: "b"}, {Name: "n2", Reachable: true, Incarnation: 1, Boot: "b"},
				{Name: "n3", Lost: true, Incarnation: 1}})
		}},
		{"node joined as another process", func(b *bench) {
			b.apply(&command.Entry{Kind: command.KindNodes, Nodes: &command.Nodes{Facts: []command.NodeFact{{Name: "n3", Change: command.NodeJoined, Incarnation: 2, Boot: "b"}}}})
			b.l.SetView([]NodeView{{Name: "n1", Reachable: true, Incarnation: 1, Boot: "b"}, {Name: "n2", Reachable: true, Incarnation: 1, Boot: "b"},
				{Name: "n3", Reachable: true, Incarnation: 2, Boot: "b"}})
		}},
		{"ticket revoked", func(b *bench) {
			b.apply(&command.Entry{Kind: command.KindTickets, Tickets: []cib.TicketState{{ID: "t", Granted: "false"}}})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := asking(t)
			tt.change(b)
			b.answer()
			b.ask()
			b.expect("of the overtaken answer", b.propose())
			recs := b.l.Records()
			if last := recs[len(recs)-1]; !last.Overtaken || last.Taken == last.Index {
				t.Errorf("record %+v, want it overtaken", last)
			}
			if b.asked == nil || b.asked.State != b.s {
				t.Fatalf("asked %v, want a question about the newest state", b.asked)
			}
			b.answer()
			b.ask()
			b.expect("of the next answer", b.propose(), "a_start_0 n1", "b_start_0 n2")
		})
	}
}

// The end of a fencing, well or not, overtakes an answer: the decision may fence the same node again, or wait for it.
func TestLeader_AnswerOvertakenByFencing(t *testing.T) {
	t.Parallel()
	for _, rc := range []int{0, 1} {
		b := newBench(t, "n1", "n2", "n3")
		b.l.cfg.Fencer = func(*command.State, string, string, []string) string { return "n1" }
		b.settle()
		fence := op(1, "n3_stonith_0 n3")
		fence.Action.Resource, fence.Action.Key = nil, "stonith-n3-reboot"
		b.graph = graph(fence)
		b.change()
		b.expect("first", b.settle(), "stonith-n3-reboot n1")
		b.change()
		b.ask()
		b.graph = graph(op(1, "a_start_0 n1"))
		b.finish("stonith-n3-reboot", rc)
		b.answer()
		b.ask()
		b.expect("of the overtaken answer", b.propose())
	}
}

// A change of the configuration overtakes an answer once; in a burst of changes every second one counts.
func TestLeader_AnswerOvertakenByConfiguration(t *testing.T) {
	t.Parallel()
	b := asking(t)
	b.configure("1")
	b.answer()
	b.ask()
	b.expect("of the first answer", b.propose())
	b.configure("2")
	b.answer()
	b.ask()
	b.expect("of the second", b.propose(), "a_start_0 n1", "b_start_0 n2")
	b.graph = graph(op(1, "a_start_0 n1"), op(2, "b_start_0 n2"), op(3, "c_start_0 n3"))
	b.now += time.Second
	b.ask()
	b.configure("3")
	b.answer()
	b.ask()
	b.expect("of the third", b.propose())
}

// Results that come while the decision takes its time count as if they had come right after it: what was expected lets
// the transition go on, a failure ends what was to follow, and neither is waited for again.
func TestLeader_ResultsMeanwhile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		rc    int
		want  []string
		again bool
	}{
		{"expected", 0, []string{"after_start_0 n1", "b_start_0 n2"}, false},
		{"failed", 1, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "n1", "n2")
			b.graph = graph(op(1, "slow_start_0 n1"))
			b.expect("slow start", b.settle(), "slow_start_0 n1")
			b.graph = graph(op(1, "slow_start_0 n1"), op(2, "after_start_0 n1", 0), op(3, "b_start_0 n2"))
			b.change()
			b.ask()
			b.finish("slow_start_0", tt.rc)
			b.answer()
			b.ask()
			b.expect("of the answer", b.propose(), tt.want...)
			b.ask()
			if again := b.asked != nil; again != tt.again {
				t.Errorf("asked again: %v, want %v", again, tt.again)
			}
		})
	}
}

// Something else happens meanwhile, again and again: each decision still begins what it can, and the next follows.
func TestLeader_NoStarvation(t *testing.T) {
	t.Parallel()
	b := asking(t)
	var got []string
	b.graph = graph(op(1, "a_start_0 n1"), op(2, "b_start_0 n2", 0), op(3, "c_start_0 n3", 1))
	for range 6 {
		b.change()
		b.answer()
		b.ask()
		for _, a := range b.propose() {
			got = append(got, a)
			b.finish(a[:len("a_start_0")], 0)
		}
		switch len(got) {
		case 1:
			b.graph = graph(op(2, "b_start_0 n2"), op(3, "c_start_0 n3", 0))
		case 2:
			b.graph = graph(op(3, "c_start_0 n3"))
		case 3:
			b.graph = graph()
		}
		b.ask()
		if b.asked == nil {
			t.Fatal("nothing was asked after a change")
		}
	}
	b.expect("in all", got, "a_start_0 n1", "b_start_0 n2", "c_start_0 n3")
}

// While a question is under way no other is asked and nothing more of the former decision begins. The answer to a
// question of another term counts for nothing.
func TestLeader_OneQuestion(t *testing.T) {
	t.Parallel()
	b := asking(t)
	q := b.asked
	b.change()
	b.l.Tick(b.now, b.wall, true)
	if again := b.l.Question(); again != nil || b.l.Idle() {
		t.Errorf("asked %v while a question is under way, idle %v", again, b.l.Idle())
	}
	b.l.Tick(b.now+longDecision, b.wall, true)
	if b.l.Failure() == "" {
		t.Error("a decision that takes long is not told")
	}
	old := b.l
	b.l = NewLeader(old.cfg, 2, b.now)
	b.l.SetView(old.view)
	b.l.Applied(b.s, nil)
	b.l.Tick(b.now, b.wall, false)
	if b.l.Question() != nil {
		t.Error("asked while the question of the former leader is under way")
	}
	b.l.Decided(q.Answer(b.decide), b.now)
	b.l.Tick(b.now, b.wall, true)
	b.expect("of the former term's answer", b.propose())
	if b.l.Question() == nil {
		t.Error("the new leader asks nothing")
	}
}

// A node alone that hears a leader again before the answer comes stops nothing.
func TestMember_AnswerTooLate(t *testing.T) {
	t.Parallel()
	b := newBench(t, "n1", "n2")
	m := NewMember(MemberConfig{Node: "n1", Incarnation: 1, QuorumTimeout: time.Second}, 0)
	m.Applied(b.s, true)
	m.Tick(time.Second, b.wall, false)
	if !m.Alone() || m.Question() != nil {
		t.Fatal("want the node alone, and no question while another is under way")
	}
	m.Tick(time.Second, b.wall, true)
	q := m.Question()
	if q == nil || q.Node != "" {
		t.Fatalf("question %+v, want one without quorum", q)
	}
	q.Number = 1
	m.LeaderHeard(2 * time.Second)
	b.graph = graph(op(1, "a_stop_0 n1"))
	m.Decided(q.Answer(b.decide), b.wall)
	if got := m.Do(); len(got) != 0 || m.Quiet() {
		t.Errorf("Do() = %v, Quiet() = %v after a leader was heard", got, m.Quiet())
	}
}

// A burst of changes of the configuration that give nothing to do costs a decision now and then, none is thrown away for the
// changes that came meanwhile, and after the last one the newest state is decided on. A change out of the blue does not wait.
func TestLeader_BurstOfChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t, "n1", "n2", "n3")
	b.settle()
	b.l.Records()
	step := func(d time.Duration) {
		b.now += d
		b.ask()
		if b.asked != nil { // the decision takes one change
			b.configure("1")
			b.answer()
			b.ask()
		}
	}
	for range 1000 {
		b.configure("1")
		step(time.Millisecond)
	}
	if n := len(b.l.Records()); n < 10 || n > 25 {
		t.Errorf("%d decisions in a second of changes, want 10 to 25", n)
	}
	for range 200 {
		b.now += time.Millisecond
		b.ask()
		if b.asked != nil {
			b.answer()
		}
	}
	recs := b.l.Records()
	if len(recs) == 0 || len(recs) > 2 || recs[len(recs)-1].Index != b.s.Index || recs[len(recs)-1].Overtaken {
		t.Errorf("after the burst: %+v, want the newest state, index %d, decided on", recs, b.s.Index)
	}
	b.now += time.Second
	b.graph = graph(op(1, "a_start_0 n1"))
	b.configure("2")
	b.ask()
	if b.asked == nil {
		t.Error("a change after a second of quiet is not decided on at once")
	}
	b.answer()
	b.ask()
	b.expect("what the change is for", b.propose(), "a_start_0 n1")
	b.configure("3")
	b.now += configPause
	b.ask()
	if b.asked == nil {
		t.Errorf("a change after one that gave something to do waits for more than %v", configPause)
	}
}
