package cib_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"pgregory.net/rapid"
)

// TestChangeError draws changes of objects of documents without errors and compares the judgement of the change with that of a
// check of the whole document. Method: strings, booleans and list elements anywhere in the objects are replaced by others of
// the same document or by words that mean something somewhere, so that ids clash, references break and values become none.
func TestChangeError(t *testing.T) {
	t.Parallel()
	var docs []*cib.Document
	corpus, _ := filepath.Glob(filepath.Join("..", "..", "..", "shared", "conformance", "scheduler", "xml", "*.xml"))
	files, _ := filepath.Glob(filepath.Join("..", "status", "testdata", "*.xml"))
	for i := 0; i < len(corpus); i += 10 {
		files = append(files, corpus[i])
	}
	for _, file := range files {
		if doc := readDocument(t, file); cib.FirstError(doc) == nil {
			docs = append(docs, doc)
		}
	}
	if len(docs) == 0 {
		t.Fatal("no document without errors")
	}
	words := make([][]string, len(docs))
	for i := range docs {
		words[i] = wordsOf(docs[i])
	}
	refused, accepted, quick := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, len(docs)-1).Draw(t, "document")
		before := docs[n]
		type object struct {
			kind, id string
			o        cib.Object
		}
		var all []object
		cib.Objects(&before.Config, func(kind, id string, o cib.Object) { all = append(all, object{kind, id, o}) })
		var changes []cib.Change
		for range rapid.IntRange(1, 2).Draw(t, "changes") {
			x := rapid.SampledFrom(all).Draw(t, "object")
			if slices.ContainsFunc(changes, func(c cib.Change) bool { return c.Kind == x.kind && c.ID == x.id }) {
				continue
			}
			c := cib.Change{Kind: x.kind, ID: x.id}
			if rapid.IntRange(0, 9).Draw(t, "keep") > 0 {
				o := x.o.Clone()
				for range rapid.IntRange(0, 2).Draw(t, "mutations") {
					mutate(t, reflect.ValueOf(&o).Elem(), words[n])
				}
				c.Object = &o
			}
			changes = append(changes, c)
		}
		after, err := cib.Apply(before, changes)
		if err != nil {
			return // the state refuses it before it is checked
		}
		got, want := cib.ChangeError(before, after, changes), cib.FirstError(after)
		switch {
		case !reflect.DeepEqual(got, want):
			t.Fatalf("ChangeError() = %v, a check of all says %v, for\n%v", got, want, cib.Describe(before, changes))
		case want != nil:
			refused++
		default:
			accepted++
		}
		if cib.ValuesOnly(before, after, changes) {
			quick++
		}
	})
	t.Logf("%d changes refused, %d accepted, of these %d without a check of the whole document", refused, accepted, quick)
	// With -short the rounds are too few to tell.
	if !testing.Short() && (refused < 10 || quick < 10 || accepted == quick) {
		t.Error("the changes leave too little to compare")
	}
}

// wordsOf lists what stands in a document, and words that mean something.
func wordsOf(doc *cib.Document) []string {
	seen := map[string]bool{}
	for _, w := range []string{"", "x", "1x", "true", "false", "INFINITY", "-INFINITY", "10s", "-5", "remote-node", "collocated", "ordered", "ocf",
		"stonith", "pacemaker", "remote", "member", "Promoted", "Mandatory", "auto", "no", "a b", "interleave", "target-role", "fencing-enabled", "1"} {
		seen[w] = true
	}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			seen[v.String()] = true
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		}
	}
	walk(reflect.ValueOf(doc.Config))
	out := make([]string, 0, len(seen))
	for w := range seen {
		out = append(out, w)
	}
	slices.Sort(out)
	return out
}

// mutate changes one thing somewhere in an object.
func mutate(t *rapid.T, object reflect.Value, words []string) {
	var leaves []reflect.Value
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String, reflect.Bool:
			leaves = append(leaves, v)
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Field(i).CanSet() {
					walk(v.Field(i))
				}
			}
		case reflect.Slice:
			leaves = append(leaves, v)
			for i := range v.Len() {
				walk(v.Index(i))
			}
		}
	}
	walk(object)
	if len(leaves) == 0 {
		return
	}
	switch v := leaves[rapid.IntRange(0, len(leaves)-1).Draw(t, "where")]; v.Kind() {
	case reflect.String:
		v.SetString(rapid.SampledFrom(words).Draw(t, "word"))
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
			if e := v.Index(0); e.Kind() == reflect.Pointer {
				e.Set(reflect.New(e.Type().Elem()))
			}
		} else if at := rapid.IntRange(0, v.Len()-1).Draw(t, "element"); rapid.Bool().Draw(t, "double") {
			v.Set(reflect.Append(v, v.Index(at)))
		} else {
			v.Set(reflect.AppendSlice(v.Slice(0, at), v.Slice(at+1, v.Len())))
		}
	}
}

// TestChangeError_Others: a value that looks like one of the object alone and is not.
func TestChangeError_Others(t *testing.T) {
	t.Parallel()
	group := func(collocated string) *cib.Resource {
		member := func(id string) *cib.Resource { return &cib.Resource{ID: id, Class: "lsb", Type: "x"} }
		return &cib.Resource{Kind: cib.Group, ID: "g", Members: []*cib.Resource{member("a"), member("b")},
			Meta: []cib.AttributeSet{{ID: "m", Pairs: []cib.NVPair{{ID: "p", Name: "collocated", Value: collocated}}}}}
	}
	apart := cib.Constraint{Kind: cib.Colocation, ID: "c", Resource: "a", With: "b", Score: "-INFINITY"}
	remote := func(name string) *cib.Resource {
		return &cib.Resource{ID: "vm", Class: "lsb", Type: "x", Meta: []cib.AttributeSet{{ID: "vm-m", Pairs: []cib.NVPair{{ID: "vm-p", Name: "remote-node", Value: name}}}}}
	}
	for _, row := range []struct {
		name   string
		before cib.Configuration
		change cib.Change
	}{
		{"members that must be apart are bound", cib.Configuration{Resources: []*cib.Resource{group("false")}, Constraints: []cib.Constraint{apart}},
			cib.Change{Kind: cib.KindResource, ID: "g", Object: &cib.Object{Resource: group("true")}}},
		{"a guest that a tag names gets another name", cib.Configuration{Resources: []*cib.Resource{remote("guest")}, Tags: []cib.Tag{{ID: "t", Refs: []string{"guest"}}}},
			cib.Change{Kind: cib.KindResource, ID: "vm", Object: &cib.Object{Resource: remote("other")}}},
		{"all links of a node are disabled", cib.Configuration{Nodes: []cib.Node{{ID: "1", Name: "n", Links: []cib.NodeLink{{Link: "lan", Address: "::1"}}}}},
			cib.Change{Kind: cib.KindCluster, Object: &cib.Object{Cluster: &cib.ClusterSettings{Links: []cib.LinkSettings{{Name: "lan", Disabled: true}}}}}},
	} {
		before := &cib.Document{Config: row.before}
		if p := cib.FirstError(before); p != nil {
			t.Fatalf("%s: before: %v", row.name, p)
		}
		changes := []cib.Change{row.change}
		after, err := cib.Apply(before, changes)
		if err != nil {
			t.Fatal(err)
		}
		if p := cib.ChangeError(before, after, changes); p == nil {
			t.Errorf("%s: ChangeError() = nil, want an error", row.name)
		}
	}
}

// BenchmarkChangeError judges a new value of one parameter among many resources, and for comparison all of the document.
func BenchmarkChangeError(b *testing.B) {
	for _, size := range []int{100, 1000} {
		before := &cib.Document{}
		for i := range size {
			id := fmt.Sprint("r", i)
			before.Config.Resources = append(before.Config.Resources, &cib.Resource{ID: id, Class: "ocf", Provider: "quorate", Type: "Stamp",
				Params:     []cib.AttributeSet{{ID: id + "-p", Pairs: []cib.NVPair{{ID: id + "-p1", Name: "base", Value: "x"}}}},
				Operations: cib.Operations{List: []cib.Operation{{ID: id + "-o", Name: "monitor", Interval: "10s"}}}})
		}
		o := cib.Object{Resource: before.Config.Resources[size/2].Clone()}
		o.Resource.Params[0].Pairs[0].Value = "y"
		changes := []cib.Change{{Kind: cib.KindResource, ID: o.Resource.ID, Object: &o}}
		after, err := cib.Apply(before, changes)
		if err != nil {
			b.Fatal(err)
		}
		for name, judge := range map[string]func() *cib.Problem{
			"change": func() *cib.Problem { return cib.ChangeError(before, after, changes) },
			"all":    func() *cib.Problem { return cib.FirstError(after) },
		} {
			b.Run(fmt.Sprintf("%s/resources=%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if p := judge(); p != nil {
						b.Fatal(p)
					}
				}
			})
		}
	}
}
