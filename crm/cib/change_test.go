package cib_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"pgregory.net/rapid"
)

func readDocument(t testing.TB, parts ...string) *cib.Document {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// shuffled draws a document whose lists are parts of those of doc in another order, some objects changed.
func shuffled(t *rapid.T, doc *cib.Document) *cib.Document {
	out := doc.Clone()
	c := &out.Config
	c.Resources = someOf(t, c.Resources)
	c.Constraints = someOf(t, c.Constraints)
	c.Nodes = someOf(t, c.Nodes)
	c.Properties = someOf(t, c.Properties)
	c.Tags = someOf(t, c.Tags)
	c.Alerts = someOf(t, c.Alerts)
	c.Roles = someOf(t, c.Roles)
	c.Targets = someOf(t, c.Targets)
	c.Groups = someOf(t, c.Groups)
	c.Users = someOf(t, c.Users)
	c.FencingTopology = someOf(t, c.FencingTopology)
	c.Extra = someOf(t, c.Extra)
	for _, r := range c.Resources {
		if rapid.IntRange(0, 3).Draw(t, "change") == 0 {
			r.Description += "x"
		}
	}
	for i := range c.Constraints {
		if rapid.IntRange(0, 3).Draw(t, "change") == 0 {
			c.Constraints[i].Score = fmt.Sprint(rapid.IntRange(-5, 5).Draw(t, "score"))
		}
	}
	if rapid.Bool().Draw(t, "cluster") {
		c.Cluster = cib.ClusterSettings{Links: []cib.LinkSettings{{Name: "lan", Priority: 1}}, Timing: cib.TimingSettings{Profile: "fast"}}
	}
	return out
}

func someOf[T any](t *rapid.T, list []T) []T {
	list = slices.Clone(list)
	if len(list) == 0 {
		return nil
	}
	list = rapid.Permutation(list).Draw(t, "order")
	list = list[:rapid.IntRange(0, len(list)).Draw(t, "length")]
	if len(list) == 0 {
		return nil
	}
	return list
}

// TestDiffApply draws pairs of documents: the difference applied to the first gives the second, the first
// stays as it was, and there is no difference where there is none.
func TestDiffApply(t *testing.T) {
	t.Parallel()
	base := readDocument(t, "cibxml", "testdata", "everything.xml")
	rapid.Check(t, func(t *rapid.T) {
		old, new := shuffled(t, base), shuffled(t, base)
		before := old.Clone()
		changes := cib.Diff(old, new)
		got, err := cib.Apply(old, changes)
		if err != nil {
			t.Fatalf("Apply(Diff()): %v", err)
		}
		if !reflect.DeepEqual(old, before) {
			t.Fatal("Apply or Diff changed its input")
		}
		want := cib.WithoutPositions(new)
		want.Head, want.Status = cib.Head{}, cib.Status{}
		have := cib.WithoutPositions(got)
		have.Head, have.Status = cib.Head{}, cib.Status{}
		if !reflect.DeepEqual(have, want) {
			t.Fatalf("Apply(old, Diff(old, new)):\n%s\nwant\n%s", cibxml.WriteConfiguration(&have.Config, cibxml.Options{}), cibxml.WriteConfiguration(&want.Config, cibxml.Options{}))
		}
		if again := cib.Diff(got, new); len(again) != 0 {
			t.Fatalf("a second difference: %v", cib.Describe(got, again))
		}
		undo, err := cib.Undo(old, changes)
		if err != nil {
			t.Fatalf("Undo: %v", err)
		}
		back, err := cib.Apply(got, undo)
		if err != nil {
			t.Fatalf("Apply(Undo()): %v", err)
		}
		if left := cib.Diff(old, back); len(left) != 0 {
			t.Fatalf("after Undo there is a difference: %v", cib.Describe(old, left))
		}
		if lines := cib.Describe(old, changes); len(lines) < len(changes) && len(changes) > 0 {
			t.Fatalf("%d lines for %d changes", len(lines), len(changes))
		}
	})
}

// TestApply_Concurrent applies a change to a document that went on: other objects keep what became of them.
func TestApply_Concurrent(t *testing.T) {
	t.Parallel()
	doc := func(ids ...string) *cib.Document {
		d := &cib.Document{}
		for _, id := range ids {
			d.Config.Resources = append(d.Config.Resources, &cib.Resource{ID: id})
		}
		return d
	}
	changes := cib.Diff(doc("a", "b", "c"), doc("a", "x", "c"))
	got, err := cib.Apply(doc("n", "c", "b", "a", "m"), changes)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range got.Config.Resources {
		ids = append(ids, r.ID)
	}
	if want := "n c a x m"; strings.Join(ids, " ") != want {
		t.Errorf("resources = %v, want %v", ids, want)
	}
}

func TestApply_Refuses(t *testing.T) {
	t.Parallel()
	r := &cib.Object{Resource: &cib.Resource{ID: "a"}}
	for _, c := range []struct {
		name   string
		change cib.Change
		want   string
	}{
		{"unknown kind", cib.Change{Kind: "thing", ID: "a", Object: r}, "unknown kind"},
		{"missing", cib.Change{Kind: cib.KindResource, ID: "a"}, "remove resource a: no such object"},
		{"other kind", cib.Change{Kind: cib.KindTag, ID: "a", Object: r}, "not of this kind"},
		{"nothing", cib.Change{Kind: cib.KindTag, ID: "a", Object: &cib.Object{}}, "not of this kind"},
		{"other id", cib.Change{Kind: cib.KindResource, ID: "b", Object: r}, `has the id "a"`},
		{"cluster id", cib.Change{Kind: cib.KindCluster, ID: "b", Object: &cib.Object{Cluster: &cib.ClusterSettings{}}}, "without an id"},
		{"place", cib.Change{Kind: cib.KindResource, ID: "a", Object: r, Place: 9}, "unknown place 9"},
	} {
		if got, err := cib.Apply(&cib.Document{}, []cib.Change{c.change}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Apply() = %v, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	old := readDocument(t, "cibxml", "testdata", "everything.xml")
	new := old.Clone()
	c := &new.Config
	db := c.Resources[1]
	db.Params[0].Pairs[0].Value = "2 "
	db.Params[0].Rules[0].Conditions[0].Attribute.Value = "beta"
	db.Operations.List[0].Extra[0].Value = "30s"
	db.Operations.List = append(db.Operations.List, cib.Operation{ID: "o9", Name: "monitor", Interval: "77s"})
	db.Params[0].Pairs = append(db.Params[0].Pairs, cib.NVPair{ID: "s1", Name: "password", Value: "hush"}, cib.NVPair{ID: "s2", Name: "token", Value: "ref:file:/t"})
	db.Meta[0].Pairs = append(db.Meta[0].Pairs, cib.NVPair{ID: "n", Name: "priority", Value: "5"})
	c.Resources[3].Meta[0].ID = "other"
	c.Resources[4].Members[0].Members[0].Type = "Stateful"
	c.Constraints[0].Score = "200"
	c.Constraints[3].Role = ""
	c.Constraints = slices.Delete(c.Constraints, 8, 9)
	c.Tags = append(c.Tags, cib.Tag{ID: "new", Refs: []string{"db"}})
	c.Nodes[0], c.Nodes[1] = c.Nodes[1], c.Nodes[0]
	c.Properties[0].Pairs[0].Value = "freeze"
	c.Cluster.Timing.DeadAfter = "2s"
	got := strings.Join(cib.Describe(old, cib.Diff(old, new)), "\n")
	want := `~ cluster: timing dead-after: 1500ms -> 2s
~ properties cib-bootstrap-options: no-quorum-policy: stop -> freeze
> node beta (order)
~ primitive db: params rule: #uname eq string: literal: alpha and (x defined and x eq "") [score 0] -> #uname eq string: literal: beta and (x defined and x eq "") [score 0]
~ primitive db: params fake: 1 -> "2 "
~ primitive db: params password: (hidden) added
~ primitive db: params token: ref:file:/t added
~ primitive db: meta[db-m] priority: 5 added
~ primitive db: op monitor 10s: on-fail=restart role=Started timeout=20s -> on-fail=restart role=Started timeout=30s
~ primitive db: op monitor 77s added
~ group g: ids or notes only
~ clone c: group cg primitive cg1 agent: ocf:pacemaker:Dummy -> ocf:pacemaker:Stateful
- ticket t1
~ location l1: score: 100 -> 200
~ colocation c1: role: Started removed
+ tag new`
	if got != want {
		t.Errorf("Describe() =\n%s\nwant\n%s", got, want)
	}
}

func TestFindObject(t *testing.T) {
	t.Parallel()
	doc := readDocument(t, "cibxml", "testdata", "everything.xml")
	doc.Config.Tags = append(doc.Config.Tags, doc.Config.Tags[0], cib.Tag{})
	n := 0
	cib.Objects(&doc.Config, func(kind, id string, o cib.Object) {
		n++
		got, ok := cib.FindObject(&doc.Config, kind, id)
		if !ok || !got.Equal(&o) {
			t.Errorf("FindObject(%s, %s) = %v, %v", kind, id, got, ok)
		}
	})
	if n < 30 {
		t.Errorf("%d objects", n)
	}
	for _, id := range []string{"tag", "tag#2", "#3"} {
		if _, ok := cib.FindObject(&doc.Config, cib.KindTag, id); !ok {
			t.Errorf("no tag %s", id)
		}
	}
	if _, ok := cib.FindObject(&doc.Config, cib.KindTag, "x"); ok {
		t.Error("found a tag that is not there")
	}
}

func BenchmarkDiff(b *testing.B) {
	old := &cib.Document{}
	for i := range 5000 {
		old.Config.Resources = append(old.Config.Resources, &cib.Resource{ID: fmt.Sprint("r", i), Class: "ocf", Params: []cib.AttributeSet{{ID: "p", Pairs: make([]cib.NVPair, 5)}}})
	}
	for i := range 10000 {
		old.Config.Constraints = append(old.Config.Constraints, cib.Constraint{ID: fmt.Sprint("c", i), Resource: "a", With: "b"})
	}
	new := old.Clone()
	new.Config.Resources[77].Class = "lsb"
	b.ReportAllocs()
	for b.Loop() {
		if changes := cib.Diff(old, new); len(changes) != 1 {
			b.Fatalf("%d changes", len(changes))
		}
	}
}
