package command

import "testing"

func TestApply_AddedMemberIsDownUntilItComes(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha")
	c.must(&Entry{Kind: KindMemberAdd, MemberAdd: &MemberAdd{Name: "beta", Key: []byte{2}, Feature: FeatureLevel}})
	for i := range c.s.Document.Status.Nodes {
		if st := &c.s.Document.Status.Nodes[i]; st.Name == "beta" {
			if st.InCCM != "0" || st.CRMD != "0" || st.Join != "down" || st.Expected != "down" {
				t.Errorf("node state of the new member = %+v, want one that is down and was expected to be", st)
			}
			return
		}
	}
	t.Error("the new member has no node state, so it counts as never seen and would be fenced")
}

// A fencing that was asked for before its target joined as a new process proves nothing about that process: its
// answer may come late, from a member that was cut off meanwhile.
func TestApply_JoinEndsOldFencing(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta", "gamma")
	c.must(&Entry{Kind: KindNodes, Nodes: &Nodes{Facts: []NodeFact{{Name: "beta", Change: NodeLost}}}})
	fence := Pending{ID: ActionID{1, 1, 9}, Node: "gamma", Incarnation: 1, Task: "stonith", Key: "stonith-beta-reboot", Target: "beta", FenceOp: "reboot"}
	c.dispatch(fence)
	// The same process comes back: the fencing may still hit it, and then its answer counts.
	c.must(&Entry{Kind: KindNodes, Nodes: &Nodes{Facts: []NodeFact{{Name: "beta", Change: NodeJoined, Incarnation: 1, Boot: "b1"}}}})
	if len(c.s.Pending) != 1 {
		t.Fatalf("pending = %v, want the fencing", c.s.Pending)
	}
	out := c.must(&Entry{Kind: KindNodes, Nodes: &Nodes{Facts: []NodeFact{{Name: "beta", Change: NodeJoined, Incarnation: 2, Boot: "b2"}}}})
	if len(c.s.Pending) != 0 || len(out.Finished) != 1 || out.Finished[0].Expected {
		t.Fatalf("pending = %v, finished = %v, want the fencing to have ended without success", c.s.Pending, out.Finished)
	}
	run := start(1, "beta")
	run.Incarnation = 2
	c.dispatch(run)
	c.must(&Entry{Kind: KindResults, Results: []Result{{ID: run.ID, Node: "beta", Incarnation: 2, CallID: 1}}})
	c.must(&Entry{Kind: KindResults, Results: []Result{{ID: fence.ID, Node: "gamma", Incarnation: 1}}})
	if !c.s.Member("beta").Online || len(c.history("beta")) != 1 {
		t.Error("the answer to the old fencing took the new process down")
	}
}

func TestApply_LateFactOfAnEarlierProcess(t *testing.T) {
	t.Parallel()
	for _, change := range []NodeEvent{NodeLost, NodeLeft} {
		c := found(t, "alpha", "beta")
		c.must(&Entry{Kind: KindNodes, Nodes: &Nodes{Facts: []NodeFact{{Name: "beta", Change: NodeJoined, Incarnation: 2, Boot: "b2"}}}})
		c.must(&Entry{Kind: KindNodes, Nodes: &Nodes{Facts: []NodeFact{{Name: "beta", Change: change, Incarnation: 1}}}})
		if m := c.s.Member("beta"); !m.Online || m.Incarnation != 2 {
			t.Errorf("event %d of an earlier process took the present one away: %+v", change, m)
		}
		c.must(&Entry{Kind: KindNodes, Nodes: &Nodes{Facts: []NodeFact{{Name: "beta", Change: change, Incarnation: 2}}}})
		if c.s.Member("beta").Online {
			t.Errorf("event %d of the present process was not applied", change)
		}
	}
}

func TestPending_Same(t *testing.T) {
	t.Parallel()
	op := func(task, key, resource string) Pending {
		return Pending{Task: task, Key: key, Resource: resource, Node: "alpha"}
	}
	fence := func(target string) Pending {
		return Pending{Task: "stonith", Key: "stonith-" + target, Target: target, Node: "alpha"}
	}
	notify := func(kind string) Pending {
		p := op("notify", "c:0_pre_notify_start_0", "c")
		p.Attributes = map[string]string{"CRM_meta_notify_type": kind, "CRM_meta_notify_operation": "start"}
		return p
	}
	for _, tt := range []struct {
		name string
		a, b Pending
		want bool
	}{
		{"equal", op("start", "db_start_0", "db"), op("start", "db_start_0", "db"), true},
		{"another number of an anonymous instance", op("start", "c:0_start_0", "c"), op("start", "c:2_start_0", "c"), true},
		{"another resource", op("start", "db_start_0", "db"), op("start", "web_start_0", "web"), false},
		{"another task", op("start", "db_start_0", "db"), op("stop", "db_stop_0", "db"), false},
		{"one target by two reasons", fence("beta"), fence("beta"), true},
		{"another target", fence("beta"), fence("gamma"), false},
		{"one notification", notify("pre"), notify("pre"), true},
		{"another notification", notify("pre"), notify("post"), false},
	} {
		if got := tt.a.Same(&tt.b); got != tt.want {
			t.Errorf("%s: Same() = %v, want %v", tt.name, got, tt.want)
		}
	}
}
