package controller

import (
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/transition"
)

// A fencing that failed is tried again after a second, and after fencing-max-attempts every half minute; a change of
// the configuration begins at once. Nothing else waits for that.
func TestLeader_FencingRetries(t *testing.T) {
	t.Parallel()
	b := newBench(t, "n1", "n2", "n3")
	var asked []string
	b.l.cfg.Fencer = func(_ *command.State, target, op string, online []string) string {
		asked = append(asked, target+" "+op)
		if !slices.Equal(online, []string{"n1", "n2", "n3"}) {
			t.Errorf("online %v", online)
		}
		return "n2"
	}
	b.settle()
	b.apply(&command.Entry{Kind: command.KindConfig, Config: &command.Config{Force: true, Changes: []cib.Change{{Kind: cib.KindProperties, ID: "o",
		Object: &cib.Object{Set: &cib.AttributeSet{ID: "o", Pairs: []cib.NVPair{{Name: "fencing-max-attempts", Value: "2"}}}}}}}})
	fence := transition.Synapse{Action: action(1, "n3", transition.Operation{Kind: transition.ClusterOp, Task: "stonith", Key: "stonith-n3-reboot",
		Attributes: []transition.Attr{{Name: "CRM_meta_stonith_action", Value: "reboot"}}})}
	b.graph = &transition.Graph{Synapses: []transition.Synapse{fence}}
	want := func(step string, actions []string, wait time.Duration) {
		t.Helper()
		got := b.settle()
		if !slices.Equal(got, actions) {
			t.Errorf("%s: actions %q, want %q", step, got, actions)
		}
		if at := b.l.WaitsUntil(); wait != 0 && at != b.now+wait {
			t.Errorf("%s: waits for %v, want %v", step, at-b.now, wait)
		}
	}
	attempt := []string{"stonith-n3-reboot n2"}
	b.now = time.Second
	want("first", attempt, 0)
	b.finish("stonith-n3-reboot", 1)
	want("after a failure", nil, fencingPause)
	b.now += fencingPause
	want("second", attempt, 0)
	if !slices.Contains(asked, "n3 reboot") {
		t.Errorf("the fencer was asked for %q", asked)
	}
	b.finish("stonith-n3-reboot", 1)
	want("after two failures", nil, fencingLongPause)
	b.graph = &transition.Graph{Synapses: []transition.Synapse{fence, op(2, "a_start_0 n1")}}
	b.l.dirty = true
	want("other work", []string{"a_start_0 n1"}, 0)
	b.now += time.Second
	b.apply(&command.Entry{Kind: command.KindConfig, Config: &command.Config{Force: true, Changes: []cib.Change{{Kind: cib.KindACLRole, ID: "r",
		Object: &cib.Object{Role: &cib.ACLRole{ID: "r"}}}}}})
	b.graph = &transition.Graph{Synapses: []transition.Synapse{fence}}
	b.now += configPause
	want("after a change of the configuration", attempt, 0)
}

// A pending fencing is what the graph asks for, whoever carries it out, but to switch off is not to switch on.
func TestSameAction_Fencing(t *testing.T) {
	t.Parallel()
	a := action(0, "n3", transition.Operation{Task: "stonith", Attributes: []transition.Attr{{Name: "CRM_meta_stonith_action", Value: "reboot"}}})
	for _, tt := range []struct {
		p    command.Pending
		want bool
	}{
		{command.Pending{Task: "stonith", Node: "n1", Target: "n3", FenceOp: "reboot"}, true},
		{command.Pending{Task: "stonith", Node: "n2", Target: "n3", FenceOp: "off"}, true},
		{command.Pending{Task: "stonith", Node: "n1", Target: "n3", FenceOp: "on"}, false},
		{command.Pending{Task: "stonith", Node: "n3", Target: "n2", FenceOp: "reboot"}, false},
		{command.Pending{Task: "start", Node: "n3", Resource: "x"}, false},
	} {
		if got := sameAction(&a, &tt.p); got != tt.want {
			t.Errorf("sameAction(%+v) = %v", tt.p, got)
		}
	}
}
