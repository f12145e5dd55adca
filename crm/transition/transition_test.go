package transition

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// graph builds a graph of actions numbered from 1: "1", "2<1" (after 1), "3*<1" (priority infinity), "4~" (pseudo).
func graph(specs ...string) *Graph {
	g := &Graph{}
	for i, spec := range specs {
		head, after, _ := strings.Cut(spec, "<")
		s := Synapse{Action: Action{Number: i + 1, Operation: &Operation{Key: fmt.Sprint(i + 1), Task: "start"}, Place: &Place{Node: "n"}}}
		if strings.Contains(head, "*") {
			s.Priority = maxPriority
		}
		if strings.Contains(head, "~") {
			s.Action.Kind = PseudoEvent
		}
		for _, a := range strings.Split(after, ",") {
			var n int
			if _, err := fmt.Sscan(a, &n); err == nil {
				in := Input{Synapse: n - 1}
				if n > len(specs) {
					in = Input{Synapse: -1, Action: &Action{Number: n, Operation: &Operation{}, Place: &Place{}}}
				}
				s.Inputs = append(s.Inputs, in)
			}
		}
		g.Synapses = append(g.Synapses, s)
	}
	return g
}

// run fires everything; the numbers in fail do fail. It returns the numbers fired, a bar after each pass.
func run(g *Graph, fail ...int) (string, *Progress) {
	p := NewProgress(g)
	var out []string
	for {
		n := p.Pass(func(a *Action, _ int) Outcome {
			out = append(out, fmt.Sprint(a.Number))
			if slices.Contains(fail, a.Number) {
				return Failed
			}
			return Done
		})
		if n == 0 {
			return strings.Join(out, " "), p
		}
		out = append(out, "|")
	}
}

func TestProgress_Pass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		specs []string
		fail  []int
		want  string
		left  int
	}{
		{"further down in the same pass", []string{"1", "2<1"}, nil, "1 2 |", 0},
		{"further up in the next pass", []string{"1<2", "2"}, nil, "2 | 1 |", 0},
		{"the worked example of the specification", []string{"1<2", "2", "3<4", "4<1,5", "5<1"}, nil, "2 | 1 5 | 4 | 3 |", 0},
		{"a failure holds back what depends on it and other real actions", []string{"1", "2<1", "3", "4~"}, []int{1}, "1 4 |", 2},
		{"priority infinity goes on after a failure", []string{"1", "2*<1", "3*"}, []int{1}, "1 2 3 |", 0},
		{"an input outside of the graph is never there", []string{"1<7", "2"}, nil, "2 |", 1},
		{"a loop never starts", []string{"1<2", "2<1", "3"}, nil, "3 |", 2},
		{"empty", nil, nil, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, p := run(graph(c.specs...), c.fail...)
			if got != c.want || p.Left() != c.left {
				t.Errorf("run() = %q with %d left, want %q with %d left", got, p.Left(), c.want, c.left)
			}
		})
	}
}

func TestProgress_InFlight(t *testing.T) {
	t.Parallel()
	p := NewProgress(graph("1", "2<1", "3"))
	var fired []int
	fire := func(a *Action, _ int) Outcome {
		if a.Number == 3 {
			return Deferred
		}
		fired = append(fired, a.Number)
		return InFlight
	}
	if n := p.Pass(fire); n != 1 || p.InFlight() != 1 {
		t.Fatalf("Pass() = %d with %d in flight, want 1 and 1", n, p.InFlight())
	}
	if p.Confirm(2, true) || p.Confirm(9, true) {
		t.Error("a result for an action that is not in flight was taken")
	}
	if !p.Confirm(1, true) || p.Confirm(1, true) {
		t.Error("a result is taken once")
	}
	p.Pass(fire)
	if !slices.Equal(fired, []int{1, 2}) {
		t.Errorf("fired %v, want 1 and 2", fired)
	}
	if p.Left() != 1 {
		t.Errorf("Left() = %d, want the deferred one", p.Left())
	}
}

func TestProgress_Adopt(t *testing.T) {
	t.Parallel()
	p := NewProgress(graph("1", "2<1", "3~"))
	adopted := p.Adopt(func(a *Action) bool { return a.Number != 1 })
	if !slices.Equal(adopted, []int{2}) {
		t.Fatalf("Adopt() = %v, want 2 only: pseudo events are never in flight", adopted)
	}
	p.Pass(func(a *Action, _ int) Outcome {
		if a.Number == 2 {
			t.Error("an adopted action was started again")
		}
		return Done
	})
	if !p.Confirm(2, true) {
		t.Error("the result of an adopted action was not taken")
	}
}

// TestProgress_Order: whatever the graph, no action fires before its inputs, none twice, and a graph without
// loops and foreign inputs is carried out completely.
// A start is under way when the resource is to be restarted: its result must not count as that of the start of the restart,
// for which others wait.
func TestProgress_AdoptNotOfRestart(t *testing.T) {
	g := graph("1", "2<1", "3<2")
	for i, task := range []string{"stop", "start", "start"} {
		g.Synapses[i].Action.Task = task
		g.Synapses[i].Action.Resource = &ResourceRef{ID: []string{"ip", "ip", "web"}[i]}
	}
	start := func(a *Action) bool { return a.Task == "start" && a.Resource.ID == "ip" }
	if adopted := NewProgress(g).Adopt(start); len(adopted) > 0 {
		t.Errorf("Adopt() = %v, want none: ip stops first", adopted)
	}
	g.Synapses[0].Action.Node = "another"
	if adopted := NewProgress(g).Adopt(start); len(adopted) != 1 {
		t.Errorf("Adopt() = %v, want the start: what stops is on another node", adopted)
	}
}

func TestProgress_Order(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(t, "n")
		order := rapid.Permutation(numbers(n)).Draw(t, "order")
		at := make([]int, n) // place of an action in a topological order
		for i, v := range order {
			at[v] = i
		}
		g := &Graph{}
		for i := range n {
			s := Synapse{Action: Action{Number: i + 1, Operation: &Operation{}, Place: &Place{}}}
			for j := range n {
				if at[j] < at[i] && rapid.IntRange(0, 9).Draw(t, "edge") == 0 {
					s.Inputs = append(s.Inputs, Input{Synapse: j})
				}
			}
			g.Synapses = append(g.Synapses, s)
		}
		done := map[int]bool{}
		p := NewProgress(g)
		for p.Pass(func(a *Action, i int) Outcome {
			if done[i] {
				t.Fatalf("action %d fired twice", a.Number)
			}
			for _, in := range g.Synapses[i].Inputs {
				if !done[in.Synapse] {
					t.Fatalf("action %d fired before its input %d", a.Number, in.Synapse+1)
				}
			}
			done[i] = true
			return Done
		}) > 0 {
		}
		if p.Left() != 0 {
			t.Fatalf("%d actions were left", p.Left())
		}
	})
}

func numbers(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestAction_Attr(t *testing.T) {
	t.Parallel()
	a := Action{Place: &Place{Node: "n", NodeID: "7"}, Operation: &Operation{Attributes: []Attr{{"CRM_meta_timeout", "1"}, {"a", "2"}, {"b", ""}}}}
	for _, c := range []struct {
		name, want string
		ok         bool
	}{{"a", "2", true}, {"b", "", true}, {"CRM_meta_timeout", "1", true}, {"c", "", false}, {"", "", false}, {"CRM_meta_on_node", "n", true}, {"CRM_meta_on_node_uuid", "7", true}} {
		if got, ok := a.Attr(c.name); got != c.want || ok != c.ok {
			t.Errorf("Attr(%q) = %q, %v; want %q, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestAction_All(t *testing.T) {
	t.Parallel()
	here, nowhere := &Place{Node: "n", NodeID: "7"}, &Place{}
	for _, c := range []struct {
		name  string
		place *Place
		attrs []Attr
		want  string
	}{
		{"no place", nowhere, []Attr{{"a", "1"}}, "[{a 1}]"},
		{"nothing else", here, nil, "[{CRM_meta_on_node n} {CRM_meta_on_node_uuid 7}]"},
		{"between", here, []Attr{{"CRM_meta_interval", "0"}, {"CRM_meta_timeout", "1"}, {"a", "2"}},
			"[{CRM_meta_interval 0} {CRM_meta_on_node n} {CRM_meta_on_node_uuid 7} {CRM_meta_timeout 1} {a 2}]"},
		{"after", here, []Attr{{"CRM_meta_interval", "0"}}, "[{CRM_meta_interval 0} {CRM_meta_on_node n} {CRM_meta_on_node_uuid 7}]"},
		{"the operation sets it", here, []Attr{{"CRM_meta_on_node", "x"}}, "[{CRM_meta_on_node x} {CRM_meta_on_node_uuid 7}]"},
	} {
		a := Action{Place: c.place, Operation: &Operation{Attributes: c.attrs}}
		all := slices.Collect(a.All())
		if got := fmt.Sprint(all); got != c.want {
			t.Errorf("%s: All() = %s, want %s", c.name, got, c.want)
		}
		for _, x := range all {
			if got, ok := a.Attr(x.Name); !ok || got != x.Value {
				t.Errorf("%s: Attr(%q) = %q, %v; want %q as in All()", c.name, x.Name, got, ok, x.Value)
			}
		}
		for stop := range all {
			n := 0
			for range a.All() {
				if n++; n > stop {
					break
				}
			}
		}
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	// The MD5 of " <parameters/>\n", which the field's tools record for a resource without parameters.
	if got, want := Digest(nil), "f2317cad3d54cec5d7d7aa7d0bf35cf8"; got != want {
		t.Errorf("Digest(nil) = %s, want %s", got, want)
	}
	if Digest([]Attr{{"a", "1"}}) == Digest([]Attr{{"a", "2"}}) {
		t.Error("different parameters have one digest")
	}
}

func TestEscapeAttr(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain": "plain", `<&>"'`: `&lt;&amp;&gt;&quot;'`, "a\nb\tc": "a&#x0A;b&#x09;c", "": "", "äö": "äö",
	} {
		var b strings.Builder
		EscapeAttr(&b, in)
		if b.String() != want {
			t.Errorf("EscapeAttr(%q) = %q, want %q", in, b.String(), want)
		}
	}
}

func TestGraph_XML(t *testing.T) {
	t.Parallel()
	g := &Graph{ClusterDelay: "60s", FencingTimeout: "60s", FailedStopOffset: "INFINITY", FailedStartOffset: "INFINITY", BatchLimit: "0", TransitionID: 1}
	if got, want := string(g.XML()), `<transition_graph cluster-delay="60s" fencing-timeout="60s" failed-stop-offset="INFINITY" failed-start-offset="INFINITY" batch-limit="0" transition_id="1"/>`+"\n"; got != want {
		t.Errorf("XML() = %s, want %s", got, want)
	}
	g.Synapses = []Synapse{
		{Action: Action{Number: 4, Place: &Place{Node: "a", NodeID: "1"}, Operation: &Operation{Task: "start", Key: "r_start_0", Attributes: []Attr{{"x", "<"}},
			Resource: &ResourceRef{Element: "primitive", ID: "r", Class: "ocf", Provider: "p", Type: "t"}}}, Inputs: []Input{{Synapse: 1}}},
		{Priority: maxPriority, Action: Action{Number: 2, Place: &Place{}, Operation: &Operation{Kind: PseudoEvent, Task: "running", Key: "g_running_0"}}},
	}
	for _, want := range []string{
		`<rsc_op id="4" operation="start" operation_key="r_start_0" on_node="a" on_node_uuid="1">`,
		`<primitive id="r" class="ocf" provider="p" type="t"/>`, `<attributes CRM_meta_on_node="a" CRM_meta_on_node_uuid="1" x="&lt;"/>`,
		`<trigger>`, `<pseudo_event id="2" operation="running" operation_key="g_running_0"/>`,
		`<synapse id="1" priority="1000000">`, `<inputs/>`,
	} {
		if !strings.Contains(string(g.XML()), want) {
			t.Errorf("XML() lacks %s:\n%s", want, g.XML())
		}
	}
}
