package schedule

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/assign"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

func isTrue(s string) bool { return values.True(s) }

// orderProbes adds the relations that keep actions from happening before the present state is known
// (spec/05-ordering.md 4.10).
func (s *scheduler) orderProbes() {
	var w restarts
	for _, r := range s.c.All {
		if r.Kind != cib.Primitive {
			continue
		}
		w.after = w.after[:0]
		for _, p := range r.Probes {
			if p == nil {
				continue
			}
			for j := len(p.After) - 1; j >= 0; j-- {
				s.holdInstances(p, p.After[j])
			}
			for _, down := range w.of(s, p) {
				if !s.c.UnfencingInUse || !aroundUnfencing(p, down) {
					action.Relate(s.c, p, down, model.Seq)
				}
			}
		}
	}
	for _, o := range s.c.Orderings {
		s.beforeStopped(o)
	}
}

// aroundUnfencing reports whether p waits for an unfencing that itself waits for down. Then the unfencing has to
// come between them; the field's own tools make a loop of the three.
func aroundUnfencing(p, down *model.Action) bool {
	for _, before := range p.Before {
		u := before.First
		if u.Task != action.TaskFence || u.Node != down.Node {
			continue
		}
		for _, after := range down.After {
			if after.Then == u {
				return true
			}
		}
	}
	return false
}

// holdInstances keeps instances that are not active from starting while a probe of their clone cannot run, so
// that not too many of them start before the state of all nodes is known.
func (s *scheduler) holdInstances(p *model.Action, rel *model.Relation) {
	after := rel.Then
	if p.Runnable || rel.Effects&model.Gate != 0 || after.Resource == nil || after.Resource.Kind < cib.Clone || after.Task != start {
		return
	}
	for i := len(after.After) - 1; i >= 0; i-- {
		then := after.After[i].Then
		if then.Resource == nil || then.Task != start || len(then.Resource.Active) > 0 || then.Resource == after.Resource ||
			!isAncestor(after.Resource, then.Resource) {
			continue
		}
		action.Relate(s.c, p, then, model.Seq|model.Gate)
	}
}

// restarts finds what may be restarted (promoted again) because of a resource, so that the probes of the
// resource come before the stops (demotes) of all that.
type restarts struct {
	after []*model.Action // what the probe looked at last comes before
	downs []*model.Action // the stops and demotes found for it
}

// of lists the stops and demotes that p has to come before. The probes of a resource mostly come before the
// same actions, so that what was found for one serves the next.
func (w *restarts) of(s *scheduler, p *model.Action) []*model.Action {
	same := len(w.after) == len(p.After) && len(w.after) > 0
	for i := 0; same && i < len(w.after); i++ {
		same = w.after[i] == p.After[i].Then
	}
	if same {
		return w.downs
	}
	w.after, w.downs = w.after[:0], w.downs[:0]
	for _, rel := range p.After {
		w.after = append(w.after, rel.Then)
	}
	mark := s.c.NextMark()
	for i := len(p.After) - 1; i >= 0; i-- {
		w.walk(s, p, p.After[i].Then, mark)
	}
	return w.downs
}

// walk visits each action once.
func (w *restarts) walk(s *scheduler, p, after *model.Action, mark uint32) {
	if after.Mark == mark {
		return
	}
	after.Mark = mark
	r := after.Resource
	if r != nil && r.Kind == cib.Primitive && r != p.Resource && after.Interval == 0 {
		undo := ""
		switch after.Task {
		case start:
			undo = stop
		case promote:
			undo = demote
		}
		if undo != "" {
			for _, down := range r.Others {
				if down.Task == undo && down.Interval == 0 && !down.Pseudo {
					w.downs = append(w.downs, down)
				}
			}
		}
	}
	var only *model.Resource
	paired := r != nil && r.Kind >= cib.Clone && interleave(r)
	if paired {
		only = assign.Compatible(s.c, p.Resource, r, model.RoleUnknown, false)
	}
	for i := len(after.After) - 1; i >= 0; i-- {
		rel := after.After[i]
		if rel.Void {
			continue
		}
		then := rel.Then
		if rel.Effects&model.PullThen == 0 {
			// From a collective to its members, except to those of the one that the probe belongs to.
			if r == nil || r.Kind == cib.Primitive || p.Resource.Parent == r || then.Resource == nil || then.Resource.Parent != r {
				continue
			}
			if paired && then.Resource != only {
				continue
			}
		}
		w.walk(s, p, then, mark)
	}
}

// beforeStopped orders the probes of a resource before what its stop comes before.
func (s *scheduler) beforeStopped(o *model.Ordering) {
	r := o.First
	if r == nil || r == o.Then {
		return
	}
	if o.FirstAction != nil {
		if o.FirstAction.Task != stop {
			return
		}
	} else if o.FirstTask != stop {
		return
	}
	if o.Then != nil && o.Then == r.Launcher && o.ThenTask == stop {
		return
	}
	e := model.Seq | o.Effects&(model.UnlessMigrating|model.IfSameNode)
	if o.Effects == model.IfRequiredSameNode || o.Effects == model.IfSameNodeOrTarget {
		e = o.Effects
	}
	if len(r.Probes) == 0 {
		return
	}
	var thens []*model.Action
	if o.ThenAction != nil {
		thens = []*model.Action{o.ThenAction}
	} else if thens = matching(o.Then, o.ThenTask, nil); len(thens) == 0 {
		return
	}
	for _, x := range thens {
		if x.Task == action.TaskFence || x.Task == action.TaskShutdown {
			r.Spread() // what comes before these depends on the node
		}
	}
	for _, p := range r.Probes {
		if p == nil {
			continue
		}
		for _, x := range thens {
			switch {
			case x.Resource != nil && x.Resource == r.Launcher && x.Task == stop:
			case x.Task == action.TaskFence && x.Meta["stonith_action"] == "on" && x.Node == p.Node:
			case x.Task == action.TaskShutdown && x.Node != p.Node:
			default:
				action.Relate(s.c, p, x, e)
			}
		}
	}
}
