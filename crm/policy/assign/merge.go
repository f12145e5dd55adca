package assign

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// mergeOptions say how preferences are merged (section 6.6).
type mergeOptions struct {
	// asDependent follows the primaries of "this with" constraints instead of the dependents of "with this"
	// ones, and enters groups from their last member.
	asDependent bool
	// mustStayUsable drops a contribution that would leave no available node.
	mustStayUsable bool
	// positiveOnly keeps contributions from making an entry negative.
	positiveOnly bool
}

// maxMergeSteps bounds the sources that one merge follows. A cluster made by hand needs some dozens; where
// colocations fan out and in again in many layers, the number of paths would grow without limit.
const maxMergeSteps = 1 << 16

// spent marks an entry that a positive-only merge would have made negative. No sum of scores has this value.
const spent = model.MinInfinity - 1

// mergeInto merges the preferences of source, scaled by f, into r's own table.
func (a *assigner) mergeInto(r, source *model.Resource, c *model.Colocation, f float32, o mergeOptions) {
	work := a.borrow(r.Allowed)
	a.steps = 0
	a.merge(work, r, source, c, f, o)
	settle(work)
	kind := model.OriginDependent
	if o.asDependent {
		kind = model.OriginColocation
	}
	a.originDiff(r, r.Allowed, work, model.Origin{Kind: kind, ID: c.ID, Text: source.ID})
	copy(r.Allowed, work)
	a.giveBack(work)
}

// settle gives spent entries their final value.
func settle(t model.Table) {
	for i := range t {
		if t[i].Score == spent {
			t[i].Score = 1
		}
	}
}

// merge adds the preferences of source and of what follows it to t, the table of target.
func (a *assigner) merge(t model.Table, target, source *model.Resource, c *model.Colocation, f float32, o mergeOptions) {
	if source.Kind == cib.Group {
		if len(source.Children) == 0 {
			return
		}
		if o.asDependent {
			source = last(source)
		} else {
			source = source.Children[0]
		}
	}
	if a.inSet[source.Index] {
		return
	}
	if a.steps++; a.steps > maxMergeSteps {
		if !a.tooDeep {
			a.tooDeep = true
			a.c.Messages = append(a.c.Messages, model.Message{Error: true, Text: "colocation " + c.ID +
				": the colocations that follow it have too many paths, so not all preferences along them count; use fewer constraints between the same resources"})
		}
		return
	}
	a.inSet[source.Index] = true
	defer func() { a.inSet[source.Index] = false }()

	work := a.borrow(t)
	defer a.giveBack(work)
	a.addMatching(work, target, source, c, f, o.positiveOnly)
	if a.usable(work) {
		for _, next := range colocations(source, o.asDependent) {
			if o.asDependent {
				a.merge(work, target, next.Primary, next, f*factor(next.Score), o)
			} else if influences(next, next.Primary) {
				a.merge(work, target, next.Dependent, next, f*factor(next.Score), o)
			}
		}
	} else if o.mustStayUsable {
		return
	}
	copy(t, work)
}

// addMatching adds the source's own scores, scaled by f, to the entries of t, the table of target, with the
// same attribute value.
func (a *assigner) addMatching(t model.Table, target, source *model.Resource, c *model.Colocation, f float32, positiveOnly bool) {
	from := source.Allowed
	if c.Explicit && source == c.Dependent && source.Parent != nil && source.Parent.Kind == cib.Group &&
		source != source.Parent.Children[0] && len(source.Parent.Locations) > 0 {
		// The group's location constraints were given to its first member alone.
		from = a.borrow(from)
		defer a.giveBack(from)
		for _, l := range source.Parent.Locations {
			if l.Role != model.RoleUnknown {
				continue
			}
			for _, at := range l.Nodes {
				add(from, at.Node, at.Score)
			}
		}
	}
	plain := nodesThemselves(c.Attribute, source) && nodesThemselves(c.Attribute, target)
	for i := range t {
		e := &t[i]
		if !e.Present || e.Score == spent {
			continue
		}
		s := model.MinInfinity
		if plain {
			if i < len(from) && from[i].Present && a.byIndex[i].Available() {
				s = max(s, from[i].Score)
			}
		} else {
			value, ok := attribute(a.byIndex[i], c.Attribute, target)
			for k := range from {
				if from[k].Present && from[k].Score > s && a.byIndex[k].Available() {
					if v, has := attribute(a.byIndex[k], c.Attribute, source); has == ok && sameName(v, value) {
						s = from[k].Score
					}
				}
			}
		}
		if f < 0 && s < 0 {
			// What an anti-colocated dependent dislikes does not attract, unless it is tied to one node.
			if c.Primary.Stickiness >= -s || !influences(c, c.Primary) || countAllowed(c.Dependent.Allowed) != 1 {
				continue
			}
		}
		now := model.AddScore(e.Score, scaled(f, s))
		switch {
		case positiveOnly && now < 0 && e.Score > 0:
			e.Score = spent
		case positiveOnly && now < 0 && e.Score == 0:
		default:
			e.Score = now
		}
	}
}

func countAllowed(t model.Table) int {
	n := 0
	for i := range t {
		if t[i].Present && t[i].Score >= 0 {
			n++
		}
	}
	return n
}

// scaled is f times s, rounded half away from zero; what is not zero stays at least 1 in the direction of f.
func scaled(f float32, s int32) int32 {
	v := f * float32(s)
	var d int32
	switch {
	case v >= float32(model.Infinity):
		d = model.Infinity
	case v <= float32(model.MinInfinity):
		d = model.MinInfinity
	case v >= 0:
		d = int32(float64(v) + 0.5)
	default:
		d = int32(float64(v) - 0.5)
	}
	if d == 0 && s != 0 {
		if f > 0 {
			return 1
		}
		if f < 0 {
			return -1
		}
	}
	return d
}
