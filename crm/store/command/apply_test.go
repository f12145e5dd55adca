package command

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crm/cib"
)

// cluster is a State under test with the index of its last entry.
type cluster struct {
	t    testing.TB
	s    *State
	term uint64
}

// found makes a cluster with the named nodes, all online with incarnation 1.
func found(t testing.TB, names ...string) *cluster {
	c := &cluster{t: t, s: New(), term: 1}
	c.must(&Entry{Kind: KindBootstrap, Bootstrap: &Bootstrap{ClusterID: "c", Name: "test", CA: []byte{1},
		First: MemberAdd{Name: names[0], Key: []byte{1}, Links: []cib.NodeLink{{Link: "lan", Address: "10.0.0.1"}}, Feature: FeatureLevel}}})
	for i, name := range names[1:] {
		c.must(&Entry{Kind: KindMemberAdd, MemberAdd: &MemberAdd{Name: name, Key: []byte{byte(i + 2)},
			Links: []cib.NodeLink{{Link: "lan", Address: fmt.Sprintf("10.0.0.%d", i+2)}}, Feature: FeatureLevel}})
	}
	for _, name := range names {
		c.must(&Entry{Kind: KindNodes, Time: 1000_000, Nodes: &Nodes{Facts: []NodeFact{{Name: name, Change: NodeJoined, Incarnation: 1, Boot: "b1"}}}})
	}
	return c
}

func (c *cluster) apply(e *Entry) Outcome {
	c.t.Helper()
	data, err := e.Encode()
	if err != nil {
		c.t.Fatal(err)
	}
	before, err := c.s.Encode()
	if err != nil {
		c.t.Fatal(err)
	}
	old := c.s
	next, out := Apply(c.s, c.s.Index+1, c.term, data)
	after, err := old.Encode()
	if err != nil {
		c.t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		c.t.Fatalf("Apply(kind %d) changed the state that it started from", e.Kind)
	}
	c.s = next
	return out
}

func (c *cluster) must(e *Entry) Outcome {
	c.t.Helper()
	out := c.apply(e)
	if out.Err != nil {
		c.t.Fatalf("Apply(kind %d) = %v, want no error", e.Kind, out.Err)
	}
	return out
}

func (c *cluster) refused(e *Entry, want string) {
	c.t.Helper()
	refusals := len(c.s.Refusals)
	out := c.apply(e)
	if out.Err == nil || !strings.Contains(out.Err.Error(), want) {
		c.t.Fatalf("Apply(kind %d) = %v, want an error with %q", e.Kind, out.Err, want)
	}
	if len(c.s.Refusals) != refusals+1 {
		c.t.Errorf("the refusal was not recorded")
	}
}

func (c *cluster) history(node string) []cib.ResourceHistory {
	for _, st := range c.s.Document.Status.Nodes {
		if st.Name == node {
			return st.History
		}
	}
	return nil
}

func (c *cluster) attribute(node, name string) string {
	for _, st := range c.s.Document.Status.Nodes {
		if st.Name != node {
			continue
		}
		for _, set := range st.Attributes {
			for _, p := range set.Pairs {
				if p.Name == name {
					return p.Value
				}
			}
		}
	}
	return ""
}

func start(number int, node string) Pending {
	return Pending{ID: ActionID{Term: 1, Transition: 1, Action: number}, Node: node, Incarnation: 1, Task: "start",
		Key: fmt.Sprintf("r%d_start_0", number), Resource: fmt.Sprintf("r%d", number), Class: "ocf", Provider: "heartbeat", Type: "Dummy", TimeoutMS: 20000}
}

func (c *cluster) dispatch(list ...Pending) Outcome {
	return c.apply(&Entry{Kind: KindDispatch, Time: 2000_000, Dispatch: &Dispatch{Term: c.term, Transition: 1, Actions: list}})
}

func TestApply_Members(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta")
	if m := c.s.Member("beta"); m == nil || m.NodeID != 2 || m.RaftID != 2 {
		t.Fatalf("Member(beta) = %+v, want node id 2 and raft id 2", m)
	}
	add := &Entry{Kind: KindMemberAdd, MemberAdd: &MemberAdd{Name: "beta", Key: []byte{9}, Feature: FeatureLevel}}
	c.refused(add, "is taken")
	c.refused(&Entry{Kind: KindMemberAdd, MemberAdd: &MemberAdd{Name: "-x", Key: []byte{9}, Feature: FeatureLevel}}, "cannot be a node name")
	c.refused(&Entry{Kind: KindMemberAdd, MemberAdd: &MemberAdd{Name: "gamma", Key: []byte{9}}}, "install a newer build")

	// A node that lost its disk gets a new raft id and keeps its node id.
	c.must(&Entry{Kind: KindMemberAdd, MemberAdd: &MemberAdd{Name: "beta", Key: []byte{2}, Feature: FeatureLevel, Rejoin: true}})
	if m := c.s.Member("beta"); m.NodeID != 2 || m.RaftID != 3 || m.Online {
		t.Fatalf("rejoined Member(beta) = %+v, want node id 2, raft id 3, offline", m)
	}
	c.must(&Entry{Kind: KindMemberRemove, MemberRemove: &MemberRemove{Name: "beta"}})
	if c.s.Member("beta") != nil {
		t.Fatal("beta is still a member")
	}
	c.must(add)
	if m := c.s.Member("beta"); m.NodeID != 3 || m.RaftID != 4 {
		t.Fatalf("Member(beta) = %+v, want numbers that were never used", m)
	}
	c.must(&Entry{Kind: KindMemberRemove, MemberRemove: &MemberRemove{Name: "beta"}})
	c.refused(&Entry{Kind: KindMemberRemove, MemberRemove: &MemberRemove{Name: "alpha"}}, "last node")
}

func TestApply_Token(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha")
	c.must(&Entry{Kind: KindTokenAdd, Time: 1000_000, TokenAdd: &Token{ID: "t1", Node: "beta", Hash: []byte{1}, Expires: 2000}})
	join := func(name string, at int64) *Entry {
		return &Entry{Kind: KindMemberAdd, Time: at, MemberAdd: &MemberAdd{Name: name, Key: []byte{5}, Token: "t1", Feature: FeatureLevel}}
	}
	c.refused(join("gamma", 1500_000), "is for node beta")
	c.refused(join("beta", 2001_000), "expired")
	c.must(join("beta", 1500_000))
	c.refused(join("beta", 1500_000), "used already, by node beta")
	c.refused(&Entry{Kind: KindTokenDrop, TokenDrop: &TokenDrop{ID: "t1"}}, "no open join token")
	// Used and expired ones go when the next is made; one without a name is for the first who comes.
	c.must(&Entry{Kind: KindTokenAdd, Time: 2001_000, TokenAdd: &Token{ID: "t2", Hash: []byte{1}, Expires: 3000}})
	c.refused(join("gamma", 2002_000), "not known")
	any := join("gamma", 2002_000)
	any.MemberAdd.Token = "t2"
	c.must(any)
}

func TestApply_ConfigConflict(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha")
	change := func(id string, priority string) []cib.Change {
		doc := *c.s.Document
		doc.Config.Resources = append([]*cib.Resource(nil), doc.Config.Resources...)
		r := &cib.Resource{ID: id, Class: "ocf", Provider: "heartbeat", Type: "Dummy",
			Meta: []cib.AttributeSet{{ID: id + "-meta", Pairs: []cib.NVPair{{ID: id + "-p", Name: "priority", Value: priority}}}}}
		found := false
		for i := range doc.Config.Resources {
			if doc.Config.Resources[i].ID == id {
				doc.Config.Resources[i], found = r, true
			}
		}
		if !found {
			doc.Config.Resources = append(doc.Config.Resources, r)
		}
		return cib.Diff(c.s.Document, &doc)
	}
	based := func(changes []cib.Change) map[string]uint64 {
		m := map[string]uint64{}
		for i := range changes {
			m[changes[i].Key()] = c.s.Objects.Of(changes[i].Key())
		}
		return m
	}
	config := func(changes []cib.Change, based map[string]uint64) *Entry {
		return &Entry{Kind: KindConfig, Actor: "uid:0", Config: &Config{Changes: changes, Based: based, Message: "why"}}
	}
	first, second := change("a", "1"), change("a", "2")
	base := based(first)
	c.must(config(first, base))
	out := c.apply(config(second, base))
	var conflict *ConflictError
	if !errors.As(out.Err, &conflict) {
		t.Fatalf("a change on an old base = %v, want a conflict", out.Err)
	}
	// Another object does not conflict, nor does a change of the status in between.
	other := change("b", "1")
	otherBase := based(other)
	c.must(&Entry{Kind: KindAttributes, Attributes: []Attribute{{Node: "alpha", Name: "x", Value: "1"}}})
	c.must(config(change("a", "3"), based(change("a", "3"))))
	c.must(config(other, otherBase))
	if n := len(c.s.Document.Config.Resources); n != 2 {
		t.Fatalf("%d resources, want 2", n)
	}
	if last := c.s.Changes[len(c.s.Changes)-1]; last.Message != "why" || last.Actor != "uid:0" {
		t.Errorf("change record = %+v, want the actor and the message", last)
	}
	c.refused(config(change("a", "4"), nil), "does not say on which revision")
	c.refused(&Entry{Kind: KindConfig, Config: &Config{}}, "changes nothing")
}

func TestApply_DispatchAndResults(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta")
	out := c.dispatch(start(1, "alpha"), start(2, "beta"))
	if out.Err != nil || len(out.Dispatched) != 2 {
		t.Fatalf("dispatch = %+v", out)
	}
	if doc := PolicyDocument(c.s, "alpha"); !strings.Contains(fmt.Sprint(doc.Status.Nodes), "r1_pending_start_0") {
		t.Error("the decision does not see the pending start")
	}
	if out := c.dispatch(start(1, "alpha")); out.Err == nil {
		t.Error("the same action was dispatched twice")
	}
	result := Result{ID: ActionID{1, 1, 1}, Node: "alpha", Incarnation: 1, CallID: 1, LastChange: 2001}
	out = c.must(&Entry{Kind: KindResults, Results: []Result{result}})
	if len(out.Finished) != 1 || !out.Finished[0].Expected {
		t.Fatalf("Finished = %+v, want one as expected", out.Finished)
	}
	if h := c.history("alpha"); len(h) != 1 || h[0].Operations[0].ID != "r1_last_0" || h[0].Operations[0].OpDigest == "" {
		t.Fatalf("history = %+v, want r1_last_0 with a digest", h)
	}
	// I13: a result that comes twice changes nothing.
	if out := c.must(&Entry{Kind: KindResults, Results: []Result{result}}); len(out.Finished) != 0 || out.DecisionNeeded {
		t.Errorf("the same result again = %+v, want nothing", out)
	}
	// A failed start counts for good.
	failed := Result{ID: ActionID{1, 1, 2}, Node: "beta", Incarnation: 1, CallID: 1, RC: 1, LastChange: 2001}
	out = c.must(&Entry{Kind: KindResults, Results: []Result{failed}})
	if out.Finished[0].Expected {
		t.Error("a failed start counts as expected")
	}
	if v := c.attribute("beta", "fail-count-r2#start_0"); v != "INFINITY" {
		t.Errorf("fail count = %q, want INFINITY", v)
	}
	c.must(&Entry{Kind: KindForget, Forget: &Forget{Resource: "r2"}})
	if v := c.attribute("beta", "fail-count-r2#start_0"); v != "" || len(c.history("beta")) != 0 {
		t.Errorf("after forgetting: fail count %q, history %v", v, c.history("beta"))
	}
}

func TestApply_DispatchRefused(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha")
	c.term = 2
	c.refused(&Entry{Kind: KindDispatch, Dispatch: &Dispatch{Term: 1, Transition: 1, Actions: []Pending{start(1, "alpha")}}}, "decided in term 1, this is term 2")
	c.term = 1
	old := start(1, "alpha")
	old.Incarnation = 7
	c.refused(&Entry{Kind: KindDispatch, Dispatch: &Dispatch{Term: 1, Transition: 1, Actions: []Pending{old}}}, "not the process any more")
	c.refused(&Entry{Kind: KindDispatch, Dispatch: &Dispatch{Term: 1, Transition: 1, Actions: []Pending{start(1, "nobody")}}}, "not the process any more")
}

// What was decided before a node told what it had stopped by itself is not handed out to it any more.
func TestApply_DispatchAfterOwnStop(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta")
	base := c.s.Index
	own := start(1, "beta")
	own.Task = "stop"
	c.must(&Entry{Kind: KindResults, Results: []Result{{Node: "beta", Incarnation: 1, CallID: 3, Local: &own}}})
	give := func(base uint64, node string) *Entry {
		return &Entry{Kind: KindDispatch, Dispatch: &Dispatch{Term: 1, Transition: 1, BaseIndex: base, Actions: []Pending{start(1, node)}}}
	}
	c.refused(give(base, "beta"), "has stopped something by itself")
	c.must(give(base, "alpha"))
	c.must(give(c.s.Index, "beta"))
}

func TestApply_NodeLostFencedAndBack(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta")
	c.dispatch(start(1, "beta"))
	c.must(&Entry{Kind: KindResults, Results: []Result{{ID: ActionID{1, 1, 1}, Node: "beta", Incarnation: 1, CallID: 1}}})
	c.dispatch(start(2, "beta"))
	c.must(&Entry{Kind: KindNodes, Time: 3000_000, Nodes: &Nodes{Facts: []NodeFact{{Name: "beta", Change: NodeLost}}}})
	if c.s.Member("beta").Online || len(c.history("beta")) != 1 || len(c.s.Pending) != 1 {
		t.Fatal("a lost node must be offline, and keep what is known and under way on it")
	}
	fence := Pending{ID: ActionID{1, 1, 9}, Node: "alpha", Incarnation: 1, Task: "stonith", Key: "stonith-beta-reboot", Target: "beta", FenceOp: "reboot"}
	if out := c.dispatch(fence); out.Err != nil {
		t.Fatal(out.Err)
	}
	c.must(&Entry{Kind: KindResults, Time: 4000_000, Results: []Result{{ID: fence.ID, Node: "alpha", Incarnation: 1, RC: 1, Status: StatusError}}})
	if len(c.history("beta")) != 1 || c.s.Fencing[0].OK {
		t.Fatal("a failed fencing must leave the node as it is")
	}
	fence.ID.Action = 10
	c.dispatch(fence)
	c.must(&Entry{Kind: KindResults, Time: 4000_000, Results: []Result{{ID: fence.ID, Node: "alpha", Incarnation: 1}}})
	if len(c.history("beta")) != 0 || len(c.s.Pending) != 0 || !c.s.Fencing[1].OK {
		t.Fatalf("after fencing: history %v, pending %v", c.history("beta"), c.s.Pending)
	}
	// A result of its old self is not taken any more.
	out := c.must(&Entry{Kind: KindResults, Results: []Result{{ID: ActionID{1, 1, 2}, Node: "beta", Incarnation: 1}}})
	if len(out.Finished) != 0 {
		t.Error("a result from before the fencing was taken")
	}
	c.refused(&Entry{Kind: KindConfirmDown, ConfirmDown: &ConfirmDown{Node: "alpha"}}, "is online")
}

func TestApply_ProcessRestartKeepsAttributes(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha")
	c.must(&Entry{Kind: KindAttributes, Attributes: []Attribute{{Node: "alpha", Name: "ping", Value: "3"}}})
	c.dispatch(start(1, "alpha"))
	joined := func(inc uint64, boot string) *Entry {
		return &Entry{Kind: KindNodes, Nodes: &Nodes{Facts: []NodeFact{{Name: "alpha", Change: NodeJoined, Incarnation: inc, Boot: boot}}}}
	}
	c.must(joined(2, "b1"))
	if len(c.s.Pending) != 0 || len(c.history("alpha")) != 0 || c.attribute("alpha", "ping") != "3" {
		t.Fatal("a restarted process: pending actions and history go, attributes stay")
	}
	c.must(joined(3, "b2"))
	if c.attribute("alpha", "ping") != "" {
		t.Fatal("a restarted machine: attributes go")
	}
}

func TestApply_Recurring(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha")
	mon := start(1, "alpha")
	mon.Task, mon.Key, mon.IntervalMS = "monitor", "r1_monitor_10000", 10000
	c.dispatch(mon)
	c.must(&Entry{Kind: KindResults, Results: []Result{{ID: mon.ID, Node: "alpha", Incarnation: 1, CallID: 5}}})
	key := &RecurringKey{Resource: "r1", Task: "monitor", IntervalMS: 10000}
	failed := c.must(&Entry{Kind: KindResults, Results: []Result{{Node: "alpha", Incarnation: 1, CallID: 6, RC: 7, Recurring: key, LastChange: 9, ExitReason: "gone"}}})
	if want := (Failure{"alpha", "r1", "monitor", 10000, 7, 0, "gone"}); !slices.Equal(failed.Failed, []Failure{want}) {
		t.Errorf("failures = %+v, want %+v", failed.Failed, want)
	}
	if v := c.attribute("alpha", "fail-count-r1#monitor_10000"); v != "1" {
		t.Fatalf("fail count = %q, want 1", v)
	}
	out := c.must(&Entry{Kind: KindResults, Results: []Result{{Node: "alpha", Incarnation: 1, CallID: 6, RC: 7, Recurring: key}}})
	if out.DecisionNeeded || c.attribute("alpha", "fail-count-r1#monitor_10000") != "1" {
		t.Error("the same result was counted twice")
	}
}

// TestApply_Total: whatever the bytes, Apply gives a state, and the same one everywhere.
func TestApply_Total(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta")
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "data")
		if rapid.Bool().Draw(t, "versioned") {
			data[0] = entryVersion
		}
		a, outA := Apply(c.s, c.s.Index+1, 1, data)
		b, outB := Apply(c.s, c.s.Index+1, 1, data)
		if (outA.Err == nil) != (outB.Err == nil) {
			t.Fatal("two answers for one entry")
		}
		x, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		y, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x, y) {
			t.Fatal("two states for one entry")
		}
	})
}

func TestState_EncodeRoundTrip(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta")
	c.dispatch(start(1, "beta"))
	data, err := c.s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := DecodeState(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, again) {
		t.Error("Encode(Decode(x)) differs from x")
	}
	for n := range 64 {
		if _, err := DecodeState(data[:len(data)*n/64]); err == nil {
			t.Fatalf("a snapshot cut to %d/64 was read", n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	e := Entry{Kind: KindAttributes, Attributes: []Attribute{{Node: "a", Name: "b", Value: "c"}}}
	data, err := e.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	s := found(f, "alpha").s
	f.Fuzz(func(t *testing.T, data []byte) {
		next, _ := Apply(s, s.Index+1, 1, data)
		if next == nil || next.Index != s.Index+1 {
			t.Fatal("no state")
		}
	})
}

// A result outlives the process that asked for the operation: the next process hands it in, and it counts once.
func TestApply_Orphans(t *testing.T) {
	t.Parallel()
	late := Result{ID: ActionID{1, 1, 1}, Node: "alpha", Incarnation: 2, CallID: 1, RC: 1, LastChange: 2001}
	handIn := func(c *cluster) Outcome { return c.must(&Entry{Kind: KindResults, Results: []Result{late}}) }
	joined := func(incarnation uint64, boot string) *Entry {
		return &Entry{Kind: KindNodes, Time: 3000_000, Nodes: &Nodes{Facts: []NodeFact{{Name: "alpha", Change: NodeJoined, Incarnation: incarnation, Boot: boot}}}}
	}
	asked := func() *cluster {
		c := found(t, "alpha", "beta")
		if out := c.dispatch(start(1, "alpha"), start(2, "beta")); out.Err != nil {
			t.Fatal(out.Err)
		}
		return c
	}
	t.Run("counts once", func(t *testing.T) {
		c := asked()
		c.must(joined(2, "b1"))
		if len(c.s.Orphans) != 1 || len(c.s.Pending) != 1 {
			t.Fatalf("orphans %v, pending %v, want one each", c.s.Orphans, c.s.Pending)
		}
		if out := handIn(c); !out.DecisionNeeded || len(out.Finished) != 0 {
			t.Errorf("outcome = %+v, want a decision and no pending action finished", out)
		}
		if v := c.attribute("alpha", "fail-count-r1#start_0"); v != "INFINITY" {
			t.Errorf("fail count = %q, want INFINITY", v)
		}
		c.must(&Entry{Kind: KindForget, Forget: &Forget{Resource: "r1"}})
		if out := handIn(c); out.DecisionNeeded || len(c.s.Orphans) != 0 || c.attribute("alpha", "fail-count-r1#start_0") != "" {
			t.Errorf("the second time: %+v, want nothing", out)
		}
	})
	t.Run("recorded before the process died", func(t *testing.T) {
		c := asked()
		first := late
		first.Incarnation = 1
		c.must(&Entry{Kind: KindResults, Results: []Result{first}})
		c.must(joined(2, "b1"))
		if out := handIn(c); out.DecisionNeeded || len(c.s.Orphans) != 0 {
			t.Errorf("outcome = %+v, orphans %v, want nothing", out, c.s.Orphans)
		}
	})
	t.Run("a second restart", func(t *testing.T) {
		c := asked()
		c.must(joined(3, "b1"))
		c.must(joined(2, "b1"))
		if out := handIn(c); !out.DecisionNeeded {
			t.Errorf("outcome = %+v, want the result taken", out)
		}
	})
	t.Run("another boot", func(t *testing.T) {
		c := asked()
		c.must(joined(2, "b2"))
		if out := handIn(c); out.DecisionNeeded || len(c.s.Orphans) != 0 {
			t.Errorf("outcome = %+v, orphans %v, want nothing: the machine was restarted since", out, c.s.Orphans)
		}
	})
	t.Run("left", func(t *testing.T) {
		c := asked()
		c.must(joined(2, "b1"))
		c.must(&Entry{Kind: KindNodes, Time: 3000_000, Nodes: &Nodes{Facts: []NodeFact{{Name: "alpha", Change: NodeLeft, Incarnation: 2}}}})
		if len(c.s.Orphans) != 0 {
			t.Errorf("orphans = %v, want none of a node that left", c.s.Orphans)
		}
	})
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta")
	inner := &cib.Resource{ID: "base", Kind: cib.Template, Class: "ocf", Provider: "p", Type: "t"}
	list := []*cib.Resource{
		inner,
		{ID: "web", Template: "base"},
		{ID: "dbs", Kind: cib.Clone, Members: []*cib.Resource{{ID: "db", Template: "base"}}},
		{ID: "other", Class: "ocf", Provider: "p", Type: "t"},
	}
	doc := *c.s.Document
	doc.Config.Resources = list
	c.must(&Entry{Kind: KindConfig, Config: &Config{Changes: cib.Diff(c.s.Document, &doc), Force: true}})
	for _, tt := range []struct{ resource, node, want string }{
		{"web", "", "resource base,resource web"}, {"base", "", "resource base"}, {"db", "", "resource base,resource dbs"}, {"other", "", "resource other"},
		{"", "BETA", "node beta"}, {"other", "alpha", "node alpha,resource other"}, {"none", "none", ""}, {"", "", ""},
	} {
		e := c.s.Excerpt(tt.resource, tt.node)
		var keys []string
		cib.Objects(&e.Document.Config, func(kind, id string, o cib.Object) {
			key := cib.ObjectKey(kind, id)
			if full, ok := cib.FindObject(&c.s.Document.Config, kind, id); !ok || !full.Equal(&o) {
				t.Errorf("%+v: %s is another one than that of the configuration", tt, key)
			}
			if e.Objects.Of(key) != c.s.Objects.Of(key) {
				t.Errorf("%+v: revision %d of %s, want %d", tt, e.Objects.Of(key), key, c.s.Objects.Of(key))
			}
			keys = append(keys, key)
		})
		if got := strings.Join(keys, ","); got != tt.want || e.ClusterID != c.s.ClusterID || len(e.Objects.Map()) > len(keys) {
			t.Errorf("Excerpt(%q, %q) has %s and the revisions %v, want %s", tt.resource, tt.node, got, e.Objects, tt.want)
		}
	}
}

// A node that was lost with a resource is not removed before it is known to be off: without its history the resource would
// start elsewhere at once.
func TestApply_RemoveOfALostNode(t *testing.T) {
	t.Parallel()
	remove := &Entry{Kind: KindMemberRemove, MemberRemove: &MemberRemove{Name: "beta"}}
	for _, tt := range []struct {
		name   string
		result *Result
	}{
		{"started", &Result{}},
		{"start failed", &Result{RC: 1}},
		{"start has not answered", nil},
	} {
		c := found(t, "alpha", "beta")
		c.dispatch(start(1, "beta"))
		if tt.result != nil {
			r := *tt.result
			r.ID, r.Node, r.Incarnation, r.CallID, r.LastChange = ActionID{1, 1, 1}, "beta", 1, 1, 2001
			c.must(&Entry{Kind: KindResults, Results: []Result{r}})
		}
		c.must(&Entry{Kind: KindNodes, Nodes: &Nodes{Facts: []NodeFact{{Name: "beta", Change: NodeLost, Incarnation: 1}}}})
		c.refused(remove, "crm node clearstate beta")
		c.must(&Entry{Kind: KindConfirmDown, ConfirmDown: &ConfirmDown{Node: "beta"}})
		c.must(remove)
		if c.s.Member("beta") != nil {
			t.Errorf("%s: beta is still a member", tt.name)
		}
	}
	c := found(t, "alpha", "beta")
	c.must(&Entry{Kind: KindNodes, Nodes: &Nodes{Facts: []NodeFact{{Name: "beta", Change: NodeLost, Incarnation: 1}}}})
	c.must(remove) // it ran nothing
}
