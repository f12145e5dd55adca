package command

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func (c *cluster) values(name string) string {
	values, known := c.s.AttributeValues(name)
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "%s=%s ", v.Node, v.Value)
	}
	if !known {
		b.WriteString("unknown")
	}
	return strings.TrimSpace(b.String())
}

func attribute(list ...Attribute) *Entry { return &Entry{Kind: KindAttributes, Attributes: list} }

// TestApply_Dampening: changes wait, are seen by who asks for them, and come to the document together.
func TestApply_Dampening(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta")
	out := c.must(attribute(Attribute{Node: "alpha", Name: "pingd", Value: "100", DelayMS: 5000}))
	if out.DecisionNeeded || c.attribute("alpha", "pingd") != "" || c.values("pingd") != "alpha=100" {
		t.Fatalf("a dampened value: document %q, values %q, decision %v; want it to wait", c.attribute("alpha", "pingd"), c.values("pingd"), out.DecisionNeeded)
	}
	changed := c.s.Attributes[0].Changed
	c.must(attribute(Attribute{Node: "alpha", Name: "pingd", Value: "100"}))
	if c.s.Attributes[0].Changed != changed {
		t.Error("the same value again counts as a change")
	}
	c.must(attribute(Attribute{Node: "beta", Name: "pingd", Value: "200"})) // without the delay: that of the attribute holds
	if got := c.values("pingd"); got != "alpha=100 beta=200" {
		t.Errorf("values = %q, want both", got)
	}
	out = c.must(attribute(Attribute{Name: "pingd", Write: true}))
	if !out.DecisionNeeded || c.attribute("alpha", "pingd") != "100" || c.attribute("beta", "pingd") != "200" || c.s.Attributes[0].Waits() {
		t.Fatalf("after the write: %+v", c.s.Attributes)
	}
	// A change that is taken back within the time leaves nothing to write.
	c.must(attribute(Attribute{Node: "alpha", Name: "pingd", Value: "0"}))
	c.must(attribute(Attribute{Node: "alpha", Name: "pingd", Value: "100"}))
	if c.s.Attributes[0].Waits() {
		t.Error("a value that is back at what the document says still waits")
	}
	c.must(attribute(Attribute{Node: "alpha", Name: "pingd", Delete: true}))
	if c.attribute("alpha", "pingd") != "100" || c.values("pingd") != "beta=200" {
		t.Errorf("a deletion waits too: document %q, values %q", c.attribute("alpha", "pingd"), c.values("pingd"))
	}
	// Another dampening writes what waits.
	c.must(attribute(Attribute{Node: "beta", Name: "pingd", KeepValue: true, SetDelay: true}))
	if c.attribute("alpha", "pingd") != "" || c.s.Attributes[0].DelayMS != 0 {
		t.Error("a new dampening did not write what waited")
	}
	out = c.must(attribute(Attribute{Node: "beta", Name: "pingd", Delete: true}))
	if !out.DecisionNeeded || len(c.s.Attributes) != 0 || c.values("pingd") != "unknown" {
		t.Errorf("an attribute that no node has is still kept: %+v", c.s.Attributes)
	}
}

func TestApply_PrivateAttribute(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta")
	out := c.must(attribute(Attribute{Node: "alpha", Name: "p", Value: "1", Private: true}, Attribute{Node: "beta", Name: "p", Value: "2"}))
	if out.DecisionNeeded || c.attribute("alpha", "p")+c.attribute("beta", "p") != "" || c.values("p") != "alpha=1 beta=2" {
		t.Fatalf("private values: document %q, values %q", c.attribute("alpha", "p"), c.values("p"))
	}
	c.must(attribute(Attribute{Write: true}))
	if c.attribute("alpha", "p") != "" {
		t.Error("a private value was written")
	}
	// It belongs to the machine: it goes when the node leaves, and stays while only a process was restarted.
	c.must(&Entry{Kind: KindNodes, Nodes: &Nodes{Facts: []NodeFact{{Name: "alpha", Change: NodeJoined, Incarnation: 2, Boot: "b1"}}}})
	if got := c.values("p"); got != "alpha=1 beta=2" {
		t.Errorf("after a restart of the process: %q", got)
	}
	c.must(&Entry{Kind: KindNodes, Nodes: &Nodes{Facts: []NodeFact{{Name: "alpha", Change: NodeLeft, Incarnation: 2}}}})
	if got := c.values("p"); got != "beta=2" {
		t.Errorf("after the node left: %q", got)
	}
	c.must(attribute(Attribute{Node: "beta", Name: "p", Delete: true}))
	if len(c.s.Attributes) != 0 {
		t.Errorf("kept: %+v", c.s.Attributes)
	}
	// What is public already stays so.
	c.must(attribute(Attribute{Node: "beta", Name: "q", Value: "1"}))
	c.must(attribute(Attribute{Node: "beta", Name: "q", Value: "2", Private: true}))
	if c.attribute("beta", "q") != "2" {
		t.Error("a public attribute became private")
	}
}

func TestApply_AttributeExpansion(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha")
	for _, step := range []struct{ set, want string }{
		{"value++", "1"}, {"value++", "2"}, {"value+=5", "7"}, {"value+=-10", "-3"}, {"value+=INFINITY", "INFINITY"},
		{"value++", "INFINITY"}, {"word", "word"}, {"value+=2", "2"}, {"", ""},
	} {
		c.must(attribute(Attribute{Node: "alpha", Name: "n", Value: step.set}))
		if got := c.attribute("alpha", "n"); got != step.want {
			t.Errorf("after %s: %q, want %q", step.set, got, step.want)
		}
	}
	c.refused(attribute(Attribute{Node: "alpha", Name: "n", Value: "value+=x"}), "no number")
	c.refused(attribute(Attribute{Node: "alpha", Name: ""}), "must not be empty")
	c.refused(attribute(Attribute{Node: "nobody", Name: "n", Value: "1"}), "nobody")
	c.refused(attribute(Attribute{Node: "alpha", Name: "n", Value: strings.Repeat("x", maxAttributeValue+1)}), "at most")
	c.refused(attribute(Attribute{Node: "alpha", Name: "n", Value: "1", DelayMS: -1}), "negative")
}

// TestApply_AttributesAgree: whatever is set with whatever dampening, once everything is written the document has
// exactly the values that AttributeValues told before.
func TestApply_AttributesAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		c := found(t, "alpha", "beta")
		names := []string{"a", "b"}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			c.must(attribute(Attribute{
				Node: rapid.SampledFrom([]string{"alpha", "beta"}).Draw(rt, "node"), Name: rapid.SampledFrom(names).Draw(rt, "name"),
				Value: rapid.SampledFrom([]string{"", "1", "2", "value++"}).Draw(rt, "value"), Delete: rapid.Bool().Draw(rt, "delete"),
				DelayMS: rapid.SampledFrom([]int64{0, 1000}).Draw(rt, "delay"), SetDelay: rapid.Bool().Draw(rt, "both"),
				KeepValue: rapid.Bool().Draw(rt, "keep"), Write: rapid.IntRange(0, 5).Draw(rt, "write") == 0,
			}))
		}
		for _, name := range names {
			before := c.values(name)
			c.must(attribute(Attribute{Write: true}))
			var after []string
			for _, node := range []string{"alpha", "beta"} {
				for _, st := range c.s.Document.Status.Nodes {
					if st.Name != node {
						continue
					}
					for _, set := range st.Attributes {
						for _, p := range set.Pairs {
							if p.Name == name {
								after = append(after, node+"="+p.Value)
							}
						}
					}
				}
			}
			want := strings.TrimSpace(strings.ReplaceAll(before, "unknown", ""))
			if got := strings.Join(after, " "); got != want {
				rt.Fatalf("%s: document %q, AttributeValues said %q", name, got, want)
			}
		}
	})
}
