package shell

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

const testCIB = `<cib crm_feature_set="3.19.0" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
<configuration><crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="f" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
<resources><primitive id="d1" class="ocf" provider="test" type="Dummy"/><primitive id="d2" class="ocf" provider="test" type="Dummy"/>
<group id="g"><primitive id="a" class="ocf" provider="test" type="Dummy"/><primitive id="b" class="ocf" provider="test" type="Dummy"/></group>
<clone id="c"><meta_attributes id="cm"><nvpair id="cmp" name="promotable" value="true"/></meta_attributes><primitive id="s" class="ocf" provider="test" type="Dummy"/></clone></resources>
<constraints><rsc_location id="l" rsc="g" score="10" node="n1"/></constraints></configuration><status/></cib>`

// offline is a CIB in a file, with no agents installed.
type offline struct {
	t    *testing.T
	file string
	env  map[string]string
}

func newOffline(t *testing.T) *offline {
	dir := t.TempDir()
	o := &offline{t: t, file: filepath.Join(dir, "cib.xml")}
	o.env = map[string]string{"CIB_file": o.file, "OCF_ROOT": filepath.Join(dir, "ocf"), "EDITOR": "true"}
	if err := os.WriteFile(o.file, []byte(testCIB), 0o640); err != nil {
		t.Fatal(err)
	}
	return o
}

// crm runs the shell with arguments and input.
func (o *offline) crm(input string, args ...string) (code int, out, err string) {
	var stdout, stderr bytes.Buffer
	code = Run(context.Background(), Config{In: strings.NewReader(input), Out: &stdout, Err: &stderr,
		Getenv: func(name string) string { return o.env[name] }}, args)
	return code, stdout.String(), stderr.String()
}

// must runs a command that works and returns what it printed.
func (o *offline) must(args ...string) string {
	o.t.Helper()
	code, out, err := o.crm("", args...)
	if code != 0 {
		o.t.Fatalf("crm %s: exit %d: %s", strings.Join(args, " "), code, err)
	}
	return out
}

func (o *offline) document() *cib.Document {
	o.t.Helper()
	data, err := os.ReadFile(o.file)
	if err != nil {
		o.t.Fatal(err)
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		o.t.Fatal(err)
	}
	return doc
}

// TestOneShot runs commands on a file, each on a fresh copy, and looks for a line of "configure show".
func TestOneShot(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		want string // in the configuration afterwards; "!" in front: not in it
	}{
		{"primitive", []string{"configure", "primitive", "x", "ocf:test:Dummy", "params", "a=1"}, "primitive x ocf:test:Dummy \\\n\tparams a=1"},
		{"short names", []string{"conf", "prim", "x", "ocf:test:Dummy"}, "primitive x ocf:test:Dummy"},
		{"property", []string{"configure", "property", "no-quorum-policy=ignore"}, "no-quorum-policy=ignore"},
		{"delete", []string{"configure", "delete", "d1"}, "!primitive d1"},
		{"rename", []string{"configure", "rename", "g", "h"}, "location l h 10: n1"},
		{"modgroup", []string{"configure", "modgroup", "g", "add", "d1", "before", "b"}, "group g a d1 b"},
		{"set", []string{"configure", "set", "cib-bootstrap-options.stonith-enabled", "0"}, "stonith-enabled=0"},
		{"erase", []string{"configure", "erase"}, "!primitive"},
		{"erase nodes", []string{"configure", "erase", "nodes"}, "!node 1"},
		{"filter", []string{"configure", "filter", "sed s/d1/e1/"}, "primitive e1"},
		{"stop", []string{"resource", "stop", "d1"}, "target-role=Stopped"},
		{"start", []string{"resource", "start", "g"}, "target-role=Started"},
		{"promote", []string{"resource", "promote", "c"}, "target-role=Promoted"},
		{"unmanage", []string{"resource", "unmanage", "d1"}, "is-managed=false"},
		{"maintenance", []string{"resource", "maintenance", "d1"}, "maintenance=true"},
		{"maintenance of one", []string{"maintenance", "on", "d1"}, "maintenance=true"},
		{"move", []string{"resource", "move", "g", "n2"}, "location cli-prefer-g g role=Started inf: n2"},
		{"move for a time", []string{"resource", "move", "g", "n2", "PT1H"}, "rule #uname eq n2 and date lt"},
		{"ban", []string{"resource", "ban", "g", "n2"}, "location cli-ban-g-on-n2 g role=Started -inf: n2"},
		{"meta", []string{"resource", "meta", "d1", "set", "priority", "5"}, "priority=5"},
		{"param", []string{"resource", "param", "d1", "set", "p", "5"}, "params p=5"},
		{"utilization", []string{"resource", "utilization", "d1", "set", "cpu", "5"}, "utilization cpu=5"},
		{"standby", []string{"node", "standby", "n1"}, "standby=on"},
		{"online", []string{"node", "online", "n1"}, "standby=off"},
		{"node maintenance", []string{"node", "maintenance", "n1"}, "maintenance=true"},
		{"node attribute", []string{"node", "attribute", "n1", "set", "rack", "a"}, "rack=a"},
		{"node utilization", []string{"node", "utilization", "n1", "set", "cpu", "8"}, "utilization cpu=8"},
		{"maintenance mode", []string{"maintenance", "on"}, "maintenance-mode=true"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := newOffline(t)
			before := o.document().Head.Epoch
			o.must(test.args...)
			got := o.must("configure", "show")
			want, not := strings.CutPrefix(test.want, "!")
			if strings.Contains(got, want) == not {
				t.Errorf("after %q: want %q in\n%s", test.args, test.want, got)
			}
			if epoch := o.document().Head.Epoch; epoch != before+1 {
				t.Errorf("epoch = %d, want %d", epoch, before+1)
			}
			if st, err := os.Stat(o.file); err != nil || st.Mode().Perm() != 0o640 {
				t.Errorf("the file's mode changed: %v %v", st.Mode(), err)
			}
		})
	}
}

// TestRefused runs commands that fail: exit code 1, a message that says why, and an unchanged file.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, input string
		args        []string
		want        string
	}{
		{"command", "", []string{"frob"}, "no such command"},
		{"near", "", []string{"resource", "sotp", "d1"}, `did you mean "stop"`},
		{"ambiguous", "", []string{"resource", "re", "d1"}, "may be restart or refresh"},
		{"resource", "", []string{"resource", "stop", "d9"}, "resource not found: d9"},
		{"no argument", "", []string{"resource", "stop"}, "an argument is missing; usage: stop RESOURCE ..."},
		{"not promotable", "", []string{"resource", "promote", "d1"}, "is not promotable"},
		{"move nowhere", "", []string{"resource", "move", "d1"}, "move needs a node"},
		{"node", "", []string{"node", "standby", "n9"}, "node n9 is not in the cluster; there are n1, n2"},
		{"attribute action", "", []string{"node", "attribute", "n1", "frob", "a"}, "none of set, show, delete"},
		{"delete", "", []string{"configure", "delete", "nosuch"}, "object nosuch does not exist"},
		{"rename taken", "", []string{"configure", "rename", "d1", "d2"}, "already"},
		{"reference", "", []string{"configure", "location", "x", "nosuch", "1:", "n1"}, "nosuch"},
		{"inside of a clone", "", []string{"configure", "location", "x", "s", "1:", "n1"}, "name c instead"},
		{"fencing", "", []string{"configure", "property", "stonith-enabled=true"}, "no fencing device"},
		{"property", "", []string{"configure", "property", "no-quorum-policy=maybe"}, "no-quorum-policy"},
		{"target-role", "", []string{"configure", "primitive", "x", "ocf:test:Dummy", "meta", "target-role=Sideways"}, "target-role"},
		{"load method", "", []string{"configure", "load", "mix", "x"}, "none of update, replace and push"},
		{"load file", "", []string{"configure", "load", "update", "/nonexistent"}, "no such file"},
		{"batch", "configure\nprimitive x ocf:test:Dummy\nbogus\ncommit\n", nil, "bogus"},
		{"batch commit", "configure\nlocation x nosuch 1: n1\ncommit\n", nil, "nosuch"},
		{"shadow live", "", []string{"cib", "new", "live"}, "is the configuration of the cluster, not a shadow"},
		{"live only", "", []string{"cluster", "status"}, "CIB_file is set"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := newOffline(t)
			code, _, err := o.crm(test.input, test.args...)
			if code != exitError || !strings.Contains(err, test.want) {
				t.Errorf("exit %d, %q; want exit 1 and %q", code, err, test.want)
			}
			if data, _ := os.ReadFile(o.file); string(data) != testCIB {
				t.Error("the file was changed")
			}
		})
	}
}

// TestForce checks that the switch goes on where a check refuses.
func TestForce(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	o.must("-F", "configure", "property", "stonith-enabled=true")
	if got := o.must("configure", "get-property", "stonith-enabled"); got != "true\n" {
		t.Errorf("stonith-enabled = %q", got)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	code, out, err := o.crm("# a comment\nconfigure\nprimitive x \\\n  ocf:test:Dummy \\\n  meta priority=2\nshow x\nup\nresource\nstatus\ncd ../configure\ngroup h x\ncommit\nshow h\n")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, err)
	}
	for _, want := range []string{"primitive x ocf:test:Dummy \\\n\tmeta priority=2", "group h x", "Full List of Resources"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in %s", want, out)
		}
	}
}

// TestCommit_Conflict changes the file between load and commit: other objects merge, the same object is
// refused with both changes, and force overrides.
func TestCommit_Conflict(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, mine, theirs, force string
		want                      string // "" = merges
	}{
		{"other object", "primitive x ocf:test:Dummy", "primitive y ocf:test:Dummy", "", ""},
		{"deleted", "modgroup g add d1", "delete g", "", "somebody else has changed resource g"},
		{"deleted by both", "delete l", "delete l", "", ""},
		{"same set, other values", "property a=1", "property b=2", "", ""},
		{"same value", "property a=1", "property a=2", "", "somebody else has changed properties cib-bootstrap-options"},
		{"same resource", "modgroup g add d1", "modgroup g add d2", "", "somebody else has changed resource g"},
		{"forced", "modgroup g add d1", "modgroup g add d2", "force", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := newOffline(t)
			var out, errs bytes.Buffer
			s := &Shell{cfg: Config{Getenv: func(name string) string { return o.env[name] }}, out: &out, err: &errs, levels: []*level{root(), configureLevel()}}
			ctx := context.Background()
			if _, err := s.open(ctx); err != nil {
				t.Fatal(err)
			}
			o.must(append([]string{"configure"}, strings.Fields(test.theirs)...)...)
			err := s.execute(ctx, test.mine)
			if err == nil {
				err = s.execute(ctx, "commit "+test.force)
			}
			switch {
			case test.want == "" && err != nil:
				t.Fatal(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Fatalf("commit = %v, want %q", err, test.want)
			}
			if test.name == "same set, other values" {
				if got := o.must("configure", "show"); !strings.Contains(got, "a=1") || !strings.Contains(got, "b=2") {
					t.Errorf("not merged:\n%s", got)
				}
			}
			if test.name == "other object" {
				if got := o.must("configure", "show"); !strings.Contains(got, "primitive x") || !strings.Contains(got, "primitive y") {
					t.Errorf("not merged:\n%s", got)
				}
			}
		})
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	statements := write("x.crm", "group h x\nprimitive x ocf:test:Dummy\nproperty stonith-enabled=false\n")
	o := newOffline(t)
	o.must("configure", "load", "update", statements)
	if got := o.must("configure", "show"); !strings.Contains(got, "group h x") || !strings.Contains(got, "group g a b") {
		t.Errorf("update:\n%s", got)
	}
	saved := filepath.Join(dir, "saved.crm")
	o.must("configure", "save", saved)
	whole := o.must("configure", "show")
	before := o.document()
	o.must("configure", "load", "update", saved)
	if changes := cib.Diff(before, o.document()); len(changes) > 0 {
		t.Errorf("what was saved and is loaded changes %v", changes)
	}
	o.must("configure", "load", "replace", statements)
	if got := o.must("configure", "show"); !strings.Contains(got, "group h x") || strings.Contains(got, "group g a b") || !strings.Contains(got, "node 1: n1") {
		t.Errorf("replace:\n%s", got)
	}
	o.must("configure", "load", "replace", saved)
	if got := o.must("configure", "show"); got != whole {
		t.Errorf("saved and loaded:\n%s\nwant\n%s", got, whole)
	}
	xml := filepath.Join(dir, "cib.xml")
	o.must("configure", "save", "xml", xml)
	o.must("configure", "erase")
	o.must("configure", "load", "xml", "replace", xml)
	if got := o.must("configure", "show"); got != whole {
		t.Errorf("through XML:\n%s\nwant\n%s", got, whole)
	}
}

// TestApply makes the configuration what a TOML file says; a second time nothing is left to do.
func TestApply(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	file := filepath.Join(t.TempDir(), "site.toml")
	text := "[cluster]\nfencing-enabled = false\n[primitives.web]\nagent = \"ocf:test:Web\"\nop.monitor = { interval = \"10s\" }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	plan := o.must("plan", file)
	for _, want := range []string{"+ primitive web", "- group g", "Plan "} {
		if !strings.Contains(plan, want) {
			t.Errorf("%q is missing in the plan\n%s", want, plan)
		}
	}
	if code, _, err := o.crm("", "apply", file); code == 0 || !strings.Contains(err, "--yes") {
		t.Errorf("apply without --yes: exit %d, %s", code, err)
	}
	if code, _, err := o.crm("", "apply", "--plan", "0000", file); code == 0 || !strings.Contains(err, "no longer holds") {
		t.Errorf("apply of another plan: exit %d, %s", code, err)
	}
	id := strings.TrimSpace(plan[strings.LastIndex(plan, "Plan ")+len("Plan "):])
	o.must("apply", "--plan", id, file)
	if got := o.must("apply", "--yes", file); got != "Nothing to change.\n" {
		t.Errorf("applied twice: %s", got)
	}
	exported := filepath.Join(t.TempDir(), "export.toml")
	o.must("export", "toml", exported)
	if got := o.must("plan", exported); got != "Nothing to change.\n" {
		t.Errorf("plan of the export: %s", got)
	}
}

// TestMetadata runs agents of a folder: an unknown agent or parameter and a missing one are refused.
func TestMetadata(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	dir := filepath.Join(o.env["OCF_ROOT"], "resource.d", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	agent := `#!/bin/sh
cat <<END
<?xml version="1.0"?><resource-agent name="Need"><version>1.0</version><longdesc lang="en">x</longdesc><shortdesc lang="en">y</shortdesc>
<parameters><parameter name="ip" required="1" unique="1"><longdesc lang="en">z</longdesc><shortdesc lang="en">z</shortdesc><content type="string"/></parameter></parameters>
<actions><action name="start" timeout="20s"/><action name="stop" timeout="30s"/><action name="monitor" timeout="20s" interval="10s"/><action name="meta-data" timeout="5s"/></actions></resource-agent>
END
`
	if err := os.WriteFile(filepath.Join(dir, "Need"), []byte(agent), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ args, want string }{
		{"primitive x ocf:test:Need params ip=1 ipp=2", `no parameter "ipp"; did you mean "ip"?`},
		{"primitive x ocf:test:Need", "needs the parameter ip"},
		{"primitive x ocf:test:Nosuch", "there is no agent ocf:test:Nosuch; \"crm ra list ocf\""},
		{"primitive x ocf:test:Nede", "there is no agent ocf:test:Nede; did you mean ocf:test:Need? \"crm ra list ocf\""},
		{"primitive x ocf:nosuch:Need", "there is no agent ocf:nosuch:Need; did you mean ocf:test:Need?"},
	} {
		if code, _, err := o.crm("", append([]string{"configure"}, strings.Fields(test.args)...)...); code != 1 || !strings.Contains(err, test.want) {
			t.Errorf("%s: exit %d, %s; want %q", test.args, code, err, test.want)
		}
	}
	o.must("configure", "primitive", "x", "ocf:test:Need", "params", "ip=1", "op", "monitor", "interval=5s")
	if code, _, err := o.crm("", "configure", "primitive", "y", "ocf:test:Need", "params", "ip=1"); code != 1 || !strings.Contains(err, "allows only once") {
		t.Errorf("a second resource with the same value: exit %d, %s", code, err)
	}
	o.must("configure", "default-timeouts", "x")
	if got := o.must("configure", "show", "x"); !strings.Contains(got, "op monitor interval=5s timeout=20s") || !strings.Contains(got, "op stop timeout=30s interval=0") {
		t.Errorf("default-timeouts:\n%s", got)
	}
	if got := o.must("ra", "info", "ocf:test:Need"); !strings.Contains(got, "ip* (string)") {
		t.Errorf("ra info:\n%s", got)
	}
	if got := o.must("ra", "list", "ocf", "test"); got != "Need\n" {
		t.Errorf("ra list = %q", got)
	}
	// An agent that others can write to is not run.
	if err := os.Chmod(filepath.Join(dir, "Need"), 0o777); err != nil {
		t.Fatal(err)
	}
	if code, _, err := o.crm("", "ra", "info", "ocf:test:Need"); code != 1 || !strings.Contains(err, "written by others") {
		t.Errorf("exit %d, %s", code, err)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	o.must("configure", "schema", "pacemaker-3.10")
	if got := o.document().Head.ValidateWith; got != "pacemaker-3.10" {
		t.Errorf("validate-with = %s", got)
	}
}

func TestShowFilters(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	for _, test := range []struct{ args, has, not string }{
		{"type:primitive", "primitive d1", "group"},
		{"g", "group g a b", "primitive"},
		{"related:g", "location l g", "d1"},
		{"d*", "primitive d2", "group"},
		{"xml g", "xml <group", "primitive d1"},
	} {
		got := o.must(append([]string{"configure", "show"}, strings.Fields(test.args)...)...)
		if !strings.Contains(got, test.has) || strings.Contains(got, test.not) {
			t.Errorf("show %s:\n%s", test.args, got)
		}
	}
}

// TestHelp checks that every command of every level has a help text and an own name.
func TestHelp(t *testing.T) {
	t.Parallel()
	var walk func(l *level, depth int)
	walk = func(l *level, depth int) {
		seen := map[string]bool{}
		for _, c := range l.commands {
			if c.help == "" {
				t.Errorf("%s %s has no help", l.name, c.name)
			}
			for _, name := range append([]string{c.name}, c.aliases...) {
				if seen[name] {
					t.Errorf("%s: two commands are called %s", l.name, name)
				}
				seen[name] = true
			}
			if c.level != nil && depth < 3 {
				walk(c.level(), depth+1)
			} else if c.run == nil {
				t.Errorf("%s %s does nothing", l.name, c.name)
			}
		}
	}
	walk(root(), 0)
	o := newOffline(t)
	for _, args := range [][]string{{"help"}, {"help", "configure"}, {"help", "rules"}, {"configure", "help", "primitive"}, {"resource", "move", "--help"}, {"resource", "--help"}, {"status", "-h"}} {
		if out := o.must(args...); len(out) < 40 {
			t.Errorf("%q printed %q", args, out)
		}
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	s := &Shell{cfg: Config{Getenv: func(name string) string { return o.env[name] }}, levels: []*level{root()}}
	for _, test := range []struct{ line, want string }{
		{"re", "resource "},
		{"resource sto", "stop "},
		{"resource stop d", "d1 "},
		{"node standby n", "n2 "},
		{"configure property no-q", "no-quorum-policy="},
		{"configure location x g ", "rule "},
		{"configure primitive x Dummy meta target", "target-role="},
		{"configure primitive x Dummy op ", "monitor "},
		{"configure show g", "g "},
	} {
		_, list, _ := s.complete(context.Background(), test.line, len(test.line))
		found := false
		for _, c := range list {
			found = found || c == test.want
		}
		if !found {
			t.Errorf("complete(%q) = %q, want %q in it", test.line, list, test.want)
		}
	}
}

// FuzzBatch feeds any text to the shell on a CIB file: it ends, does not panic, and the file can be read.
func FuzzBatch(f *testing.F) {
	f.Add("configure\nprimitive x ocf:test:Dummy\ncommit\n")
	f.Add("resource\nmove g n2\nup\nnode standby n1\n")
	f.Add("configure\nset g.a.b.c 1\nmodgroup g remove a\nshow changed or type:group\n")
	f.Fuzz(func(t *testing.T, input string) {
		for _, l := range strings.Split(strings.ToLower(input), "\n") {
			// Commands that start programs or write where they are told are no matter of this test.
			for _, w := range strings.Fields(l) {
				for _, bad := range []string{"filter", "save", "edit", "graph", "load", "export", "start", "restart"} {
					if strings.HasPrefix(bad, w) && len(w) > 0 {
						t.Skip()
					}
				}
			}
		}
		o := newOffline(t)
		o.crm(input)
		o.document()
	})
}

func (o *offline) refusedOffline(want string, args ...string) {
	o.t.Helper()
	if code, out, err := o.crm("", args...); code == 0 || !strings.Contains(err, want) {
		o.t.Errorf("crm %s: exit %d, %q %q; want %q", strings.Join(args, " "), code, out, err, want)
	}
}
