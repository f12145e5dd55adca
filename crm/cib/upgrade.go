package cib

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/rule"
)

// Upgrade returns the document with every older form translated into the newest one, as far as behaviour
// depends on it (spec/01-inputs.md section 3), and what was translated or dropped. doc is not changed; the
// result shares everything with it that needs no translation.
//
// The translations: of several nvpairs of one name in a block the first stays; a location constraint with
// several rules becomes several constraints; the rules of lifetime elements join those of the constraint;
// ping nodes become members on which nothing may run; stonith-action=poweroff becomes off; restart-type,
// can_fail and role_after_failure are dropped; resources of the classes upstart and nagios and rkt bundles
// are dropped with what refers to them; a master becomes a clone with promotable=true; ACLs of the oldest
// form become targets and roles. Documents of schemas before 3.0 also have the changes of that version: see
// before3.
func Upgrade(doc *Document) (*Document, []Problem) {
	out := *doc
	u := upgrader{doc: &out, ids: newIDSet(&doc.Config)}
	if s, ok := ParseSchema(doc.Head.ValidateWith); ok && s.Before(Schema{3, 0}) {
		u.before3()
		out.Head.ValidateWith = Newest.String()
	}
	u.properties()
	u.nodes()
	u.resources()
	u.constraints()
	u.acls()
	for _, list := range []*[]AttributeSet{&out.Config.Properties, &out.Config.ResourceDefaults, &out.Config.OpDefaults} {
		*list = u.uniqueNames(*list)
	}
	return &out, u.problems
}

type upgrader struct {
	doc      *Document
	problems []Problem
	ids      idSet
	dropped  map[string]bool // ids of dropped resources
	bans     []Constraint
}

// idSet hands out ids that a configuration does not have. It is filled when the first is asked for, since
// most documents need none.
type idSet struct {
	config *Configuration
	taken  map[string]bool
}

func newIDSet(c *Configuration) idSet { return idSet{config: c} }

func (s *idSet) fresh(want string) string {
	if s.taken == nil {
		s.taken = make(map[string]bool)
		EachID(s.config, func(id, _ string, _ Pos) { s.taken[id] = true })
	}
	id := want
	for n := 1; s.taken[id]; n++ {
		id = want + "-" + strconv.Itoa(n)
	}
	s.taken[id] = true
	return id
}

func (u *upgrader) note(pos Pos, where, format string, args ...any) {
	u.problems = append(u.problems, Problem{Pos: pos, Where: where, Text: fmt.Sprintf(format, args...)})
}

// uniqueNames drops all but the first pair of a name in each block.
func (u *upgrader) uniqueNames(list []AttributeSet) []AttributeSet {
	owned := false
	for i := range list {
		if !repeatsName(list[i].Pairs) {
			continue
		}
		if !owned {
			list, owned = slices.Clone(list), true
		}
		seen := make(map[string]bool, len(list[i].Pairs))
		kept := make([]NVPair, 0, len(list[i].Pairs))
		for _, p := range list[i].Pairs {
			if p.Name != "" && seen[p.Name] {
				u.note(p.Pos, "set "+list[i].ID, "%s is given again; the first value counts", p.Name)
				continue
			}
			seen[p.Name] = true
			kept = append(kept, p)
		}
		list[i].Pairs = kept
	}
	return list
}

func repeatsName(pairs []NVPair) bool {
	const few = 16
	if len(pairs) <= few {
		for i := range pairs {
			for j := range i {
				if pairs[i].Name == pairs[j].Name && pairs[i].Name != "" {
					return true
				}
			}
		}
		return false
	}
	seen := make(map[string]bool, len(pairs))
	for i := range pairs {
		if pairs[i].Name != "" && seen[pairs[i].Name] {
			return true
		}
		seen[pairs[i].Name] = true
	}
	return false
}

// properties translates values of cluster properties.
func (u *upgrader) properties() {
	c := &u.doc.Config
	owned := false
	for i := range c.Properties {
		for j := range c.Properties[i].Pairs {
			p := &c.Properties[i].Pairs[j]
			if (p.Name != "stonith-action" && p.Name != "fencing-action") || p.Value != "poweroff" {
				continue
			}
			if !owned {
				c.Properties, owned = CloneSets(c.Properties), true
			}
			c.Properties[i].Pairs[j].Value = "off"
			u.note(p.Pos, "property "+p.Name, "poweroff is now called off")
		}
	}
}

// nodes turns ping nodes into members that may run nothing.
func (u *upgrader) nodes() {
	c := &u.doc.Config
	owned := false
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if clean := u.uniqueNames(n.Attributes); len(clean) > 0 && &clean[0] != &n.Attributes[0] {
			if !owned {
				c.Nodes, owned = slices.Clone(c.Nodes), true
				n = &c.Nodes[i]
			}
			n.Attributes = clean
		}
		if clean := u.uniqueNames(n.Utilization); len(clean) > 0 && &clean[0] != &n.Utilization[0] {
			if !owned {
				c.Nodes, owned = slices.Clone(c.Nodes), true
				n = &c.Nodes[i]
			}
			n.Utilization = clean
		}
		if n.Type != "ping" {
			continue
		}
		if !owned {
			c.Nodes, owned = slices.Clone(c.Nodes), true
			n = &c.Nodes[i]
		}
		n.Type = "member"
		u.bans = append(u.bans, Constraint{
			Kind: Location, ID: u.ids.fresh("ping-node-" + n.Name), Pattern: ".*", Node: n.Name, Score: "-INFINITY", Pos: n.Pos,
		})
		u.note(n.Pos, "node "+n.Name, "ping nodes do not exist any more; it becomes a member on which nothing may run")
	}
}

// droppedClass reports whether resources of the class do not exist any more.
func droppedClass(class string) bool {
	return strings.EqualFold(class, "upstart") || strings.EqualFold(class, "nagios")
}

func (u *upgrader) resources() {
	c := &u.doc.Config
	templates := make(map[string]bool)
	for _, r := range c.Resources {
		if r.Kind == Template && droppedClass(r.Class) {
			templates[r.ID] = true
		}
	}
	out := make([]*Resource, 0, len(c.Resources))
	changed := false
	for _, r := range c.Resources {
		n := u.resource(r, templates, 0)
		changed = changed || n != r
		if n != nil {
			out = append(out, n)
		}
	}
	if changed {
		c.Resources = out
	}
}

// maxNesting is the deepest that resources may be nested: a clone of a group of primitives is three.
const maxNesting = 8

// resource returns the translated resource, r itself where nothing changes, nil where it is dropped.
func (u *upgrader) resource(r *Resource, templates map[string]bool, depth int) *Resource {
	if depth > maxNesting {
		return r
	}
	switch {
	case droppedClass(r.Class), r.Template != "" && templates[r.Template]:
		class := r.Class
		if class == "" {
			class = "upstart or nagios"
		}
		u.drop(r, "resources of class %s do not exist any more; it is dropped", class)
		return nil
	case r.Kind == Bundle && r.Bundle != nil && r.Bundle.Engine == "rkt":
		u.drop(r, "bundles of rkt do not exist any more; it is dropped")
		return nil
	}
	// own returns a copy that may be changed.
	n := r
	own := func() *Resource {
		if n == r {
			copied := *r
			n = &copied
		}
		return n
	}
	if len(r.Members) > 0 {
		members := make([]*Resource, 0, len(r.Members))
		changed := false
		for _, m := range r.Members {
			m2 := u.resource(m, templates, depth+1)
			changed = changed || m2 != m
			if m2 != nil {
				members = append(members, m2)
			}
		}
		if changed {
			if len(members) == 0 && r.Kind != Bundle {
				u.drop(r, "everything in it was dropped, and so is it")
				return nil
			}
			own().Members = members
		}
	}
	sets := func(field func(*Resource) *[]AttributeSet) {
		list := *field(n)
		clean := u.uniqueNames(list)
		if len(list) > 0 && &clean[0] != &list[0] {
			*field(own()) = clean
		}
	}
	sets(func(r *Resource) *[]AttributeSet { return &r.Params })
	sets(func(r *Resource) *[]AttributeSet { return &r.Meta })
	sets(func(r *Resource) *[]AttributeSet { return &r.Utilization })
	if hasName(n.Meta, "restart-type") {
		own().Meta = u.without(n.Meta, r, "restart-type")
	}
	if r.LegacyMaster {
		own().LegacyMaster = false
		n.Meta = append(u.without(n.Meta, nil, "promotable"), AttributeSet{
			ID: u.ids.fresh(r.ID + "-promotable"), Pos: r.Pos,
			Pairs: []NVPair{{ID: u.ids.fresh(r.ID + "-promotable-true"), Name: "promotable", Value: "true"}},
		})
		u.note(r.Pos, "resource "+r.ID, "the master element is now a clone with promotable=true")
	}
	if slices.ContainsFunc(n.Operations.List, staleOperation) {
		own().Operations.List = slices.Clone(n.Operations.List)
		for i := range n.Operations.List {
			op := &n.Operations.List[i]
			for _, name := range staleOperationNames {
				if hasName(op.Meta, name) {
					op.Meta = u.without(op.Meta, r, name)
				}
				if hasAttr(op.Extra, name) {
					op.Extra = slices.DeleteFunc(slices.Clone(op.Extra), func(a Attr) bool { return a.Name == name })
					u.note(op.Pos, "resource "+r.ID, "%s of operation %s has no effect any more", name, op.Name)
				}
			}
			op.Meta, op.Params = u.uniqueNames(op.Meta), u.uniqueNames(op.Params)
		}
	}
	return n
}

var staleOperationNames = []string{"can_fail", "role_after_failure"}

func staleOperation(op Operation) bool {
	for _, name := range staleOperationNames {
		if hasAttr(op.Extra, name) || hasName(op.Meta, name) {
			return true
		}
	}
	for _, list := range [][]AttributeSet{op.Meta, op.Params} {
		for i := range list {
			if repeatsName(list[i].Pairs) {
				return true
			}
		}
	}
	return false
}

func hasAttr(list []Attr, name string) bool {
	return slices.ContainsFunc(list, func(a Attr) bool { return a.Name == name })
}

func hasName(list []AttributeSet, name string) bool {
	return slices.ContainsFunc(list, func(s AttributeSet) bool {
		return slices.ContainsFunc(s.Pairs, func(p NVPair) bool { return p.Name == name })
	})
}

// without returns a copy of the sets without the named pairs; r is named in a message, if given.
func (u *upgrader) without(list []AttributeSet, r *Resource, name string) []AttributeSet {
	out := slices.Clone(list)
	for i := range out {
		out[i].Pairs = slices.DeleteFunc(slices.Clone(out[i].Pairs), func(p NVPair) bool {
			if p.Name == name && r != nil {
				u.note(p.Pos, "resource "+r.ID, "%s has no effect any more", name)
			}
			return p.Name == name
		})
	}
	return out
}

// drop notes that a resource with its members is dropped.
func (u *upgrader) drop(r *Resource, format string, args ...any) {
	if u.dropped == nil {
		u.dropped = make(map[string]bool)
	}
	u.note(r.Pos, "resource "+r.ID, format, args...)
	var mark func(r *Resource, depth int)
	mark = func(r *Resource, depth int) {
		u.dropped[r.ID] = true
		if depth <= maxNesting {
			for _, m := range r.Members {
				mark(m, depth+1)
			}
		}
	}
	mark(r, 0)
}

func (u *upgrader) constraints() {
	c := &u.doc.Config
	if u.dropped != nil {
		u.dropReferences()
	}
	stale := func(x Constraint) bool { return len(x.Lifetime) > 0 || len(x.Rules) > 1 && x.Kind == Location }
	if len(u.bans) == 0 && !slices.ContainsFunc(c.Constraints, stale) {
		return
	}
	out := make([]Constraint, 0, len(c.Constraints)+len(u.bans))
	for _, x := range c.Constraints {
		if len(x.Lifetime) > 0 {
			x = u.lifetime(x)
		}
		if x.Kind != Location || len(x.Rules) < 2 {
			out = append(out, x)
			continue
		}
		u.note(x.Pos, "location "+x.ID, "its %d rules become a constraint each", len(x.Rules))
		for i, r := range x.Rules {
			one := x
			one.Rules = []rule.Rule{r}
			if i > 0 {
				one.ID = u.ids.fresh(x.ID + "-" + strconv.Itoa(i))
			}
			out = append(out, one)
		}
	}
	c.Constraints = append(out, u.bans...)
}

// lifetime turns the lifetime rules of a constraint into conditions of its own rules. Of several lifetime
// rules one has to pass.
func (u *upgrader) lifetime(x Constraint) Constraint {
	if x.Kind != Location {
		u.note(x.Pos, "constraint "+x.ID, "lifetime exists in location constraints only; it is dropped")
		x.Lifetime = nil
		return x
	}
	u.note(x.Pos, "location "+x.ID, "its lifetime becomes part of its rule")
	life := make([]rule.Condition, len(x.Lifetime))
	for i := range x.Lifetime {
		r := x.Lifetime[i]
		r.Score, r.ScoreAttribute, r.Role = "", "", ""
		life[i] = rule.Condition{Rule: &r}
	}
	until := life[0]
	if len(life) > 1 {
		until = rule.Condition{Rule: &rule.Rule{ID: u.ids.fresh(x.ID + "-lifetime"), BooleanOp: "or", Conditions: life}}
	}
	x.Lifetime = nil
	if len(x.Rules) == 0 {
		r := rule.Rule{ID: u.ids.fresh(x.ID + "-rule"), Score: x.Score, Role: x.Role}
		if x.Node != "" {
			r.Conditions = append(r.Conditions, rule.Condition{Attribute: &rule.AttributeExpression{
				ID: u.ids.fresh(x.ID + "-rule-expression"), Attribute: "#uname", Operation: "eq", Value: x.Node, HasValue: true, Type: "string",
			}})
		}
		r.Conditions = append(r.Conditions, until)
		x.Rules = []rule.Rule{r}
		x.Node, x.Score, x.Role = "", "", ""
		return x
	}
	rules := make([]rule.Rule, len(x.Rules))
	for i := range x.Rules {
		r := x.Rules[i]
		outer := rule.Rule{ID: u.ids.fresh(x.ID + "-rule"), BooleanOp: "and", Role: r.Role, Score: r.Score, ScoreAttribute: r.ScoreAttribute}
		r.Role, r.Score, r.ScoreAttribute = "", "", ""
		outer.Conditions = []rule.Condition{{Rule: &r}, until}
		rules[i] = outer
	}
	x.Rules = rules
	return x
}

// dropReferences removes what refers to dropped resources.
func (u *upgrader) dropReferences() {
	c := &u.doc.Config
	gone := func(ids ...string) bool {
		return slices.ContainsFunc(ids, func(id string) bool { return u.dropped[id] })
	}
	kept := make([]Constraint, 0, len(c.Constraints))
	for _, x := range c.Constraints {
		if gone(x.Resource, x.With, x.First, x.Then) {
			u.note(x.Pos, "constraint "+x.ID, "is dropped with the resource that it names")
			continue
		}
		if len(x.Sets) > 0 {
			sets := make([]ResourceSet, 0, len(x.Sets))
			for _, s := range x.Sets {
				if gone(s.Refs...) {
					s.Refs = slices.DeleteFunc(slices.Clone(s.Refs), func(id string) bool { return u.dropped[id] })
				}
				if len(s.Refs) > 0 || s.IDRef != "" {
					sets = append(sets, s)
				}
			}
			if len(sets) == 0 {
				u.note(x.Pos, "constraint "+x.ID, "is dropped with the resources that it names")
				continue
			}
			x.Sets = sets
		}
		kept = append(kept, x)
	}
	c.Constraints = kept
	c.Tags = slices.Clone(c.Tags)
	for i := range c.Tags {
		c.Tags[i].Refs = slices.DeleteFunc(slices.Clone(c.Tags[i].Refs), func(id string) bool { return u.dropped[id] })
	}
}

// acls turns ACL users of the oldest form into targets with roles.
func (u *upgrader) acls() {
	c := &u.doc.Config
	legacy := func(p ACLPermission) bool { return p.Legacy }
	modern := func(list []ACLPermission) []ACLPermission {
		out := slices.Clone(list)
		for i := range out {
			out[i].Legacy = false
		}
		return out
	}
	if slices.ContainsFunc(c.Roles, func(r ACLRole) bool { return slices.ContainsFunc(r.Permissions, legacy) }) {
		c.Roles = slices.Clone(c.Roles)
		for i := range c.Roles {
			c.Roles[i].Permissions = modern(c.Roles[i].Permissions)
		}
	}
	if len(c.Users) == 0 {
		return
	}
	c.Roles, c.Targets = slices.Clone(c.Roles), slices.Clone(c.Targets)
	for _, user := range c.Users {
		roles := slices.Clone(user.RoleRefs)
		if len(user.Permissions) > 0 {
			id := u.ids.fresh("auto-" + user.ID)
			c.Roles = append(c.Roles, ACLRole{ID: id, Permissions: modern(user.Permissions), Pos: user.Pos})
			roles = append(roles, id)
		}
		c.Targets = append(c.Targets, ACLTarget{ID: user.ID, Roles: roles, Comments: user.Comments, Pos: user.Pos})
		u.note(user.Pos, "ACL user "+user.ID, "becomes an ACL target with roles")
	}
	c.Users = nil
}

// before3 makes the changes of schema 3.0, as the field's tools make them: properties with underscores get
// dashes; default-resource-stickiness, is-managed-default and default-action-timeout move into the
// defaults; requires of a start operation becomes a meta-attribute of its resource; pcmk_arg_map becomes
// pcmk_host_argument; nodes of type normal are members.
func (u *upgrader) before3() {
	c := &u.doc.Config
	c.Properties = CloneSets(c.Properties)
	var rsc, op []NVPair
	for i := range c.Properties {
		s := &c.Properties[i]
		s.Pairs = slices.DeleteFunc(s.Pairs, func(p NVPair) bool {
			to := &rsc
			switch name := strings.ReplaceAll(p.Name, "_", "-"); name {
			case "default-resource-stickiness":
				p.Name = "resource-stickiness"
			case "is-managed-default":
				p.Name = "is-managed"
			case "default-action-timeout":
				p.Name, to = "timeout", &op
			default:
				return false
			}
			u.note(p.Pos, "cluster properties", "a default of %s moves to rsc_defaults or op_defaults", p.Name)
			*to = append(*to, p)
			return true
		})
		for j := range s.Pairs {
			if name := strings.ReplaceAll(s.Pairs[j].Name, "_", "-"); name != s.Pairs[j].Name && PropertyOption(name) != nil {
				s.Pairs[j].Name = name
			}
		}
	}
	if len(rsc) > 0 {
		set := AttributeSet{ID: u.ids.fresh("upgraded-rsc-defaults"), Pairs: rsc}
		c.ResourceDefaults = append([]AttributeSet{set}, c.ResourceDefaults...)
	}
	if len(op) > 0 {
		set := AttributeSet{ID: u.ids.fresh("upgraded-op-defaults"), Pairs: op}
		c.OpDefaults = append([]AttributeSet{set}, c.OpDefaults...)
	}
	c.Nodes = slices.Clone(c.Nodes)
	for i := range c.Nodes {
		if c.Nodes[i].Type == "normal" {
			c.Nodes[i].Type = "member"
		}
	}
	c.Resources = each(c.Resources, (*Resource).Clone)
	for _, r := range c.Resources {
		u.resourceBefore3(r, 0)
	}
}

func (u *upgrader) resourceBefore3(r *Resource, depth int) {
	for i := range r.Operations.List {
		op := &r.Operations.List[i]
		op.Extra = slices.DeleteFunc(op.Extra, func(a Attr) bool {
			if a.Name != "requires" {
				return false
			}
			if op.Name == "start" {
				r.Meta = append(r.Meta, AttributeSet{ID: u.ids.fresh(r.ID + "-upgraded-requires"), Pos: op.Pos,
					Pairs: []NVPair{{ID: u.ids.fresh(op.ID + "-upgraded-requires"), Name: "requires", Value: a.Value}}})
				u.note(op.Pos, "resource "+r.ID, "requires of its start operation becomes a meta-attribute")
			}
			return true
		})
	}
	for i := range r.Params {
		for j := range r.Params[i].Pairs {
			if p := &r.Params[i].Pairs[j]; p.Name == "pcmk_arg_map" && strings.EqualFold(r.Class, "stonith") {
				p.Name, p.Value = "pcmk_host_argument", strings.TrimPrefix(p.Value, "port:")
			}
		}
	}
	if depth <= maxNesting {
		for _, m := range r.Members {
			u.resourceBefore3(m, depth+1)
		}
	}
}
