package assign

import (
	"github.com/quorate/quorate/crm/policy/model"
)

// primitive assigns a primitive (section 5).
func (a *assigner) primitive(r *model.Resource, prefer *model.Node, final bool) *model.Node {
	if p := r.Parent; p != nil && !p.Assigning && !r.AssignedDone {
		a.assign(p, prefer, final)
	}
	if r.AssignedDone {
		return r.Assigned
	}
	if r.Assigning {
		return nil
	}
	r.Assigning = true
	defer func() { r.Assigning = false }()

	thisWith, withThis := colocations(r, true), colocations(r, false)
	for _, must := range [...]bool{true, false} {
		for _, c := range thisWith {
			if mandatory(c) == must {
				a.followPrimary(r, c)
			}
		}
		for _, c := range withThis {
			if mandatory(c) == must {
				a.listen(r, c, false)
			}
		}
	}
	o := &a.c.Options
	if r.Next == model.RoleStopped {
		before := a.borrow(r.Allowed)
		a.banAll(r)
		a.originDiff(r, before, r.Allowed, model.Origin{Kind: model.OriginTargetRole, ID: "target-role"})
		a.giveBack(before)
	} else if !o.Quorate && o.QuorumPolicy == model.QuorumFreeze && r.Next > r.Role {
		r.Next = r.Role
	}
	a.show("pcmk__primitive_assign", r, false)
	if o.FencingEnabled && !a.c.HaveFencingDevice && !o.HaveWatchdog {
		r.Managed = false
	}
	switch {
	case r.AssignedDone: // a colocation has decided
	case !r.Managed:
		r.Next = r.Role
		n := r.Current()
		a.place(r, n, final)
		if n != nil {
			a.chosen[r.Index] = n.Score // its table had no say
		}
		a.origin(r, n, model.Origin{Kind: model.OriginUnmanaged, ID: "is-managed"})
	case o.StopAll:
		a.place(r, nil, final)
	default:
		a.place(r, a.choose(r, prefer), final)
	}
	a.updateRemote(r)
	return r.Assigned
}

// followPrimary applies a colocation of which r is the dependent.
func (a *assigner) followPrimary(r *model.Resource, c *model.Colocation) {
	if !c.Primary.AssignedDone {
		a.assign(c.Primary, nil, true)
	}
	if r.AssignedDone {
		return
	}
	if c.DependentRole < model.RolePromoted && (c.Score >= 0 || c.Score <= model.MinInfinity) {
		a.apply(r, c.Primary, c)
		return
	}
	before, origins := a.borrow(r.Allowed), a.keepOrigins(r)
	a.apply(r, c.Primary, c)
	if !a.usable(r.Allowed) {
		copy(r.Allowed, before)
		a.forgetOrigins(r, origins)
	}
	a.giveBack(before)
}

// listen takes the preferences of the dependent of a colocation of which r is the primary (section 6.5).
func (a *assigner) listen(r *model.Resource, c *model.Colocation, positiveOnly bool) {
	if r.AssignedDone || !influences(c, c.Primary) {
		return
	}
	a.mergeInto(r, c.Dependent, c, factor(c.Score), mergeOptions{mustStayUsable: true, positiveOnly: positiveOnly})
}

// choose picks the node for a managed primitive (section 5.1); nil = none.
func (a *assigner) choose(r *model.Resource, prefer *model.Node) *model.Node {
	if capable := a.banIncapable(r); prefer == nil {
		prefer = capable
	}
	current := r.Current()
	best := a.best(r.Allowed, current)
	if best == nil {
		return nil
	}
	top := score(r.Allowed, best)
	if prefer != nil && r.Allowed.At(prefer).Present {
		if s := score(r.Allowed, prefer); s >= top && s >= 0 && prefer.Available() {
			return prefer
		}
	}
	chosen := best
	if !uniqueInstance(r) && top > 0 && best.Available() && current != nil && current.Available() && current.Score >= 0 &&
		r.Allowed.At(current).Present && score(r.Allowed, current) == top {
		chosen = current
	}
	if score(r.Allowed, chosen) < 0 || !chosen.Available() && !chosen.IsGuestKind() {
		return nil
	}
	return chosen
}

// uniqueInstance reports whether r belongs to a globally unique clone.
func uniqueInstance(r *model.Resource) bool {
	p := cloneOf(r)
	return p != nil && p.Clone.Unique
}

// group assigns a group (section 7).
func (a *assigner) group(r *model.Resource, prefer *model.Node, final bool) *model.Node {
	if p := r.Parent; p != nil && !p.Assigning && !r.AssignedDone {
		a.assign(p, prefer, final)
	}
	if r.AssignedDone {
		return assignedNode(r)
	}
	if r.Assigning {
		return nil
	}
	r.Assigning = true
	defer func() { r.Assigning = false }()
	if len(r.Children) == 0 {
		r.AssignedDone = true
		return nil
	}
	first := r.Children[0]
	r.Role = first.Role
	a.show("pcmk__group_assign", r, true)
	for _, member := range r.Children {
		a.assign(member, prefer, final)
	}
	r.Next = first.Next
	r.AssignedDone = true
	return first.Assigned
}
