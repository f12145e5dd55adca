package action

import (
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/policy/model"
)

// probed makes the cluster's primitive and a second one with a probe of each on both nodes, in rows, and their starts
// on n1, as a cold start has them: actions 1 to 4 are the probes, by node, 5 and 6 the starts.
func probed(t *testing.T) (c *model.Cluster, a, b *model.Resource, up, otherUp *model.Action) {
	t.Helper()
	c, a, n1, n2 := cluster()
	b = &model.Resource{ID: "B", Class: "ocf", Provider: "test", Type: "Dummy", Instance: -1, Managed: true, Unique: true}
	c.AddResource(b)
	one, two := ProbeRow(c, a, 2), ProbeRow(c, b, 2)
	if one == nil || two == nil {
		t.Fatal("a stopped resource without probes gets no row")
	}
	for _, n := range []*model.Node{n1, n2} {
		one.Add(n)
		two.Add(n)
	}
	return c, a, b, Start(c, a, n1, false), Start(c, b, n1, false)
}

// before writes what an action comes after: key, number, node, and * where the relation is void.
func before(a *model.Action) string {
	var list []string
	for _, rel := range a.Before {
		text := fmt.Sprintf("%s/%d", rel.First.Key, rel.First.Number)
		if rel.First.Node != nil {
			text += "@" + rel.First.Node.Name
		}
		if rel.Void {
			text += "*"
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

func TestProbeRow_OneRelationForAll(t *testing.T) {
	t.Parallel()
	c, a, _, up, _ := probed(t)
	if up.Number != 5 || len(c.Actions) != 2 || c.ActionCount() != 6 {
		t.Errorf("start has number %d among %d of %d actions, want 5 among 2 of 6", up.Number, len(c.Actions), c.ActionCount())
	}
	if Relate(c, a.Row.Action, up, model.Seq) == nil || Relate(c, a.Row.Action, up, model.Seq|model.UnlessMigrating) != nil {
		t.Error("a relation that shares an effect with another one was stored, or the first was not")
	}
	if got, want := before(up), "A_monitor_0/1"; got != want || a.Row == nil {
		t.Errorf("the start comes after %q, want %q and the row kept", got, want)
	}
	c.Expand()
	if got, want := before(up), "A_monitor_0/1@n1 A_monitor_0/3@n2"; got != want {
		t.Errorf("expanded, the start comes after %q, want %q", got, want)
	}
	for i, x := range c.Actions {
		if x.Number != i+1 {
			t.Errorf("action %d has number %d", i+1, x.Number)
		}
		if x.Task == TaskMonitor && (x.Optional || !x.Runnable || x.TargetRC != 7 || len(x.Resource.Actions) != 3 || x.Resource.Probe(x.Node) != x) {
			t.Errorf("probe %d is %+v, want one that is required and can run, in the lists of its resource", x.Number, x)
		}
	}
	if len(c.Rows()) != 0 {
		t.Error("rows are left")
	}
}

// What is asked of one probe, or may change it, makes actions of all.
func TestProbeRow_Spreads(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(c *model.Cluster, a, b *model.Resource, up *model.Action){
		"one probe":      func(_ *model.Cluster, a, _ *model.Resource, _ *model.Action) { a.Probe(a.Row.Spots[1].Node) },
		"the task":       func(_ *model.Cluster, a, _ *model.Resource, _ *model.Action) { FindTask(a, TaskMonitor, nil) },
		"the same again": func(c *model.Cluster, a, _ *model.Resource, _ *model.Action) { Probe(c, a, a.Row.Spots[0].Node) },
		"a stronger effect": func(c *model.Cluster, a, _ *model.Resource, up *model.Action) {
			Relate(c, a.Row.Action, up, model.Gate)
		},
		"something before": func(c *model.Cluster, a, b *model.Resource, _ *model.Action) {
			Relate(c, b.Row.Action, a.Row.Action, model.Seq)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, a, b, up, other := probed(t)
			Relate(c, a.Row.Action, up, model.Seq)
			Relate(c, b.Row.Action, up, model.Seq)
			row := a.Row.Action
			ask(c, a, b, up)
			c.Arrange()
			if a.Row != nil || len(a.Probes) != 2 || c.ActionCount() != 6 {
				t.Fatalf("the row was not spread, or actions were added: %d", c.ActionCount())
			}
			if got := before(up); !strings.HasPrefix(got, "A_monitor_0/1@n1 A_monitor_0/3@n2 B_monitor_0/2") {
				t.Errorf("the start comes after %q, want the probes in the place of the row", got)
			}
			// Who still holds the row's action means its probes.
			Relate(c, row, other, model.Seq)
			if got, want := before(other), "A_monitor_0/1@n1 A_monitor_0/3@n2"; got != want {
				t.Errorf("the other start comes after %q, want %q", got, want)
			}
		})
	}
}

// An ordering of what is on the same node holds for one probe of a row; those on other nodes have nothing to do with it.
func TestProbeRow_SameNode(t *testing.T) {
	t.Parallel()
	c, a, _, _, other := probed(t)
	rel := Relate(c, a.Row.Action, other, model.IfRequiredSameNode)
	rel.Apart, rel.Used = true, true
	c.Expand()
	if got, want := before(other), "A_monitor_0/1@n1 A_monitor_0/3@n2*"; got != want {
		t.Errorf("the start on n1 comes after %q, want %q", got, want)
	}
	if !other.Before[0].Used || other.Before[1].Used {
		t.Error("the probe on the other node is an input of the graph, or that on the same node is none")
	}
}

func TestProbeRow_None(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *model.Cluster, r *model.Resource, n *model.Node){
		"active": func(_ *model.Cluster, r *model.Resource, n *model.Node) { r.Active = append(r.Active, n) },
		"locked": func(_ *model.Cluster, r *model.Resource, n *model.Node) { r.LockNode = n },
		"probed": func(c *model.Cluster, r *model.Resource, n *model.Node) { Probe(c, r, n) },
		"in row": func(c *model.Cluster, r *model.Resource, _ *model.Node) { ProbeRow(c, r, 1) },
		"unplaced": func(c *model.Cluster, r *model.Resource, _ *model.Node) {
			New(c, r, Key("A", TaskMonitor, 0), TaskMonitor, nil, true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, r, n1, _ := cluster()
			change(c, r, n1)
			if ProbeRow(c, r, 2) != nil {
				t.Error("the probes of the resource are alike, it is said")
			}
		})
	}
}
