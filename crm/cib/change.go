package cib

import (
	"container/list"
	"fmt"
	"slices"
	"strings"
)

// Change sets or removes one object of a configuration.
type Change struct {
	Kind string // one of the Kind constants
	ID   string // of the object: see Object.ID
	// Object is the new value; nil removes the object.
	Object *Object
	// Place says where the object goes in the list of its kind. The order of resources and constraints
	// breaks ties in decisions.
	Place Place
	// After is the id of the object that it goes after, with PlaceAfter.
	After string
}

// Place says where a changed object goes in the list of its kind. The numbers are written to disk: append
// only.
type Place uint8

// Places.
const (
	PlaceKeep  Place = 0 // where it is; a new object goes to the end
	PlaceFirst Place = 1
	PlaceAfter Place = 2 // after Change.After; to the end where that does not exist
)

// Key is the object's key as ObjectKey makes it.
func (c *Change) Key() string { return ObjectKey(c.Kind, c.ID) }

// Diff returns the changes that lead from the configuration of old to that of new. Positions in texts and
// the status do not count. Applied to old, the changes give new; applied to another document they change
// the same objects there.
func Diff(old, new *Document) []Change {
	var out []Change
	for _, s := range sections {
		before, after := s.get(&old.Config), s.get(&new.Config)
		if len(before)+len(after) == 0 {
			continue
		}
		beforeIDs, afterIDs := objectIDs(s.kind, before), objectIDs(s.kind, after)
		at := make(map[string]int, len(before))
		for i, id := range beforeIDs {
			at[id] = i
		}
		kept := make(map[string]bool, len(after))
		for _, id := range afterIDs {
			kept[id] = true
		}
		for _, id := range beforeIDs {
			if !kept[id] {
				out = append(out, Change{Kind: s.kind, ID: id})
			}
		}
		stay := unmoved(afterIDs, at)
		for i, id := range afterIDs {
			c := Change{Kind: s.kind, ID: id, Object: &after[i]}
			b, had := at[id]
			if !stay[id] {
				c.Place = PlaceFirst
				if i > 0 {
					c.Place, c.After = PlaceAfter, afterIDs[i-1]
				}
				// The usual case, an object added at the end, needs no place.
				if !had && !slices.ContainsFunc(afterIDs[i:], func(id string) bool { return stay[id] }) {
					c.Place, c.After = PlaceKeep, ""
				}
			} else if had && before[b].Equal(&after[i]) {
				continue
			}
			o := after[i].Clone()
			c.Object = &o
			out = append(out, c)
		}
	}
	return out
}

// unmoved returns the ids of a longest list of objects whose order did not change: all others move.
func unmoved(after []string, before map[string]int) map[string]bool {
	// Patience sorting: tails[n] is the index in after of the last of the best run of n+1.
	var tails []int
	previous := make([]int, len(after))
	for i, id := range after {
		b, had := before[id]
		if !had {
			continue
		}
		n, _ := slices.BinarySearchFunc(tails, b, func(t, b int) int { return before[after[t]] - b })
		previous[i] = -1
		if n > 0 {
			previous[i] = tails[n-1]
		}
		if n == len(tails) {
			tails = append(tails, i)
		} else {
			tails[n] = i
		}
	}
	out := make(map[string]bool, len(tails))
	if len(tails) > 0 {
		for i := tails[len(tails)-1]; i >= 0; i = previous[i] {
			out[after[i]] = true
		}
	}
	return out
}

// Apply returns the document with the changes made. doc is not changed; what the changes do not touch is
// shared with it. A change that cannot be made, such as the removal of an object that does not exist, gives
// an error and no document. Whether the result makes sense is a matter of Check.
func Apply(doc *Document, changes []Change) (*Document, error) {
	out := *doc
	if places, ok := replaced(&doc.Config, changes); ok {
		for i := range changes {
			s := sectionOf(changes[i].Kind)
			if err := checkObject(*s, &changes[i]); err != nil {
				return nil, err
			}
			o := changes[i].Object.Clone()
			s.swap(&out.Config, places[i], &o)
		}
		return &out, nil
	}
	byKind := make(map[string][]*Change)
	for i := range changes {
		c := &changes[i]
		if !slices.ContainsFunc(sections, func(s section) bool { return s.kind == c.Kind }) {
			return nil, fmt.Errorf("change of %q: unknown kind of object", c.Key())
		}
		byKind[c.Kind] = append(byKind[c.Kind], c)
	}
	for _, s := range sections {
		if len(byKind[s.kind]) == 0 {
			continue
		}
		objects, err := applyKind(s, s.get(&out.Config), byKind[s.kind])
		if err != nil {
			return nil, err
		}
		s.put(&out.Config, objects)
	}
	return &out, nil
}

// entry is an object in the list that applyKind works on.
type entry struct {
	id     string
	object Object
}

func applyKind(s section, objects []Object, changes []*Change) ([]Object, error) {
	// A list with an index takes insertions anywhere at constant cost, however many objects move.
	order := list.New()
	at := make(map[string]*list.Element, len(objects))
	for i, id := range objectIDs(s.kind, objects) {
		at[id] = order.PushBack(entry{id, objects[i]})
	}
	for _, c := range changes {
		if c.Object != nil {
			continue
		}
		e := at[c.ID]
		if e == nil {
			return nil, fmt.Errorf("remove %s: no such object", c.Key())
		}
		order.Remove(e)
		delete(at, c.ID)
	}
	for _, c := range changes {
		if c.Object == nil {
			continue
		}
		if err := checkObject(s, c); err != nil {
			return nil, err
		}
		value := entry{c.ID, c.Object.Clone()}
		e := at[c.ID]
		if e == nil {
			e = order.PushBack(value)
			at[c.ID] = e
		} else {
			e.Value = value
		}
		switch c.Place {
		case PlaceKeep:
		case PlaceFirst:
			order.MoveToFront(e)
		case PlaceAfter:
			if after := at[c.After]; after != nil && after != e {
				order.MoveAfter(e, after)
			} else {
				order.MoveToBack(e)
			}
		default:
			return nil, fmt.Errorf("change of %s: unknown place %d", c.Key(), c.Place)
		}
	}
	out := make([]Object, 0, order.Len())
	for e := order.Front(); e != nil; e = e.Next() {
		out = append(out, e.Value.(entry).object)
	}
	return out, nil
}

// checkObject refuses an object that is not of the change's kind and id.
func checkObject(s section, c *Change) error {
	if !s.has(c.Object) {
		return fmt.Errorf("change of %s: the new value is not of this kind", c.Key())
	}
	id := c.Object.ID()
	if s.kind == KindCluster && c.ID != "" {
		return fmt.Errorf("change of %s: there is one object of this kind, without an id", c.Key())
	}
	if id != "" && id != c.ID && !strings.HasPrefix(c.ID, id+"#") {
		return fmt.Errorf("change of %s: the new value has the id %q", c.Key(), id)
	}
	return nil
}
