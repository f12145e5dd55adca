package cibcrm

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

var rewrite = flag.Bool("rewrite", false, "renew the golden files")

// TestStatements_Golden reads the statements of each case of testdata/statements.txt and compares the XML and
// the printed statements that they give. A case is "== NAME", statements, "----", XML, "----", statements.
func TestStatements_Golden(t *testing.T) {
	t.Parallel()
	name := filepath.Join("testdata", "statements.txt")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, part := range strings.Split(string(data), "\n== ") {
		part = strings.TrimPrefix(part, "== ")
		head, body, _ := strings.Cut(part, "\n")
		fields := strings.Split(body, "\n----\n")
		input := strings.TrimRight(fields[0], "\n")
		c, err := load(input)
		if err != nil {
			t.Errorf("%s: %v", head, err)
			continue
		}
		xml := ""
		cib.Objects(c, func(kind, _ string, o cib.Object) {
			if o.Resource != nil || o.Constraint != nil || o.Node != nil || o.Set != nil {
				xml += string(cibxml.WriteObject(kind, o))
			}
		})
		if xml == "" {
			xml = string(cibxml.WriteConfiguration(c, cibxml.Options{}))
		}
		got := []string{input, strings.TrimRight(xml, "\n"), strings.TrimRight(Print(c, PrintOptions{}), "\n")}
		if !*rewrite && (len(fields) != 3 || strings.TrimRight(fields[1], "\n") != got[1] || strings.TrimRight(fields[2], "\n") != got[2]) {
			t.Errorf("%s: got\n%s\n----\n%s\nwant\n%s", head, got[1], got[2], strings.Join(fields[1:], "\n----\n"))
		}
		out.WriteString("== " + head + "\n" + strings.Join(got, "\n----\n") + "\n")
	}
	if *rewrite {
		if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const base = `node 1: n1
node 2: n2
primitive a Dummy
primitive b Dummy
primitive c Dummy
primitive st stonith:fence_x
primitive s ocf:pacemaker:Stateful
clone m s meta promotable=true
group g a b
location lg g 10: n1
order o Mandatory: g c st
tag t a c
`

// TestErrors checks that each mistake is refused with its place, what is wrong and what would be right.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"order without a colon", `order o inf a b`, `a colon is missing behind it: inf: FIRST THEN`},
		{"kind as an option", `order o a b kind=Optional`, `the kind stands before the resources`},
		{"option twice", `colocation c inf: a b node-attribute=x node-attribute=y`, `node-attribute is given once`},
		{"role of a set", `location l { a b } role=Started 1: n`, `{ RESOURCE:Started }`},
		{"bracket of a set", `location l { ( a b } 1: n`, `the ) of the resource set is missing`},
		{"id of a rule", `location l a rule id=x 1: b eq 1`, `is written $id=x`},
		{"id of a rule twice", `location l a rule $id=x $id=y 1: b eq 1`, `given twice`},
		{"role of an operation", `primitive p Dummy op monitor role=Up`, `is not a role`},
		{"name with a space", `property "a b"=1`, `is not a name that a value can have`},
		{"removed property", `property is-managed-default=false`, `write rsc_defaults is-managed=false`},
		{"two rules", `property rule a eq 1 rule b eq 2 c=3`, `a set has one rule`},
		{"node of an old type", `node n:ping`, `is no type of node`},
		{"role with its word", `acl_target u role:r`, `the role stands alone here: r`},
		{"select twice", `alert a /x select nodes select fencing`, `select is given twice`},
		{"mapping of nothing", `bundle b docker image=x storage storage-mapping source-dir=/a`, `needs target-dir`},
		{"port of nothing", `bundle b docker image=x network port-mapping internal-port=1`, `needs port=NUMBER`},
		{"ticket with a space", `rsc_ticket t "t A:" d`, `the ticket with a colon`},
		{"unknown word", "frob x", `line 1, column 1: "frob" begins no statement`},
		{"no id", "primitive", "the name of the resource is missing"},
		{"bad id", "primitive 1x Dummy", "must begin with a letter"},
		{"no agent", "primitive x", "the agent is missing"},
		{"bad agent", "primitive x a::b", "names no agent"},
		{"quote", `primitive x Dummy params fake="a`, `a " is missing`},
		{"no operation", "primitive x Dummy op", "the name of the operation is missing"},
		{"twice", "primitive x Dummy op monitor interval=1 interval=2", "interval is given twice"},
		{"on-fail", "primitive x Dummy op monitor interval=1 on-fail=explode", "on-fail is one of"},
		{"group empty", "group x", "at least one member"},
		{"group twice", "group x a a", "a is listed twice"},
		{"clone nothing", "clone x", "the resource to clone is missing"},
		{"location score", "location l c 100 n1", "a score with a colon"},
		{"location nothing", "location l c", "a score with a node (100: NODE) or a rule is missing"},
		{"location node", "location l c 100:", "the node is missing"},
		{"location role", "location l c role=Bogus 100: n1", "is not a role"},
		{"location discovery", "location l c resource-discovery=maybe 100: n1", "always, never or exclusive"},
		{"location pattern", "location l /[/ 100: n1", "is no regular expression"},
		{"location set", "location l { c 100: n1", "cannot be a resource"},
		{"location trailing", "location l c 100: n1 x=1", `"x=1" is not expected here`},
		{"rule operator", "location l c rule 1: #uname foo n1", `"foo" is no operator`},
		{"rule mixed", "location l c rule 1: defined x and defined y or defined z", "cannot be mixed"},
		{"rule date", "location l c rule 1: date bogus", "after date comes"},
		{"rule role", "location l c rule $role=Nope 1: defined x", "is not a role"},
		{"colocation one", "colocation x inf: a", "two resources"},
		{"colocation nested", "colocation x inf: ( a ( b ) )", "cannot be nested"},
		{"colocation close", "colocation x inf: a b )", "closes nothing"},
		{"colocation option", "colocation x inf: a b bogus=1", `"bogus" is not expected`},
		{"colocation attribute with sets", "colocation x inf: ( a b ) c node-attribute=r", "two resources only"},
		{"order kind", "order x Bogus: a b", "neither Mandatory, Optional, Serialize nor a score"},
		{"order action", "order x a:jump b", `"jump" is not a valid action`},
		{"ticket name", "rsc_ticket x tick a", "the ticket with a colon"},
		{"ticket loss", "rsc_ticket x tick: a loss-policy=explode", "stop, demote, fence or freeze"},
		{"property nothing", "property", "NAME=VALUE is missing"},
		{"property word", "property foo", "is not NAME=VALUE"},
		{"property empty", "property no-quorum-policy=", "has no value"},
		{"tag nothing", "tag x:", "at least one object"},
		{"monitor time", "monitor a soon", "is not a time"},
		{"monitor role", "monitor a:Bogus 10s", "is not a role"},
		{"topology device", "fencing_topology st1,", "cannot be a fencing device"},
		{"role nothing", "role r", "at least one of read, write, deny"},
		{"role object", "role r read foo", "no object of a permission"},
		{"role attribute", "role r read ref:d0 attribute:class", "goes with type:ELEMENT only"},
		{"alert path", "alert x", "the path of the alert agent is missing"},
		{"alert select", "alert x /y select bogus", "after select comes"},
		{"alert brace", "alert x /y to { z", "the } after the recipient is missing"},
		{"bundle engine", "bundle x network", "the container engine is missing"},
		{"node type", "node n:bogus", "is no type of node"},
		{"second line", "primitive x Dummy\nprimitive y", "line 2"},

		{"taken", base + "primitive a Dummy", "a resource of that name exists already"},
		{"taken id", base + "location a c 1: n1", "the id a is taken"},
		{"no member", base + "group x nosuch", `there is no resource "nosuch"`},
		{"in a group", base + "group x a", "a is already in g"},
		{"group of clone", base + "group x m", "m is not a primitive"},
		{"clone of clone", base + "clone x m", "only a primitive or a group can be cloned"},
		{"template", base + "primitive x @nosuch", `there is no template "nosuch"`},
		{"device", base + "fencing_topology nosuch", `there is no fencing device "nosuch"`},
		{"monitor of nothing", base + "monitor nosuch 10s", `there is no primitive "nosuch"`},
		{"monitor twice", base + "monitor c 10s\nmonitor c 10s", "a monitor with the interval 10s already"},
		{"acl role", base + "acl_target u nosuch", `there is no role "nosuch"`},
		{"user", base + "user u role:r", "of schemas before pacemaker-2.0"},
		{"xml", base + `xml <bogus id="x"/>`, "is no element that a configuration is made of"},
		{"xml syntax", base + `xml <primitive id="x"`, "xml:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			list, errs := Parse(test.text)
			var text string
			e := NewEditor(&cib.Configuration{})
			for _, st := range list {
				if err := e.Apply(st, Create); err != nil {
					errs = append(errs, err)
				}
			}
			for _, err := range errs {
				text += err.Error() + "\n"
			}
			if !strings.Contains(text, test.want) {
				t.Errorf("got %q, want %q in it", text, test.want)
			}
		})
	}
}

// TestApply_ErrorChangesNothing applies statements that fail on a configuration: it stays as it was.
func TestApply_ErrorChangesNothing(t *testing.T) {
	t.Parallel()
	c, err := load(base)
	if err != nil {
		t.Fatal(err)
	}
	before := Print(c, PrintOptions{})
	e := NewEditor(c)
	for _, text := range []string{"group x c nosuch", "clone x a", "group x c a", "primitive a Dummy", "fencing_topology st nosuch", "acl_target u r", "monitor g 1s"} {
		list, errs := Parse(text)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if err := e.Apply(list[0], Create); err == nil {
			t.Errorf("%s: accepted", text)
		}
		if got := Print(c, PrintOptions{}); got != before {
			t.Errorf("%s: changed to\n%s", text, got)
		}
	}
	if e.Delete("a", "nosuch") == nil || Print(c, PrintOptions{}) != before {
		t.Error("a delete that fails has deleted")
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		ids      []string
		has, not []string
	}{
		{"member", []string{"a"}, []string{"group g b\n", "tag t c\n"}, []string{"primitive a"}},
		{"group", []string{"g"}, []string{"location lg a 10: n1", "order o Mandatory: a c st", "primitive b"}, []string{"group"}},
		{"group and members", []string{"g", "a", "b"}, []string{"order o Mandatory: c st"}, []string{"location", "group"}},
		{"all members", []string{"a", "b"}, nil, []string{"group g", "location"}},
		{"clone", []string{"m"}, []string{"primitive s "}, []string{"clone"}},
		{"child of a clone", []string{"s"}, nil, []string{"clone"}},
		{"node", []string{"n2"}, []string{"node 1: n1"}, []string{"node 2"}},
		{"one of three in an order", []string{"c"}, []string{"order o Mandatory: g st"}, nil},
		{"constraint", []string{"lg"}, []string{"order o Mandatory: g c st"}, []string{"location"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := load(base)
			if err != nil {
				t.Fatal(err)
			}
			if err := NewEditor(c).Delete(test.ids...); err != nil {
				t.Fatal(err)
			}
			text := Print(c, PrintOptions{})
			for _, s := range test.has {
				if !strings.Contains(text, s) {
					t.Errorf("%q is missing in\n%s", s, text)
				}
			}
			for _, s := range test.not {
				if strings.Contains(text, s) {
					t.Errorf("%q is in\n%s", s, text)
				}
			}
		})
	}
}

// TestDelete_Sets checks that sets which shrink to two resources keep their meaning.
func TestDelete_Sets(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ before, want string }{
		{"order k a b c", "order k a c"},
		{"order k a ( b c )", "order k a c"},
		{"order k ( a b c )", "order k ( a c )"},
		{"order k a:start b:stop c:promote", "order k a:start c:promote"},
		{"colocation k inf: a b c", "colocation k inf: c a"},
		{"colocation k inf: a ( b c )", "colocation k inf: a c"},
		{"colocation k inf: a:Promoted b c", "colocation k inf: a:Promoted c"},
		{"colocation k inf: a b c d", "colocation k inf: a c d"},
	} {
		c, err := load("primitive a Dummy\nprimitive b Dummy\nprimitive c Dummy\nprimitive d Dummy\n" + test.before)
		if err != nil {
			t.Fatal(err)
		}
		if err := NewEditor(c).Delete("b"); err != nil {
			t.Fatal(err)
		}
		if got := Print(c, PrintOptions{}); !strings.Contains(got, test.want+"\n") {
			t.Errorf("%s without b: want %s in\n%s", test.before, test.want, got)
		}
	}
}

func TestModifyGroup(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		m    Member
		want string // the group, or the error
	}{
		{"end", Member{Group: "g", Resource: "c"}, "group g a b c\n"},
		{"before", Member{Group: "g", Resource: "c", Before: "a"}, "group g c a b\n"},
		{"after", Member{Group: "g", Resource: "c", After: "a"}, "group g a c b\n"},
		{"remove", Member{Group: "g", Resource: "a", Remove: true}, "group g b\n"},
		{"not in it", Member{Group: "g", Resource: "c", Remove: true}, "c is not in group g"},
		{"twice", Member{Group: "g", Resource: "a"}, "a is in group g already"},
		{"elsewhere", Member{Group: "g", Resource: "s"}, "s is in m already"},
		{"no place", Member{Group: "g", Resource: "c", After: "st"}, "st is not in group g"},
		{"no group", Member{Group: "m", Resource: "c"}, "there is no group m"},
		{"clone", Member{Group: "g", Resource: "m"}, "m is not a primitive"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := load(base)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := NewEditor(c).ModifyGroup(test.m); err != nil {
				got = err.Error()
			}
			if got += Print(c, PrintOptions{}); !strings.Contains(got, test.want) {
				t.Errorf("got %s, want %q in it", got, test.want)
			}
		})
	}
}

// TestRetarget checks that constraints follow a resource into a new group and clone.
func TestRetarget(t *testing.T) {
	t.Parallel()
	c, err := load("primitive a Dummy\nprimitive b Dummy\nlocation l a 1: n\ncolocation k inf: a b\norder o a b")
	if err != nil {
		t.Fatal(err)
	}
	e := NewEditor(c)
	for _, text := range []string{"group g a", "clone x g"} {
		list, _ := Parse(text)
		if err := e.Apply(list[0], Create); err != nil {
			t.Fatal(err)
		}
	}
	text := Print(c, PrintOptions{})
	for _, want := range []string{"location l x 1: n", "colocation k inf: x b", "order o x b"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if len(e.Notes) != 6 {
		t.Errorf("notes = %q, want 6", e.Notes)
	}
}

func TestPrint_Obscure(t *testing.T) {
	t.Parallel()
	c, err := load("primitive x stonith:f params password=geheim passwd_file=ref:file:/etc/p login=me")
	if err != nil {
		t.Fatal(err)
	}
	got := Print(c, PrintOptions{Obscure: []string{"passw*"}})
	if strings.Contains(got, "geheim") || !strings.Contains(got, `password="******"`) || !strings.Contains(got, "ref:file:") || !strings.Contains(got, "login=me") {
		t.Errorf("Print() = %s", got)
	}
}

func TestComments(t *testing.T) {
	t.Parallel()
	list, errs := Parse("# one\n#two\nprimitive a Dummy\n# not attached\n\nprimitive b Dummy\n")
	if len(errs) > 0 || len(list) != 2 {
		t.Fatal(list, errs)
	}
	if got := list[0].Comments; !slices.Equal(got, []string{" one", "two"}) {
		t.Errorf("comments = %q", got)
	}
	if got := list[1].Comments; len(got) != 0 {
		t.Errorf("comments = %q, want none", got)
	}
}

// TestQuote_Property checks that every value without control characters is read back as it was.
func TestQuote_Property(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := strings.Map(func(r rune) rune {
			if r < ' ' && r != '\t' || r == 0x7f {
				return -1
			}
			return r
		}, rapid.String().Draw(t, "value"))
		words, err := Words("x " + quote(v) + " y")
		if err != nil || len(words) != 3 || words[1] != v {
			t.Fatalf("quote(%q) = %s, read as %q, %v", v, quote(v), words, err)
		}
	})
}

// FuzzParse reads any text: no panic, and what is accepted is printed as text that gives the same again. Where the text
// itself gives one id to two things, cib.Check refuses the commit, and the order of printing need not be one that can be
// read.
func FuzzParse(f *testing.F) {
	f.Add(base)
	if data, err := os.ReadFile(filepath.Join("testdata", "statements.txt")); err == nil {
		for _, part := range strings.Split(string(data), "\n== ") {
			_, body, _ := strings.Cut(part, "\n")
			f.Add(strings.Split(body, "\n----\n")[0])
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := load(text)
		if err != nil {
			return
		}
		seen, twice := make(map[string]bool), false
		cib.EachID(c, func(id, _ string, _ cib.Pos) { twice, seen[id] = twice || seen[id], true })
		if twice {
			if !cib.HasErrors(cib.Check(&cib.Document{Config: *c})) {
				t.Fatalf("cib.Check accepts an id that is given twice\n%s", text)
			}
			return
		}
		first := Print(c, PrintOptions{})
		again, err := load(first)
		if err != nil {
			t.Fatalf("read what was printed: %v\n%s", err, first)
		}
		if second := Print(again, PrintOptions{}); second != first {
			t.Fatalf("printed\n%s\nthen\n%s", first, second)
		}
	})
}

// TestPrint_Field compares what show prints with what is saved: show has the field's forms, save keeps all.
func TestPrint_Field(t *testing.T) {
	t.Parallel()
	const text = `primitive a Dummy params $id=shared fake=1
primitive b Dummy params $id-ref=shared
primitive c Dummy description="\u00e4" params fake=\u00fc
primitive d Dummy params fake=1
primitive e Dummy params $id-ref=d-instance_attributes
alert m /x to { y description=z }
order o _rsc_set_ a b
location l { ( a b ) } 1: n
location w a rule 1: date spec weekdays=1 hours=2`
	unquoted := strings.NewReplacer(`\u00e4`, "\u00e4", `\u00fc`, "\u00fc").Replace(text)
	c, err := load(unquoted)
	if err != nil {
		t.Fatal(err)
	}
	saved, shown := Print(c, PrintOptions{}), Print(c, PrintOptions{Field: true})
	for _, test := range []struct{ name, text, want string }{
		{"save", saved, "primitive a Dummy \\\n\tparams $id=shared fake=1"}, {"save", saved, "description=\u00e4"},
		{"save", saved, "primitive d Dummy \\\n\tparams fake=1"}, {"save", saved, "to { y description=z }"}, {"save", saved, "order o _rsc_set_ a b"},
		{"save", saved, "location l { ( a b ) } 1: n"}, {"save", saved, "date spec weekdays=1 hours=2"},
		{"show", shown, "primitive a Dummy \\\n\tparams fake=1"}, {"show", shown, `xml <primitive id="c"`}, {"show", shown, `description="&#xE4;"`},
		{"show", shown, `<nvpair name="fake" value="&#252;" id="c-instance_attributes-fake"/>`}, {"show", shown, `xml <alert id="m"`},
	} {
		if !strings.Contains(test.text, test.want) {
			t.Errorf("%s prints\n%s\nwithout %q", test.name, test.text, test.want)
		}
	}
	again, err := load(saved)
	if err != nil {
		t.Fatalf("read what was saved: %v", err)
	}
	if d := different(c, again); d != "" {
		t.Error(d)
	}
}

// TestNode_Again names a node twice: the second statement adds to the first.
func TestNode_Again(t *testing.T) {
	t.Parallel()
	list, errs := Parse("node n attributes a=1 utilization cpu=1\nnode n attributes a=2 b=3\nnode $id=7 m")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	c := &cib.Configuration{}
	e := NewEditor(c)
	for _, st := range list {
		if err := e.Apply(st, Create); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := Print(c, PrintOptions{}), "node 7: m\nnode n \\\n\tattributes a=2 b=3 \\\n\tutilization cpu=1\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
