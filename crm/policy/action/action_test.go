package action

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
	"github.com/quorate/quorate/crm/transition"
)

// cluster makes two online nodes and one managed, stopped primitive that requires quorum.
func cluster() (*model.Cluster, *model.Resource, *model.Node, *model.Node) {
	c := model.New(&cib.Document{}, time.Unix(1000, 0).UTC())
	c.Options.Quorate = true
	c.Options.FencingAction = "reboot"
	n1 := &model.Node{ID: "1", Name: "n1", Online: true}
	n2 := &model.Node{ID: "2", Name: "n2", Online: true}
	c.AddNode(n1)
	c.AddNode(n2)
	r := &model.Resource{ID: "A", Class: "ocf", Provider: "test", Type: "Dummy", Instance: -1, Managed: true, Unique: true,
		Requires: model.RequiresQuorum, Role: model.RoleStopped}
	c.AddResource(r)
	return c, r, n1, n2
}

func fencing(c *model.Cluster) { c.HaveFencingDevice, c.Options.FencingEnabled = true, true }

func TestNew_Identity(t *testing.T) {
	t.Parallel()
	c, r, n1, n2 := cluster()
	unplaced := New(c, r, Key("A", TaskStart, 0), TaskStart, nil, true)
	if unplaced.Runnable {
		t.Error("an action without a node is runnable")
	}
	placed := Start(c, r, n1, true)
	if placed != unplaced || placed.Node != n1 || !placed.Runnable {
		t.Errorf("a request with a node found %+v, want the unplaced action, now on n1 and runnable", placed)
	}
	if other := Start(c, r, n2, true); other == placed || other.Number != 2 {
		t.Errorf("a request for another node found number %d, want a new action 2", other.Number)
	}
	if any := New(c, r, "a_START_0", TaskStart, nil, true); any != placed {
		t.Error("keys are compared with case")
	}
	Start(c, r, n1, false)
	Start(c, r, n1, true)
	if placed.Optional {
		t.Error("a later optional request made a required action optional")
	}
	if f, g := FenceAction(c, n1, "", true, ""), FenceAction(c, n1, "reboot", true, ""); f != g {
		t.Error("the same fencing exists twice")
	}
}

func TestNew_Unmanaged(t *testing.T) {
	t.Parallel()
	c, r, n1, _ := cluster()
	r.Managed = false
	if a := Stop(c, r, n1, false); !a.Optional {
		t.Error("the stop of an unmanaged resource is required")
	}
	if a := Recurring(c, r, TaskMonitor, 10000, n1, false); a.Optional || a.Key != "A_monitor_10000" {
		t.Errorf("the recurring monitor of an unmanaged resource: optional %v, key %s", a.Optional, a.Key)
	}
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		prepare  func(c *model.Cluster, r *model.Resource, n *model.Node)
		task     string
		runnable bool
		reason   string
	}{
		{"online", func(*model.Cluster, *model.Resource, *model.Node) {}, TaskStart, true, ""},
		{"offline", func(_ *model.Cluster, _ *model.Resource, n *model.Node) { n.Online = false }, TaskStart, false, ""},
		{"offline and controller-side", func(_ *model.Cluster, _ *model.Resource, n *model.Node) { n.Online = false }, TaskDeleteHistory, true, ""},
		{"pending", func(_ *model.Cluster, _ *model.Resource, n *model.Node) { n.Pending = true }, TaskMonitor, false, ""},
		{"no quorum, stop", func(c *model.Cluster, _ *model.Resource, _ *model.Node) { c.Options.Quorate = false }, TaskStart, false, "no quorum"},
		{"no quorum, needs nothing", func(c *model.Cluster, _ *model.Resource, _ *model.Node) { c.Options.Quorate = false }, TaskStop, true, ""},
		{"freeze, inactive", func(c *model.Cluster, _ *model.Resource, _ *model.Node) {
			c.Options.Quorate, c.Options.QuorumPolicy = false, model.QuorumFreeze
		}, TaskStart, false, "quorum freeze"},
		{"freeze, active", func(c *model.Cluster, r *model.Resource, n *model.Node) {
			c.Options.Quorate, c.Options.QuorumPolicy = false, model.QuorumFreeze
			r.Active, r.Role, r.Next = []*model.Node{n}, model.RoleStarted, model.RoleStarted
		}, TaskStart, true, ""},
		{"freeze, role would rise", func(c *model.Cluster, r *model.Resource, n *model.Node) {
			c.Options.Quorate, c.Options.QuorumPolicy = false, model.QuorumFreeze
			r.Active, r.Role, r.Next = []*model.Node{n}, model.RoleUnpromoted, model.RolePromoted
		}, TaskPromote, false, "quorum freeze"},
		{"demote, promoted", func(c *model.Cluster, r *model.Resource, n *model.Node) {
			c.Options.Quorate, c.Options.QuorumPolicy = false, model.QuorumDemote
			r.Active, r.Role = []*model.Node{n}, model.RolePromoted
		}, TaskStart, true, ""},
		{"demote, started", func(c *model.Cluster, r *model.Resource, n *model.Node) {
			c.Options.Quorate, c.Options.QuorumPolicy = false, model.QuorumDemote
			r.Active, r.Role = []*model.Node{n}, model.RoleStarted
		}, TaskStart, false, "no quorum"},
		{"ignore", func(c *model.Cluster, _ *model.Resource, _ *model.Node) {
			c.Options.Quorate, c.Options.QuorumPolicy = false, model.QuorumIgnore
		}, TaskStart, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, r, n, _ := cluster()
			tt.prepare(c, r, n)
			a := New(c, r, Key("A", tt.task, 0), tt.task, n, false)
			if a.Runnable != tt.runnable || a.Reason != tt.reason {
				t.Errorf("New(%s) runnable %v, reason %q; want %v, %q", tt.task, a.Runnable, a.Reason, tt.runnable, tt.reason)
			}
		})
	}
}

func TestEvaluate_StopOnCleanOfflineNodeFences(t *testing.T) {
	t.Parallel()
	c, r, n, _ := cluster()
	fencing(c)
	n.Online = false
	Stop(c, r, n, false)
	f := c.ClusterAction("stonith-n1-reboot")
	if !n.Unclean || f == nil || f.Reason != "stop is unrunnable" || !f.Optional {
		t.Errorf("stop on an offline node: unclean %v, fencing %+v; want unclean with an optional fencing and its reason", n.Unclean, f)
	}
}

func TestFence_FirstReasonStays(t *testing.T) {
	t.Parallel()
	c, _, n, _ := cluster()
	fencing(c)
	Fence(c, n, "first", true)
	Fence(c, n, "second", false)
	a := FenceAction(c, n, "", false, "node is unclean")
	if a.Reason != "first" || a.Optional || n.FenceReason != "first" || !n.FenceDelayApplies {
		t.Errorf("fencing %+v of %+v, want required with the first reason", a, n)
	}
}

func TestFence_Guest(t *testing.T) {
	t.Parallel()
	c, vm, host, _ := cluster()
	guest := &model.Node{ID: "g", Name: "g", Kind: model.GuestNode, Online: true}
	c.AddNode(guest)
	conn := &model.Resource{ID: "g", Connection: true, Launcher: vm, RemoteNode: guest, Managed: true}
	c.AddResource(conn)
	guest.Connection = conn
	vm.Active = []*model.Node{host}
	Fence(c, guest, "container failed", false)
	if guest.Unclean || !guest.Reset || !vm.Failed || !vm.MustStop || len(c.Actions) != 0 {
		t.Errorf("guest %+v, container failed %v; want a reset by its container and no fencing", guest, vm.Failed)
	}
	if !CanFence(c, guest) {
		t.Error("a guest on an online host cannot be recovered")
	}
	host.Online = false
	if CanFence(c, guest) {
		t.Error("a guest on an offline host that cannot be fenced can be recovered")
	}
}

func TestCanFence(t *testing.T) {
	t.Parallel()
	c, _, n, _ := cluster()
	if CanFence(c, n) {
		t.Error("a node can be fenced without any device")
	}
	fencing(c)
	if !CanFence(c, n) {
		t.Error("a node cannot be fenced with quorum and a device")
	}
	c.Options.Quorate = false
	if !CanFence(c, n) {
		t.Error("a node in our membership cannot be fenced without quorum")
	}
	n.Online = false
	if CanFence(c, n) {
		t.Error("a lost node can be fenced without quorum")
	}
	c.Options.QuorumPolicy = model.QuorumIgnore
	if !CanFence(c, n) {
		t.Error("a lost node cannot be fenced with no-quorum-policy=ignore")
	}
}

func TestPriorityDelay(t *testing.T) {
	t.Parallel()
	c, _, n1, n2 := cluster()
	c.Options.PriorityFencingDelay = 15
	n1.Online, n1.Priority, n2.Priority = false, 10, 5
	if got := PriorityDelay(c, n1); got != 15 {
		t.Errorf("delay for the more important node of an even split = %d, want 15", got)
	}
	n1.Priority = 1
	if got := PriorityDelay(c, n1); got != 0 {
		t.Errorf("delay for the less important node = %d, want 0", got)
	}
	n1.Priority = n2.Priority
	if got := PriorityDelay(c, n1); got != 0 {
		t.Errorf("delay with equal priorities = %d, want 0", got)
	}
}

func TestRelate_SharedEffect(t *testing.T) {
	t.Parallel()
	c, r, n1, _ := cluster()
	a, b := Stop(c, r, n1, true), Start(c, r, n1, true)
	if Relate(c, a, b, model.Seq|model.PullThen) == nil {
		t.Fatal("the first relation was refused")
	}
	if Relate(c, a, b, model.Seq) != nil {
		t.Error("a relation that shares an effect was added")
	}
	if Relate(c, a, b, model.Gate) == nil {
		t.Error("a relation with another effect was refused")
	}
	if Relate(c, a, a, model.Seq) != nil || Relate(c, a, b, 0) != nil {
		t.Error("a relation of an action to itself, or without effect, was added")
	}
	if len(b.Before) != 2 || len(a.After) != 2 {
		t.Errorf("stored %d and %d relations, want 2 and 2", len(b.Before), len(a.After))
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	params := func(pairs ...string) []cib.AttributeSet {
		set := cib.AttributeSet{ID: "p"}
		for i := 0; i < len(pairs); i += 2 {
			set.Pairs = append(set.Pairs, cib.NVPair{Name: pairs[i], Value: pairs[i+1]})
		}
		return []cib.AttributeSet{set}
	}
	digest := func(pairs ...string) string {
		var attrs []transition.Attr
		for i := 0; i < len(pairs); i += 2 {
			attrs = append(attrs, transition.Attr{Name: pairs[i], Value: pairs[i+1]})
		}
		return transition.Digest(attrs)
	}
	started := func(e cib.HistoryOp) cib.HistoryOp {
		if e.Operation == "" {
			e.Operation = TaskStart
		}
		return e
	}
	tests := []struct {
		name     string
		params   []cib.AttributeSet
		opParams []cib.AttributeSet
		entry    cib.HistoryOp
		secrets  bool // only secrets differ
		want     Verdict
	}{
		{"same", params("ip", "1"), nil, cib.HistoryOp{OpDigest: digest("ip", "1")}, false, Same},
		{"nothing recorded", params("ip", "1"), nil, cib.HistoryOp{}, false, Unknown},
		{"changed", params("ip", "2"), nil, cib.HistoryOp{OpDigest: digest("ip", "1")}, false, Changed},
		{"restart", params("a", "1", "b", "2"), nil,
			cib.HistoryOp{OpDigest: digest("a", "1", "b", "1"), RestartDigest: digest("b", "1"), ForceRestart: " b "}, false, Restart},
		{"reloadable", params("a", "2", "b", "1"), nil,
			cib.HistoryOp{OpDigest: digest("a", "1", "b", "1"), RestartDigest: digest("b", "1"), ForceRestart: " b "}, false, Changed},
		{"operation with its own parameters", params("a", "2"), params("x", "1"), cib.HistoryOp{OpDigest: digest("a", "1", "x", "1")}, false, Restart},
		{"operation's parameters first", params("x", "2"), params("x", "1"), cib.HistoryOp{OpDigest: digest("x", "1")}, false, Same},
		{"only a secret", params("a", "1", "passwd", "?"), nil,
			cib.HistoryOp{OpDigest: digest("a", "1", "passwd", "p"), SecureDigest: digest("a", "1"), SecureParams: " passwd ", FeatureSet: "3.16.0"}, true, Changed},
		{"a secret and more", params("a", "2", "passwd", "?"), nil,
			cib.HistoryOp{OpDigest: digest("a", "1", "passwd", "p"), SecureDigest: digest("a", "1"), SecureParams: " passwd ", FeatureSet: "3.16.0"}, false, Changed},
		{"only a secret, recorded by an old cluster", params("a", "1", "passwd", "?"), params("timeout2", "5"),
			cib.HistoryOp{OpDigest: digest("a", "1", "passwd", "p"), SecureDigest: digest("a", "1"), SecureParams: " passwd ", FeatureSet: "3.0.14"}, true, Restart},
		{"promote counts as start", params("ip", "1"), nil, cib.HistoryOp{Operation: TaskPromote, OpDigest: digest("ip", "1")}, false, Same},
		{"recurring with its timeout", params("ip", "1"), nil,
			cib.HistoryOp{Operation: TaskMonitor, Interval: 10000, OpDigest: digest("CRM_meta_timeout", "20000", "ip", "1")}, false, Same},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, r, n, _ := cluster()
			r.Config = &cib.Resource{ID: "A", Params: tt.params}
			if tt.opParams != nil {
				r.Ops = []*model.Op{{Name: TaskStart, Enabled: true, Config: &cib.Operation{Name: TaskStart, Params: tt.opParams}}}
			}
			e := started(tt.entry)
			if got, _ := Compare(c, r, n, &e); got != tt.want {
				t.Errorf("Compare() = %v, want %v", got, tt.want)
			}
			if got := SecretsOnly(c, r, n, &e); got != tt.secrets {
				t.Errorf("SecretsOnly() = %v, want %v", got, tt.secrets)
			}
		})
	}
}

func TestClearFailcount_OneMessage(t *testing.T) {
	t.Parallel()
	c, r, n, _ := cluster()
	a := ClearFailcount(c, r, n, "it expired")
	if b := ClearFailcount(c, r, n, "it expired"); a != b || a.Optional || a.Meta["op_no_wait"] != "true" {
		t.Errorf("ClearFailcount twice = %+v and %+v, want one required action", a, b)
	}
	if len(c.Messages) != 1 || !strings.Contains(c.Messages[0].Text, "A on n1") {
		t.Errorf("messages %v, want one that names resource and node", c.Messages)
	}
}

// TestOpMeta_PlainOperations holds the shortcut to what it stands for.
func TestOpMeta_PlainOperations(t *testing.T) {
	t.Parallel()
	c := &model.Cluster{Doc: &cib.Document{}}
	for _, task := range []string{TaskStart, TaskStop} {
		r := &model.Resource{ID: "a", Kind: cib.Primitive, Config: &cib.Resource{ID: "a"}}
		if got, want := OpMeta(c, r, task, 0).Meta, values.OpMeta(c, r, task, 0, nil); !maps.Equal(got, want) {
			t.Errorf("OpMeta(%s) = %v, want %v", task, got, want)
		}
	}
}
