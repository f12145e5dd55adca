package cib

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/rule"
)

// Target says what kind of name a Reference holds.
type Target uint8

// Targets of references.
const (
	ToResource   Target = iota // a resource, or in constraints also a template or tag
	ToTemplate                 // a template
	ToNode                     // a node by name
	ToAny                      // any id
	ToSet                      // an id of a set of attributes
	ToPair                     // the id of an nvpair
	ToRule                     // the id of a rule
	ToOperations               // the id of an operations element
	ToOperation                // the id of an operation
	ToResourceSet
	ToACLRole
)

var targetNames = [...]string{"resource", "template", "node", "object", "set of attributes", "nvpair", "rule", "operations element", "operation", "resource set", "ACL role"}

// String says what is meant, such as "resource".
func (t Target) String() string {
	if int(t) < len(targetNames) {
		return targetNames[t]
	}
	return fmt.Sprintf("Target(%d)", uint8(t))
}

// Reference is a name in one object that stands for another.
type Reference struct {
	Kind, ID string // of the object that holds it: see Objects
	Where    string // the object as people call it, such as "location l1"
	Field    string // where in the object, such as "with-rsc" or "resource_set s1"
	Target   Target
	To       string
	Pos      Pos
}

// EachReference calls visit for every reference of the configuration, object by object.
func EachReference(c *Configuration, visit func(Reference)) {
	Objects(c, func(kind, id string, o Object) {
		v := referenceVisitor{kind: kind, id: id, where: title(&Change{Kind: kind, ID: id}, &o), visit: visit}
		v.object(&o)
	})
}

// References returns the references to an id (for ToNode: a node's name).
func References(c *Configuration, to string) []Reference {
	var out []Reference
	EachReference(c, func(r Reference) {
		if r.To == to {
			out = append(out, r)
		}
	})
	return out
}

type referenceVisitor struct {
	kind, id, where string
	visit           func(Reference)
}

func (v *referenceVisitor) add(field string, target Target, to string, pos Pos) {
	if to != "" {
		v.visit(Reference{Kind: v.kind, ID: v.id, Where: v.where, Field: field, Target: target, To: to, Pos: pos})
	}
}

func (v *referenceVisitor) sets(list []AttributeSet) {
	for i := range list {
		s := &list[i]
		v.add("id-ref", ToSet, s.IDRef, s.Pos)
		for _, p := range s.Pairs {
			v.add("nvpair id-ref", ToPair, p.IDRef, p.Pos)
		}
		v.rules(s.Rules, s.Pos, 0)
	}
}

func (v *referenceVisitor) rules(list []rule.Rule, pos Pos, depth int) {
	for i := range list {
		v.add("rule id-ref", ToRule, list[i].IDRef, pos)
		for _, c := range list[i].Conditions {
			if c.Rule != nil && depth < rule.MaxDepth {
				v.rules([]rule.Rule{*c.Rule}, pos, depth+1)
			}
		}
	}
}

func (v *referenceVisitor) object(o *Object) {
	switch {
	case o.Set != nil:
		v.sets([]AttributeSet{*o.Set})
	case o.Node != nil:
		v.sets(o.Node.Attributes)
		v.sets(o.Node.Utilization)
	case o.Resource != nil:
		v.resource(o.Resource, 0)
	case o.Constraint != nil:
		c := o.Constraint
		v.add("rsc", ToResource, c.Resource, c.Pos)
		v.add("with-rsc", ToResource, c.With, c.Pos)
		v.add("first", ToResource, c.First, c.Pos)
		v.add("then", ToResource, c.Then, c.Pos)
		v.add("node", ToNode, c.Node, c.Pos)
		for i := range c.Sets {
			s := &c.Sets[i]
			v.add("resource_set id-ref", ToResourceSet, s.IDRef, s.Pos)
			for _, ref := range s.Refs {
				v.add(strings.TrimSpace("resource_set "+s.ID), ToResource, ref, s.Pos)
			}
		}
		v.rules(c.Rules, c.Pos, 0)
		v.rules(c.Lifetime, c.Pos, 0)
	case o.Level != nil:
		v.add("target", ToNode, o.Level.Target, o.Level.Pos)
		for _, d := range o.Level.Devices {
			v.add("devices", ToResource, d, o.Level.Pos)
		}
	case o.Tag != nil:
		for _, ref := range o.Tag.Refs {
			v.add("obj_ref", ToAny, ref, o.Tag.Pos)
		}
	case o.Role != nil:
		for _, p := range o.Role.Permissions {
			v.add("reference", ToAny, p.Reference, o.Role.Pos)
		}
	case o.User != nil:
		for _, ref := range o.User.RoleRefs {
			v.add("role_ref", ToACLRole, ref, o.User.Pos)
		}
		for _, p := range o.User.Permissions {
			v.add("reference", ToAny, p.Reference, o.User.Pos)
		}
	case o.Target != nil:
		for _, ref := range o.Target.Roles {
			v.add("role", ToACLRole, ref, o.Target.Pos)
		}
	case o.Alert != nil:
		v.sets(o.Alert.Params)
		v.sets(o.Alert.Meta)
		for i := range o.Alert.Recipients {
			v.sets(o.Alert.Recipients[i].Params)
			v.sets(o.Alert.Recipients[i].Meta)
		}
	}
}

func (v *referenceVisitor) resource(r *Resource, depth int) {
	v.add("template", ToTemplate, r.Template, r.Pos)
	v.sets(r.Params)
	v.sets(r.Meta)
	v.sets(r.Utilization)
	v.add("operations id-ref", ToOperations, r.Operations.IDRef, r.Pos)
	v.sets(r.Operations.Attributes)
	for i := range r.Operations.List {
		op := &r.Operations.List[i]
		v.add("op id-ref", ToOperation, op.IDRef, op.Pos)
		v.sets(op.Params)
		v.sets(op.Meta)
	}
	if depth <= maxNesting {
		for _, m := range r.Members {
			v.resource(m, depth+1)
		}
	}
}

// EachResource calls visit for every resource at every level, parents before members, with its parent (nil
// at the top).
func EachResource(c *Configuration, visit func(r, parent *Resource)) {
	var walk func(r, parent *Resource, depth int)
	walk = func(r, parent *Resource, depth int) {
		visit(r, parent)
		if depth <= maxNesting {
			for _, m := range r.Members {
				walk(m, r, depth+1)
			}
		}
	}
	for _, r := range c.Resources {
		walk(r, nil, 0)
	}
}

// Rename returns the document in which the resource, template, constraint, tag, fencing level, ACL role or
// alert with the id old is called new, with all references to it. doc is not changed. Ids that were made
// from the old one, such as "old-meta_attributes", stay. The status section is not changed either: a
// resource that has a history must be stopped before it is renamed, which is for the caller to see to.
func Rename(doc *Document, old, new string) (*Document, error) {
	if why := badID(new); why != "" {
		return nil, fmt.Errorf("rename %s to %q: %s", old, new, why)
	}
	taken := false
	EachID(&doc.Config, func(id, _ string, _ Pos) { taken = taken || id == new })
	if taken {
		return nil, fmt.Errorf("rename %s to %s: there is an object with the id %s already", old, new, new)
	}
	out := *doc
	out.Config = doc.Config.Clone()
	c := &out.Config
	found := false
	change := func(list ...*string) {
		for _, s := range list {
			if *s == old {
				*s = new
			}
		}
	}
	own := func(id *string) {
		if *id == old {
			*id, found = new, true
		}
	}
	each := func(list []string) {
		for i := range list {
			change(&list[i])
		}
	}
	EachResource(c, func(r, _ *Resource) {
		own(&r.ID)
		change(&r.Template)
	})
	for i := range c.Constraints {
		x := &c.Constraints[i]
		own(&x.ID)
		change(&x.Resource, &x.With, &x.First, &x.Then)
		for j := range x.Sets {
			each(x.Sets[j].Refs)
		}
	}
	for i := range c.Tags {
		own(&c.Tags[i].ID)
		each(c.Tags[i].Refs)
	}
	for i := range c.FencingTopology {
		own(&c.FencingTopology[i].ID)
		each(c.FencingTopology[i].Devices)
	}
	permissions := func(list []ACLPermission) {
		for i := range list {
			change(&list[i].Reference)
		}
	}
	for i := range c.Roles {
		own(&c.Roles[i].ID)
		permissions(c.Roles[i].Permissions)
	}
	for i := range c.Users {
		each(c.Users[i].RoleRefs)
		permissions(c.Users[i].Permissions)
	}
	for i := range c.Targets {
		each(c.Targets[i].Roles)
	}
	for i := range c.Groups {
		each(c.Groups[i].Roles)
	}
	for i := range c.Alerts {
		own(&c.Alerts[i].ID)
	}
	if !found {
		return nil, fmt.Errorf("rename %s: no resource, constraint, tag, fencing level, ACL role or alert has this id", old)
	}
	return &out, nil
}

// InUseError refuses to delete objects that others refer to.
type InUseError struct{ References []Reference }

// Error implements error.
func (e *InUseError) Error() string {
	const most = 5
	parts := make([]string, 0, most)
	for i, r := range e.References {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(e.References)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%s refers to %s", r.Where, r.To))
	}
	return strings.Join(parts, ", ")
}

// Delete returns the document without the resources (at any level), templates, constraints, tags, fencing
// levels, ACL roles, users, targets and alerts of the given ids. Members of a deleted group or clone stay,
// one level up, unless they are named as well. With references, what refers to the deleted objects is deleted
// too, or loses the reference where others remain in it (sets, tags, fencing levels, groups); a group, clone
// or bundle that becomes empty is deleted. Without, such references are an *InUseError. What was deleted
// besides the given objects is returned by id. doc is not changed.
func Delete(doc *Document, references bool, ids ...string) (out *Document, also []string, err error) {
	gone := make(map[string]bool)
	have := make(map[string]bool)
	c := doc.Config.Clone()
	EachResource(&c, func(r, _ *Resource) { have[r.ID] = true })
	Objects(&c, func(_, id string, _ Object) { have[id] = true })
	for _, id := range ids {
		if !have[id] || id == "" {
			return nil, nil, fmt.Errorf("delete %s: no object has this id", id)
		}
		gone[id] = true
	}
	if !references {
		var used []Reference
		EachReference(&c, func(r Reference) {
			if gone[r.To] && r.Target != ToNode && !gone[r.ID] {
				used = append(used, r)
			}
		})
		if len(used) > 0 {
			return nil, nil, &InUseError{used}
		}
	}
	d := deletion{gone: gone}
	// Deleting may empty an object, which is deleted in turn, until nothing more changes.
	for changed := true; changed; {
		before := len(gone)
		c.Resources = d.resources(c.Resources, 0)
		c.Constraints = slices.DeleteFunc(c.Constraints, d.constraint)
		for i := range c.Constraints {
			x := &c.Constraints[i]
			x.Sets = slices.DeleteFunc(x.Sets, func(s ResourceSet) bool { return len(s.Refs) == 0 && s.IDRef == "" })
		}
		c.Tags = slices.DeleteFunc(c.Tags, func(t Tag) bool { return d.list(t.ID, t.Refs) })
		for i := range c.Tags {
			c.Tags[i].Refs = d.without(c.Tags[i].Refs)
		}
		c.FencingTopology = slices.DeleteFunc(c.FencingTopology, func(l FencingLevel) bool { return d.list(l.ID, l.Devices) })
		for i := range c.FencingTopology {
			c.FencingTopology[i].Devices = d.without(c.FencingTopology[i].Devices)
		}
		c.Roles = slices.DeleteFunc(c.Roles, func(r ACLRole) bool { return gone[r.ID] })
		for i := range c.Roles {
			c.Roles[i].Permissions = d.permissions(c.Roles[i].Permissions)
		}
		c.Users = slices.DeleteFunc(c.Users, func(u ACLUser) bool { return gone[u.ID] })
		for i := range c.Users {
			c.Users[i].RoleRefs = d.without(c.Users[i].RoleRefs)
			c.Users[i].Permissions = d.permissions(c.Users[i].Permissions)
		}
		target := func(t ACLTarget) bool { return gone[t.ID] }
		c.Targets = slices.DeleteFunc(c.Targets, target)
		c.Groups = slices.DeleteFunc(c.Groups, target)
		for _, list := range [][]ACLTarget{c.Targets, c.Groups} {
			for i := range list {
				list[i].Roles = d.without(list[i].Roles)
			}
		}
		c.Alerts = slices.DeleteFunc(c.Alerts, func(a Alert) bool { return gone[a.ID] })
		changed = len(gone) != before
	}
	copied := *doc
	copied.Config = c
	named := make(map[string]bool, len(ids))
	for _, id := range ids {
		named[id] = true
	}
	for id := range gone {
		if !named[id] {
			also = append(also, id)
		}
	}
	slices.Sort(also)
	if !references && len(also) > 0 {
		// A group or clone that becomes empty goes, but not what refers to it.
		var used []Reference
		EachReference(&doc.Config, func(r Reference) {
			if r.Target != ToNode && !named[r.ID] && slices.Contains(also, r.To) {
				used = append(used, r)
			}
		})
		if len(used) > 0 {
			return nil, nil, &InUseError{used}
		}
	}
	return &copied, also, nil
}

type deletion struct{ gone map[string]bool }

func (d *deletion) without(list []string) []string {
	return slices.DeleteFunc(list, func(id string) bool { return d.gone[id] })
}

// list reports whether an object goes, because of its id or because all that it lists goes.
func (d *deletion) list(id string, refs []string) bool {
	if d.gone[id] {
		return true
	}
	if len(refs) == 0 || slices.ContainsFunc(refs, func(ref string) bool { return !d.gone[ref] }) {
		return false
	}
	d.gone[id] = true
	return true
}

func (d *deletion) permissions(list []ACLPermission) []ACLPermission {
	return slices.DeleteFunc(list, func(p ACLPermission) bool { return p.Reference != "" && d.gone[p.Reference] })
}

func (d *deletion) constraint(c Constraint) bool {
	if d.gone[c.ID] {
		return true
	}
	for _, id := range []string{c.Resource, c.With, c.First, c.Then} {
		if id != "" && d.gone[id] {
			d.gone[c.ID] = true
			return true
		}
	}
	if len(c.Sets) == 0 {
		return false
	}
	left := 0
	for i := range c.Sets {
		c.Sets[i].Refs = d.without(c.Sets[i].Refs)
		if len(c.Sets[i].Refs) > 0 || c.Sets[i].IDRef != "" {
			left++
		}
	}
	if left == 0 {
		d.gone[c.ID] = true
		return true
	}
	return false
}

// resources removes what goes from a list of resources.
func (d *deletion) resources(list []*Resource, depth int) []*Resource {
	var out []*Resource
	for _, r := range list {
		if depth <= maxNesting {
			had := len(r.Members)
			r.Members = d.resources(r.Members, depth+1)
			if had > 0 && len(r.Members) == 0 && r.Kind != Bundle {
				d.gone[r.ID] = true
			}
		}
		if r.Template != "" && d.gone[r.Template] {
			d.gone[r.ID] = true
		}
		switch {
		case !d.gone[r.ID]:
			out = append(out, r)
		case len(r.Members) > 0:
			out = append(out, r.Members...)
		}
	}
	return out
}

// badID returns why id cannot be an id; "" = it can. Ids are XML names without a colon, which the field's
// tools use for the instances of clones.
func badID(id string) string {
	const most = 256
	if id == "" {
		return "an id is missing"
	}
	if len(id) > most {
		return fmt.Sprintf("an id of %d bytes is too long; at most %d", len(id), most)
	}
	for i, r := range id {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r >= 0x80 && r != 0xfffd
		if !letter && (i == 0 || !(r >= '0' && r <= '9') && r != '-' && r != '.') {
			if i == 0 {
				return fmt.Sprintf("an id cannot start with %q; start it with a letter or underscore", r)
			}
			return fmt.Sprintf("an id cannot have %q; use letters, digits, dot, dash and underscore", r)
		}
	}
	return ""
}
