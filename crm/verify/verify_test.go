package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
)

// document makes a document from crm statements.
func document(t *testing.T, text string) *cib.Document {
	t.Helper()
	list, errs := cibcrm.Parse(text)
	if len(errs) > 0 {
		t.Fatal(errs[0])
	}
	doc := &cib.Document{}
	e := cibcrm.NewEditor(&doc.Config)
	for _, st := range list {
		if err := e.Apply(st, cibcrm.Update); err != nil {
			t.Fatal(err)
		}
	}
	return doc
}

// metadata knows one agent of each kind of answer.
func metadata(agent string) (*agents.Metadata, error) {
	switch agent {
	case "ocf:test:Known":
		return &agents.Metadata{
			Parameters: []agents.Parameter{{Name: "ip", Required: true, Unique: true}, {Name: "pin", Private: true}, {Name: "state"}},
			Actions:    []agents.ActionInfo{{Name: "start", Timeout: 20 * time.Second}, {Name: "monitor", Timeout: 10 * time.Second}},
		}, nil
	case "ocf:test:Broken":
		return nil, errors.New("meta-data ended with 1")
	case "ocf:test:Knwon":
		return nil, &NoAgentError{Near: "ocf:test:Known"}
	case "lsb:x":
		return nil, ErrNoMetadata
	}
	return nil, ErrNoAgent
}

const off = "property stonith-enabled=false\n"

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"fine", off + "primitive a ocf:test:Known params ip=1 op start timeout=20s interval=0 op monitor interval=10s timeout=10s", nil},
		{"no fencing", "primitive a lsb:x", []string{"error: cluster properties: there are resources and no fencing device: none of them would be started; define a device (primitive NAME stonith:AGENT ...), or accept the risk with \"property fencing-enabled=false\""}},
		{"unknown agent", off + "primitive a ocf:test:None", []string{"error: primitive a: there is no agent ocf:test:None; \"crm ra list ocf\" lists those of this node"}},
		{"unknown agent with a neighbour", off + "primitive a ocf:test:Knwon", []string{"error: primitive a: there is no agent ocf:test:Knwon; did you mean ocf:test:Known? \"crm ra list ocf\" lists those of this node"}},
		{"unknown fence agent", off + "primitive a stonith:fence_none", []string{"error: primitive a: there is no agent stonith:fence_none; \"crm ra list stonith\" lists those of this node"}},
		{"unknown operation", off + "primitive a ocf:test:Known params ip=1 op monitr interval=10s op notify interval=0", []string{"warning: primitive a: agent ocf:test:Known has no operation \"monitr\"; did you mean \"monitor\"?"}},
		{"older property, misspelt", off + "property stonith-enabeld=true\nprimitive a lsb:x", []string{"warning: cluster properties: unknown property \"stonith-enabeld\" has no effect; did you mean stonith-enabled?"}},
		{"broken agent", off + "primitive a ocf:test:Broken", []string{"warning: primitive a: the parameters are not checked: meta-data ended with 1"}},
		{"no metadata", off + "primitive a lsb:x params anything=1", nil},
		{"unknown parameter", off + "primitive a ocf:test:Known params ip=1 stat=2", []string{"error: primitive a: agent ocf:test:Known has no parameter \"stat\"; did you mean \"state\"?"}},
		{"missing parameter", off + "primitive a ocf:test:Known params state=2", []string{"error: primitive a: agent ocf:test:Known needs the parameter ip"}},
		{"parameter of the template", off + "rsc_template t ocf:test:Known params ip=1\nprimitive a @t", nil},
		{"same value", off + "primitive a ocf:test:Known params ip=1\nprimitive b ocf:test:Known params ip=1", []string{
			"error: primitive a: primitive b has the same ip=1, which agent Known allows only once"}},
		{"short timeout", off + "primitive a ocf:test:Known params ip=1 op start timeout=5s interval=0", []string{"warning: primitive a: the timeout 5s of start is shorter than the 20s that the agent advises"}},
		{"private by metadata", off + "primitive a ocf:test:Known params ip=1 pin=1234", []string{"warning: primitive a: the value of pin is a password or key and stands in the open; put it into a file that only root may read, and write pin=ref:file:/etc/quorate/secrets/NAME"}},
		{"private by name", off + "primitive a lsb:x params password=x", []string{"warning: primitive a: the value of password is a password or key and stands in the open; put it into a file that only root may read, and write password=ref:file:/etc/quorate/secrets/NAME"}},
		{"private and kept elsewhere", off + "primitive a ocf:test:Known params ip=1 pin=ref:file:/x", nil},
		{"inside of a clone", off + "primitive a lsb:x\nprimitive b lsb:x\nclone c a\norder o b a", []string{"error: order o: a is inside of clone c and has many instances; name c instead"}},
		{"place inside of a clone", off + "node n\nprimitive a lsb:x\nclone c a\nlocation l a 1: n", []string{"error: location l: a is inside of clone c and has many instances; name c instead"}},
		{"target-role", off + "primitive a lsb:x meta target-role=Up\nprimitive b lsb:x meta target-role=\"#default\"", []string{
			"error: primitive a: target-role=\"Up\": expected one of Stopped, Started, Unpromoted, Promoted; until then the default counts"}},
		{"number of a resource", off + "rsc_defaults resource-stickiness=much", []string{"error: rsc_defaults: resource-stickiness=\"much\": expected a whole number, INFINITY or -INFINITY; until then the default counts"}},
		{"nothing promotable", off + "primitive a lsb:x meta target-role=Promoted", []string{"error: primitive a: target-role=Promoted is for promotable clones only; write Started, or make it a clone with meta promotable=true"}},
		{"old group", off + "primitive a lsb:x\ngroup g a meta ordered=false", []string{"error: group g: ordered=false of groups is not supported any more; use an order or a colocation with a set of resources instead of a group"}},
		{"no reference", off + "primitive a lsb:x params x=ref:nosuch:y", []string{"error: primitive a: the value of x begins with \"ref:\" and is no reference to a secret; the form is ref:KIND:NAME, where KIND is one of file, env, exec, credential, store, vault, dns"}},
		{"value of a property", off + "property batch-limit=many", []string{"error: cluster properties: batch-limit=\"many\": expected a whole number; until then the default counts"}},
		{"ticket without fencing", off + "primitive a lsb:x\nrsc_ticket k t: a loss-policy=fence", []string{"error: ticket k: loss-policy=fence cannot be met: fencing is off"}},
		{"duplicate monitors", off + "primitive a lsb:x op monitor interval=10s op monitor interval=10s timeout=3s", []string{"warning: primitive a: there are two operations monitor with interval 10s; the first counts; remove one of them"}},
	} {
		var got []string
		for _, p := range Problems(Input{After: document(t, c.text), Metadata: metadata}) {
			if !strings.Contains(p.Text, "fencing is off: when") {
				got = append(got, p.Severity.String()+": "+p.String())
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: Problems() =\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// TestProblems_Before checks what counts as new: warnings that were there are silent, errors never are, and agents
// are asked about changed resources only.
func TestProblems_Before(t *testing.T) {
	t.Parallel()
	const start = off + "primitive a ocf:test:None\nprimitive w lsb:x op monitor interval=10s op monitor interval=10s timeout=3s\n"
	before := document(t, start)
	after := document(t, start+"primitive b ocf:test:Known params ip=1\nprimitive c lsb:x\nclone d c\norder o b c")
	asked := map[string]int{}
	var got []string
	for _, p := range Problems(Input{Before: before, After: after, Metadata: func(agent string) (*agents.Metadata, error) {
		asked[agent]++
		return metadata(agent)
	}}) {
		got = append(got, p.String())
	}
	want := []string{"order o: c is inside of clone d and has many instances; name d instead"}
	if !slices.Equal(got, want) {
		t.Errorf("Problems() = %q, want %q", got, want)
	}
	if fmt.Sprint(asked) != "map[lsb:x:1 ocf:test:Known:1]" {
		t.Errorf("asked = %v", asked)
	}
	if got := Problems(Input{Before: after, After: after}); len(got) != 1 || got[0].Severity != cib.Error {
		t.Errorf("Problems() of no change = %v, want the error that stands", got)
	}
}
