package assign

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// promotionScore is the promotion score that the agent of an instance set for n (section 10.1). set is false
// when there is none that applies.
func (a *assigner) promotionScore(r *model.Resource, n *model.Node, assigned bool) (s int32, set bool) {
	if r.Kind == cib.Group {
		for _, member := range r.Children {
			v, ok := a.promotionScore(member, n, assigned)
			s, set = s+v, set || ok
		}
		return s, set
	}
	if !allowed(r.Allowed, n) || !a.scoreApplies(r, n) {
		return 0, false
	}
	v, ok := values.NodeAttribute(n, "master-"+r.Name(), r, assigned)
	if !ok && !r.Unique {
		v, ok = values.NodeAttribute(n, "master-"+values.WithoutInstance(r.ID), r, assigned)
	}
	if !ok {
		return 0, false
	}
	return values.Score(v, 0), true
}

func known(r *model.Resource, n *model.Node) bool { return n.Index < len(r.Known) && r.Known[n.Index] }

// scoreApplies reports whether the promotion attribute on n is about the instance r.
func (a *assigner) scoreApplies(r *model.Resource, n *model.Node) bool {
	if !r.Unique {
		if clone := cloneOf(r); clone != nil {
			here, knownHere := siblingOn(clone, r, n)
			if here == r || here == nil && knownHere {
				return true
			}
		}
	}
	return !a.anywhere(r) || known(r, n) || isActiveOn(r, n)
}

// anywhere reports whether r is active or known on any node.
func (a *assigner) anywhere(r *model.Resource) bool {
	if len(r.Active) > 0 {
		return true
	}
	for _, k := range r.Known {
		if k {
			return true
		}
	}
	return false
}

func isActiveOn(r *model.Resource, n *model.Node) bool {
	for _, m := range r.Active {
		if m == n {
			return true
		}
	}
	return false
}

// siblingOn returns the counterpart of r among the clone's instances that is active on n, and whether the
// state of any of them is known there.
func siblingOn(clone, r *model.Resource, n *model.Node) (here *model.Resource, knownThere bool) {
	for _, instance := range clone.Children {
		forPrimitives(instance, func(p *model.Resource) {
			if p.ConfigID != r.ConfigID {
				return
			}
			if here == nil && isActiveOn(p, n) {
				here = p
			}
			knownThere = knownThere || known(p, n)
		})
	}
	return here, knownThere
}

// addPromotionScores adds the promotion scores to the instances' tables and priorities, once per clone.
func (a *assigner) addPromotionScores(r *model.Resource) {
	if r.Clone.PromotionAdded {
		return
	}
	r.Clone.PromotionAdded = true
	for _, x := range r.Children {
		for i := range x.Allowed {
			n := a.byIndex[i]
			if !x.Allowed[i].Present || !n.Available() {
				continue
			}
			s, _ := a.promotionScore(x, n, false)
			if s <= 0 {
				continue
			}
			add(x.Allowed, n, s)
			a.origin(x, n, model.Origin{Kind: model.OriginPromotion, ID: "promotion-score", Number: s})
			x.Priority = max(x.Priority, s)
		}
	}
}

// chooseRoles chooses the instances to promote (section 10.2).
func (a *assigner) chooseRoles(r *model.Resource) {
	for i := range r.Allowed {
		r.Allowed[i].Count = 0
	}
	for _, x := range r.Children {
		a.promotionPriority(x, r)
	}
	a.mergePromotion(r)
	for _, x := range r.Children {
		n := assignedNode(x)
		switch {
		case !x.Managed && nextRole(x) == model.RolePromoted:
			x.PromotionPriority = model.Infinity
		case n == nil:
			x.PromotionPriority = model.MinInfinity
		case x.PromotionPriority < 0:
		default:
			x.PromotionPriority = r.Allowed.At(n).Score
		}
	}
	o := a.instanceOrder(r.Children, r)
	sortStable(r.Children, func(x, y *model.Resource) bool {
		if x.PromotionPriority != y.PromotionPriority {
			return x.PromotionPriority > y.PromotionPriority
		}
		if x.Role != y.Role {
			return x.Role > y.Role
		}
		return o.compare(x, y) < 0
	})
	chosen := 0
	for _, x := range r.Children {
		n := assignedNode(x)
		a.showPromotion(x, n)
		if a.eligible(x, r, n) && (chosen < r.Clone.PromotedMax || !r.Managed) {
			chosen++
			r.Allowed[n.Index].Count++
			setNext(x, model.RolePromoted, func(r *model.Resource) bool { return r.Next == model.RoleUnknown || r.Next == model.RoleStarted })
			continue
		}
		if n != nil {
			// A member of a group may have no node although the first one has.
			setNext(x, model.RoleUnpromoted, func(r *model.Resource) bool {
				return r.Next != model.RoleStopped && (r.Kind != cib.Primitive || r.Assigned != nil)
			})
		} else {
			setNext(x, model.RoleStopped, func(*model.Resource) bool { return true })
		}
	}
}

// setNext sets the next role of r and its descendants where replace agrees.
func setNext(r *model.Resource, role model.Role, replace func(*model.Resource) bool) {
	if replace(r) {
		r.Next = role
	}
	for _, child := range r.Children {
		setNext(child, role, replace)
	}
}

// startedIsUnpromoted gives active instances a role that a promotable resource can have.
func startedIsUnpromoted(r *model.Resource) {
	if r.Role == model.RoleStarted {
		r.Role = model.RoleUnpromoted
	}
	for _, child := range r.Children {
		startedIsUnpromoted(child)
	}
}

// promotionPriority finds what speaks for promoting one instance.
func (a *assigner) promotionPriority(x, clone *model.Resource) {
	if x.CurrentRole() == model.RoleStarted {
		startedIsUnpromoted(x)
	}
	x.PromotionPriority = 0
	n := assignedNode(x)
	if n == nil {
		return
	}
	switch nextRole(x) {
	case model.RoleUnknown, model.RoleStarted:
		x.Priority = -1
		if s, set := a.promotionScore(x, n, true); set {
			x.Priority = s
		}
		a.origin(x, n, model.Origin{Kind: model.OriginRole, ID: "promotion-score", Number: x.Priority})
	case model.RoleUnpromoted, model.RoleStopped:
		x.Priority = model.MinInfinity
	}
	for _, r := range []*model.Resource{x, clone} {
		for _, l := range r.Locations {
			if l.Role != model.RolePromoted {
				continue
			}
			for _, at := range l.Nodes {
				if at.Node == n {
					x.Priority = model.AddScore(x.Priority, at.Score)
					a.origin(x, n, model.Origin{Kind: model.OriginRole, ID: l.ID, Number: at.Score, Text: l.Text})
				}
			}
		}
	}
	for _, c := range colocations(x, true) {
		a.apply(x, c.Primary, c)
	}
	x.PromotionPriority = x.Priority
	if nextRole(x) == model.RolePromoted {
		x.PromotionPriority = model.Infinity
	}
}

// mergePromotion collects the promotion priorities in the clone's own table, with the preferences of what is
// colocated with the promoted role, once per clone.
func (a *assigner) mergePromotion(r *model.Resource) {
	if r.Clone.PromotionMerged {
		return
	}
	r.Clone.PromotionMerged = true
	for _, x := range r.Children {
		if n := assignedNode(x); n != nil && x.PromotionPriority >= 0 {
			add(r.Allowed, n, x.PromotionPriority)
		}
	}
	for _, c := range colocations(r, false) {
		if c.PrimaryRole == model.RolePromoted && influences(c, r) {
			a.mergeInto(r, c.Dependent, c, factor(c.Score), mergeOptions{mustStayUsable: true, positiveOnly: true})
		}
	}
	for _, t := range r.Tickets {
		if t.Role == model.RolePromoted && (!t.Ticket.Granted || t.Ticket.Standby) {
			for i := range r.Allowed {
				if r.Allowed[i].Present {
					r.Allowed[i].Score = model.MinInfinity
					a.origin(r, a.byIndex[i], model.Origin{Kind: model.OriginRole, ID: t.ID, Number: model.MinInfinity, Text: "ticket"})
				}
			}
		}
	}
}

// eligible reports whether an instance may be promoted on n.
func (a *assigner) eligible(x, clone *model.Resource, n *model.Node) bool {
	if x.PromotionPriority < 0 || n == nil {
		return false
	}
	ok := true
	forPrimitives(x, func(p *model.Resource) {
		switch {
		case p.Assigned == nil:
			ok = false
		case !p.Managed:
			ok = ok && p.Role == model.RolePromoted
		case x.Priority < 0, !availableNow(p.Assigned), int(clone.Allowed.At(p.Assigned).Count) >= clone.Clone.PromotedNodeMax:
			ok = false
		}
		o := &a.c.Options
		if !o.Quorate && o.QuorumPolicy == model.QuorumFreeze && p.Role < model.RolePromoted {
			ok = false
		}
	})
	return ok
}

// availableNow is Available with a guest that will have no host counted out.
func availableNow(n *model.Node) bool {
	if n.IsGuestKind() && n.Connection != nil && n.Connection.Launcher != nil && n.Connection.Launcher.Assigned == nil {
		return false
	}
	return n.Available()
}
