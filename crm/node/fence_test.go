package node

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/store/command"
)

// primitive is a fence device in the definition; params are nvpairs.
func primitive(id, params string) string {
	return `<primitive id="` + id + `" class="stonith" type="fence_x"><instance_attributes id="` + id + `-a">` + params + `</instance_attributes></primitive>`
}

func pair(id, name, value string) string {
	return `<nvpair id="` + id + `" name="` + name + `" value="` + value + `"/>`
}

const service = `<primitive id="db" class="ocf" provider="test" type="X"><operations><op id="db-m" name="monitor" interval="5s" timeout="10s"/></operations></primitive>`

// failing answers for devices whose name begins with "bad" with a failure.
func failing(_ string, req agents.Request) (agents.Result, time.Duration) {
	if strings.HasPrefix(req.Resource, "bad") {
		return agents.Result{RC: agents.RCGeneric, Reason: "refused"}, hop
	}
	return agents.Result{}, hop
}

// A lost node is fenced by the first level that works, and its service starts elsewhere only then.
func TestFencing_Levels(t *testing.T) {
	h := newHarness(t, 3, "", primitive("bad", pair("b1", "pcmk_reboot_retries", "3"))+primitive("good1", "")+primitive("good2", "")+service,
		`<fencing-level id="l1" index="1" target-pattern="n.*" devices="bad"/><fencing-level id="l2" index="2" target-pattern="n.*" devices="good1,good2"/>`)
	h.fence = failing
	h.run(30*time.Second, h.settled)
	var victim *process
	for _, p := range h.nodes {
		if p.runs["db"] {
			victim = p
		}
	}
	if victim == nil {
		t.Fatal("db runs nowhere")
	}
	victim.dead = true
	h.run(20*time.Second, func() bool {
		for _, p := range h.nodes {
			if !p.dead && p.runs["db"] {
				if !h.ended(victim.name)() {
					t.Fatal("db was started before the fencing was confirmed")
				}
				return true
			}
		}
		return false
	})
	by := h.history()[0].By
	want := []string{}
	for _, r := range []string{"bad reboot", "bad reboot", "bad reboot", "good1 off", "good2 off", "good1 on", "good2 on"} {
		want = append(want, r+" "+victim.name+" @"+by)
	}
	if !slices.Equal(h.runs, want) {
		t.Errorf("runs %q, want %q", h.runs, want)
	}
	if f := h.history()[0]; f.Device != "good1,good2" || !strings.Contains(f.Detail, "bad reboot: refused") || f.By == victim.name {
		t.Errorf("history %+v", f)
	}
}

// An attempt that fails is repeated, after a pause and from another node; the history has all of them.
func TestFencing_Retries(t *testing.T) {
	h := newHarness(t, 3, "", primitive("power", pair("p1", "pcmk_reboot_retries", "1")), "")
	h.run(30*time.Second, h.settled)
	var at []time.Duration
	h.fence = func(string, agents.Request) (agents.Result, time.Duration) {
		if at = append(at, h.now); len(at) == 1 {
			return agents.Result{RC: agents.RCGeneric, Reason: "no route"}, hop
		}
		return agents.Result{}, hop
	}
	victim := h.follower()
	victim.dead = true
	h.run(20*time.Second, h.ended(victim.name))
	list := h.history()
	if len(list) != 2 || list[0].OK || list[0].By == list[1].By || list[0].Detail != "power reboot: no route" {
		t.Errorf("history %+v, want a failure and a success from different nodes", list)
	}
	if len(at) != 2 || at[1]-at[0] < time.Second || at[1]-at[0] > 2*time.Second {
		t.Errorf("attempts at %v, want a second between them", at)
	}
}

// No device knows the target: that is said in the history, and tried again without haste.
func TestFencing_NoDevice(t *testing.T) {
	h := newHarness(t, 3, pair("o1", "fencing-max-attempts", "3"), primitive("power", pair("p1", "pcmk_host_list", "n9")), "")
	h.run(30*time.Second, h.settled)
	victim := h.follower()
	victim.dead = true
	h.run(20*time.Second, nil)
	list := h.history()
	if len(h.runs) != 0 || len(list) != 3 || list[0].OK || list[0].Detail != "no device can fence "+victim.name+": device power does not know "+victim.name {
		t.Errorf("runs %q, history %+v, want three attempts", h.runs, list)
	}
	h.run(30*time.Second, nil)
	if list := h.history(); len(list) != 4 {
		t.Errorf("%d attempts after 50 s, want 4", len(list))
	}
}

// The executor is lost while a device works: another node takes the fencing over.
func TestFencing_ExecutorLost(t *testing.T) {
	h := newHarness(t, 5, "", primitive("power", ""), "")
	h.run(30*time.Second, h.settled)
	executor := ""
	h.fence = func(node string, _ agents.Request) (agents.Result, time.Duration) {
		if executor == "" || executor == node {
			executor = node
			return agents.Result{}, 30 * time.Second
		}
		return agents.Result{}, hop
	}
	victim := h.follower()
	victim.dead = true
	h.run(20*time.Second, func() bool { return executor != "" })
	for _, p := range h.nodes {
		if p.name == executor {
			p.dead = true
		}
	}
	h.run(20*time.Second, func() bool { return h.ended(victim.name)() && h.ended(executor)() })
	if f := h.history()[0]; f.OK || f.By != executor || f.Detail != executor+" was lost before it answered" {
		t.Errorf("first record %+v", f)
	}
}

// A node that lost its quorum begins no further device; the cluster goes on by another node.
func TestFencing_Alone(t *testing.T) {
	h := newHarness(t, 3, "", primitive("bad", pair("b1", "pcmk_reboot_retries", "1"))+primitive("good", ""),
		`<fencing-level id="l1" index="1" target-pattern="n.*" devices="bad"/><fencing-level id="l2" index="2" target-pattern="n.*" devices="good"/>`)
	h.run(30*time.Second, h.settled)
	h.fence = func(_ string, req agents.Request) (agents.Result, time.Duration) {
		if req.Resource == "bad" {
			return agents.Result{RC: agents.RCGeneric, Reason: "refused"}, 30 * time.Second
		}
		return agents.Result{}, hop
	}
	victim := h.follower()
	victim.dead = true
	h.run(20*time.Second, func() bool { return len(h.runs) == 1 })
	h.follower().dead = true // now nobody has a majority
	h.run(40*time.Second, nil)
	if len(h.runs) != 1 {
		t.Errorf("runs %q, want only the one that was under way", h.runs)
	}
}

// The target comes back while its fencing is under way, and the device says later that it has done it: that is
// recorded as late and proves nothing.
func TestFencing_TargetJoinedAndLateAnswer(t *testing.T) {
	h := newHarness(t, 3, "", primitive("power", ""), "")
	h.run(30*time.Second, h.settled)
	h.fence = func(string, agents.Request) (agents.Result, time.Duration) { return agents.Result{}, 10 * time.Second }
	victim := h.follower()
	victim.dead = true
	h.run(20*time.Second, func() bool { return len(h.runs) == 1 })
	l := h.leader()
	now, wall := h.clock()
	// As membership reports a new process of it.
	if _, err := l.n.Propose(now, wall, &command.Entry{Kind: command.KindNodes, Actor: "cluster", Nodes: &command.Nodes{Facts: []command.NodeFact{
		{Name: victim.name, Change: command.NodeJoined, Incarnation: 99, Boot: "again"}}}}); err != nil {
		t.Fatal(err)
	}
	h.run(30*time.Second, func() bool {
		return slices.ContainsFunc(h.history(), func(f command.FencingRecord) bool { return f.Late })
	})
	list := h.history()
	if list[0].OK || list[0].Detail != victim.name+" joined again before an answer came" {
		t.Errorf("first record %+v", list[0])
	}
	late := slices.IndexFunc(list, func(f command.FencingRecord) bool { return f.Late })
	if f := list[late]; !f.OK || f.ID != list[0].ID || f.Device != "power" {
		t.Errorf("late record %+v", f)
	}
	if len(h.runs) > 2 {
		t.Errorf("runs %q", h.runs)
	}
}

// What the agent's metadata says counts: the name of the parameter, a list of plugs, no reboot, the node's name.
func TestFencing_Metadata(t *testing.T) {
	h := newHarness(t, 3, "", primitive("other", "")+primitive("power", ""), "")
	h.metadata["fence_x"] = `<resource-agent name="fence_x"><parameters><parameter name="plug"/><parameter name="nodename"/></parameters>` +
		`<actions><action name="on"/><action name="off"/><action name="list"/><action name="monitor"/></actions></resource-agent>`
	h.run(30*time.Second, h.settled)
	victim := h.follower()
	h.fence = func(_ string, req agents.Request) (agents.Result, time.Duration) {
		if req.Params["nodename"] != victim.name {
			t.Errorf("nodename %q", req.Params["nodename"])
		}
		if req.Operation == agents.OpList && req.Resource == "other" {
			return agents.Result{Output: "n7,\nn8,\n"}, hop
		}
		return agents.Result{Output: "n1,\nn2,\nn3,\n"}, hop
	}
	victim.dead = true
	h.run(20*time.Second, h.ended(victim.name))
	by := " @" + h.history()[0].By
	if want := []string{"other list" + by, "power list" + by, "power off" + by, "power on" + by}; !slices.Equal(h.byDevice(), want) {
		t.Errorf("runs %q, want %q", h.byDevice(), want)
	}
}

// An agent without metadata is used as one with the usual operations.
func TestFencing_NoMetadata(t *testing.T) {
	h := newHarness(t, 3, "", primitive("power", ""), "")
	h.metadata["fence_x"] = ""
	h.run(30*time.Second, h.settled)
	victim := h.follower()
	victim.dead = true
	h.run(20*time.Second, h.ended(victim.name))
	if want := []string{"power reboot " + victim.name + " @" + h.history()[0].By}; !slices.Equal(h.runs, want) {
		t.Errorf("runs %q, want %q", h.runs, want)
	}
}

// Nobody uses a device that is stopped, nor from a node that a constraint forbids it.
func TestFencing_Disabled(t *testing.T) {
	h := newHarness(t, 3, "", `<primitive id="off" class="stonith" type="fence_x"><meta_attributes id="m"><nvpair id="m1" name="target-role" value="Stopped"/></meta_attributes></primitive>`+
		primitive("power", ""), "")
	h.run(30*time.Second, h.settled)
	victim := h.follower()
	victim.dead = true
	h.run(20*time.Second, h.ended(victim.name))
	if len(h.runs) != 1 || !strings.HasPrefix(h.runs[0], "power reboot") {
		t.Errorf("runs %q", h.runs)
	}
}

// Delays: that of the device, and the one by priority from the policy.
func TestFencing_Delay(t *testing.T) {
	h := newHarness(t, 3, "", primitive("power", pair("p1", "pcmk_delay_base", "3s")+pair("p2", "pcmk_delay_max", "5s")), "")
	h.run(30*time.Second, h.settled)
	victim := h.follower()
	victim.dead = true
	pending := func() bool { return len(h.leader().n.State().Pending) > 0 }
	h.run(20*time.Second, pending)
	from := h.now
	h.run(20*time.Second, func() bool { return len(h.runs) > 0 })
	if d := h.now - from; d < 3*time.Second || d > 5*time.Second+10*hop {
		t.Errorf("fenced after %v, want 3 s to 5 s", d)
	}
	if d := fenceDelay(&command.Pending{Attributes: map[string]string{"CRM_meta_priority_fencing_delay": "15"}}); d != 15*time.Second {
		t.Errorf("fenceDelay() = %v", d)
	}
}

// Somebody asks for the leader to be switched off: another node does it, and no reboot.
func TestFencing_NotByItself(t *testing.T) {
	h := newHarness(t, 3, "", primitive("power", ""), "")
	h.run(30*time.Second, h.settled)
	l := h.leader()
	now, wall := h.clock()
	if _, err := l.n.Propose(now, wall, &command.Entry{Kind: command.KindAttributes, Actor: "uid:0",
		Attributes: []command.Attribute{{Node: l.name, Name: "terminate", Value: "off"}}}); err != nil {
		t.Fatal(err)
	}
	h.run(20*time.Second, func() bool { return len(h.runs) > 0 })
	if strings.HasSuffix(h.runs[0], "@"+l.name) || !strings.HasPrefix(h.runs[0], "power off "+l.name+" ") {
		t.Errorf("runs %q", h.runs)
	}
}

// Unfencing: a service that requires it starts after the device has switched the node on.
func TestFencing_Unfencing(t *testing.T) {
	scsi := `<primitive id="scsi" class="stonith" type="fence_s"><meta_attributes id="m"><nvpair id="m1" name="provides" value="unfencing"/></meta_attributes></primitive>`
	h := newHarness(t, 3, "", scsi+`<primitive id="db" class="ocf" provider="test" type="X"><meta_attributes id="d"><nvpair id="d1" name="requires" value="unfencing"/></meta_attributes></primitive>`, "")
	h.metadata["fence_s"] = `<resource-agent name="fence_s"><parameters><parameter name="plug"/></parameters><actions><action name="on" on_target="1" automatic="1"/>` +
		`<action name="off"/><action name="monitor"/></actions></resource-agent>`
	h.run(30*time.Second, h.settled)
	want := []string{"scsi on n1 @n1", "scsi on n2 @n2", "scsi on n3 @n3"}
	got := slices.Clone(h.runs)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("runs %q, want each node switched on by itself", h.runs)
	}
	active := 0
	for _, p := range h.nodes {
		if p.runs["db"] {
			active++
		}
	}
	if active != 1 {
		t.Errorf("db runs on %d nodes, want 1", active)
	}
	h.run(10*time.Second, nil)
	if len(h.runs) != 3 {
		t.Errorf("unfenced again: %q", h.runs)
	}
}

// A node that is heard, and stays heard until its silence is long enough, is fenced once: its process is not taken
// back for a new one meanwhile.
func TestFencing_OnlineOnce(t *testing.T) {
	h := newHarness(t, 3, "", primitive("power", ""), "")
	h.run(30*time.Second, h.settled)
	victim := h.follower()
	h.fence = func(string, agents.Request) (agents.Result, time.Duration) {
		victim.dead = true
		return agents.Result{}, hop
	}
	now, wall := h.clock()
	if _, err := h.leader().n.Propose(now, wall, &command.Entry{Kind: command.KindAttributes, Actor: "uid:0",
		Attributes: []command.Attribute{{Node: victim.name, Name: "terminate", Value: "true"}}}); err != nil {
		t.Fatal(err)
	}
	h.run(20*time.Second, nil)
	if len(h.runs) != 1 {
		t.Errorf("runs %q, want one", h.runs)
	}
}

// A device that lies: the node is there after its fencing. Its process ends, and is not admitted again.
func TestFencing_StillThere(t *testing.T) {
	h := newHarness(t, 3, "", primitive("power", ""), "")
	h.run(30*time.Second, h.settled)
	victim := h.follower()
	victim.ends = true
	now, wall := h.clock()
	if _, err := h.leader().n.Propose(now, wall, &command.Entry{Kind: command.KindAttributes, Actor: "uid:0",
		Attributes: []command.Attribute{{Node: victim.name, Name: "terminate", Value: "true"}}}); err != nil {
		t.Fatal(err)
	}
	h.run(20*time.Second, nil)
	if !errors.Is(victim.err, ErrFenced) || len(h.runs) != 1 {
		t.Errorf("the victim ended with %v after runs %q, want ErrFenced and one run", victim.err, h.runs)
	}
}

func TestTold(t *testing.T) {
	for _, c := range []struct {
		list []string
		want string
	}{
		{nil, ""},
		{[]string{"a"}, "a"},
		{[]string{"a", "a", "b", "a"}, "a (2 times); b; a"},
	} {
		if got := told(c.list); got != c.want {
			t.Errorf("told(%q) = %q, want %q", c.list, got, c.want)
		}
	}
}

// The process that carries out a fencing is restarted in the middle, before or after the agent has ended: the new one takes
// the fencing over, and each device is used once. After that the runner has nothing to keep.
func TestFencing_ExecutorRestarted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after int           // runs begun
		wait  time.Duration // after the last of them began
	}{
		{"the first device works", 1, time.Second},
		{"the second device works", 2, time.Second},
		{"the first device has failed once", 1, 2500 * time.Millisecond},
		{"the answer is on its way", 2, 2*time.Second + 3*hop/2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, 5, "", primitive("p1", "")+primitive("p2", ""),
				`<fencing-level id="l1" index="1" target-pattern="n.*" devices="p1,p2"/>`)
			h.run(30*time.Second, h.settled)
			var executor *process
			failed := false
			h.fence = func(node string, req agents.Request) (agents.Result, time.Duration) {
				for _, p := range h.nodes {
					if p.name == node {
						executor = p
					}
				}
				if strings.HasPrefix(tt.name, "the first device has failed") && !failed {
					failed = true
					return agents.Result{RC: agents.RCGeneric, Reason: "busy"}, hop
				}
				return agents.Result{}, 2 * time.Second
			}
			victim := h.follower()
			victim.dead = true
			h.run(20*time.Second, func() bool { return len(h.runs) == tt.after })
			h.run(tt.wait, nil)
			h.restart(executor)
			h.run(30*time.Second, h.ended(victim.name))
			h.run(10*time.Second, nil)
			want := []string{"p1 off", "p2 off", "p1 on", "p2 on"}
			if failed {
				want = slices.Insert(want, 0, "p1 off")
			}
			var got []string
			for _, r := range h.runs {
				got = append(got, strings.Join(strings.Fields(r)[:2], " "))
				if !strings.HasSuffix(r, "@"+executor.name) {
					t.Errorf("run %q, want all on %s", r, executor.name)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("runs %q, want %q", got, want)
			}
			if list := h.history(); len(list) != 1 || list[0].By != executor.name || list[0].Device != "p1,p2" {
				t.Errorf("history %+v, want one success of %s", list, executor.name)
			}
			for id := range executor.known {
				if isFenceRun(id) {
					t.Errorf("the runner still keeps %s", id)
				}
			}
		})
	}
}
