package schedule

import (
	"strconv"

	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// recurring schedules the recurring operations of a primitive (spec/04-actions.md section 10).
func (s *scheduler) recurring(r *model.Resource) {
	if r.Blocked || r.Maintenance {
		return
	}
	var up *model.Action
	if n := r.Assigned; n != nil && !n.Maintenance && (r.Next != model.RoleStopped || !r.Managed) {
		up = action.Start(s.c, r, n, true)
	}
	for _, op := range r.Ops {
		if !s.recurs(r, op) {
			continue
		}
		if op.Role == model.RoleStopped {
			s.whileStopped(r, op)
		} else if up != nil {
			s.whileActive(r, op, up)
		}
	}
}

// recurs reports whether op is a recurring operation that can be scheduled.
func (s *scheduler) recurs(r *model.Resource, op *model.Op) bool {
	if op.IntervalMS <= 0 || !op.Enabled {
		return false
	}
	switch op.Name {
	case start, stop, promote, demote, reload, migrateTo, migrateFrom:
		return false
	}
	if op.Config != nil && op.Role == model.RoleUnknown {
		if text, set := values.OpAttr(op.Config, "role"); set && text != "" {
			s.fault("operation %q of %s has the role %q; it is left out (use Started, Stopped, Promoted or Unpromoted)", op.Name, r.ID, text)
			return false
		}
	}
	for _, other := range r.Ops {
		if other != op && other.IntervalMS == op.IntervalMS && other.Name == op.Name {
			s.fault("%s has several operations %q with an interval of %d ms; they are left out", r.ID, op.Name, op.IntervalMS)
			return false
		}
	}
	return true
}

func (s *scheduler) whileActive(r *model.Resource, op *model.Op, up *model.Action) {
	c, n := s.c, r.Assigned
	runs := up.Optional && isRunning(r, action.Key(r.ID, op.Name, op.IntervalMS), n)
	matches := op.Role == r.Next
	if op.Role == model.RoleUnknown {
		matches = r.Next != model.RolePromoted
	}
	if !matches {
		if runs {
			s.cancelRunning(r, op, n)
		}
		return
	}
	a := action.Recurring(c, r, op.Name, op.IntervalMS, n, runs)
	if !up.Runnable || !n.Online || n.Unclean {
		a.Runnable = false
	}
	if r.Next == model.RolePromoted {
		a.TargetRC = 8
	}
	if !r.Managed {
		return
	}
	s.orderAfter(r, start, a, model.PullThen|model.Gate)
	s.orderAfter(r, reload, a, model.PullThen|model.Gate)
	if r.Next == model.RolePromoted {
		s.orderAfter(r, promote, a, model.Seq|model.Gate)
	} else if r.Role == model.RolePromoted {
		s.orderAfter(r, demote, a, model.Seq|model.Gate)
	}
}

// isRunning reports whether the recurring operation with the key is known to run on n and need not be
// submitted again.
func isRunning(r *model.Resource, key string, n *model.Node) bool {
	found := false
	for _, a := range r.Others {
		if a.Node == n && a.Key == key {
			if a.Reschedule {
				return false
			}
			found = true
		}
	}
	return found
}

// cancelRunning cancels an operation that belongs to a role which r is about to leave, before it leaves it.
func (s *scheduler) cancelRunning(r *model.Resource, op *model.Op, n *model.Node) {
	a := s.cancel(r, op.Name, op.IntervalMS, n)
	after := ""
	switch r.Role {
	case model.RoleStarted, model.RoleUnpromoted:
		if r.Next == model.RolePromoted {
			after = promote
		} else if r.Next == model.RoleStopped {
			after = stop
		}
	case model.RolePromoted:
		after = demote
	}
	if after != "" {
		s.orderBefore(a, r, after, model.Gate)
	}
}

// cancel replaces the recurring operation on n by its cancellation.
func (s *scheduler) cancel(r *model.Resource, task string, intervalMS int64, n *model.Node) *model.Action {
	a := action.Recurring(s.c, r, task, intervalMS, n, false)
	a.Task = cancel
	a.Optional = false
	action.SetMeta(a, "operation", task)
	action.SetMeta(a, "interval", strconv.FormatInt(intervalMS, 10))
	return a
}

// whileStopped schedules an operation that checks that r is stopped where it should be.
func (s *scheduler) whileStopped(r *model.Resource, op *model.Op) {
	c := s.c
	if anonymous(r) {
		s.fault("operation %q of %s: monitors with the role Stopped are not supported for anonymous clones; it is left out", op.Name, r.ID)
		return
	}
	key := action.Key(r.ID, op.Name, op.IntervalMS)
	if r.Assigned != nil && action.Find(r, key, r.Assigned) != nil {
		a := s.cancel(r, op.Name, op.IntervalMS, r.Assigned)
		if r.Next == model.RoleStarted || r.Next == model.RoleUnpromoted {
			s.orderBefore(a, r, start, model.Gate)
		}
	}
	for _, n := range c.Nodes {
		if n == r.Assigned {
			continue
		}
		runs := action.Find(r, key, n) != nil
		a := action.Recurring(c, r, op.Name, op.IntervalMS, n, runs)
		a.TargetRC = 7
		if r.Managed {
			if p := r.Probe(n); p != nil {
				action.Relate(c, p, a, model.Gate)
			}
		}
		for _, down := range r.Others {
			if down.Node != n || down.Task != stop || down.Interval != 0 || down.Optional && r.Managed {
				continue
			}
			if !down.Runnable {
				a.Runnable = false
			}
			if r.Managed {
				s.add(model.Ordering{First: r, FirstAction: down, Then: r, ThenAction: a, Effects: model.PullThen | model.Gate})
			} else {
				a.Optional = true
			}
		}
		if !n.Online || n.Unclean {
			a.Runnable = false
		}
	}
}
