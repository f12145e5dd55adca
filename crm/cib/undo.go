package cib

import (
	"slices"
	"strings"
)

// Undo returns the changes that take back what changes, applied to doc, do: applied to the outcome they give the
// configuration of doc again. Its cost grows with the changes and the lists that they touch, not with what is in the
// objects. doc is the document before, and is not changed.
func Undo(doc *Document, changes []Change) ([]Change, error) {
	var out []Change
	if places, ok := replaced(&doc.Config, changes); ok {
		for i := range changes {
			o := sectionOf(changes[i].Kind).object(&doc.Config, places[i]).Clone()
			out = append(out, Change{Kind: changes[i].Kind, ID: changes[i].ID, Object: &o})
		}
		return out, nil
	}
	for _, s := range sections {
		mine := slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.Kind != s.kind })
		if len(mine) == 0 {
			continue
		}
		objects := s.get(&doc.Config)
		ids := objectIDs(s.kind, objects)
		if slices.ContainsFunc(ids, numbered) || slices.ContainsFunc(mine, func(c Change) bool { return numbered(c.ID) }) {
			// Names that count places are other names after the change: only a comparison of both is right.
			after, err := Apply(doc, mine)
			if err != nil {
				return nil, err
			}
			var old, new Document
			s.put(&old.Config, objects)
			s.put(&new.Config, s.get(&after.Config))
			out = append(out, Diff(&new, &old)...)
			continue
		}
		out = append(out, undoKind(objects, ids, mine)...)
	}
	return out, nil
}

// numbered reports ids that objectIDs made by counting.
func numbered(id string) bool { return strings.Contains(id, "#") }

func undoKind(objects []Object, ids []string, changes []Change) []Change {
	at := make(map[string]int, len(ids))
	for i, id := range ids {
		at[id] = i
	}
	var out []Change
	moved := make(map[int]bool) // places in the list before -> it must be put back there
	for i := range changes {
		c := &changes[i]
		if b, had := at[c.ID]; had {
			moved[b] = moved[b] || c.Object == nil || c.Place != PlaceKeep
		} else if c.Object != nil && !slices.ContainsFunc(out, func(o Change) bool { return o.ID == c.ID }) {
			out = append(out, Change{Kind: c.Kind, ID: c.ID})
		}
	}
	back := make([]int, 0, len(moved))
	for b := range moved {
		back = append(back, b)
	}
	slices.Sort(back)
	// In the old order each goes after the one it stood after, which is in its place by then.
	for _, b := range back {
		o := objects[b].Clone()
		c := Change{Kind: changes[0].Kind, ID: ids[b], Object: &o}
		if moved[b] {
			c.Place = PlaceFirst
			if b > 0 {
				c.Place, c.After = PlaceAfter, ids[b-1]
			}
		}
		out = append(out, c)
	}
	return out
}
