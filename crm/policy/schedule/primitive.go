package schedule

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
)

// create makes the actions by role of r and of everything in it (spec/04-actions.md sections 7, 8, 10, 11).
// Asked again, it finds the same actions.
func (s *scheduler) create(r *model.Resource) {
	switch r.Kind {
	case cib.Group:
		s.createGroup(r)
	case cib.Clone:
		s.createClone(r)
	case cib.Bundle:
		s.createBundle(r)
	default:
		s.createPrimitive(r)
	}
}

// multipleActive reports whether r is active more often than it may be: for a resource that does not require
// fencing only clean nodes count.
func multipleActive(r *model.Resource) bool {
	all, clean := activeCounts(r)
	if r.Requires == model.RequiresFencing {
		return all > 1
	}
	return clean > 1
}

func activeCounts(r *model.Resource) (all, clean int) {
	for _, n := range r.Active {
		if n.Online && !n.Unclean {
			clean++
		}
	}
	return len(r.Active), clean
}

func (s *scheduler) createPrimitive(r *model.Resource) {
	c := s.c
	if r.Next == model.RoleUnknown {
		r.Next = model.RoleStopped
		if r.Assigned != nil {
			r.Next = model.RoleStarted
		}
	}
	for _, n := range r.Dangling {
		a := action.Stop(c, r, n, false)
		a.AbortMark = true
	}

	current := r.Current()
	moving, migrates, needStop, needPromote := false, false, false, false
	if current != nil && r.Assigned != nil && current != r.Assigned && r.Next >= model.RoleStarted {
		moving, needStop = true, true
		migrates = canMigrate(r, current)
	}
	switch {
	case r.PartialSource != nil && r.PartialTarget != nil && migrates && len(r.Active) == 2 &&
		current == r.PartialSource && r.Assigned == r.PartialTarget:
		// The migration goes on where it was.
	case r.PartialSource != nil || r.PartialTarget != nil:
		// It cannot go on as it began: stop on both sides, then start.
		needStop = true
		r.PartialSource, r.PartialTarget = nil, nil
		migrates = false
	case multipleActive(r):
		switch r.Multi {
		case model.MultiStopStart:
			needStop = true
		case model.MultiStopUnexpected:
			needStop = true
			r.StopUnexpectedly = true
		}
	default:
		r.StopUnexpectedly = false
	}

	if r.StartPending {
		action.Start(c, r, r.Assigned, true).Forced = true
	}
	switch {
	case moving:
	case r.Failed:
		if r.MustStop {
			needStop = true
		} else if r.Next == model.RolePromoted {
			needPromote = true
		}
	case r.Blocked:
		needStop = true
	case r.Role > model.RoleStarted && current != nil && r.Assigned != nil:
		if !action.Start(c, r, r.Assigned, true).Optional {
			needStop = true
		}
	}

	s.sameRoleAgain(r, needStop, needPromote)
	for role := r.Role; role != r.Next; {
		next := towards(role, r.Next)
		if next == role {
			break
		}
		s.step(r, role, next, r.Assigned, false, false)
		role = next
	}
	s.recurring(r)
	if migrates {
		s.migrate(r, current)
	}
}

// sameRoleAgain creates what takes an active resource down and, unless it is to end lower, up to its role
// again: required if it has to be stopped, else optional, so that orderings can make a restart of it.
func (s *scheduler) sameRoleAgain(r *model.Resource, needStop, needPromote bool) {
	role := r.Role
	for role != model.RoleStopped {
		next := towards(role, model.RoleStopped)
		s.step(r, role, next, nil, !needStop, true)
		role = next
	}
	if r.Role > r.Next || r.Blocked {
		return
	}
	for role != r.Role {
		next := towards(role, r.Role)
		if next == role {
			break
		}
		required := needStop || (needPromote && next == model.RolePromoted)
		s.step(r, role, next, r.Assigned, !required, true)
		role = next
	}
}

// towards is the next role on the way from one role to another (spec/04-actions.md 7.3).
func towards(from, to model.Role) model.Role {
	switch from {
	case model.RoleUnknown:
		return model.RoleStopped
	case model.RoleStopped:
		if to == model.RolePromoted {
			return model.RoleUnpromoted
		}
	case model.RoleUnpromoted:
		if to == model.RoleStarted {
			return model.RoleStopped
		}
	case model.RolePromoted:
		if to != model.RolePromoted {
			return model.RoleUnpromoted
		}
	}
	if to == model.RoleUnknown {
		return model.RoleStopped
	}
	return to
}

// step creates the action for one change of role. again says that the resource comes back to its role.
func (s *scheduler) step(r *model.Resource, from, to model.Role, n *model.Node, optional, again bool) {
	switch {
	case to == model.RoleStopped:
		s.stop(r, optional, again)
	case from == model.RoleStopped:
		s.start(r, n, optional)
	case from == model.RolePromoted && to == model.RoleUnpromoted:
		s.demote(r, optional)
	case to == model.RolePromoted:
		s.promote(r, n, optional)
	}
}

// spared reports whether n is the node of a resource that is active too often on which it is left alone.
func spared(r *model.Resource, n *model.Node) bool {
	return r.StopUnexpectedly && r.Next > model.RoleStopped && n != nil && n == r.Assigned && isActiveOn(r, n)
}

func (s *scheduler) stop(r *model.Resource, optional, again bool) {
	c := s.c
	for _, n := range r.Active {
		surplus := false
		if again && r.StopUnexpectedly {
			if spared(r, n) {
				continue
			}
			surplus = r.Next > model.RoleStopped
		}
		optional := optional
		if r.PartialTarget != nil {
			if n == r.PartialTarget && n == r.Assigned {
				continue
			}
			optional = false
		}
		a := action.Stop(c, r, n, optional)
		if r.Assigned == nil {
			action.Because(a, "node availability", true)
		} else if surplus {
			action.Because(a, "being multiply active", true)
		}
		if !r.Managed {
			a.Runnable = false
		}
		action.BeforeUnfencing(c, r, n, a)
	}
}

func (s *scheduler) start(r *model.Resource, n *model.Node, optional bool) {
	a := action.Start(s.c, r, n, optional)
	if n != nil {
		action.AfterUnfencing(s.c, r, n, a, model.PullThen)
	}
	if spared(r, n) {
		a.Pseudo = true
	}
}

func (s *scheduler) promote(r *model.Resource, n *model.Node, optional bool) {
	for _, a := range r.Others {
		if a.Task == start && a.Interval == 0 && (n == nil || a.Node == n) && !a.Runnable {
			for _, p := range r.Others {
				if p.Task == promote && p.Interval == 0 && (n == nil || p.Node == n) {
					p.Runnable = false
				}
			}
			return
		}
	}
	p := action.Promote(s.c, r, n, optional)
	if spared(r, n) {
		p.Pseudo = true
	}
}

func (s *scheduler) demote(r *model.Resource, optional bool) {
	for _, n := range r.Active {
		if !spared(r, n) {
			action.Demote(s.c, r, n, optional)
		}
	}
}

// canMigrate reports whether r could move from the node by live migration (spec/04-actions.md section 8).
func canMigrate(r *model.Resource, from *model.Node) bool {
	return mayMigrate(r) && r.Managed && !r.Failed && !r.StartPending &&
		from != nil && !from.Unclean && r.Assigned != nil && !r.Assigned.Unclean
}

// migrate makes a live migration of the move of r, as long as nothing stands against it.
func (s *scheduler) migrate(r *model.Resource, from *model.Node) {
	c := s.c
	up := action.Start(c, r, r.Assigned, true)
	down := action.Stop(c, r, from, true)
	begun := r.PartialTarget != nil

	var to *model.Action
	if !begun {
		to = action.New(c, r, action.Key(r.ID, migrateTo, 0), migrateTo, from, true)
	}
	in := action.New(c, r, action.Key(r.ID, migrateFrom, 0), migrateFrom, r.Assigned, true)

	up.Migratable, down.Migratable, in.Migratable = true, true, true
	up.Pseudo = true
	if begun {
		in.Needs = up.Needs
		s.order(r, monitor, r, migrateFrom, model.Seq)
	} else {
		to.Migratable = true
		to.Needs = up.Needs
		s.order(r, monitor, r, migrateTo, model.Seq)
		s.order(r, migrateTo, r, migrateFrom, model.Seq|model.MigGate)
	}
	s.order(r, migrateFrom, r, stop, model.Seq|model.MigGate)
	s.order(r, migrateFrom, r, start, model.Seq|model.MigGate|model.MigReal)

	for _, a := range [...]*model.Action{to, in} {
		if a != nil {
			action.SetMeta(a, "migrate_source", from.Name)
			action.SetMeta(a, "migrate_target", r.Assigned.Name)
		}
	}
	if to != nil && !r.Connection {
		action.SetMeta(to, "record-pending", "true")
	}
}
