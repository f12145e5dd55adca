package schedule

import (
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
)

// resolve turns the orderings into relations between actions, in the order in which they were written down
// (spec/05-ordering.md section 3).
func (s *scheduler) resolve() {
	var firsts, thens []*model.Action
	for _, o := range s.c.Orderings {
		firsts = firsts[:0]
		if o.FirstAction != nil {
			firsts = append(firsts, o.FirstAction)
		} else {
			firsts = matching(o.First, o.FirstTask, firsts)
			if len(firsts) == 0 {
				a := s.missing(o)
				if a == nil {
					continue
				}
				firsts = append(firsts, a)
			}
		}
		thens = thens[:0]
		if o.ThenAction != nil {
			thens = append(thens, o.ThenAction)
		} else {
			thens = matching(o.Then, o.ThenTask, thens)
		}
		for _, first := range firsts {
			for _, then := range thens {
				e := o.Effects
				if first.AbortMark && first.Resource != nil && first.Resource == o.Then {
					e &^= model.PullThen
				}
				if rel := action.Relate(s.c, first, then, e); rel != nil {
					rel.Ordering = o
				}
			}
		}
	}
}

// matching appends the actions of r for an operation, on any node, oldest first.
func matching(r *model.Resource, task string, to []*model.Action) []*model.Action {
	list := r.Others
	if task == monitor {
		list = r.Actions
	}
	for _, a := range list {
		if a.Interval == 0 && a.Task == task {
			to = append(to, a)
		}
	}
	return to
}

// missing creates the first side of an ordering, as an optional action that has no place, unless there is
// nothing that it could be.
func (s *scheduler) missing(o *model.Ordering) *model.Action {
	r := o.First
	if r == nil || r == o.Then {
		return nil
	}
	switch o.FirstTask {
	case stop:
		if r.CurrentRole() == model.RoleStopped {
			return nil
		}
	case demote:
		if r.CurrentRole() == model.RoleUnpromoted {
			return nil
		}
	}
	return action.New(s.c, r, action.Key(r.ID, o.FirstTask, 0), o.FirstTask, nil, true)
}
