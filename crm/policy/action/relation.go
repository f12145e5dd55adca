package action

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// Relate stores the ordering "first before then" on both actions, as the newest, and returns it. It returns nil, and changes nothing, when there are no effects, when both are the same action, or
// when a relation between the two shares an effect already (spec/05-ordering.md section 6).
func Relate(c *model.Cluster, first, then *model.Action, effects model.Effects) *model.Relation {
	if first == nil || then == nil || first == then || effects == 0 {
		return nil
	}
	if then.Row != nil || first.Row != nil && (first.Resource.Row == nil || !model.RowEffects(effects)) {
		return relateEach(c, first, then, effects)
	}
	if related(first, then, effects) {
		return nil
	}
	rel := c.NewRelation()
	rel.First, rel.Then, rel.Effects = first, then, effects
	// A mere order of two actions that stand for themselves asks nothing of either.
	rel.Inert = effects == model.Seq && single(first.Resource) && single(then.Resource)
	c.Store(rel)
	return rel
}

// relateEach is Relate for each probe of a row, which are actions of their own from now on. It returns the last
// relation.
func relateEach(c *model.Cluster, first, then *model.Action, effects model.Effects) (rel *model.Relation) {
	for _, f := range each(first) {
		for _, t := range each(then) {
			if one := Relate(c, f, t, effects); one != nil {
				rel = one
			}
		}
	}
	return rel
}

// each spreads the row that an action stands for and lists its probes; another action stands for itself.
func each(a *model.Action) []*model.Action {
	if a.Row == nil {
		return []*model.Action{a}
	}
	list := make([]*model.Action, 0, len(a.Row.Spots))
	for _, s := range a.Row.Spots {
		list = append(list, a.Resource.Probe(s.Node))
	}
	return list
}

// single reports whether the actions of r stand for themselves, not for those of members or instances.
func single(r *model.Resource) bool { return r == nil || r.Kind == cib.Primitive }

// related reports whether a relation between the two shares one of the effects. It looks through the
// shorter of the two lists.
func related(first, then *model.Action, effects model.Effects) bool {
	if len(first.After) <= len(then.Before) {
		for _, rel := range first.After {
			if rel.Then == then && !rel.Void && rel.Effects&effects != 0 {
				return true
			}
		}
		return false
	}
	for _, rel := range then.Before {
		if rel.First == first && !rel.Void && rel.Effects&effects != 0 {
			return true
		}
	}
	return false
}

// Order notes an ordering between two sides, to be resolved when all actions are known.
func Order(c *model.Cluster, o *model.Ordering) {
	if o.Effects == 0 || (o.First == nil && o.FirstAction == nil) || (o.Then == nil && o.ThenAction == nil) {
		return
	}
	c.NewOrdering(o)
}
