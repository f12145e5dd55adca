package command

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crm/cib"
)

// setConfig proposes the difference to what edit makes of the document.
func (c *cluster) setConfig(edit func(*cib.Document)) Outcome {
	c.t.Helper()
	doc := c.s.Document.Clone()
	edit(doc)
	return c.apply(&Entry{Kind: KindConfig, Actor: "uid:0", Config: &Config{Changes: cib.Diff(c.s.Document, doc), Force: true, Message: "why"}})
}

// TestAt changes a configuration at random, members included, and compares what At gives of each revision with the
// document that was there.
func TestAt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		c := found(t, "alpha", "beta")
		was := map[uint64]*cib.Document{}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0:
				name := fmt.Sprintf("n%d", c.s.Index)
				c.must(&Entry{Kind: KindMemberAdd, MemberAdd: &MemberAdd{Name: name, Key: []byte{9}, Feature: FeatureLevel}})
			case 1:
				live := c.s.Members[len(c.s.Members)-1]
				c.apply(&Entry{Kind: KindMemberRemove, MemberRemove: &MemberRemove{Name: live.Name}})
			case 2:
				c.must(&Entry{Kind: KindNodes, Time: 5, Nodes: &Nodes{Facts: []NodeFact{{Name: "alpha", Change: NodeJoined, Incarnation: c.s.Index, Boot: "b"}}}})
			default:
				c.setConfig(func(d *cib.Document) {
					id := fmt.Sprintf("r%d", rapid.IntRange(0, 5).Draw(rt, "resource"))
					var list []*cib.Resource
					for _, r := range d.Config.Resources {
						if r.ID != id {
							list = append(list, r)
						}
					}
					if rapid.Bool().Draw(rt, "keep") {
						at := rapid.IntRange(0, len(list)).Draw(rt, "place")
						r := &cib.Resource{ID: id, Class: "ocf", Provider: "h", Type: rapid.StringMatching("[A-C]").Draw(rt, "type")}
						list = append(list[:at:at], append([]*cib.Resource{r}, list[at:]...)...)
					}
					d.Config.Resources = list
				})
			}
			if c.s.Revision == c.s.Index {
				was[c.s.Index] = c.s.Document
			}
		}
		for _, ch := range c.s.Public().Changes {
			if !ch.Kept || len(ch.Undo) > 0 {
				t.Fatalf("Public: revision %d kept %v, %d bytes of content", ch.Index, ch.Kept, len(ch.Undo))
			}
			doc, err := c.s.At(ch.Index)
			if err != nil {
				t.Fatal(err)
			}
			want := was[ch.Index]
			if want == nil {
				continue // of found
			}
			if diff := cib.Diff(want, doc); len(diff) > 0 {
				t.Fatalf("At(%d) differs: %v", ch.Index, cib.Describe(want, diff))
			}
		}
	})
}

func TestAt_Gone(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha")
	first := c.s.Revision
	set := func(value string) {
		c.setConfig(func(d *cib.Document) {
			cib.SetValue(&d.Config, &d.Config.Properties, cib.BootstrapSet, "x", value)
		})
	}
	var gone *RevisionError
	if _, err := c.s.At(12345); !errors.As(err, &gone) || gone.Known || gone.Oldest != first {
		t.Errorf("At(12345): %v", err)
	}
	// More bytes than are kept: the oldest contents go, the records stay.
	big := strings.Repeat("x", maxUndo/2)
	for i := range 4 {
		set(fmt.Sprint(i) + big)
	}
	if _, err := c.s.At(first); !errors.As(err, &gone) || !gone.Known || gone.Oldest != c.s.Changes[len(c.s.Changes)-2].Index {
		t.Errorf("At(first): %v", err)
	}
	total := 0
	for _, ch := range c.s.Changes {
		total += len(ch.Undo)
	}
	if total > maxUndo {
		t.Errorf("%d bytes are kept, at most %d", total, maxUndo)
	}
	// As many records as are kept.
	for i := range maxChanges + 5 {
		set(fmt.Sprint("y", i))
	}
	if len(c.s.Changes) != maxChanges {
		t.Errorf("%d records, want %d", len(c.s.Changes), maxChanges)
	}
	if _, err := c.s.At(c.s.Changes[0].Index); err != nil {
		t.Errorf("the oldest record: %v", err)
	}
	if _, err := New().At(1); !errors.As(err, &gone) || gone.Oldest != 0 {
		t.Errorf("a new state: %v", err)
	}
}
