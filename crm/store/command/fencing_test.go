package command

import (
	"testing"

	"github.com/quorate/quorate/crm/cib"
)

func fencingOf(target, by string, number int) Pending {
	return Pending{ID: ActionID{1, 1, number}, Node: by, Incarnation: 1, Task: "stonith", Key: "stonith-" + target + "-reboot", Target: target, FenceOp: "reboot", Reason: "why"}
}

func (c *cluster) fact(name string, event NodeEvent, incarnation uint64) Outcome {
	c.t.Helper()
	return c.must(&Entry{Kind: KindNodes, Time: 3000_000, Nodes: &Nodes{Facts: []NodeFact{{Name: name, Change: event, Incarnation: incarnation, Boot: "b2"}}}})
}

func (c *cluster) result(p Pending, rc int) {
	c.t.Helper()
	c.must(&Entry{Kind: KindResults, Time: 4000_000, Results: []Result{{ID: p.ID, Node: p.Node, Incarnation: p.Incarnation, RC: rc, Device: "d1,d2"}}})
}

// A target is fenced once at a time, whoever does it; off and reboot serve each other, on does not.
func TestPending_SameFencing(t *testing.T) {
	t.Parallel()
	a, b := fencingOf("x", "n1", 1), fencingOf("x", "n2", 2)
	b.FenceOp, b.Key = "off", "stonith-x-off"
	if !a.Same(&b) {
		t.Error("reboot by n1 and off by n2 are not the same")
	}
	b.FenceOp = "on"
	if a.Same(&b) {
		t.Error("reboot and on are the same")
	}
	if other := fencingOf("y", "n1", 3); a.Same(&other) {
		t.Error("fencings of two targets are the same")
	}
	c := found(t, "alpha", "beta", "gamma")
	if out := c.dispatch(fencingOf("gamma", "alpha", 1)); out.Err != nil {
		t.Fatal(out.Err)
	}
	if out := c.dispatch(fencingOf("gamma", "beta", 2)); out.Err == nil {
		t.Error("a second fencing of the same target was dispatched")
	}
}

// A fencing ends without an answer when its executor or its target becomes another; a success that comes later is
// recorded as late, once, and proves nothing.
func TestApply_FencingGivenUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*cluster)
		late   bool // a success of the same process may still come
		want   string
	}{
		{"executor lost", func(c *cluster) { c.fact("alpha", NodeLost, 1) }, true, "alpha was lost before it answered"},
		{"executor restarted", func(c *cluster) { c.fact("alpha", NodeJoined, 2) }, false, "alpha was restarted before it answered"},
		{"executor left", func(c *cluster) { c.fact("alpha", NodeLeft, 1) }, false, "alpha left before it answered"},
		{"target joined", func(c *cluster) { c.fact("gamma", NodeJoined, 2) }, true, "gamma joined again before an answer came"},
	} {
		c := found(t, "alpha", "beta", "gamma")
		c.fact("gamma", NodeLost, 1)
		p := fencingOf("gamma", "alpha", 1)
		c.dispatch(p)
		tt.change(c)
		if len(c.s.Pending) != 0 || len(c.s.Fencing) == 0 || c.s.Fencing[0].OK || c.s.Fencing[0].Detail != tt.want {
			t.Errorf("%s: pending %v, history %+v", tt.name, c.s.Pending, c.s.Fencing)
			continue
		}
		n := len(c.s.Fencing)
		c.result(p, 1) // no news
		c.result(p, 0)
		c.result(p, 0)
		got := c.s.Fencing[n:]
		if (len(got) == 1) != tt.late || len(got) > 1 {
			t.Errorf("%s: late records %+v, want one: %v", tt.name, got, tt.late)
		}
		if len(got) == 1 && (!got[0].Late || !got[0].OK || got[0].ID != p.ID || got[0].Device != "d1,d2" || c.s.AwaitsFencing(p.ID)) {
			t.Errorf("%s: late record %+v", tt.name, got[0])
		}
		if c.s.AwaitsFencing(ActionID{9, 9, 9}) {
			t.Error("a fencing that never was is awaited")
		}
	}
}

// A process of the same machine takes over what an earlier one was fencing; one after a restart of the machine does not.
func TestApply_FencingResumed(t *testing.T) {
	t.Parallel()
	for _, boot := range []string{"b1", "b2"} {
		c := found(t, "alpha", "beta", "gamma")
		joined := func(incarnation uint64, boot string) {
			c.must(&Entry{Kind: KindNodes, Nodes: &Nodes{Facts: []NodeFact{{Name: "alpha", Change: NodeJoined, Incarnation: incarnation, Boot: boot}}}})
		}
		joined(5, "b1")
		c.fact("gamma", NodeLost, 1)
		p := fencingOf("gamma", "alpha", 1)
		p.Incarnation = 5
		if out := c.dispatch(p); out.Err != nil {
			t.Fatal(out.Err)
		}
		joined(6, boot)
		if resumed := len(c.s.Pending) == 1 && c.s.Pending[0].Incarnation == 6 && len(c.s.Fencing) == 0; resumed != (boot == "b1") {
			t.Errorf("boot %s: pending %+v, history %+v", boot, c.s.Pending, c.s.Fencing)
		}
		p.Incarnation = 6
		c.result(p, 0)
		if off := c.s.Member("gamma").Incarnation == 0; off != (boot == "b1") {
			t.Errorf("boot %s: gamma off %v after the answer of the new process", boot, off)
		}
	}
}

func TestState_FencingFailures(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta", "gamma")
	c.fact("gamma", NodeLost, 1)
	failures := func() int { return len(c.s.FencingFailures("gamma")) }
	for i := range 3 {
		p := fencingOf("gamma", "alpha", i)
		c.dispatch(p)
		c.result(p, 1)
	}
	if failures() != 3 || len(c.s.FencingFailures("beta")) != 0 {
		t.Errorf("%d failures, want 3", failures())
	}
	c.must(&Entry{Kind: KindConfig, Config: &Config{Force: true, Changes: []cib.Change{{Kind: cib.KindACLRole, ID: "r",
		Object: &cib.Object{Role: &cib.ACLRole{ID: "r"}}}}}})
	if failures() != 0 {
		t.Errorf("%d failures after a change of the configuration, want 0", failures())
	}
	p := fencingOf("gamma", "beta", 9)
	c.dispatch(p)
	c.result(p, 1)
	if failures() != 1 {
		t.Errorf("%d failures, want 1", failures())
	}
	c.must(&Entry{Kind: KindConfirmDown, Actor: "uid:0", ConfirmDown: &ConfirmDown{Node: "gamma"}})
	if failures() != 0 {
		t.Errorf("%d failures after a confirmation, want 0", failures())
	}
}

func TestApply_Unfencing(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta")
	p := fencingOf("beta", "alpha", 1)
	p.FenceOp, p.Attributes = "on", map[string]string{"CRM_meta_digests_all": "d:fence_x:1,", "CRM_meta_digests_secure": "d:fence_x:2,"}
	c.dispatch(p)
	c.result(p, 0)
	if m := c.s.Member("beta"); !m.Online {
		t.Error("a node that was unfenced is off")
	}
	for name, want := range map[string]string{"#node-unfenced": "4000", "#digests-all": "d:fence_x:1,", "#digests-secure": "d:fence_x:2,"} {
		if got := c.attribute("beta", name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}
