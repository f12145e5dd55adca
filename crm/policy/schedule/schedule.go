// Package schedule turns placed resources into the transition: which actions there are, in which order, which
// of them have to happen and which cannot, and the graph that is carried out (spec/04-actions.md sections 5 to
// 15, spec/05-ordering.md).
//
// The phases, in the order in which package policy calls them:
//
//   - Internal: orderings that the configuration asks for and those that the structure of resources implies;
//   - CheckHistory: what changed in the configuration since the recorded operations ran;
//   - Run, after assignment: probes, actions by role, fencing and shutdown, resolution of the orderings to
//     relations between actions, and the propagation of "required" and "cannot run" along the relations;
//   - Graph: the actions that will be carried out, as a transition.
//
// Everything happens on the working state of one decision, in one goroutine; nothing reads a clock or depends
// on the order of a map. Orderings are written down first and resolved later because most of them name
// actions that do not exist yet; they are resolved in the order in which they were written down, since
// resolving may create actions, whose numbers decide orders further on.
package schedule

import (
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
)

// maxOrderings bounds the memory that orderings take: two sets of thousands of resources each, in no sequence,
// mean millions. The largest clusters of the field have some hundred thousand.
const maxOrderings = 4 << 20

// scheduler is the work of one phase.
type scheduler struct {
	c *model.Cluster

	budget int  // how many updates propagation may still make
	full   bool // maxOrderings was reached

	alike  int // nodes to probe, where the probes of a resource are alike on all; else 0
	probed []probedStart
	starts []bool // by Resource.Index: is in probed
}

// Internal writes down the orderings of the configuration in document order, then those implied by the
// structure of resources in list order (spec/05-ordering.md sections 2 and 4). Unfencing actions and
// load_stopped actions are created where orderings need them.
func Internal(c *model.Cluster) {
	s := &scheduler{c: c}
	s.configured()
	for _, r := range c.Resources {
		s.internal(r)
	}
}

// Run creates all actions, resolves the orderings and decides what has to happen.
func Run(c *model.Cluster) {
	s := &scheduler{c: c}
	s.checkDeferred()
	s.probes()
	s.clearRemoved()
	for _, r := range c.Resources {
		s.create(r)
	}
	c.Arrange()
	s.behindConnections()
	s.fencing()
	s.resolve()
	c.Arrange()
	s.propagate()
}

// order writes down "first's operation before then's operation".
func (s *scheduler) order(first *model.Resource, firstTask string, then *model.Resource, thenTask string, e model.Effects) {
	s.add(model.Ordering{First: first, FirstTask: firstTask, Then: then, ThenTask: thenTask, Effects: e})
}

// orderAfter writes down "first's operation before the action".
func (s *scheduler) orderAfter(first *model.Resource, firstTask string, then *model.Action, e model.Effects) {
	s.add(model.Ordering{First: first, FirstTask: firstTask, Then: then.Resource, ThenAction: then, Effects: e})
}

// orderBefore writes down "the action before then's operation".
func (s *scheduler) orderBefore(first *model.Action, then *model.Resource, thenTask string, e model.Effects) {
	s.add(model.Ordering{First: first.Resource, FirstAction: first, Then: then, ThenTask: thenTask, Effects: e})
}

// add writes an ordering down, and what it means for the migration of its resources.
func (s *scheduler) add(o model.Ordering) {
	if len(s.c.Orderings) >= maxOrderings {
		if !s.full {
			s.full = true
			s.fault("more than %d orderings follow from the configuration; those from %q on are left out (order sets through a resource between them)",
				maxOrderings, o.ID)
		}
		return
	}
	action.Order(s.c, &o)
	s.besideMigration(&o)
}

// besideMigration writes down the orderings with live migrations that follow from an ordering between two
// resources (spec/05-ordering.md 2.4): what comes after a start also comes after it when it migrates, and
// what goes down first goes before a migration away.
func (s *scheduler) besideMigration(o *model.Ordering) {
	a, b := o.First, o.Then
	if a == nil || b == nil || a == b || !mayMigrate(b) || o.Effects == 0 || isAncestor(a, b) || isAncestor(b, a) {
		return
	}
	first, then := o.FirstTask, o.ThenTask
	if o.FirstAction != nil {
		first = o.FirstAction.Task
	}
	if o.ThenAction != nil {
		then = o.ThenAction.Task
	}
	effects := model.Seq
	if mayMigrate(a) {
		effects |= model.UnlessMigrating
	}
	add := func(firstTask, thenTask string, e model.Effects) {
		action.Order(s.c, &model.Ordering{First: a, FirstTask: firstTask, Then: b, ThenTask: thenTask, Effects: e})
	}
	switch {
	case first == action.TaskStart && then == action.TaskStart:
		if mayMigrate(a) {
			add(action.TaskMigrateFrom, action.TaskMigrateTo, model.Seq)
		}
		add(action.TaskStart, action.TaskMigrateTo, effects)
	case first == action.TaskStop && then == action.TaskStop:
		add(action.TaskStop, action.TaskMigrateTo, effects)
		if b.PartialTarget != nil {
			add(action.TaskStop, action.TaskMigrateFrom, effects)
		}
	case first == action.TaskPromote && then == action.TaskStart:
		add(action.TaskPromote, action.TaskMigrateTo, model.Seq)
	case first == action.TaskDemote && then == action.TaskStop:
		add(action.TaskDemote, action.TaskMigrateTo, model.Seq)
		if b.PartialTarget != nil {
			add(action.TaskDemote, action.TaskMigrateFrom, model.Seq)
		}
	}
}

// isAncestor reports whether a is above r.
func isAncestor(a, r *model.Resource) bool {
	for p := r.Parent; p != nil; p = p.Parent {
		if p == a {
			return true
		}
	}
	return false
}

// anonymous reports whether r belongs to a clone whose instances are all the same.
func anonymous(r *model.Resource) bool {
	top := r.Top(false)
	return top.Clone != nil && !top.Clone.Unique
}

// promotable reports whether the topmost ancestor of r, not counting a bundle, is a promotable clone.
func promotable(r *model.Resource) bool {
	top := r.Top(false)
	return top.Clone != nil && top.Clone.Promotable
}

// isKnown reports whether the state of r on n is known from the history.
func isKnown(r *model.Resource, n *model.Node) bool {
	return n.Index < len(r.Known) && r.Known[n.Index]
}

// isActiveOn reports whether r is believed active on n.
func isActiveOn(r *model.Resource, n *model.Node) bool {
	for _, m := range r.Active {
		if m == n {
			return true
		}
	}
	return false
}

// mayMigrate reports whether r is configured for live migration, unless its history speaks against it.
func mayMigrate(r *model.Resource) bool { return r.AllowMigrate && !r.NotMigratable }
