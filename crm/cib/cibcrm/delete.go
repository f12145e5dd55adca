package cibcrm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/crm/cib"
)

// Delete removes objects by id: resources, constraints, tags, nodes by name, sets of properties and defaults,
// and ACL and alert objects. What refers only to deleted objects goes too; sets, groups and tags lose the
// reference. Constraints on a deleted group or clone become constraints on its first member where that stays.
// On an error nothing is changed.
func (e *Editor) Delete(ids ...string) error {
	c := e.Config
	gone := make(map[string]bool, len(ids))
	for _, id := range ids {
		gone[id] = true
	}
	var rest []string
	nodes := make(map[string]bool) // a node and a resource may have the same name: the resource is meant
	done := make(map[string]bool)
	for _, id := range ids {
		if done[id] {
			continue
		}
		done[id] = true
		node := slices.ContainsFunc(c.Nodes, func(n cib.Node) bool { return n.Name == id })
		set := false
		for _, list := range [][]cib.AttributeSet{c.Properties, c.ResourceDefaults, c.OpDefaults} {
			set = set || slices.ContainsFunc(list, func(s cib.AttributeSet) bool { return s.ID == id })
		}
		switch {
		case e.hasObject(id):
			rest = append(rest, id)
		case node:
			nodes[id] = true
		case !set && (id != "fencing_topology" || len(c.FencingTopology) == 0):
			return fmt.Errorf("object %s does not exist", id)
		}
	}
	// What a container said of its members holds for the first of them that stays.
	saved := make([]cib.Constraint, len(c.Constraints))
	for i := range saved {
		saved[i] = c.Constraints[i].Clone()
	}
	notes := len(e.Notes)
	e.eachResource(func(r *cib.Resource) {
		if !gone[r.ID] {
			return
		}
		if heir := firstLeft(r, gone, 0); heir != "" {
			e.Retarget(r.ID, heir)
		}
	})
	if len(rest) > 0 {
		out, also, err := cib.Delete(&cib.Document{Config: *c}, true, rest...)
		if err != nil {
			c.Constraints, e.Notes = saved, e.Notes[:notes]
			return err
		}
		for _, id := range also {
			e.Notes = append(e.Notes, fmt.Sprintf("%s is deleted too: nothing is left of it", id))
		}
		*c = out.Config
		simplify(c.Constraints)
	}
	c.Nodes = slices.DeleteFunc(c.Nodes, func(n cib.Node) bool { return nodes[n.Name] })
	for _, list := range []*[]cib.AttributeSet{&c.Properties, &c.ResourceDefaults, &c.OpDefaults} {
		*list = slices.DeleteFunc(*list, func(s cib.AttributeSet) bool { return gone[s.ID] })
	}
	if gone["fencing_topology"] {
		c.FencingTopology = nil
	}
	e.ids = idsOf(c)
	return nil
}

// firstLeft returns the id of the first resource below r that is not deleted.
func firstLeft(r *cib.Resource, gone map[string]bool, depth int) string {
	const deepest = 8 // the model nests three levels
	if depth > deepest {
		return ""
	}
	for _, m := range r.Members {
		if !gone[m.ID] {
			return m.ID
		}
		if id := firstLeft(m, gone, depth+1); id != "" {
			return id
		}
	}
	return ""
}

// hasObject reports whether an object that cib.Delete removes has the id.
func (e *Editor) hasObject(id string) bool {
	if _, _, ok := Find(e.Config, id); ok {
		return true
	}
	found := false
	cib.Objects(e.Config, func(kind, own string, _ cib.Object) {
		switch kind {
		case cib.KindConstraint, cib.KindTag, cib.KindLevel, cib.KindACLRole, cib.KindACLUser, cib.KindACLTarget, cib.KindACLGroup, cib.KindAlert:
			found = found || own == id
		}
	})
	return found
}

// Member edits the members of a group.
type Member struct {
	Group, Resource string
	Remove          bool
	// Before or After name a member that the new one goes next to; both empty = to the end.
	Before, After string
}

// ModifyGroup adds a primitive to a group or takes one out. On an error nothing is changed.
func (e *Editor) ModifyGroup(m Member) error {
	g, _, ok := Find(e.Config, m.Group)
	if !ok || g.Kind != cib.Group {
		return fmt.Errorf("there is no group %s", m.Group)
	}
	at := slices.IndexFunc(g.Members, func(r *cib.Resource) bool { return r.ID == m.Resource })
	if m.Remove {
		switch {
		case at < 0:
			return fmt.Errorf("%s is not in group %s", m.Resource, m.Group)
		case len(g.Members) == 1:
			return fmt.Errorf("%s is the last member of %s: delete the group instead", m.Resource, m.Group)
		}
		r := g.Members[at]
		g.Members = slices.Delete(slices.Clone(g.Members), at, at+1)
		e.Config.Resources = append(e.Config.Resources, r)
		return nil
	}
	r, parent, ok := Find(e.Config, m.Resource)
	switch {
	case !ok:
		return fmt.Errorf("there is no resource %s", m.Resource)
	case r.Kind != cib.Primitive:
		return fmt.Errorf("%s is not a primitive: only primitives can be in a group", m.Resource)
	case parent == g:
		return fmt.Errorf("%s is in group %s already", m.Resource, m.Group)
	case parent != nil:
		return fmt.Errorf("%s is in %s already", m.Resource, parent.ID)
	}
	place := len(g.Members)
	if next := m.Before + m.After; next != "" {
		if m.Before != "" && m.After != "" {
			return errors.New("before and after exclude each other")
		}
		place = slices.IndexFunc(g.Members, func(r *cib.Resource) bool { return r.ID == next })
		if place < 0 {
			return fmt.Errorf("%s is not in group %s", next, m.Group)
		}
		if m.After != "" {
			place++
		}
	}
	e.detach(r)
	g.Members = slices.Insert(slices.Clone(g.Members), place, r)
	return nil
}

// simplify writes orders and colocations whose sets have shrunk to two resources as the constraints of two that
// they are. In one set of a colocation the later resource depends on the earlier; of two sets, the first depends
// on the second.
func simplify(list []cib.Constraint) {
	for i := range list {
		c := &list[i]
		if c.Kind != cib.Order && c.Kind != cib.Colocation {
			continue
		}
		c.Sets = slices.DeleteFunc(c.Sets, func(s cib.ResourceSet) bool { return len(s.Refs) == 0 && s.IDRef == "" })
		count, plain := 0, true
		for j := range c.Sets {
			s := &c.Sets[j]
			count += len(s.Refs)
			plain = plain && s.IDRef+s.Ordering+s.Score+s.Kind+s.Symmetrical == ""
			if len(s.Refs) > 1 {
				plain = plain && s.Sequential+s.RequireAll == ""
			}
		}
		if count != 2 || !plain {
			continue
		}
		x, y := &c.Sets[0], &c.Sets[len(c.Sets)-1]
		a, b := x.Refs[0], y.Refs[len(y.Refs)-1]
		if c.Kind == cib.Order {
			c.First, c.FirstAction, c.Then, c.ThenAction = a, x.Action, b, y.Action
		} else {
			if len(c.Sets) == 1 {
				a, b = b, a
			}
			c.Resource, c.Role, c.With, c.WithRole = a, x.Role, b, y.Role
		}
		c.Sets = nil
	}
}
