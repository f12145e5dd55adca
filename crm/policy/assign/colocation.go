package assign

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// other is the resource on the far side of a colocation.
func other(c *model.Colocation, asDependent bool) *model.Resource {
	if asDependent {
		return c.Primary
	}
	return c.Dependent
}

// compareOthers orders colocations by the resource on the far side: negative = x first (section 6.2).
func compareOthers(x, y *model.Resource) int {
	if x == y {
		return 0
	}
	switch {
	case x.Priority > y.Priority:
		return -1
	case x.Priority < y.Priority:
		return 1
	case x.Kind > y.Kind:
		return -1
	case x.Kind < y.Kind:
		return 1
	}
	if p, q := promotable(x), promotable(y); p != q {
		if p {
			return -1
		}
		return 1
	}
	switch {
	case x.ID < y.ID:
		return -1
	case x.ID > y.ID:
		return 1
	}
	return 0
}

// insertColocation returns list with c at its place; among equal ones the newest is first. The list given is
// not changed.
func insertColocation(list []*model.Colocation, c *model.Colocation, asDependent bool) []*model.Colocation {
	at := len(list)
	for i, e := range list {
		if compareOthers(other(c, asDependent), other(e, asDependent)) <= 0 {
			at = i
			break
		}
	}
	out := make([]*model.Colocation, 0, len(list)+1)
	out = append(out, list[:at]...)
	out = append(out, c)
	return append(out, list[at:]...)
}

// sortedColocations returns a list that is in order of addition in the order of section 6.2.
func sortedColocations(list []*model.Colocation, asDependent bool) []*model.Colocation {
	out := make([]*model.Colocation, len(list))
	for i, c := range list {
		out[len(list)-1-i] = c
	}
	sortStable(out, func(x, y *model.Colocation) bool {
		return compareOthers(other(x, asDependent), other(y, asDependent)) < 0
	})
	return out
}

// mergeColocations adds a whole list to another one. Where both have elements, the first element of the
// added list is inserted once per element and the others are lost: that is what Pacemaker does
// (section 6.2), and decisions have to agree with it.
func mergeColocations(to, from []*model.Colocation, asDependent bool) []*model.Colocation {
	if len(to) == 0 {
		return from
	}
	for range from {
		to = insertColocation(to, from[0], asDependent)
	}
	return to
}

// ThisWith lists the colocations that have r as the dependent, directly or through what it belongs to, in the
// order of section 6.1 and 6.2. Prepare must have run. The list is not to be changed.
func ThisWith(_ *model.Cluster, r *model.Resource) []*model.Colocation { return colocations(r, true) }

// WithThis lists the colocations that have r as the primary.
func WithThis(_ *model.Cluster, r *model.Resource) []*model.Colocation { return colocations(r, false) }

func own(r *model.Resource, asDependent bool) []*model.Colocation {
	if asDependent {
		return r.ThisWith
	}
	return r.WithThis
}

func colocations(r *model.Resource, asDependent bool) []*model.Colocation {
	list := own(r, asDependent)
	p := r.Parent
	if r.Kind == cib.Group {
		return groupColocations(list, r, nil, asDependent)
	}
	if p == nil {
		return list
	}
	switch p.Kind {
	case cib.Group:
		first, final := r == p.Children[0], r == last(p)
		if asDependent && first || !asDependent && final {
			list = mergeColocations(list, own(p, asDependent), asDependent)
			return groupColocations(list, p, r, asDependent)
		}
		if asDependent {
			for _, earlier := range p.Children {
				if earlier == r {
					break
				}
				if earlier.Managed {
					continue
				}
				for _, c := range p.ThisWith {
					if c.Score >= model.Infinity {
						list = insertColocation(list, c, true)
					}
				}
				break
			}
		}
	case cib.Clone:
		list = mergeColocations(list, own(p, asDependent), asDependent)
		if b := p.Parent; b != nil && b.Kind == cib.Bundle && promotable(p) && r.AssignedDone {
			list = mergeColocations(list, own(b, asDependent), asDependent)
		}
	case cib.Bundle:
		switch {
		case r.Replica != nil && r == r.Replica.Container:
			list = mergeColocations(list, own(p, asDependent), asDependent)
		case r == p.Bundle.Inner && promotable(r) && r.Clone.PromotionMerged:
			list = mergeColocations(list, own(p, asDependent), asDependent)
		}
	}
	return list
}

// groupColocations adds to list what a group gets: its own colocations are in the list already when list
// belongs to a member. except is the member whose own colocations are in the list; nil = none.
func groupColocations(list []*model.Colocation, group, except *model.Resource, asDependent bool) []*model.Colocation {
	if p := group.Parent; p != nil && p.Kind == cib.Clone {
		list = mergeColocations(list, own(p, asDependent), asDependent)
	}
	if group.GroupUncolocated {
		return list
	}
	for _, member := range group.Children {
		if member == except {
			continue
		}
		for _, c := range own(member, asDependent) {
			if c.Explicit {
				list = insertColocation(list, c, asDependent)
			}
		}
	}
	return list
}

// attribute is the value of a node attribute that a colocation of r compares. ok is false when there is none.
func attribute(n *model.Node, name string, r *model.Resource) (value string, ok bool) {
	if n == nil {
		return "", false
	}
	if n.Kind == model.BundleNode && inBundledClone(r) {
		if n = hostOf(n); n == nil {
			return "", false
		}
		r = nil
	}
	if name == uname && (r == nil || !r.AttributeTargetHost) {
		return n.Name, true
	}
	return values.NodeAttribute(n, name, r, true)
}

// inBundledClone reports whether r is the implicit clone of a bundle or an instance of it.
func inBundledClone(r *model.Resource) bool {
	for ; r != nil && r.Parent != nil; r = r.Parent {
		if r.Parent.Kind == cib.Bundle {
			return r == r.Parent.Bundle.Inner
		}
	}
	return false
}

// hostOf is the node that the container of a guest or bundle node was given; other nodes stand for themselves.
func hostOf(n *model.Node) *model.Node {
	if n == nil || !n.IsGuestKind() || n.Connection == nil || n.Connection.Launcher == nil {
		return n
	}
	return n.Connection.Launcher.Assigned
}

// nodesThemselves reports whether a colocation of r by the attribute compares nothing but the nodes.
func nodesThemselves(name string, r *model.Resource) bool {
	return name == uname && !r.AttributeTargetHost && !inBundledClone(r)
}

// matcher compares the attribute of nodes with one value.
type matcher struct {
	name  string
	r     *model.Resource
	node  *model.Node // with plain is set: the one node that matches
	plain bool        // the node itself is compared
	value string
	ok    bool
}

// match returns a matcher for the nodes that have the same value as n.
func match(name string, r *model.Resource, n *model.Node) matcher {
	m := matcher{name: name, r: r, node: n}
	if nodesThemselves(name, r) {
		m.plain = true
		return m
	}
	m.value, m.ok = attribute(n, name, r)
	return m
}

func (m *matcher) matches(n *model.Node) bool {
	if m.plain {
		return n == m.node
	}
	v, ok := attribute(n, m.name, m.r)
	return ok == m.ok && sameName(v, m.value)
}

// influences reports whether the preferences of the dependent count while the primary is placed: x is the
// configured primary, or the instance of it that is in question (sections 6.5 and 9.1).
func influences(c *model.Colocation, x *model.Resource) bool {
	if rep := c.Dependent.Replica; rep != nil && c.Dependent == rep.Connection && c.Primary == rep.Container &&
		!c.Primary.Failed && len(c.Primary.Active) == 1 {
		return false
	}
	return c.Influence || !active(x)
}

// factor is the share of a score in infinity, in single precision like the numbers it is used with.
func factor(score int32) float32 { return float32(score) / float32(model.Infinity) }

// apply lets the dependent x follow the primary p of a colocation of x (section 6.4).
func (a *assigner) apply(x, p *model.Resource, c *model.Colocation) {
	if x.Kind == cib.Group {
		if len(x.Children) == 0 {
			return
		}
		if !x.GroupUncolocated {
			a.applyToMember(x, x.Children[0], p, c)
			return
		}
		if c.Score >= model.Infinity {
			a.c.Messages = append(a.c.Messages, model.Message{Error: true,
				Text: "colocation " + c.ID + ": group " + x.ID + " is not colocated, so nothing can be made to run with all of it; use a group with collocated=true or no infinite score"})
			return
		}
		for _, member := range x.Children {
			a.applyToMember(x, member, p, c)
		}
		return
	}
	if !p.AssignedDone {
		return
	}
	switch p.Kind {
	case cib.Group:
		switch {
		case len(p.Children) == 0:
		case p.GroupUncolocated:
			for _, member := range p.Children {
				a.apply(x, member, c)
			}
		case c.Score >= model.Infinity:
			a.apply(x, last(p), c)
		default:
			a.apply(x, p.Children[0], c)
		}
	case cib.Clone:
		a.applyClone(x, p, c)
	case cib.Bundle:
		a.applyBundle(x, p, c)
	default:
		a.applyPrimitive(x, p, c)
	}
}

// applyToMember applies to a member; what that adds to its priority is added to the group's as well.
func (a *assigner) applyToMember(group, member, p *model.Resource, c *model.Colocation) {
	before := member.Priority
	a.apply(member, p, c)
	if member.Priority != before {
		group.Priority = model.AddScore(group.Priority, difference(member.Priority, before))
	}
}

func difference(after, before int32) int32 {
	switch {
	case after <= model.MinInfinity, after >= model.Infinity:
		return after
	}
	return after - before
}

func (a *assigner) applyPrimitive(x, p *model.Resource, c *model.Colocation) {
	if x.AssignedDone {
		if (c.DependentRole == model.RoleUnpromoted || c.DependentRole == model.RolePromoted) && promotable(cloneOf(x)) {
			a.applyRole(x, p, c)
		}
		return
	}
	if c.DependentRole != model.RoleUnknown && c.DependentRole != x.Next {
		return
	}
	if c.PrimaryRole != model.RoleUnknown && c.PrimaryRole != roleOf(p) {
		return
	}
	a.applyLocation(x, p, c)
}

// roleOf is the next role of a primary; a container stands for what runs in it.
func roleOf(p *model.Resource) model.Role {
	if p.Replica != nil && p == p.Replica.Container && p.Replica.Inner != nil {
		return p.Replica.Inner.Next
	}
	return p.Next
}

func (a *assigner) applyLocation(x, p *model.Resource, c *model.Colocation) {
	n := p.Assigned
	if n == nil && c.Score < 0 {
		return
	}
	work := a.borrow(x.Allowed)
	defer a.giveBack(work)
	m := match(c.Attribute, x, n)
	if m.plain {
		// The usual case, without a look at every node's attributes.
		for i := range work {
			a.follow(&work[i], n, n != nil && i == n.Index, c)
		}
	} else {
		for i := range work {
			if work[i].Present {
				a.follow(&work[i], n, m.matches(a.byIndex[i]), c)
			}
		}
	}
	if c.Score > model.MinInfinity && c.Score < model.Infinity && !a.usable(work) {
		return
	}
	a.originDiff(x, x.Allowed, work, model.Origin{Kind: model.OriginColocation, ID: c.ID, Text: p.ID})
	copy(x.Allowed, work)
}

// follow changes the dependent's score for one node, which does or does not match that of the primary.
func (a *assigner) follow(e *model.Entry, primary *model.Node, same bool, c *model.Colocation) {
	switch {
	case !e.Present:
	case primary == nil:
		e.Score = model.AddScore(e.Score, -c.Score)
	case same:
		if c.Score < model.Infinity {
			e.Score = model.AddScore(e.Score, c.Score)
		}
	case c.Score >= model.Infinity:
		e.Score = model.MinInfinity
	}
}

// applyRole changes the priority of an instance that has its node, for the choice of roles.
func (a *assigner) applyRole(x, p *model.Resource, c *model.Colocation) {
	if x.Assigned == nil {
		return
	}
	if p.Assigned != nil && c.PrimaryRole != model.RoleUnknown && c.PrimaryRole != roleOf(p) {
		return
	}
	// "Stopped" primaries have no value, which differs from that of any node.
	var s int32
	m := match(c.Attribute, x, p.Assigned)
	if p.Assigned != nil && m.matches(x.Assigned) {
		s = c.Score
		if c.DependentRole == model.RoleUnpromoted {
			s = -s
		}
	} else if c.Score >= model.Infinity && c.DependentRole == model.RolePromoted {
		s = model.MinInfinity
	}
	if s == 0 {
		return
	}
	x.Priority = model.AddScore(x.Priority, s)
	a.origin(x, x.Assigned, model.Origin{Kind: model.OriginRole, ID: c.ID, Number: s, Text: p.ID})
}

// restrict forbids x all nodes that are not in the list, whatever the attribute of the colocation, and adds the
// number for those that are.
func (a *assigner) restrict(x *model.Resource, c *model.Colocation, at []*model.Node, plus []int32) {
	before := a.borrow(x.Allowed)
	defer a.giveBack(before)
	on := make([]int, len(a.byIndex)) // number in the list, counted from 1, by Node.Index; 0 = none
	for k, n := range at {
		if on[n.Index] == 0 {
			on[n.Index] = k + 1
		}
	}
	for i := range x.Allowed {
		e := &x.Allowed[i]
		switch {
		case !e.Present:
		case on[i] == 0:
			e.Score = model.MinInfinity
		case plus != nil:
			e.Score = model.AddScore(e.Score, plus[on[i]-1])
		}
	}
	a.originDiff(x, before, x.Allowed, model.Origin{Kind: model.OriginColocation, ID: c.ID, Text: c.Primary.ID})
}

func mandatory(c *model.Colocation) bool {
	return c.Score >= model.Infinity || c.Score <= model.MinInfinity
}

func (a *assigner) applyClone(x, p *model.Resource, c *model.Colocation) {
	if promotable(p) && c.PrimaryRole != model.RoleUnknown {
		switch {
		case !x.AssignedDone:
			a.applyPromoted(x, p, c)
		case c.DependentRole == model.RolePromoted:
			if q := a.compatible(x, p, c.PrimaryRole, c.Attribute, false); q != nil {
				x.Priority = model.AddScore(x.Priority, c.Score)
				a.origin(x, x.Assigned, model.Origin{Kind: model.OriginRole, ID: c.ID, Number: c.Score, Text: p.ID})
			} else if c.Score >= model.Infinity {
				x.Priority = model.MinInfinity
				a.origin(x, x.Assigned, model.Origin{Kind: model.OriginRole, ID: c.ID, Number: model.MinInfinity, Text: p.ID})
			}
		}
		return
	}
	if interleaved(c.Dependent, p) {
		a.applyCompatible(x, p, c)
		return
	}
	if c.Score >= model.Infinity {
		if x.AssignedDone {
			return
		}
		var at []*model.Node
		for _, instance := range p.Children {
			if n := assignedNode(instance); n != nil && !blocked(instance) {
				at = append(at, n)
			}
		}
		a.restrict(x, c, at, nil)
		return
	}
	for _, instance := range p.Children {
		a.apply(x, instance, c)
	}
}

// blocked reports whether r or a descendant of it is blocked.
func blocked(r *model.Resource) bool {
	if r.Blocked {
		return true
	}
	for _, child := range r.Children {
		if blocked(child) {
			return true
		}
	}
	return false
}

// applyPromoted lets x follow those instances of p that get the wanted role.
func (a *assigner) applyPromoted(x, p *model.Resource, c *model.Colocation) {
	if c.Score >= model.Infinity && c.PrimaryRole == model.RolePromoted && c.DependentRole == model.RolePromoted {
		return
	}
	var at []*model.Node
	var plus []int32
	for _, instance := range p.Children {
		n := assignedNode(instance)
		if n == nil || nextRole(instance) != c.PrimaryRole {
			continue
		}
		if c.Score < model.Infinity {
			before := a.borrow(x.Allowed)
			m := match(c.Attribute, x, n)
			for i := range x.Allowed {
				if x.Allowed[i].Present && m.matches(a.byIndex[i]) {
					x.Allowed[i].Score = model.AddScore(x.Allowed[i].Score, c.Score)
				}
			}
			a.originDiff(x, before, x.Allowed, model.Origin{Kind: model.OriginColocation, ID: c.ID, Text: instance.ID})
			a.giveBack(before)
			continue
		}
		at = append(at, n)
		plus = append(plus, a.chosenScore(instance))
	}
	if c.Score >= model.Infinity {
		a.restrict(x, c, at, plus)
	}
}

// nextRole is the next role of a primitive, or of a collective the highest among its children
// (spec/02-state.md 9.8).
func nextRole(r *model.Resource) model.Role {
	if len(r.Children) == 0 {
		return r.Next
	}
	role := model.RoleUnknown
	for _, child := range r.Children {
		role = max(role, nextRole(child))
	}
	return role
}

// chosenScore is the score with which r was given its node.
func (a *assigner) chosenScore(r *model.Resource) int32 {
	for r.Kind == cib.Group && len(r.Children) > 0 {
		r = r.Children[0]
	}
	return a.chosen[r.Index]
}

// interleaved reports whether instances of dependent and primary are paired with each other.
func interleaved(dependent, primary *model.Resource) bool {
	return interleaves(dependent) && perNode(dependent) == perNode(primary)
}

func interleaves(r *model.Resource) bool {
	switch r.Kind {
	case cib.Clone:
		return r.Clone.Interleave
	case cib.Bundle:
		return values.True(r.Meta["interleave"])
	}
	return false
}

// perNode is how many instances of a clone or bundle may run on one node.
func perNode(r *model.Resource) int {
	switch r.Kind {
	case cib.Clone:
		return r.Clone.NodeMax
	case cib.Bundle:
		return r.Bundle.PerHost
	}
	return 1
}

// applyCompatible lets x follow the one instance of p that belongs to it.
func (a *assigner) applyCompatible(x, p *model.Resource, c *model.Colocation) {
	q := a.compatible(x, p, model.RoleUnknown, "", false)
	switch {
	case q != nil:
		a.apply(x, q, c)
	case c.Score >= model.Infinity:
		a.origin(x, x.Current(), model.Origin{Kind: model.OriginColocation, ID: c.ID, Number: model.MinInfinity, Text: p.ID})
		a.nowhere(x)
	}
}

func (a *assigner) applyBundle(x, p *model.Resource, c *model.Colocation) {
	if c.Dependent.Kind == cib.Clone || c.Dependent.Kind == cib.Bundle {
		a.applyCompatible(x, p, c)
		return
	}
	var at []*model.Node
	for _, rep := range p.Bundle.Replicas {
		if c.Score < model.Infinity {
			a.apply(x, rep.Container, c)
			continue
		}
		n := rep.Container.Assigned
		if n == nil || rep.Container.Blocked {
			continue
		}
		if c.PrimaryRole == model.RolePromoted && (rep.Inner == nil || rep.Inner.Next != model.RolePromoted) {
			continue
		}
		at = append(at, n)
	}
	if c.Score >= model.Infinity && !x.AssignedDone {
		a.restrict(x, c, at, nil)
	}
}

// Compatible returns the instance of the clone or bundle q that belongs to x: the one on x's node, or when x
// has none, on the first of x's allowed nodes in order of preference that has one (section 9.5). Instances
// must not be blocked, and have the role unless that is RoleUnknown. current asks for the present nodes and
// roles instead of the assigned ones. Of a bundle, its container is returned. nil = there is none.
func Compatible(c *model.Cluster, x, q *model.Resource, role model.Role, current bool) *model.Resource {
	a := assigner{c: c, byIndex: make([]*model.Node, c.NodeCount())}
	for _, n := range c.Nodes {
		a.byIndex[n.Index] = n
	}
	return a.compatible(x, q, role, "", current)
}

func (a *assigner) compatible(x, q *model.Resource, role model.Role, attr string, current bool) *model.Resource {
	at := nodesOf(x, current)
	if len(at) == 1 {
		return a.instanceOn(at[0], x, q, role, attr, current)
	}
	if len(at) > 1 {
		return nil
	}
	for _, n := range a.ranked(x.Allowed, nil) {
		if i := a.instanceOn(n, x, q, role, attr, current); i != nil {
			return i
		}
	}
	return nil
}

func nodesOf(r *model.Resource, current bool) []*model.Node {
	if current {
		return activeNodes(r)
	}
	return assignedNodes(r)
}

// instanceOn returns the instance of q on n.
func (a *assigner) instanceOn(n *model.Node, x, q *model.Resource, role model.Role, attr string, current bool) *model.Resource {
	check := func(i *model.Resource) bool {
		if i == nil || blocked(i) {
			return false
		}
		if role != model.RoleUnknown {
			have := nextRole(i)
			if i.Kind == cib.Primitive {
				have = roleOf(i)
			}
			if current {
				have = i.Role
			}
			if have != role {
				return false
			}
		}
		at := nodesOf(i, current)
		if len(at) != 1 {
			return false
		}
		if attr != "" && attr != uname {
			m := match(attr, x, n)
			return m.matches(at[0])
		}
		return at[0] == n
	}
	if q.Kind == cib.Bundle {
		if n.Kind == model.BundleNode {
			if n = hostOf(n); n == nil {
				return nil
			}
		}
		for _, rep := range q.Bundle.Replicas {
			if check(rep.Container) {
				return rep.Container
			}
		}
		return nil
	}
	if inBundledClone(x) && n.Kind == model.BundleNode && !inBundledClone(q) {
		if n = hostOf(n); n == nil {
			return nil
		}
	}
	for _, i := range q.Children {
		if check(i) {
			return i
		}
	}
	return nil
}
