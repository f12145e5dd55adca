package shell

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
	"github.com/quorate/quorate/crm/store/command"
)

// online has the only node of the cluster come up, so that resources have a place.
func (c *cluster) online() *cluster {
	c.apply(&command.Entry{Kind: command.KindNodes, Time: 1_000_000, Nodes: &command.Nodes{Facts: []command.NodeFact{{Name: "n1", Change: command.NodeJoined, Incarnation: 1, Boot: "b"}}}})
	return c
}

func (c *cluster) refused(want string, args ...string) {
	c.t.Helper()
	code, out, err := c.crm(args...)
	if code == 0 || !strings.Contains(err, want) {
		c.t.Errorf("crm %s: exit %d, %q %q; want %q", strings.Join(args, " "), code, out, err, want)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const siteTOML = `[cluster]
name = "test"
fencing-enabled = false
[primitives.web]
agent = "ocf:test:Dummy"
op.monitor = { interval = "10s" }
op.start = { timeout = "7s" }
op.stop = { timeout = "8s" }
`

// TestPlan walks from a file through a saved plan to the cluster and back.
func TestPlan(t *testing.T) {
	t.Parallel()
	c := newCluster(t).online()
	site := write(t, "site.toml", siteTOML)
	saved := filepath.Join(t.TempDir(), "site-plan.json")
	got := c.must("plan", site, "-o", saved)
	for _, want := range []string{"+ primitive web", "* Start      web ", "Mind:\n  ! cluster properties: fencing is off", "Mind, as before:\n", "Plan "} {
		if !strings.Contains(got, want) {
			t.Errorf("plan: %q is missing in\n%s", want, got)
		}
	}
	var p plan
	data, _ := os.ReadFile(saved)
	if err := json.Unmarshal(data, &p); err != nil || !strings.Contains(got, "Plan "+p.ID) || p.Source != "site.toml" {
		t.Fatalf("saved plan: %v, %+v", err, p)
	}
	if again := c.must("plan", saved); again != got {
		t.Errorf("plan of the saved plan:\n%s\nwant\n%s", again, got)
	}
	c.refused("nobody is there to answer", "apply", site)
	c.refused("no longer holds", "apply", "--plan", "0123456789ab", site)

	// Another object does not matter to the plan.
	c.must("configure", "tag", "t:", "n1")
	if got := c.must("apply", saved); !strings.Contains(got, "Applied: 2 objects changed") {
		t.Errorf("apply: %s", got)
	}
	for _, again := range []string{saved, site} {
		want := "Nothing to change.\n"
		if again == site {
			c.must("apply", "-y", site) // without the tag: a TOML file is the whole configuration
		}
		if got := c.must("apply", "--yes", again); got != want {
			t.Errorf("apply %s again: %q", again, got)
		}
	}
	// What a cluster exports changes nothing, in each form: not the order of properties, nor sets that are empty.
	c.must("configure", "property", "unknown-one=1")
	c.must("configure", "property", "no-quorum-policy=freeze")
	c.must("node", "attribute", "n1", "set", "rack", "a")
	c.must("node", "attribute", "n1", "delete", "rack")
	c.must("resource", "meta", "web", "set", "priority", "1")
	c.must("resource", "meta", "web", "delete", "priority")
	for form, name := range map[string]string{"toml": "x.toml", "xml": "x.xml", "crm": "x.crm"} {
		file := filepath.Join(t.TempDir(), name)
		c.must("export", form, file)
		if got := c.must("plan", file); got != "Nothing to change.\n" {
			t.Errorf("plan of the export as %s:\n%s", form, got)
		}
	}
}

// TestPlan_Stale changes what a saved plan is about: it is refused, with what differs.
func TestPlan_Stale(t *testing.T) {
	t.Parallel()
	c := newCluster(t).online()
	c.must("configure", "primitive", "web", "ocf:test:Dummy")
	saved := filepath.Join(t.TempDir(), "p.json")
	c.must("plan", write(t, "s.crm", "primitive web ocf:test:Dummy params a=1\nproperty fencing-enabled=false\n"), "-o", saved)
	c.must("resource", "param", "web", "set", "b", "2")
	c.refused("it would happen now: change ~ primitive web", "apply", saved)
	c.must("resource", "param", "web", "delete", "b")
	c.must("node", "standby", "n1")
	c.refused("no longer holds", "apply", saved)
	c.must("node", "online", "n1")

	c.refused("is no saved plan", "plan", write(t, "x.json", `{"format":"quorate-plan-1","bogus":1}`))
	c.refused("this build knows", "apply", write(t, "x.json", `{"format":"other"}`))
	c.refused("cannot be read", "apply", write(t, "x.json", `{"format":"quorate-plan-1","content":"AAAA"}`))
	c.refused("ends in .json", "plan", write(t, "s.crm", "primitive y ocf:test:Dummy\n"), "-o", "plan.toml")
	c.refused("stands in", "plan", func() string {
		dir := t.TempDir()
		for _, n := range []string{"a.toml", "b.toml"} {
			os.WriteFile(filepath.Join(dir, n), []byte("[primitives.x]\nagent = \"ocf:t:D\"\n"), 0o600)
		}
		return dir
	}())
}

func TestPlan_Risks(t *testing.T) {
	t.Parallel()
	c := newCluster(t).online()
	for _, test := range []struct{ file, want string }{
		{"primitive x ocf:test:Dummy\nproperty fencing-enabled=false\n", "! x has no monitor"},
		{"property fencing-enabled=false no-quorum-policy=ignore\n", "! no-quorum-policy=ignore"},
		{"property fencing-enabled=false maintenance-mode=true\n", "! maintenance-mode is on"},
		{"node 1: n1 attributes standby=on\nproperty fencing-enabled=false\n", "! no node can run resources"},
		{"primitive x ocf:test:Dummy meta is-managed=false op monitor interval=1s\nproperty fencing-enabled=false\n", "! x is not managed"},
		{"property fencing-enabled=false x=1\n", "- only one node can run resources"},
	} {
		if got := c.must("plan", write(t, "s.crm", test.file)); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q is missing in\n%s", test.file, test.want, got)
		}
	}
}

func TestOperationTime(t *testing.T) {
	t.Parallel()
	doc := newWorkArea(&editor.Snapshot{Doc: &cib.Document{}})
	if err := doc.apply("rsc_template t ocf:a:b op start timeout=11s\nprimitive own @t op stop timeout=5s\nprimitive none ocf:a:b\n", cibcrm.Create); err != nil {
		t.Fatal(err)
	}
	status := &cib.Document{Status: cib.Status{Nodes: []cib.NodeState{{Name: "n1", History: []cib.ResourceHistory{{ID: "none", Operations: []cib.HistoryOp{
		{Operation: "start", RC: 0, ExecTime: 1500}, {Operation: "stop", RC: 1, ExecTime: 9000}}}}}}}}
	for _, test := range []struct {
		id, task, want string
		recorded       bool
	}{
		{"own", "stop", "5s", false}, {"own", "start", "11s", false}, {"none", "start", "1.5s", true}, {"none:2", "start", "1.5s", true}, {"none", "stop", "20s", false},
	} {
		if d, recorded := operationTime(status, doc.doc, test.id, test.task); d.String() != test.want || recorded != test.recorded {
			t.Errorf("%s %s = %v, %v; want %s, %v", test.id, test.task, d, recorded, test.want, test.recorded)
		}
	}
	doc.apply("op_defaults timeout=33s\n", cibcrm.Create)
	if d := operationTimeout(doc.doc, "none", "stop"); d.String() != "33s" {
		t.Errorf("with op_defaults: %v", d)
	}
}

// TestRollback lists revisions, compares them and goes back.
func TestRollback(t *testing.T) {
	t.Parallel()
	c := newCluster(t).online()
	first := c.now().Revision
	c.must("-m", "first", "configure", "primitive", "web", "ocf:test:Dummy", "params", "a=1")
	one := c.now().Revision
	c.must("resource", "param", "web", "set", "a", "2")
	two := c.now().Revision
	c.must("configure", "delete", "web")

	if got := c.must("diff"); got != "- primitive web\n" {
		t.Errorf("diff = %q", got)
	}
	if got := c.must("diff", fmt.Sprint(one), fmt.Sprint(two)); got != "~ primitive web: params a: 1 -> 2\n" {
		t.Errorf("diff of two = %q", got)
	}
	if got := c.must("diff", fmt.Sprint(two)); got != "- primitive web\n" {
		t.Errorf("diff since = %q", got)
	}
	if got := c.must("revisions"); !strings.Contains(got, "first") || !strings.Contains(got, "the cluster was made") || strings.Contains(got, "*") {
		t.Errorf("revisions:\n%s", got)
	}
	c.refused("nobody is there to answer", "rollback", fmt.Sprint(one))
	c.must("rollback", "--yes", fmt.Sprint(one))
	if got := c.must("configure", "show", "web"); !strings.Contains(got, "params a=1") {
		t.Errorf("after the rollback:\n%s", got)
	}
	if got := c.must("revisions", "1"); !strings.Contains(got, "crm rollback to revision "+fmt.Sprint(one)) {
		t.Errorf("revisions:\n%s", got)
	}
	if got := c.must("rollback", "--yes", fmt.Sprint(one)); got != "Nothing to change.\n" {
		t.Errorf("again: %q", got)
	}
	c.must("rollback", "-y", "-m", "back to the start", fmt.Sprint(first))
	if got := c.must("configure", "show"); strings.Contains(got, "primitive") {
		t.Errorf("at the start:\n%s", got)
	}
	for _, test := range []struct{ args, want string }{
		{"rollback 99999", "there is no revision 99999"},
		{"rollback yesterday", "\"crm revisions\" lists them"},
		{"rollback", "one revision is needed"},
		{"diff 99999", "there is no revision 99999"},
	} {
		c.refused(test.want, strings.Fields(test.args)...)
	}
	newOffline(t).refusedOffline("CIB_file is set", "rollback", "1")
}

// TestRollback_Members goes back over a join and a removal: who is a member does not change.
func TestRollback_Members(t *testing.T) {
	t.Parallel()
	c := newCluster(t).online()
	join := func(name string) {
		c.apply(&command.Entry{Kind: command.KindMemberAdd, MemberAdd: &command.MemberAdd{Name: name, Key: []byte(name),
			Links: []cib.NodeLink{{Link: "lan", Address: "10.0.0.9"}}, Feature: command.FeatureLevel}})
	}
	first := c.now().Revision
	join("gone")
	both := c.now().Revision
	c.apply(&command.Entry{Kind: command.KindMemberRemove, MemberRemove: &command.MemberRemove{Name: "gone"}})
	join("n2")
	c.must("configure", "property", "x=1")
	c.must("rollback", "--yes", fmt.Sprint(first))
	if got := c.must("configure", "show"); !strings.Contains(got, "n2") || strings.Contains(got, "x=1") {
		t.Errorf("after the rollback to before the join:\n%s", got)
	}
	code, _, err := c.crm("rollback", "--yes", fmt.Sprint(both))
	if code != 0 || !strings.Contains(err, "node gone was a member then") {
		t.Errorf("to when it was a member: exit %d, %s", code, err)
	}
}
