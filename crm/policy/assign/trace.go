package assign

import (
	"slices"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

func (a *assigner) line(l model.ScoreLine) { a.c.Scores = append(a.c.Scores, l) }

// show writes the score lines of r, in node list order, and with deep those of its descendants
// (spec/03-assignment.md section 16).
func (a *assigner) show(label string, r *model.Resource, deep bool) {
	if !a.c.Trace.Scores {
		return
	}
	if !r.Removed {
		for _, n := range a.c.Nodes {
			if e := r.Allowed.At(n); e.Present && !e.Hidden {
				a.line(model.ScoreLine{Kind: model.ScoreOnNode, Function: label, Resource: r.ID, Node: n.Name, Score: e.Score})
			}
		}
	}
	if deep {
		for _, child := range r.Children {
			a.show(label, child, true)
		}
	}
}

func (a *assigner) showPromotion(r *model.Resource, n *model.Node) {
	switch {
	case !a.c.Trace.Scores:
	case n == nil:
		a.line(model.ScoreLine{Kind: model.ScorePromotion, Resource: r.ID, Score: r.PromotionPriority})
	default:
		a.line(model.ScoreLine{Kind: model.ScorePromotion, Resource: r.ID, Node: n.Name, Score: r.PromotionPriority})
	}
}

func (a *assigner) showCapacities(when string) {
	if !a.c.Trace.Utilization {
		return
	}
	for _, n := range a.c.Nodes {
		if n.Kind != model.BundleNode {
			a.line(model.ScoreLine{Kind: model.ScoreCapacity, Function: when, Node: n.Name, Amounts: slices.Clone(n.Utilization)})
		}
	}
}

func (a *assigner) showUtilization(r *model.Resource, n *model.Node) {
	if a.c.Trace.Utilization && r.Kind == cib.Primitive {
		a.line(model.ScoreLine{Kind: model.ScoreAssignment, Function: "pcmk__assign_resource", Resource: r.ID, Node: n.Name, Amounts: r.Utilization})
	}
}

// origin records a contribution to r's score on n for explain. Callers with costly arguments check
// a.c.Trace.Reasons first.
func (a *assigner) origin(r *model.Resource, n *model.Node, o model.Origin) {
	if !a.c.Trace.Reasons || n == nil {
		return
	}
	if len(r.Origins) < len(a.byIndex) {
		grown := make([][]model.Origin, len(a.byIndex))
		copy(grown, r.Origins)
		r.Origins = grown
	}
	r.Origins[n.Index] = append(r.Origins[n.Index], o)
}

// keepOrigins returns what is recorded about r now, for forgetOrigins to go back to.
func (a *assigner) keepOrigins(r *model.Resource) [][]model.Origin {
	if !a.c.Trace.Reasons {
		return nil
	}
	return slices.Clone(r.Origins)
}

// forgetOrigins drops what was recorded about r since keepOrigins.
func (a *assigner) forgetOrigins(r *model.Resource, kept [][]model.Origin) {
	if a.c.Trace.Reasons {
		r.Origins = kept
	}
}

// originBase records what the tables hold before anything here is added, as far as it is not explained yet.
func (a *assigner) originBase(r *model.Resource) {
	if !a.c.Trace.Reasons {
		return
	}
	for i, e := range r.Allowed {
		if !e.Present || e.Hidden {
			continue
		}
		known := int32(0)
		if i < len(r.Origins) {
			for _, o := range r.Origins[i] {
				known = model.AddScore(known, o.Number)
			}
		}
		if d := e.Score - known; d != 0 {
			if e.Score <= model.MinInfinity {
				d = model.MinInfinity
			}
			a.origin(r, a.byIndex[i], model.Origin{Kind: model.OriginBase, ID: a.byIndex[i].Name, Number: d})
		}
	}
}

// originDiff records what a step changed between the tables before and after.
func (a *assigner) originDiff(r *model.Resource, before, after model.Table, o model.Origin) {
	if !a.c.Trace.Reasons {
		return
	}
	for i := range after {
		if i >= len(before) || !after[i].Present {
			continue
		}
		// A node that nothing was said about until now has no origin for the score that it is shown with.
		shown := (before[i].Hidden || !before[i].Present) && !after[i].Hidden && after[i].Score != 0
		if after[i].Score == before[i].Score && !shown {
			continue
		}
		o.Number = after[i].Score - before[i].Score
		if after[i].Score <= model.MinInfinity || after[i].Score >= model.Infinity {
			o.Number = after[i].Score
		}
		a.origin(r, a.byIndex[i], o)
	}
}
