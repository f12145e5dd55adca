package schedule

import (
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
)

// behindConnections orders what happens on remote and guest nodes around the start and stop of their
// connections (spec/05-ordering.md 4.7). Nodes that can be reached no more are fenced.
func (s *scheduler) behindConnections() {
	for i := len(s.c.Actions) - 1; i >= 0; i-- {
		a := s.c.Actions[i]
		r := a.Resource
		if r == nil {
			continue
		}
		if r.Connection && a.Task == clearFailures {
			s.orderBefore(a, r, start, model.Seq)
			continue
		}
		if a.Node == nil || a.Pseudo || !a.Node.IsRemoteKind() || a.Node.Connection == nil {
			continue
		}
		conn := a.Node.Connection
		if a.Task == start {
			for _, down := range r.Others {
				if down.Task == stop && down.Node != a.Node {
					// If the connection cannot be made, the resource had better stay where it is.
					s.orderAfter(conn, start, down, model.Seq)
				}
			}
		}
		if a.Node.IsGuestKind() && conn.Launcher != nil {
			s.onGuest(a, conn)
		} else {
			s.onRemote(a, conn)
		}
	}
}

func (s *scheduler) afterStartOf(conn *model.Resource, a *model.Action, more model.Effects) {
	s.orderAfter(conn, start, a, model.Gate|model.GuestOK|more)
}

func (s *scheduler) beforeStopOf(a *model.Action, conn *model.Resource, more model.Effects) {
	s.orderBefore(a, conn, stop, model.GuestOK|more)
}

func (s *scheduler) onGuest(a *model.Action, conn *model.Resource) {
	l := conn.Launcher
	if l.Failed {
		action.Fence(s.c, a.Node, "container failed", false)
	}
	switch {
	case a.Interval > 0:
		if a.Task != cancel {
			s.afterStartOf(conn, a, model.PullThen)
		}
	case a.Task == start, a.Task == promote:
		s.afterStartOf(l, a, model.PullThen)
		s.afterStartOf(conn, a, 0)
	case a.Task == stop, a.Task == demote, a.Task == migrateTo, a.Task == migrateFrom:
		if !l.Failed {
			s.beforeStopOf(a, conn, 0)
		}
	default:
		s.afterStartOf(conn, a, 0)
	}
}

func (s *scheduler) onRemote(a *model.Action, conn *model.Resource) {
	state := action.ConnectionState(s.c, a.Node)
	switch {
	case a.Interval > 0:
		s.afterStartOf(conn, a, model.PullThen)
	case a.Task == start, a.Task == promote:
		if state == action.StateFailed {
			s.afterStartOf(conn, a, model.PullThen)
		} else {
			s.afterStartOf(conn, a, 0)
		}
	case a.Task == stop, a.Task == migrateTo, a.Task == migrateFrom:
		switch {
		case state == action.StateAlive:
			s.beforeStopOf(a, conn, model.PullFirst)
		case state == action.StateFailed:
			// Only fencing stops what runs behind a connection that cannot come back.
			action.Fence(s.c, a.Node, "resources are active but connection is unrecoverable", false)
		case conn.Next == model.RoleStopped:
			s.beforeStopOf(a, conn, model.PullFirst)
		default:
			s.afterStartOf(conn, a, 0)
		}
	case a.Task == demote:
		if state == action.StateResting || state == action.StateUnknown {
			s.afterStartOf(conn, a, 0)
		}
	default:
		if a.Task == monitor && state == action.StateFailed {
			action.Fence(s.c, a.Node, "resources are in unknown state and connection is unrecoverable", false)
		}
		if conn.Current() != nil && state == action.StateStopped {
			s.beforeStopOf(a, conn, model.Gate)
		} else {
			s.afterStartOf(conn, a, 0)
		}
	}
}
