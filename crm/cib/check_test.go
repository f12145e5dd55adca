package cib_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// TestCheck checks each testdata/check/NAME.xml and compares the messages with NAME.want.
func TestCheck(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "check", "*.xml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			doc := readDocument(t, file)
			var got strings.Builder
			for _, p := range cib.Check(doc) {
				got.WriteString(p.Severity.String() + ": " + p.String() + "\n")
			}
			golden := strings.TrimSuffix(file, ".xml") + ".want"
			if *rewrite {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("Check() =\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

// TestCheck_Cluster checks the settings that only Quorate has.
func TestCheck_Cluster(t *testing.T) {
	t.Parallel()
	doc := &cib.Document{}
	doc.Config.Cluster = cib.ClusterSettings{
		Links:  []cib.LinkSettings{{Name: "lan", Disabled: true}, {Name: "lan", Disabled: true}},
		Timing: cib.TimingSettings{Profile: "slow", Heartbeat: "100ms", DeadAfter: "150ms", QuorumTimeout: "never"},
		Ports:  cib.PortSettings{Stream: 70000},
	}
	doc.Config.Nodes = []cib.Node{{Name: "a", Voter: "maybe", Links: []cib.NodeLink{{Link: "lann", Address: "10.0.0.1/24"}, {Link: "lan"}}}, {Name: "b", Witness: true, Voter: "no", Links: []cib.NodeLink{{Link: "lan", Address: "x"}}}}
	var got []string
	for _, p := range cib.Check(doc) {
		got = append(got, p.String())
	}
	want := []string{
		`node a: unknown value "maybe" of voter; use auto, yes or no`,
		`node a: link lann has the address "10.0.0.1/24"; write an IP address or a host name, without a port or a mask`,
		`node a: link lann is not among the links that are described; did you mean lan?`,
		`node a: link lan has no address`,
		`node b: a witness that does not vote does nothing; remove one of them`,
		`node b: all links of the node are disabled, so that no other can reach it; enable one of them`,
		`link lan: the name is missing or taken; give each link a name of its own`,
		`timing: unknown value "slow" of profile; use default, fast`,
		`timing: quorum-timeout "never" is no duration above zero; use a duration such as 100ms or 2s`,
		`timing: dead-after 150ms is less than two heartbeats of 100ms: one lost packet would be a dead node; make dead-after several times heartbeat`,
		`ports: the stream port is 70000; use 1 to 65535`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Check() =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const small = `<cib><configuration><crm_config/><nodes/><resources>
<primitive id="a" class="stonith" type="x"/><primitive id="b" class="stonith" type="x"/>
<group id="g"><primitive id="g1" class="lsb" type="x"/><primitive id="g2" class="lsb" type="x"/></group>
<clone id="c"><primitive id="ci" class="lsb" type="x"/></clone>
<template id="t" class="lsb" type="x"/><primitive id="ti" template="t"/>
</resources><constraints>
<rsc_location id="l" rsc="a" node="a" score="1"/>
<rsc_order id="o"><resource_set id="s1"><resource_ref id="a"/><resource_ref id="b"/></resource_set><resource_set id="s2"><resource_ref id="a"/></resource_set></rsc_order>
<rsc_colocation id="k" rsc="c" with-rsc="g" score="1"/>
</constraints>
<fencing-topology><fencing-level id="f" target="a" index="1" devices="a,b"/></fencing-topology>
<tags><tag id="tag"><obj_ref id="a"/></tag></tags>
<acls><acl_role id="r"><acl_permission id="p" kind="read" reference="a"/></acl_role><acl_target id="u"><role id="r"/></acl_target></acls>
</configuration></cib>`

func smallDocument(t *testing.T) *cib.Document {
	t.Helper()
	doc, _, err := cibxml.Read([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func text(doc *cib.Document) string {
	return string(cibxml.WriteConfiguration(&doc.Config, cibxml.Options{}))
}

func TestRename(t *testing.T) {
	t.Parallel()
	doc := smallDocument(t)
	before := doc.Clone()
	got, err := cib.Rename(doc, "a", "zz")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(doc, before) {
		t.Error("Rename changed its input")
	}
	if s := text(got); strings.Contains(s, `rsc="a"`) || strings.Contains(s, `id="a"`) || !strings.Contains(s, `devices="zz,b"`) || !strings.Contains(s, `node="a"`) || !strings.Contains(s, `reference="zz"`) {
		t.Errorf("Rename() =\n%s", s)
	}
	if back, err := cib.Rename(got, "zz", "a"); err != nil || text(back) != text(doc) {
		t.Errorf("renaming back: %v\n%s", err, text(back))
	}
	for _, id := range []string{"r", "l", "tag", "f", "t", "g1"} {
		if _, err := cib.Rename(doc, id, "new"); err != nil {
			t.Errorf("Rename(%s): %v", id, err)
		}
	}
	for _, c := range []struct{ old, new, want string }{
		{"a", "b", "already"}, {"nope", "x", "no resource"}, {"a", "1x", "cannot start with"}, {"a", "x y", "cannot have"}, {"a", "", "missing"}, {"a", "s1", "already"},
	} {
		if _, err := cib.Rename(doc, c.old, c.new); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Rename(%s, %s) = %v, want %q", c.old, c.new, err, c.want)
		}
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	doc := smallDocument(t)
	before := doc.Clone()
	for _, c := range []struct {
		name       string
		references bool
		ids        string
		also       string
		err        string
		without    string // ids that are gone
	}{
		{"used", false, "a", "", "location l refers to a, order o refers to a, order o refers to a, fencing-level f refers to a, tag tag refers to a, and 1 more", ""},
		{"with references", true, "a", "l tag", "", "l tag a s2"},
		{"both of a set", true, "a b", "f l o tag", "", "o f"},
		{"member", false, "g1", "", "", "g1"},
		{"last member", false, "g1 g2", "", "colocation k refers to g", ""},
		{"last member with references", true, "g1 g2", "g k", "", "g k"},
		{"clone child", true, "ci", "c k", "", "c ci"},
		{"clone keeps child", true, "c", "k", "", "c k"},
		{"template", true, "t", "ti", "", "t ti"},
		{"role", true, "r", "", "", "r p"},
		{"constraint", false, "k", "", "", "k"},
		{"missing", false, "nope", "", "no object has this id", ""},
	} {
		got, also, err := cib.Delete(doc, c.references, strings.Fields(c.ids)...)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: Delete() error %v, want %q", c.name, err, c.err)
			}
			var used *cib.InUseError
			if c.name != "missing" && !errors.As(err, &used) {
				t.Errorf("%s: error is no *InUseError", c.name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if strings.Join(also, " ") != c.also {
			t.Errorf("%s: also %v, want %v", c.name, also, c.also)
		}
		s := text(got)
		for _, id := range strings.Fields(c.without) {
			if strings.Contains(s, `id="`+id+`"`) {
				t.Errorf("%s: %s is still there:\n%s", c.name, id, s)
			}
		}
		for _, p := range cib.Check(got) {
			if p.Severity == cib.Error {
				t.Errorf("%s: after deletion: %v", c.name, p)
			}
		}
	}
	if !reflect.DeepEqual(doc, before) {
		t.Error("Delete changed its input")
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	doc := smallDocument(t)
	if got := cib.References(&doc.Config, "a"); len(got) != 8 { // two of them the node a
		t.Errorf("References(a) = %v", got)
	}
	if got := cib.References(&doc.Config, "t"); len(got) != 1 || got[0].Target.String() != "template" || got[0].ID != "ti" {
		t.Errorf("References(t) = %v", got)
	}
}
